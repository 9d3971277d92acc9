package provision

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestVolumesThatAreNotAsTheyShouldBe(t *testing.T) {
	good := site("t1", addressA)
	for _, tt := range []struct {
		name, label  string
		files        map[string]string
		kind, words  string
		also         string // a second volume with this file
		alsoState    State
		problem      string
		own, waiting bool
	}{
		{name: "empty", label: "LWCCONF", kind: "no-file", words: "copy lwc.toml to it, not into a folder", waiting: true},
		{name: "own, empty", label: "LWCCONF", own: true, kind: "no-file", words: "copy lwc.toml to a USB stick", waiting: true},
		{name: "in a folder", label: "LWCCONF", files: map[string]string{"lwc/": "", "README.txt": "x", "lwc-example.toml": good}, kind: "no-file", waiting: true},
		{name: "hidden ending", label: "LWCCONF", files: map[string]string{"lwc.toml.txt": good}, kind: "wrong-name", words: "LWCCONF (sdb1) has lwc.toml.txt, and no lwc.toml"},
		{name: "second download", label: "LWCCONF", files: map[string]string{"lwc (1).toml": good}, kind: "wrong-name", words: "lwc (1).toml"},
		{name: "two downloads", label: "LWCCONF", files: map[string]string{"lwc.toml": good, "lwc (1).toml": good}, kind: "two-files", words: "lwc.toml and lwc (1).toml"},
		{name: "two cases", label: "CIDATA", files: map[string]string{"lwc.toml": good, "LWC.toml": good}, kind: "two-files"},
		{name: "folder of the name", label: "LWCCONF", files: map[string]string{"lwc.toml/": ""}, kind: "wrong-name", words: "lwc.toml on LWCCONF (sdb1) is a folder, not a file"},
		{name: "damaged", label: "LWCCONF", problem: "its file system is damaged", kind: "damaged-volume", words: "format it as FAT32"},
		{name: "own damaged", label: "LWCCONF", own: true, problem: "its file system is damaged", kind: "damaged-volume", words: "flash the image again"},
		{name: "seed of another kind", label: "cidata", files: map[string]string{"user-data": "#cloud-config\n"}, kind: "other-file", words: "user-data is a cloud-config"},
		{name: "user-data elsewhere", label: "LWCCONF", files: map[string]string{"user-data": good}, kind: "no-file", waiting: true},
		{name: "names of terminals", label: "LWC\x1b[2JCONF", files: map[string]string{"lwc.toml.txt": good}, kind: "wrong-name", words: "LWC?[2JCONF"},
		{name: "two volumes", label: "LWCCONF", files: map[string]string{"lwc.toml": good}, also: site("t2", addressA), kind: "two-volumes", words: "LWCCONF (sdb1) and LWCCONF (sdc1)"},
		{name: "other system's litter", label: "LWCCONF", files: map[string]string{"._lwc.toml": "x", ".Trashes/": ""}, kind: "no-file", waiting: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBox(t)
			b.plug("sdb1", tt.label, tt.own, tt.files)
			b.shelf.volumes[0].Problem = tt.problem
			if tt.also != "" {
				b.plug("sdc1", "LWCCONF", false, map[string]string{"lwc.toml": tt.also})
			}
			state := Refused
			if tt.waiting {
				state = Waiting
			}
			b.want(state, tt.kind, tt.words)
			if b.read(b.RAM, daemonFile) != "" || b.hasToken() {
				t.Error("something was taken all the same")
			}
		})
	}
}

// A link on a volume leads nowhere, and a device file is not opened.
func TestLinksAndDevicesOnAVolume(t *testing.T) {
	b := newBox(t)
	b.plug("sdb1", "CIDATA", false, nil)
	outside := filepath.Join(t.TempDir(), "lwc.toml")
	link := filepath.Join(b.shelf.folders["sdb1"], "lwc.toml")
	if err := errors.Join(os.WriteFile(outside, []byte(site("t1", addressA)), 0o600), os.Symlink(outside, link)); err != nil {
		t.Fatal(err)
	}
	b.want(Refused, "wrong-name", "is a link, not a file")
	if err := errors.Join(os.Remove(link), mkfifo(link)); err != nil {
		t.Fatal(err)
	}
	b.want(Refused, "wrong-name", "is a device, not a file")
}
