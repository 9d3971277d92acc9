package netguard

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	osignal "os/signal"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// The variables that Reexec hands to the inner process: the folder for the
// namespaces' names, inherited by what that starts, and that the folder has to
// be prepared still.
const (
	envDir     = "LWC_NETGUARD_DIR"
	envPrepare = "LWC_NETGUARD_PREPARE"
)

// Reexec puts the program into a user namespace of its own, for mode userns.
// Call it first thing in main, before any goroutine or file matters:
//
//	inside, code, err := netguard.Reexec()
//	if err != nil { … }
//	if !inside { os.Exit(code) }
//
// Outside it runs the same program with the same arguments again, as root of a
// new user, mount and network namespace, passes signals on, waits for it and
// returns its exit code. Inside it returns inside = true. A process that
// is root of a user namespace already, like one started by the inner process,
// is inside. The new network namespace is empty: who wants ports there makes
// them there, for example as veth pairs towards simulated hosts.
func Reexec() (inside bool, code int, err error) {
	if os.Getenv(envPrepare) != "" {
		return true, 0, prepare()
	}
	if insideUserns() {
		return true, 0, nil
	}
	dir, err := os.MkdirTemp("", "lwc-netns-")
	if err != nil {
		return false, 1, fmt.Errorf("making folder for namespaces: %w", err)
	}
	defer os.Remove(dir)
	code, err = runInside(dir)
	return false, code, err
}

// insideUserns reports whether the process has all it needs, in a user namespace
// that is not the machine's own.
func insideUserns() bool {
	caps, err := effective()
	if err != nil || caps&needed != needed {
		return false
	}
	m, err := os.ReadFile("/proc/self/uid_map")
	// The first user namespace maps all 2^32-1 users to themselves.
	return err == nil && strings.Join(strings.Fields(string(m)), " ") != "0 0 4294967295"
}

// prepare gives the inner process a private folder for the namespaces' names.
func prepare() error {
	if err := os.Unsetenv(envPrepare); err != nil {
		return err
	}
	if caps, err := effective(); err != nil || caps&needed != needed {
		return errors.Join(err, fmt.Errorf("%w: the user namespace gives no capabilities: see kernel.apparmor_restrict_unprivileged_userns, or run as root", ErrUnsupported))
	}
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	dir := os.Getenv(envDir)
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=755,size=1m"); err != nil {
		return fmt.Errorf("mounting tmpfs on %s: %w", dir, err)
	}
	return nil
}

func runInside(dir string) (int, error) {
	// The parent-death signal follows the thread that starts the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), envDir+"="+dir, envPrepare+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Setpgid:     true, // one Ctrl-C reaches it once, through us
		Pdeathsig:   syscall.SIGKILL,
	}
	if err := cmd.Start(); err != nil {
		return 1, usernsError(err)
	}
	defer forwardSignals(cmd.Process)()
	err := cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exitCode(exit.ProcessState), nil
	}
	return 0, err
}

// exitCode is what a shell would say: the code, or 128 and the signal.
func exitCode(s *os.ProcessState) int {
	if ws, ok := s.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return s.ExitCode()
}

// forwardSignals passes what a user or systemd sends on to p until stopped.
func forwardSignals(p *os.Process) (stop func()) {
	signals := make(chan os.Signal, 8)
	osignal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for s := range signals {
			_ = p.Signal(s) // it may have ended just now
		}
	}()
	return func() {
		osignal.Stop(signals)
		close(signals)
		<-done
	}
}

func usernsError(err error) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EINVAL), errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w: user namespaces for ordinary users are off (CONFIG_USER_NS, user.max_user_namespaces, kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns): switch them on or run as root: %w", ErrUnsupported, err)
	}
	return fmt.Errorf("starting inside a user namespace: %w", err)
}
