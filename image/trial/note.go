package trial

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// State is the folder for what outlives a boot. It is root's alone.
const State = "/state/update"

// PendingFile is where the updater notes, in State, which release it has installed: a
// JSON object with a version. A release on trial that does not find itself there has
// another state than the release that installed it.
const PendingFile = "pending.json"

// Fault says why a start of a release was found bad.
type Fault struct {
	V       int       `json:"v"`
	Version string    `json:"version"` // of what was found bad
	Text    string    `json:"text"`    // in words
	At      time.Time `json:"at"`
}

const faultFile = "trial.json"

// SaveFault keeps f in folder for the next boot.
func SaveFault(folder string, f Fault) error {
	f.V = 1
	return Save(folder, faultFile, f)
}

// LoadFault returns the newest that was kept. The error is fs.ErrNotExist where there
// is none.
func LoadFault(folder string) (Fault, error) {
	var f Fault
	return f, Load(folder, faultFile, &f)
}

// DropFault forgets the one that was kept: before another trial, so that its own
// fault is told of it, and none of an earlier one.
func DropFault(folder string) error {
	err := os.Remove(filepath.Join(folder, faultFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = SyncFolder(folder)
	}
	if err != nil {
		return fmt.Errorf("forgetting the fault of an earlier trial: %w", err)
	}
	return nil
}

// maxNote bounds a file that is read.
const maxNote = 64 << 10

// Save writes v as JSON to a file in folder, so that a power cut leaves the old text
// or the new one.
func Save(folder, name string, v any) (err error) {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("saving %s: %w", name, err)
	}
	f, err := os.CreateTemp(folder, "."+name+"-*")
	if err != nil {
		return fmt.Errorf("saving %s: %w", name, err)
	}
	_, err = f.Write(append(text, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(folder, name))
	}
	if err != nil {
		return fmt.Errorf("saving %s: %w", name, errors.Join(err, os.Remove(f.Name())))
	}
	return SyncFolder(folder)
}

// SyncFolder makes sure that what was made, renamed or removed in a folder stays so.
func SyncFolder(folder string) error {
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Load reads what Save wrote. The error is fs.ErrNotExist where there is nothing.
func Load(folder, name string, v any) error {
	f, err := os.Open(filepath.Join(folder, name))
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxNote))
	if err == nil {
		err = json.Unmarshal(text, v)
	}
	if err != nil {
		return fmt.Errorf("reading %s: %w", name, err)
	}
	return nil
}
