package provision

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// machine is a sysfs and a /dev of files.
func machine(t *testing.T, devices map[string]string) Kernel {
	t.Helper()
	dir := t.TempDir()
	k := Kernel{Sys: filepath.Join(dir, "sys"), Dev: filepath.Join(dir, "dev"), Folder: filepath.Join(dir, "mnt")}
	for name, image := range devices {
		name, part, _ := strings.Cut(name, ":")
		at := filepath.Join(k.Sys, "devices", strings.TrimRight(name, "0123456789"))
		if strings.TrimRight(name, "0123456789") != name {
			at = filepath.Join(at, name)
		}
		size := "0"
		if image != "" {
			size = "2048"
		}
		err := errors.Join(os.MkdirAll(at, 0o755), os.MkdirAll(filepath.Join(k.Sys, "class/block"), 0o755), os.MkdirAll(k.Dev, 0o755),
			os.Symlink(at, filepath.Join(k.Sys, "class/block", name)), os.WriteFile(filepath.Join(at, "size"), []byte(size+"\n"), 0o600),
			os.WriteFile(filepath.Join(at, "uevent"), []byte("DEVTYPE=partition\nPARTNAME="+part+"\n"), 0o600))
		if strings.HasSuffix(at, name) && filepath.Base(filepath.Dir(at)) != "devices" {
			err = errors.Join(err, os.WriteFile(filepath.Join(at, "partition"), []byte("1\n"), 0o600))
		}
		if image != "" {
			err = errors.Join(err, os.Symlink(image, filepath.Join(k.Dev, name)))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return k
}

// runsFrom has the root lie on device mapper over these, or on the only one of them;
// each is a place below the devices of sysfs.
func runsFrom(t *testing.T, k Kernel, parts ...string) {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat("/", &st); err != nil {
		t.Fatal(err)
	}
	root, at := filepath.Join(k.Sys, "dev/block", fmt.Sprintf("%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev))), filepath.Join(k.Sys, "devices", parts[0])
	if len(parts) > 1 {
		at = filepath.Join(k.Sys, "devices/virtual/dm-0")
		err := os.MkdirAll(filepath.Join(at, "slaves"), 0o755)
		for _, p := range parts {
			err = errors.Join(err, os.Symlink(filepath.Join(k.Sys, "devices", p), filepath.Join(at, "slaves", strings.ReplaceAll(p, "/", "!"))))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(root), 0o755), os.RemoveAll(root), os.Symlink(at, root)); err != nil {
		t.Fatal(err)
	}
}

// Two disks with the same release: what counts is where the root came from, and that is
// no disk at all where its data came from one and its hashes from the other.
func TestOwnsTheDiskOfTheRootAlone(t *testing.T) {
	all := map[string]string{"sda": "x", "sda3": "x", "sda4": "x", "sda7:lwc-state": "x", "sdb": "x", "sdb3": "x", "sdb4": "x", "sdb7:lwc-state": "x"}
	for _, c := range []struct {
		root []string
		own  string
	}{
		{[]string{"sda/sda3", "sda/sda4"}, "sda"}, {[]string{"sdb/sdb3", "sdb/sdb4"}, "sdb"}, {[]string{"sdb/sdb3"}, "sdb"},
		{[]string{"sda/sda3", "sdb/sdb4"}, ""}, {[]string{"sda/sda3", "sda/sda9"}, ""},
	} {
		k := machine(t, all)
		runsFrom(t, k, c.root...)
		for name := range all {
			name, _, _ = strings.Cut(name, ":")
			if want := c.own != "" && strings.HasPrefix(name, c.own); k.Owns(name) != want {
				t.Errorf("a root on %v: %s is its own: %v", c.root, name, !want)
			}
		}
		for _, name := range []string{"", ".", "..", "sdc1", "../block/sda7"} {
			if k.Owns(name) {
				t.Errorf("a root on %v: %q is its own", c.root, name)
			}
		}
	}
	if k := machine(t, all); k.Owns("sda7") {
		t.Error("a partition is the box's own although nobody knows where the root lies")
	}
}

func TestListFindsWhatIsMeant(t *testing.T) {
	conf, other := formatted(t, "16", "LWCCONF", "16"), formatted(t, "16", "BACKUP", "16")
	blank := filepath.Join(t.TempDir(), "blank")
	if err := os.WriteFile(blank, make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	k := machine(t, map[string]string{"sda": blank, "sda2:LWCCONF": blank, "sdb": blank, "sdb1": conf, "sdc": conf, "sdd": other, "sde": "", "loop": conf, "sdf": "/nowhere"})
	all, err := k.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []Volume{{Device: "sda2", Label: "LWCCONF", Problem: "it is not formatted, or damaged"}, {Device: "sdb1", Label: "LWCCONF", FS: "vfat"}, {Device: "sdc", Label: "LWCCONF", FS: "vfat"}}
	if fmt.Sprint(all) != fmt.Sprint(want) || all[0].Problem != want[0].Problem {
		t.Errorf("volumes are %+v", all)
	}
	if d := k.diskOf("sdb1"); d != "sdb" {
		t.Errorf("sdb1 is on %s", d)
	}
}

// The kernel mounts, shows and unmounts, also when use fails. There is no FAT volume
// that it could mount without a block device: a tmpfs stands for it here, and the
// boot tests have sticks.
func TestMountedIsGoneAfterwards(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("LWC_TEST_STRICT") != "" {
			t.Fatal("root is needed")
		}
		t.Skip("root is needed")
	}
	runtime.LockOSThread() // the thread ends with the test, and its namespace with it
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	failed := errors.New("no")
	err := mounted("none", folder, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC|unix.MS_NOSYMFOLLOW, "size=64k", func(root *os.Root) error {
		if err := root.WriteFile("x", nil, 0o600); err != nil {
			return err
		}
		return failed
	})
	if !errors.Is(err, failed) || errors.Is(err, ErrVolume) {
		t.Errorf("error is %v", err)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 0 {
		t.Errorf("it is still mounted: %v (%v)", left, err)
	}
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := mounted(file, folder, "vfat", unix.MS_RDONLY, mountOptions["vfat"], nil); !errors.Is(err, ErrVolume) {
		t.Errorf("what is no disk is mounted: %v", err)
	}
}

func TestEraseLeavesNothingOfThePartition(t *testing.T) {
	state, other := filepath.Join(t.TempDir(), "state"), filepath.Join(t.TempDir(), "other")
	for _, path := range []string{state, other} {
		if err := os.WriteFile(path, []byte(strings.Repeat("secret--", 1<<17)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	k := machine(t, map[string]string{"sda": other, "sda5:lwc-state": state, "sda6:lwc_1.2.3": other, "sdb5:lwc-state": other})
	if err := k.Erase(t.Context(), StatePartition); !errors.Is(err, ErrPartition) {
		t.Errorf("of a disk that is not known to be the box's own: %v", err)
	}
	runsFrom(t, k, "sda/sda6")
	if err := k.Erase(t.Context(), StatePartition); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{state: "\x00", other: "secret--"} {
		if text, err := os.ReadFile(path); err != nil || string(text) != strings.Repeat(want, 1<<20/len(want)) {
			t.Errorf("%s has %d bytes, beginning with %.8q (%v)", path, len(text), text, err)
		}
	}
	twice := machine(t, map[string]string{"sda5:lwc-state": state, "sda6:lwc-state": other})
	runsFrom(t, twice, "sda/sda5")
	if err := twice.Erase(t.Context(), StatePartition); !errors.Is(err, ErrPartition) {
		t.Errorf("of two it took one: %v", err)
	}
	huge := machine(t, map[string]string{"sda5:lwc-state": other})
	runsFrom(t, huge, "sda/sda5")
	if err := os.WriteFile(filepath.Join(huge.Sys, "class/block/sda5/size"), []byte("99999999999\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := huge.Erase(t.Context(), StatePartition); !errors.Is(err, ErrPartition) {
		t.Errorf("a whole disk was taken for it: %v", err)
	}
}

// Regression: a box whose firmware still asks for a reset, and whose disk has no state
// partition yet, never made one.
func TestEraseOfADiskThatHasNoState(t *testing.T) {
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	k := machine(t, map[string]string{"sda": "", "sda3:lwc_1.2.3": other, "sdb5:lwc-state": other})
	if err := k.Erase(t.Context(), "lwc-else"); !errors.Is(err, ErrPartition) {
		t.Errorf("of a disk that is not known to be the box's own: %v", err)
	}
	runsFrom(t, k, "sda/sda3")
	if err := k.Erase(t.Context(), StatePartition); !errors.Is(err, ErrNothing) {
		t.Errorf("%v", err)
	}
	if text, err := os.ReadFile(other); err != nil || string(text) != "kept" {
		t.Errorf("%q, %v", text, err)
	}
}
