package provision

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestATokenThatCannotBeOverwritten(t *testing.T) {
	b := newBox(t)
	b.shelf.readOnly = true
	b.plug("sr0", "cidata", false, map[string]string{"user-data": site("t1", addressA), "meta-data": "instance-id: x\n"})
	b.want(Ready, "", "")
	b.enrol()
	for range 3 {
		b.want(Enrolled, "token-not-erased", "take the volume out and delete lwc.toml on it")
	}
	if b.shelf.opened != 1 {
		t.Errorf("it was tried %d times", b.shelf.opened)
	}
	b.unplugAll()
	b.want(Enrolled, "", "")
}

func TestALateTokenIsSweptAway(t *testing.T) {
	b := newBox(t)
	b.plug("sdb1", "LWCCONF", false, map[string]string{"lwc.toml": site("t1", addressA)})
	b.want(Ready, "", "")
	if err := os.WriteFile(filepath.Join(b.State, certFile), []byte("cert"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.want(Enrolled, "", "")
	if !b.hasToken() {
		t.Error("it went before lwcd could erase it")
	}
	b.want(Enrolled, "", "")
	if b.hasToken() {
		t.Error("it is still there")
	}
}

// Regression: a copy of the file that the box has taken is no other file because its token
// is there still.
func TestACopyThatCannotBeOverwritten(t *testing.T) {
	b := newBox(t)
	b.plug("sdb1", "LWCCONF", false, map[string]string{"lwc.toml": site("t1", addressA)})
	b.want(Ready, "", "")
	b.enrol()
	b.want(Enrolled, "", "")
	b.shelf.readOnly = true
	b.plug("sdc1", "LWCCONF", false, map[string]string{"lwc.toml": site("t1", addressA)})
	for range 2 {
		b.want(Enrolled, "token-not-erased", "LWCCONF (sdc1)")
	}
}

// Somebody else writes to the volume at the moment when the token is overwritten: what
// they wrote stays whole, and the token goes with the next look.
func TestATokenInAFileThatChanges(t *testing.T) {
	b := newBox(t)
	b.plug("sdb1", "LWCCONF", false, map[string]string{"lwc.toml": site("t1", addressA)})
	b.want(Ready, "", "")
	b.enrol()
	path := filepath.Join(b.shelf.folders["sdb1"], "lwc.toml")
	changed := "# for the cellar\n" + site("t1", addressA)
	b.shelf.meanwhile = func() {
		if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
			t.Error(err)
		}
	}
	b.want(Enrolled, "", "")
	if text := b.read(b.shelf.folders["sdb1"], "lwc.toml"); text != changed {
		t.Errorf("somebody's file was overwritten:\n%s", text)
	}
	b.shelf.meanwhile = nil
	b.want(Enrolled, "", "")
	if text := b.read(b.shelf.folders["sdb1"], "lwc.toml"); strings.Contains(text, "lwce1_") || !strings.HasPrefix(text, "# for the cellar\n") || len(text) != len(changed) {
		t.Errorf("the volume holds\n%s", text)
	}
}
