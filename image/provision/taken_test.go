package provision

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const addressC = "10.3.0.2/24"

// settings fails unless the box keeps, and lwcd has, this address.
func (b *box) settings(address string) {
	b.t.Helper()
	if kept, has := b.read(b.Settings, settingsFile), b.read(b.RAM, daemonFile); !strings.Contains(kept, address) || !strings.Contains(has, address) {
		b.t.Errorf("want %s, kept are\n%s\nlwcd has\n%s", address, kept, has)
	}
}

// rewrite changes the file on a volume.
func (b *box) rewrite(device, text string) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.shelf.folders[device], "lwc.toml"), []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// Regression: the file on the box's own disk, which stays there, brought its old settings
// back when the stick with newer ones was taken out.
func TestAFileCountsOnce(t *testing.T) {
	b := newBox(t)
	b.plug("sda2", "LWCCONF", true, map[string]string{"lwc.toml": site("t1", addressA)})
	b.want(Ready, "", "")
	b.enrol()
	b.want(Enrolled, "", "")
	own := b.shelf.volumes
	b.plug("sdb1", "LWCCONF", false, map[string]string{"lwc.toml": site("", addressB)})
	b.want(Enrolled, "", "")
	b.settings(addressB)
	b.shelf.volumes = own
	for range 2 {
		if s := b.want(Enrolled, "", ""); s.Source != kept {
			t.Errorf("the settings are %s", s.Source)
		}
		b.settings(addressB)
		b.boot()
	}
	if b.want(Enrolled, "", ""); b.restarts != 1 {
		t.Errorf("lwcd was started anew %d times", b.restarts)
	}
	// Somebody takes the disk out and drops a new file on it.
	b.rewrite("sda2", site("", addressC))
	b.want(Enrolled, "", "")
	b.settings(addressC)
	// The old stick once more: it says so, and changes nothing.
	b.plug("sdb1", "LWCCONF", false, map[string]string{"lwc.toml": site("", addressB)})
	b.want(Enrolled, "taken-before", "lwc.toml on LWCCONF (sdb1) was taken before, and another file after it: take the volume out")
	b.settings(addressC)
	b.rewrite("sdb1", "# meant\n"+site("", addressB))
	b.want(Enrolled, "", "")
	b.settings(addressB)
	b.boot()
	b.want(Enrolled, "", "")
	b.settings(addressB)
}

// A virtual machine keeps its seed attached; a newer one beside it counts.
func TestANewSeedBesideTheOld(t *testing.T) {
	b := newBox(t)
	b.plug("sr0", "CIDATA", false, map[string]string{"user-data": site("t1", addressA)})
	b.want(Ready, "", "")
	b.enrol()
	b.want(Enrolled, "", "")
	seed := b.shelf.volumes
	b.plug("sr1", "CIDATA", false, map[string]string{"user-data": site("", addressB)})
	b.want(Enrolled, "", "")
	b.settings(addressB)
	b.want(Enrolled, "taken-before", "user-data on CIDATA (sr0) was taken before")
	b.shelf.volumes = seed
	b.boot()
	b.want(Enrolled, "taken-before", "user-data on CIDATA (sr0) was taken before")
	b.settings(addressB)
}

// Before the enrolment, too: the first file had a mistake, the second one counts, and a
// power cut changes nothing of that. The volume of the second gives the token again.
func TestAFileCountsOnceBeforeTheEnrolment(t *testing.T) {
	b := newBox(t)
	b.plug("sda2", "LWCCONF", true, map[string]string{"lwc.toml": site("t1", addressA)})
	b.want(Ready, "", "")
	own := b.shelf.volumes
	b.plug("sdb1", "LWCCONF", false, map[string]string{"lwc.toml": site("t2", addressB)})
	b.want(Ready, "", "")
	both := b.shelf.volumes
	b.shelf.volumes = own
	b.boot()
	b.want(Ready, "token-gone", "")
	b.settings(addressB)
	if b.hasToken() {
		t.Error("it enrols with the token of the file that had the mistake")
	}
	b.shelf.volumes = both
	b.want(Ready, "", "")
	if b.read(b.RAM, tokenFile) != token("t2") {
		t.Error("the volume that was plugged in again gave no token")
	}
	// The same settings with another token are another file.
	b.rewrite("sdb1", site("t3", addressB))
	b.want(Ready, "", "")
	if b.read(b.RAM, tokenFile) != token("t3") {
		t.Error("a new token was not taken")
	}
}

// A factory reset forgets what was taken; so does a box whose settings are damaged, which
// takes an old file rather than none.
func TestWhatWasTakenIsForgotten(t *testing.T) {
	for _, how := range []string{"reset", "damaged"} {
		b := newBox(t)
		b.plug("sda2", "LWCCONF", true, map[string]string{"lwc.toml": site("t1", addressA)})
		b.want(Ready, "", "")
		own := b.shelf.volumes
		b.plug("sdb1", "LWCCONF", false, map[string]string{"lwc.toml": site("t2", addressB)})
		b.want(Ready, "", "")
		b.shelf.volumes = own
		if how == "reset" {
			if err := Forget(t.Context(), b.Settings, b.State); err != nil {
				t.Fatal(err)
			}
		} else if err := os.WriteFile(filepath.Join(b.Settings, settingsFile), []byte("\x00\x00"), 0o600); err != nil {
			t.Fatal(err)
		}
		b.boot()
		b.want(Ready, "", "")
		b.settings(addressA)
		if b.read(b.RAM, tokenFile) != token("t1") {
			t.Errorf("%s: the token was not handed over", how)
		}
	}
}

// A write that fails, or a power cut before it, while a file is taken: never do older
// settings come back, and the new file, when it is there again, is taken.
func TestAFileThatIsTakenHalfway(t *testing.T) {
	for _, fails := range []string{takenFile, settingsFile} {
		b := newBox(t)
		b.plug("sda2", "LWCCONF", true, map[string]string{"lwc.toml": site("t1", addressA)})
		b.want(Ready, "", "")
		b.enrol()
		b.want(Enrolled, "", "")
		own := b.shelf.volumes
		if err := os.MkdirAll(filepath.Join(b.Settings, fails+".new", "in the way"), 0o700); err != nil {
			t.Fatal(err)
		}
		b.plug("sdb1", "LWCCONF", false, map[string]string{"lwc.toml": site("", addressB)})
		both := b.shelf.volumes
		b.want(Enrolled, "state", "the box cannot keep its settings")
		b.settings(addressA)
		b.shelf.volumes = own
		b.boot()
		b.want(Enrolled, "", "")
		b.settings(addressA)
		b.shelf.volumes = both
		b.want(Enrolled, "", "")
		b.settings(addressB)
		b.shelf.volumes = own
		b.boot()
		b.want(Enrolled, "", "")
		b.settings(addressB)
	}
}

func TestHistory(t *testing.T) {
	var h history
	for i := range byte(200) {
		h = h.with([]byte{i}).with([]byte{i, i}).with([]byte{i})
	}
	if len(h) != maxTaken || !h.newest([]byte{199}) || !h.older([]byte{198}) || h.older([]byte{0}) || h.newest([]byte{7}) || h.older([]byte{199}) {
		t.Errorf("%d entries", len(h))
	}
	text := h.text()
	if again := parseHistory(text); !bytes.Equal(again.text(), text) {
		t.Error("it does not come back as it was written")
	}
	damaged := append([]byte("\x00\x00\n12 34\n"), bytes.Replace(text, []byte(" "), []byte("-"), 1)...)
	if again := parseHistory(damaged); len(again) != maxTaken-1 || !again.newest([]byte{199}) {
		t.Errorf("%d entries of a damaged file", len(again))
	}
	used := printOf([]byte(site("t1", addressA)))
	if scrubbed := strings.ReplaceAll(site("t1", addressA), token("t1"), "used"+strings.Repeat("-", len(token("t1"))-4)); !used.is([]byte(scrubbed)) {
		t.Error("a file is not known again when its token was overwritten")
	}
}
