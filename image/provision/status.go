package provision

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"lwc/image/sitefile"
)

// StatusPath is where the status lies on the box: in RAM, readable by all.
const StatusPath = "/run/lwc/provision.json"

// State is where a box stands with its settings.
type State string

// The states.
const (
	Waiting  State = "waiting"  // no settings, and no file: both ports are down
	Refused  State = "refused"  // no settings, and a file that cannot be used: both ports are down
	Ready    State = "ready"    // there are settings; the box has not enrolled yet
	Enrolled State = "enrolled" // there are settings, and an identity
)

// States is all of them.
func States() []State { return []State{Waiting, Refused, Ready, Enrolled} }

// What can be wrong besides what stands in the file.
const (
	KindNoVolume   sitefile.Kind = "no-volume"        // no volume of the right name is there
	KindNoFile     sitefile.Kind = "no-file"          // a volume is there, and no lwc.toml on it
	KindWrongName  sitefile.Kind = "wrong-name"       // a file that is called almost lwc.toml, or a folder
	KindTwoFiles   sitefile.Kind = "two-files"        // two files on a volume that could be meant
	KindTwoVolumes sitefile.Kind = "two-volumes"      // two volumes with different files
	KindBadVolume  sitefile.Kind = "damaged-volume"   // a volume that cannot be read
	KindOtherBox   sitefile.Kind = "other-token"      // the box has enrolled, and the file is for a new one
	KindOtherCards sitefile.Kind = "other-cards"      // the box works, and the file names neither of its cards
	KindNoToken    sitefile.Kind = "token-gone"       // settings without a token, and no identity yet
	KindNotErased  sitefile.Kind = "token-not-erased" // the used token could not be overwritten
	KindState      sitefile.Kind = "state"            // the state partition cannot be used
	KindTaken      sitefile.Kind = "taken-before"     // an attached file that was taken once, and another after it
	KindPorts      sitefile.Kind = "ports"            // lwcd would not take the ports as the file has them
)

// Kinds is what can be wrong besides sitefile.Kinds, in the order of the field guide.
func Kinds() []sitefile.Kind {
	return []sitefile.Kind{KindNoVolume, KindNoFile, KindWrongName, KindTwoFiles, KindTwoVolumes, KindBadVolume,
		KindOtherBox, KindOtherCards, KindNoToken, KindNotErased, KindTaken, KindState, KindPorts}
}

// Status is what provisioning found, for the screen.
type Status struct {
	V     int   `json:"v"`
	State State `json:"state"`
	// Source is the volume and the file that the settings, or the problems, came
	// from: "lwc.toml on LWCCONF (sda2)". Empty: none.
	Source string `json:"source,omitempty"`
	// Problems is what is wrong with the newest file, or with the volumes. A box that
	// is ready or enrolled goes on with its settings all the same.
	Problems []sitefile.Problem `json:"problems,omitempty"`
	Since    time.Time          `json:"since"` // of the state, or of the problems, whichever changed last
}

// same tells whether two are the same but for Since.
func (s Status) same(o Status) bool {
	return s.State == o.State && s.Source == o.Source && slices.Equal(s.Problems, o.Problems)
}

// maxStatus bounds the file: twenty problems have 5 KiB.
const maxStatus = 256 << 10

// ReadStatus reads the status of this box. The error is fs.ErrNotExist where nothing
// has looked for volumes yet, or where this is no appliance.
func ReadStatus(path string) (Status, error) {
	f, err := os.Open(path)
	if err != nil {
		return Status{}, fmt.Errorf("reading the state of provisioning: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxStatus+1))
	if err != nil {
		return Status{}, fmt.Errorf("reading the state of provisioning: %w", err)
	}
	var s Status
	if len(text) > maxStatus {
		return Status{}, errors.New("reading the state of provisioning: it is too large")
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return Status{}, fmt.Errorf("reading the state of provisioning: %w", err)
	}
	if s.V != 1 || !slices.Contains(States(), s.State) {
		return Status{}, fmt.Errorf("reading the state of provisioning: %d is not a version of it that is known, or %q no state", s.V, s.State)
	}
	return s, nil
}

// writeStatus replaces the status as a whole.
func writeStatus(path string, s Status) error {
	s.V = 1
	for i := range s.Problems {
		s.Problems[i].Text, s.Problems[i].Do = printable(s.Problems[i].Text), printable(s.Problems[i].Do)
	}
	s.Source = printable(s.Source)
	text, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("writing the state of provisioning: %w", err)
	}
	return replace(path, append(text, '\n'), 0o644)
}

// printable takes out what a screen would act on; a part of it comes from a volume.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '?'
		}
		return r
	}, s)
}

// replace writes a file so that a power cut, or a disk that is full, leaves the old or
// the new one, whole.
func replace(path string, text []byte, mode os.FileMode) error {
	next := path + ".new"
	err := writeSynced(next, text, mode)
	if err == nil {
		err = os.Rename(next, path)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, errors.Join(err, os.RemoveAll(next)))
	}
	if err := syncFolder(filepath.Dir(path)); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

// writeSynced makes a file anew: what an interrupted write left there goes first.
func writeSynced(path string, text []byte, mode os.FileMode) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()) // Chmod: whatever the umask
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
