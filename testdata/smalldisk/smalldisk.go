// Package smalldisk gives a test a disk that it can fill: a tmpfs in a mount
// namespace of its own, so that nothing of the machine changes and nothing is left
// behind, however the test ends.
package smalldisk

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"lwc/testdata/need"
)

// envDir tells the child where its disk is to be.
const envDir = "LWC_TEST_SMALL_DISK"

// Dir runs the calling test a second time in a child process, and returns there a
// folder that holds size bytes, and true. In the parent it returns false when the
// child has passed; the caller then returns.
func Dir(t *testing.T, size int) (dir string, inside bool) {
	t.Helper()
	if dir := os.Getenv(envDir); dir != "" {
		if err := mount(dir, size); err != nil {
			t.Fatal(err)
		}
		return dir, true
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=2m")
	cmd.Env = append(os.Environ(), envDir+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		need.Missing(t, "root or user namespaces, for a disk to fill: "+err.Error())
	}
	if err != nil {
		t.Fatalf("in a mount namespace: %v\n%s", err, out)
	}
	return "", false
}

func mount(dir string, size int) error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keeping the mounts private: %w", err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		return fmt.Errorf("mounting a small disk: %w", err)
	}
	return nil
}

// Fill takes all that is free in dir, and returns what gives it back.
func Fill(t testing.TB, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 4<<10)
	for err == nil {
		_, err = f.Write(block)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}
