package netguard

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The test binary plays several parts, told by this variable.
const envRole = "LWC_NETGUARD_TEST_ROLE"

// TestMain runs the tests in namespaces of their own, so that they touch no
// interface of the machine: as root in a new network and mount namespace,
// otherwise in a user namespace too.
func TestMain(m *testing.M) {
	switch role := os.Getenv(envRole); role {
	case "":
		os.Exit(outside(m))
	case "tests":
		if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			fmt.Fprintln(os.Stderr, "making mounts private:", err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	default:
		if err := roles()[role](); err != nil {
			fmt.Fprintln(os.Stderr, role+":", err)
			os.Exit(1)
		}
	}
}

// roles are the parts that a test starts as a child process.
func roles() map[string]func() error {
	return map[string]func() error{
		"guard":  playGuard,
		"drop":   playDrop,
		"userns": playUserns,
	}
}

func outside(m *testing.M) int {
	if strings.Contains(strings.Join(os.Args, " "), "-test.fuzz=") {
		return m.Run() // workers talk through inherited files; newSite refuses here
	}
	if os.Geteuid() != 0 || os.Getenv(envPrepare) != "" {
		inside, code, err := Reexec()
		if errors.Is(err, ErrUnsupported) && os.Getenv("CI") == "" && os.Getenv("LWC_TEST_STRICT") == "" {
			fmt.Println("NOT RUN: tests of the ports need root or user namespaces:", err)
			return m.Run()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		if !inside {
			return code
		}
		os.Setenv(envRole, "tests")
		return m.Run()
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), envRole+"=tests")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// child is a process of the test binary in another role.
type child struct {
	cmd   *exec.Cmd
	lines *bufio.Reader
	in    io.WriteCloser
}

func start(t *testing.T, role string, attr *syscall.SysProcAttr, env ...string) *child {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), envRole+"="+role)
	cmd.Env = append(cmd.Env, env...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = attr
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	c := &child{cmd, bufio.NewReader(out), in}
	stop := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
	t.Cleanup(func() { stop.Stop(); c.kill() })
	return c
}

// expect reads one line of the child and compares it.
func (c *child) expect(t *testing.T, want string) {
	t.Helper()
	line, err := c.lines.ReadString('\n')
	if got := strings.TrimSpace(line); got != want {
		t.Fatalf("child said %q (%v), want %q", got, err, want)
	}
}

func (c *child) kill() {
	_ = c.cmd.Process.Signal(syscall.SIGKILL)
	_ = c.cmd.Wait()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}
