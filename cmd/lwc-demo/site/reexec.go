// Package site builds a whole customer's site on one machine, for the demo and
// for end-to-end tests: simulated devices, a collector with its two ports, and
// a cloud end, each real and in a network namespace of its own.
//
// A program first calls Reexec, and in it Enter, which puts it into fresh user (when it is not
// root), mount and network namespaces, so that nothing of the host's network
// changes and everything goes away with the program. Inside, New lays the
// cables, and the Start methods run the binaries:
//
//	junosim  [ns site]  198.18.0.1 --- lwcint0 [ns lwc-int]  lwcd
//	lwc-cloud [ns cloud] 192.0.2.1 --- lwcext0 [ns lwc-ext]  lwcd
package site

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// inside marks the environment of a re-executed program; its value is the
// program's path, which the kernel can no longer tell inside when the program
// was started in a chroot.
const inside = "LWC_SITE_INSIDE"

// namespaceDir is where named network namespaces live; a tmpfs of our own hides
// the host's.
const namespaceDir = "/run/netns"

// Inside tells whether the program runs in namespaces that Reexec made.
func Inside() bool { return os.Getenv(inside) != "" }

// Executable is the path of the re-executed program.
func Executable() string { return os.Getenv(inside) }

// Reexec runs the program again, with the same arguments and with files as
// descriptors 3 and up, in namespaces of its own, and returns its exit code.
func Reexec(files ...*os.File) (code int, err error) {
	self, err := os.Executable()
	if err != nil {
		return 1, fmt.Errorf("finding the program's own file: %w", err)
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), inside+"="+self)
	cmd.ExtraFiles = files
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS, Pdeathsig: unix.SIGTERM}
	if os.Geteuid() != 0 {
		mapToRoot(cmd.SysProcAttr)
	}
	// The death signal comes when the starting thread ends, not the process
	// (prctl(2), PR_SET_PDEATHSIG).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return 1, explainNamespaces(err)
	}
	stop := forward(cmd.Process)
	defer stop()
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return max(exit.ExitCode(), 1), nil
	}
	if err != nil {
		return 1, fmt.Errorf("running in namespaces: %w", err)
	}
	return 0, nil
}

func mapToRoot(a *syscall.SysProcAttr) {
	a.Cloneflags |= unix.CLONE_NEWUSER
	a.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	a.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
}

// ordinaryUser tells whether the program was started by one: Reexec made a user
// namespace then, in which it is root (user_namespaces(7), uid_map).
func ordinaryUser() bool {
	b, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && strings.Join(strings.Fields(string(b)), " ") != "0 0 4294967295"
}

// forward hands a polite request to stop down to the inner program, which cleans
// up and ends. A terminal interrupts both at once: hearing it twice does no harm.
func forward(p *os.Process) (stop func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, os.Interrupt, syscall.SIGTERM)
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case s := <-c:
			// A process that has ended already needs no signal.
			_ = p.Signal(s)
		case <-done:
		}
	}()
	return func() { signal.Stop(c); close(done); <-ended }
}

func explainNamespaces(err error) error {
	if os.Geteuid() != 0 || Inside() {
		return fmt.Errorf("making user and network namespaces: %w (this kernel may forbid them to users: "+
			"allow it with sysctl kernel.unprivileged_userns_clone=1 or kernel.apparmor_restrict_unprivileged_userns=0, or run as root)", err)
	}
	return fmt.Errorf("making network namespaces: %w", err)
}

// Enter finishes the namespaces from inside; call it once, before New. Mounts
// stay private, and named namespaces go to a tmpfs that ends with us.
func Enter() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return explainNamespaces(fmt.Errorf("making mounts private: %w", err))
	}
	dir := namespaceDir
	if _, err := os.Stat(dir); err != nil {
		dir = filepath.Dir(namespaceDir)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=0755,size=1m"); err != nil {
		return fmt.Errorf("mounting %s: %w", dir, err)
	}
	if err := os.MkdirAll(namespaceDir, 0o755); err != nil {
		return fmt.Errorf("making %s: %w", namespaceDir, err)
	}
	return nil
}
