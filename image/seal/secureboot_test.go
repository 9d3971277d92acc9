package seal

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"lwc/image/boottest"
	"lwc/image/gpt"
)

// These boot a real image in a machine: make image-test-secureboot. Each machine that
// gets as far as the kernel takes half a minute on a quiet computer.
const (
	bootTime = 10 * time.Minute
	// refusalTime is for machines that the firmware lets start nothing.
	refusalTime = 4 * time.Minute
)

var (
	// A kernel's first words, and the box's: whatever of these comes, it was started.
	running  = regexp.MustCompile(`(?m)^State +(READY|WAITING)`)
	started  = regexp.MustCompile(`Linux version|systemd\[1\]|(?m)^State +|Starting of`)
	enrolled = regexp.MustCompile(`Custom Secure Boot keys successfully enrolled`)
	refused  = regexp.MustCompile(`Access [Dd]enied|Security [Vv]iolation|Security Policy Violation`)
)

// TestImageSecureBoot signs the image, lets an empty firmware enrol its keys, and sees it
// boot. Then the same firmware gets programs that were not signed, or were changed
// after it.
func TestImageSecureBoot(t *testing.T) {
	image, dir := boottest.Image(t), keys(t)
	vars := filepath.Join(t.TempDir(), "vars.fd")
	copyFile(t, vars, boottest.EmptyVars)
	good := boottest.NewDisk(t, image)
	signed, err := Image(t.Context(), good, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("signed %q", signed)
	fresh := filepath.Join(t.TempDir(), "signed.raw")
	copyFile(t, fresh, good)
	if !t.Run("enrols its keys and boots", func(t *testing.T) { bootsEnrolling(t, good, vars) }) {
		return
	}
	for name, spoil := range refusals(t, image, dir) {
		t.Run(name, func(t *testing.T) {
			disk := filepath.Join(t.TempDir(), "disk.raw")
			copyFile(t, disk, fresh)
			spoil(t, disk)
			isRefused(t, disk, vars)
		})
	}
}

func bootsEnrolling(t *testing.T, disk, vars string) {
	ctx, cancel := context.WithTimeout(t.Context(), bootTime)
	defer cancel()
	vm := boottest.Start(t, boottest.Machine{Disk: disk, Vars: vars})
	vm.WaitFor(ctx, enrolled)
	vm.WaitFor(ctx, running)
	vm.Kill()
}

// refusals are the ways in which somebody might have the box start something else.
func refusals(t *testing.T, image, dir string) map[string]func(*testing.T, string) {
	t.Helper()
	stranger := keys(t)
	unsigned := func(of func(string) bool) func(*testing.T, string) {
		return func(t *testing.T, disk string) {
			change(t, disk, of, func(_ string, system esp, path, to string) error {
				return unsignedProgram(t, image, path, to)
			})
		}
	}
	return map[string]func(*testing.T, string){
		"unsigned kernel":      unsigned(isKernel),
		"unsigned boot loader": unsigned(func(p string) bool { return !isKernel(p) }),
		"kernel signed by a stranger": func(t *testing.T, disk string) {
			change(t, disk, isKernel, func(_ string, _ esp, path, to string) error {
				if err := unsignedProgram(t, image, path, to+".plain"); err != nil {
					return err
				}
				return Program(t.Context(), to+".plain", to, stranger)
			})
		},
		"changed command line": func(t *testing.T, disk string) {
			change(t, disk, isKernel, func(_ string, system esp, path, to string) error {
				if err := system.take(t.Context(), path, to); err != nil {
					return err
				}
				return replaceBytes(to, "panic=10", "panic=11")
			})
		},
	}
}

func isKernel(path string) bool { return strings.HasPrefix(path, "/EFI/Linux/") }

// change replaces programs of a disk's ESP by what with makes.
func change(t *testing.T, disk string, which func(string) bool, with func(disk string, system esp, path, to string) error) {
	t.Helper()
	d, err := openDisk(disk)
	if err != nil {
		t.Fatal(err)
	}
	system := d.system()
	all, err := system.programs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, p := range all {
		if !which(p) {
			continue
		}
		to := filepath.Join(t.TempDir(), "program")
		if err := with(disk, system, p, to); err != nil {
			t.Fatal(err)
		}
		if err := system.put(t.Context(), to, p); err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n == 0 {
		t.Fatal("there was nothing to change")
	}
}

// unsignedProgram takes a program out of the image as it was built.
func unsignedProgram(t *testing.T, image, path, to string) error {
	t.Helper()
	d, err := openDisk(boottest.NewDisk(t, image))
	if err != nil {
		return err
	}
	return d.system().take(t.Context(), path, to)
}

// replaceBytes changes a program and leaves its signature as it is.
func replaceBytes(file, old, next string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return os.WriteFile(file, []byte(strings.ReplaceAll(string(b), old, next)), 0o600)
}

func isRefused(t *testing.T, disk, vars string) {
	own := filepath.Join(t.TempDir(), "vars.fd")
	copyFile(t, own, vars)
	ctx, cancel := context.WithTimeout(t.Context(), refusalTime)
	defer cancel()
	vm := boottest.Start(t, boottest.Machine{Disk: disk, Vars: own, NoReboot: true})
	t.Log(vm.WaitFor(ctx, refused)[0])
	vm.Kill()
	if found := started.FindString(vm.Console()); found != "" {
		t.Errorf("something was started all the same: %q\n%s", found, vm.Tail())
	}
}

// TestImageTamperedRoot changes one bit in each MiB of the root. The kernel has to die
// of it, since going on would mean to run what nobody signed.
func TestImageTamperedRoot(t *testing.T) {
	disk := boottest.NewDisk(t, boottest.Image(t))
	d, err := openDisk(disk)
	if err != nil {
		t.Fatal(err)
	}
	flipBits(t, disk, d.root)
	ctx, cancel := context.WithTimeout(t.Context(), bootTime)
	defer cancel()
	vm := boottest.Start(t, boottest.Machine{Disk: disk, NoReboot: true})
	vm.WaitFor(ctx, regexp.MustCompile(`Kernel panic - not syncing: dm-verity device corrupted`))
	select {
	case <-vm.Done(): // by panic=10 it starts again, which ends this machine
	case <-ctx.Done():
		t.Fatal("the box does not start again after the panic")
	}
	if running.MatchString(vm.Console()) {
		t.Errorf("the box worked with a root that was tampered with\n%s", vm.Tail())
	}
}

// flipBits changes a bit of each MiB, the first ones too: a superblock that is not
// good is no less tampered with.
func flipBits(t *testing.T, disk string, p gpt.Partition) {
	t.Helper()
	f, err := os.OpenFile(disk, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	for at := p.Start + 4096; at < p.Start+p.Size; at += 1 << 20 {
		if _, err := f.ReadAt(b, at); err != nil {
			t.Fatal(err)
		}
		b[0] ^= 1
		if _, err := f.WriteAt(b, at); err != nil {
			t.Fatal(err)
		}
	}
}

// copyFile copies a disk, of which most is holes.
func copyFile(t *testing.T, to, from string) {
	t.Helper()
	if out, err := exec.Command("cp", "--sparse=always", from, to).CombinedOutput(); err != nil {
		t.Fatalf("copying %s: %v: %s", from, err, out)
	}
}
