package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"lwc/image/gpt"
	"lwc/testdata/need"
)

const extra = "../mkosi/mkosi.extra/"

// text reads a file of the image.
func text(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(extra, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// /state is found by a link that udev makes for the disk of the root alone, and by
// nothing that any stick may bear. What is ordered by the link's name would otherwise
// lose its order without a word.
func TestStateIsOfTheOwnDisk(t *testing.T) {
	rule := regexp.MustCompile(`(?m)^IMPORT\{db\}="LWC_OWN"\nENV\{LWC_OWN\}!="1", PROGRAM=="/usr/bin/lwcd own %k", ENV\{LWC_OWN\}="1"\nENV\{LWC_OWN\}=="1", SYMLINK\+="(\S+)"$`).
		FindStringSubmatch(text(t, "usr/lib/udev/rules.d/72-lwc-state.rules"))
	if rule == nil {
		t.Fatal("no rule asks whose disk a partition is of")
	}
	if mount := regexp.MustCompile(`(?m)^(\S+) /state ext4 `).FindStringSubmatch(text(t, "etc/fstab")); mount == nil || mount[1] != "/dev/"+rule[1] {
		t.Errorf("/state is mounted from %q, and the link is /dev/%s", mount, rule[1])
	}
	unit := "@dev-" + strings.ReplaceAll(rule[1], "/", "-") + ".service"
	for name, line := range map[string]string{"lwc-forget.service": "Before", "systemd-repart.service.d/20-order.conf": "Before", "lwc-reserve.service": "After"} {
		order := regexp.MustCompile(`(?m)^` + line + `=.*$`).FindString(text(t, "usr/lib/systemd/system/"+name))
		if !strings.Contains(order, "systemd-makefs"+unit) || !strings.Contains(order, "systemd-fsck"+unit) {
			t.Errorf("%s has %q, without the units of /dev/%s", name, order, rule[1])
		}
	}
	err := filepath.WalkDir(extra, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if s := string(b); strings.Contains(s, "by-partlabel") || strings.Contains(s, `by\x2dpartlabel`) || strings.Contains(s, "PARTLABEL=") {
			t.Errorf("%s takes a partition of any disk", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if said, err := imageTool(t, "udevadm")("verify", "--resolve-names=never", extra+"usr/lib/udev/rules.d").CombinedOutput(); err != nil {
		t.Errorf("verifying the rules: %v: %s", err, said)
	}
}

// reservedBlocks and allBlocks are what dumpe2fs(8) says.
var (
	reservedBlocks = regexp.MustCompile(`(?m)^Reserved block count: +([0-9]+)$`)
	allBlocks      = regexp.MustCompile(`(?m)^Block count: +([0-9]+)$`)
)

// systemd formats /state with no block for root alone: after lwc-reserve there are.
func TestStateKeepsRoomForRoot(t *testing.T) {
	disk := filepath.Join(t.TempDir(), "disk.raw")
	repart := imageTool(t, "systemd-repart")("--offline=yes", "--dry-run=no", "--empty=create", "--size=1G", "--definitions="+extra+"usr/lib/repart.d", disk)
	repart.Env = append(os.Environ(), "PATH="+filepath.Dir(need.Program(t, "mkfs.ext4"))+":"+os.Getenv("PATH"))
	if said, err := repart.CombinedOutput(); err != nil {
		t.Fatalf("partitioning a disk: %v: %s", err, said)
	}
	state := disk + "?offset=" + strconv.FormatInt(partition(t, disk, "lwc-state").Start, 10)
	command := regexp.MustCompile(`(?m)^ExecStart=/usr/sbin/(\S+) (.*) /dev/lwc/state$`).FindStringSubmatch(text(t, "usr/lib/systemd/system/lwc-reserve.service"))
	if command == nil {
		t.Fatal("lwc-reserve does nothing with /dev/lwc/state")
	}
	for range 2 { // as at each start
		if said, err := exec.Command(need.Program(t, command[1]), append(strings.Fields(command[2]), state)...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v: %s", command, err, said)
		}
		reserved, all := blocks(t, state, reservedBlocks), blocks(t, state, allBlocks)
		if reserved*11 < all || reserved*9 > all {
			t.Errorf("of %d blocks, %d are root's alone", all, reserved)
		}
	}
}

func blocks(t *testing.T, device string, which *regexp.Regexp) int {
	t.Helper()
	said, err := exec.Command(need.Program(t, "dumpe2fs"), "-h", device).Output()
	found := which.FindSubmatch(said)
	if err != nil || found == nil {
		t.Fatalf("looking at %s: %v: %s", device, err, said)
	}
	n, err := strconv.Atoi(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// partition is the one of that label.
func partition(t *testing.T, disk, label string) gpt.Partition {
	t.Helper()
	f, err := os.Open(disk)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	parts, err := gpt.Read(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	p, found := gpt.Find(parts, label)
	if !found {
		t.Fatalf("there is no partition %s", label)
	}
	return p
}

// Where /state does not come, the screen does, and a release on trial is judged: nothing
// that the whole start waits for is ordered after it, and the mount is not bound to its
// device later.
func TestNoStartWaitsForState(t *testing.T) {
	before := regexp.MustCompile(`(?m)^Before=(.*)$`).FindStringSubmatch(text(t, "usr/lib/systemd/system/lwc-state.service"))
	if before == nil || before[1] != "lwc-provision.service lwcd.service shutdown.target" {
		t.Errorf("lwc-state.service is ordered before %q", before)
	}
	for _, option := range []string{"nofail", "x-systemd.device-bound=no"} {
		if mount := regexp.MustCompile(`(?m)^\S+ /state .*$`).FindString(text(t, "etc/fstab")); !strings.Contains(mount, option) {
			t.Errorf("/state is mounted without %s: %s", option, mount)
		}
	}
}
