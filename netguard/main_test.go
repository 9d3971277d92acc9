package netguard

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lwc/netguard/netguardtest"
	"lwc/testdata/need"
)

const (
	// The test binary plays several parts, told by this variable.
	envRole = "LWC_NETGUARD_TEST_ROLE"
	// Any value runs all tests as an ordinary user too, as LWC_TEST_STRICT does;
	// "only" does not run them as root.
	envUserToo = "LWC_NETGUARD_TEST_USER"
	// A child that a broken test leaves behind ends by itself.
	childTimeout = time.Minute
)

// TestMain runs the tests in namespaces of their own, so that they touch no
// interface of the machine: as root in a new network and mount namespace,
// otherwise in a user namespace too. Where nothing may be skipped, root runs
// them all a second time as an ordinary user.
func TestMain(m *testing.M) {
	switch role := os.Getenv(envRole); role {
	case "":
		os.Exit(outside(m))
	case "tests":
		if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			fmt.Fprintln(os.Stderr, "making mounts private:", err)
			os.Exit(1)
		}
		os.Exit(runTests(m))
	default:
		play, known := roles()[role]
		if !known {
			fmt.Fprintf(os.Stderr, "no role %q\n", role)
			os.Exit(1)
		}
		if err := play(); err != nil {
			fmt.Fprintln(os.Stderr, role+":", err)
			os.Exit(1)
		}
	}
}

// roles are the parts that a test starts as a child process.
func roles() map[string]func() error {
	return map[string]func() error{
		"guard":      playGuard,
		"userns":     playUserns,
		"box":        playBox,
		"plain":      playPlain,
		"half":       playHalf,
		"supervisor": playSupervisor,
		"serving":    playServing,
		"proxied":    playProxied,
	}
}

func outside(m *testing.M) int {
	if strings.Contains(strings.Join(os.Args, " "), "-test.fuzz=") {
		return m.Run() // workers talk through inherited files; newSite refuses here
	}
	if os.Getenv(envResults) == "" && os.Getenv(envPrepare) == "" {
		defer showResults()()
	}
	os.Args = besideEachOther(os.Args)
	if os.Geteuid() != 0 || os.Getenv(envPrepare) != "" {
		return inUserNamespace(m)
	}
	if os.Getenv(envUserToo) == "only" {
		return again(ordinaryArgs(), ordinaryUser())
	}
	code := again(os.Args[1:], &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}, envRole+"=tests")
	if code != 0 || !(need.Strict() || os.Getenv(envUserToo) != "") {
		return code
	}
	fmt.Println("once more as an ordinary user, in a user namespace:")
	return again(ordinaryArgs(), ordinaryUser())
}

func ordinaryUser() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}, Pdeathsig: syscall.SIGKILL}
}

// besideEachOther lets more tests run at once than there are processors: those
// that measure times do not run in parallel, the others mostly wait.
func besideEachOther(args []string) []string {
	if slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "-test.parallel=") }) {
		return args
	}
	return slices.Insert(slices.Clone(args), 1, "-test.parallel=6")
}

// inUserNamespace runs the tests as root of a user namespace.
func inUserNamespace(m *testing.M) int {
	inside, code, err := Reexec()
	if errors.Is(err, ErrUnsupported) && !need.Strict() {
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
	return runTests(m)
}

// runTests runs them where the system's resolver asks the simulated cloud: a
// question that leaves shows there.
func runTests(m *testing.M) int {
	if err := askCloud(); err != nil {
		fmt.Fprintln(os.Stderr, "leading the system's resolver to the cloud:", err)
		return 1
	}
	return m.Run()
}

// askCloud puts a file of our own over the system's, in our mount namespace.
func askCloud() error {
	const system = "/etc/resolv.conf"
	if _, err := os.Stat(system); errors.Is(err, os.ErrNotExist) { // a bare system
		if err := unix.Mount("tmpfs", filepath.Dir(system), "tmpfs", 0, ""); err != nil {
			return err
		}
		if err := os.WriteFile(system, nil, 0o644); err != nil {
			return err
		}
	}
	f, err := os.CreateTemp("", "resolv-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = fmt.Fprintf(f, "nameserver %s\n", cloudAddr4)
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.NewSyscallError("mount", unix.Mount(f.Name(), system, "", unix.MS_BIND, ""))
}

// again runs the test binary and returns its exit code.
func again(args []string, attr *syscall.SysProcAttr, env ...string) int {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = attr
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// ordinaryArgs are the arguments without the files in root's folders, which the
// first run has written already, and without the benchmarks. Unless tests are
// chosen it is the cases and what is different for an ordinary user, for time's
// sake: who starts the tests as one has them all.
func ordinaryArgs() []string {
	args := slices.DeleteFunc(slices.Clone(os.Args[1:]), func(arg string) bool {
		for _, name := range []string{"testlogfile", "coverprofile", "gocoverdir", "outputdir", "bench", "cpuprofile", "memprofile"} {
			if strings.HasPrefix(arg, "-test."+name+"=") {
				return true
			}
		}
		return false
	})
	if slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "-test.run=") }) {
		return args
	}
	return append(args, "-test.run=^Test(Case|Half|Reexec)")
}

// child is a process of the test binary in another role.
type child struct {
	cmd   *exec.Cmd
	lines *bufio.Reader
	in    io.WriteCloser
}

func start(t *testing.T, role string, attr *syscall.SysProcAttr, env ...string) *child {
	t.Helper()
	return startWith(t, role, attr, nil, env...)
}

// startWith hands the child files too, from descriptor 3 on.
func startWith(t *testing.T, role string, attr *syscall.SysProcAttr, files []*os.File, env ...string) *child {
	t.Helper()
	prepare := func(cmd *exec.Cmd) error {
		cmd.ExtraFiles, cmd.SysProcAttr = files, attr
		return cmd.Start()
	}
	return launch(t, prepare, role, env...)
}

// startIn starts the child in the network namespace of a host.
func startIn(t *testing.T, h *netguardtest.Host, role string, env ...string) *child {
	t.Helper()
	return launch(t, func(cmd *exec.Cmd) error { return h.Do(cmd.Start) }, role, env...)
}

func launch(t *testing.T, begin func(*exec.Cmd) error, role string, env ...string) *child {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), envRole+"="+role)
	cmd.Env = append(cmd.Env, env...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, begin(cmd))
	c := &child{cmd, bufio.NewReader(out), in}
	stop := time.AfterFunc(childTimeout, func() { _ = cmd.Process.Kill() })
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
