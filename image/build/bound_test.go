package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The two units that /state is mounted after are systemd's own, but for one word: they
// are not bound to the device, so that the mount, which needs them, is not either.
func TestStateIsNotBoundToItsDevice(t *testing.T) {
	generator := imageTool(t, "../lib/systemd/system-generators/systemd-fstab-generator")
	out := t.TempDir()
	made := generator(out, out, out)
	made.Env = append(os.Environ(), "SYSTEMD_FSTAB="+extra+"etc/fstab", "SYSTEMD_IN_INITRD=0")
	if said, err := made.CombinedOutput(); err != nil {
		t.Fatalf("making units of the fstab: %v: %s", err, said)
	}
	// The program's path as imageTool makes it leads to the tree of the tools.
	system := filepath.Join(filepath.Dir(made.Args[3]), "../system")
	for unit, original := range map[string]string{
		"systemd-makefs@dev-lwc-state.service": filepath.Join(out, "systemd-makefs@dev-lwc-state.service"),
		"systemd-fsck@dev-lwc-state.service":   filepath.Join(system, "systemd-fsck@.service"),
	} {
		b, err := os.ReadFile(original)
		if err != nil {
			t.Fatal(err)
		}
		want, got := lines(string(b)), lines(text(t, "etc/systemd/system/"+unit))
		for i, line := range want {
			want[i] = regexp.MustCompile(`^BindsTo=`).ReplaceAllString(line, "Requires=")
		}
		if !slices.Equal(want, got) || !slices.Contains(got, "Requires=%i.device") {
			t.Errorf("%s:\n%s\nand systemd's own:\n%s", unit, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// lines are those of a unit that say something.
func lines(unit string) []string {
	var out []string
	for line := range strings.Lines(unit) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			out = append(out, line)
		}
	}
	return out
}
