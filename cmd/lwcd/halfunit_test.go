package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lwc/cmd/lwcd/halves"
	"lwc/netguard"
)

const (
	// envHidden makes a half begin without seeing the names of the namespaces.
	envHidden = "LWCD_TEST_HIDDEN"
	// nobody is the user of the tests' configuration.
	nobody = 65534
)

// hideNames is what the unit's own mount namespace does.
func hideNames() error {
	if os.Getenv(envHidden) == "" {
		return nil
	}
	return errors.Join(unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		unix.Mount("tmpfs", netguard.DefaultNamespaceDir, "tmpfs", 0, "mode=755,size=1m"))
}

// halfUnit does what systemd does for lwc-half.socket and lwc-half@.service.
type halfUnit struct {
	t        *testing.T
	path     string
	uid      uint32
	watchdog time.Duration
	log      *safeBuffer
	l        *net.UnixListener
	serving  sync.WaitGroup

	mu   sync.Mutex // guards what follows
	runs []*os.Process
}

func playHalfUnit(t *testing.T, dir string, uid uint32, watchdog time.Duration) *halfUnit {
	t.Helper()
	u := &halfUnit{t: t, path: filepath.Join(dir, "half.sock"), uid: uid, watchdog: watchdog, log: &safeBuffer{}}
	u.l = must[*net.UnixListener](t)(net.ListenUnix("unix", &net.UnixAddr{Name: u.path, Net: "unix"}))
	u.serving.Go(func() {
		for {
			conn, err := u.l.AcceptUnix()
			if err != nil {
				return
			}
			if err := u.start(conn); err != nil {
				t.Errorf("starting the unit: %v", err)
			}
		}
	})
	t.Cleanup(func() {
		u.l.Close()
		u.bound()
		u.serving.Wait()
		if t.Failed() {
			t.Logf("the log of the half:\n%s", u.log)
		}
	})
	return u
}

// start is Accept=yes, StandardInput=socket, User=, AmbientCapabilities=, PrivateNetwork=.
func (u *halfUnit) start(conn *net.UnixConn) error {
	defer conn.Close()
	in, err := conn.File()
	if err != nil {
		return err
	}
	defer in.Close()
	path := fmt.Sprintf("%s.%d", u.path, len(u.runs))
	notified, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return err
	}
	cmd := exec.Command(os.Args[0], halfCommand)
	cmd.Stdin, cmd.Stderr = in, u.log
	cmd.Env = append(os.Environ(), envMain+"=1", envHidden+"=1", "GODEBUG="+overwriteFreed, "NOTIFY_SOCKET="+path,
		fmt.Sprintf("WATCHDOG_USEC=%d", u.watchdog.Microseconds()))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: u.uid, Gid: u.uid},
		AmbientCaps: []uintptr{unix.CAP_SYS_ADMIN}, Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
	if err := errors.Join(os.Chmod(path, 0o666), cmd.Start()); err != nil {
		return errors.Join(err, notified.Close())
	}
	u.mu.Lock()
	u.runs = append(u.runs, cmd.Process)
	u.mu.Unlock()
	u.serving.Go(func() { u.watch(notified, cmd.Process) })
	u.serving.Go(func() { cmd.Wait(); notified.Close() }) //nolint:errcheck // how it ended is the supervisor's to say
	return nil
}

// watch is WatchdogSec=, WatchdogSignal=SIGKILL.
func (u *halfUnit) watch(notified *net.UnixConn, p *os.Process) {
	limit := 20 * time.Second // until READY
	last := time.Now()
	for b := make([]byte, 8<<10); ; {
		if err := notified.SetReadDeadline(last.Add(limit)); err != nil {
			return
		}
		n, err := notified.Read(b)
		switch text := string(b[:n]); {
		case errors.Is(err, os.ErrDeadlineExceeded):
			p.Kill() //nolint:errcheck // it may have ended
			return
		case err != nil:
			return
		case strings.Contains(text, "READY=1"), strings.Contains(text, "WATCHDOG=1"):
			limit, last = u.watchdog, time.Now()
		}
	}
}

// bound is StopPropagatedFrom=lwcd.service: what happens when that has ended.
func (u *halfUnit) bound() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, p := range u.runs {
		p.Kill() //nolint:errcheck // it may have ended
	}
}

// half returns the n-th half that was started.
func (u *halfUnit) half(n int) int {
	u.t.Helper()
	pid := 0
	until(u.t, fmt.Sprintf("half %d of the unit", n), 20*time.Second, func() bool {
		u.mu.Lock()
		defer u.mu.Unlock()
		if len(u.runs) < n {
			return false
		}
		pid = u.runs[n-1].Pid
		return true
	})
	return pid
}

// withUnit has the configuration name a unit for the half.
func (e *enforced) withUnit(uid uint32, watchdog time.Duration) *halfUnit {
	e.t.Helper()
	u := playHalfUnit(e.t, e.dir, uid, watchdog)
	e.configure(func(text string) string { return fmt.Sprintf("half_socket = %q\n", u.path) + text })
	return u
}

// A half that its unit starts as another user than it must be says so, and lwcd tells.
func TestHalfOfAWrongUnit(t *testing.T) {
	needUnit(t)
	e := newEnforced(t)
	e.withUnit(nobody-1, time.Minute)
	e.start()
	e.sd.await("it was started as user 65533, group 65533, other groups [], and must be user 65534, group 65534 (guard.user)")
	if code := e.stop(syscall.SIGTERM); code != exitStopped {
		t.Errorf("exit code %d", code)
	}
}

// The supervisor is killed: the half ends with its connection, before anybody else has
// ended it, and the next lwcd takes the ports.
func TestHalfOfAUnitEndsWithTheSupervisor(t *testing.T) {
	needUnit(t)
	e := newEnforced(t)
	u := e.withUnit(nobody, time.Minute)
	e.start()
	e.sd.await("READY=1", "waiting for an enrolment token")
	first := u.half(1)
	e.stop(syscall.SIGKILL)
	until(t, "the half to end", 5*time.Second, func() bool { return gone(first) })
	e.start()
	e.sd.await("READY=1", "waiting for an enrolment token")
	if second := u.half(2); second == first {
		t.Error("it is the same one")
	}
	if code := e.stop(syscall.SIGTERM); code != exitStopped {
		t.Errorf("exit code %d", code)
	}
}

// What does not begin with the two namespaces is no connection of the supervisor's.
func TestHandOver(t *testing.T) {
	null := must[*os.File](t)(os.Open("/dev/null"))
	defer null.Close()
	for name, c := range map[string]struct {
		send func(*net.UnixConn) error
		want string
	}{
		"two":   {func(c *net.UnixConn) error { return handOver(c, []*os.File{null, null}) }, ""},
		"one":   {func(c *net.UnixConn) error { return handOver(c, []*os.File{null}) }, "1 bytes and 1 descriptors came"},
		"three": {func(c *net.UnixConn) error { return handOver(c, []*os.File{null, null, null}) }, "descriptors came"},
		"none":  {func(c *net.UnixConn) error { _, err := c.Write([]byte{handoverMark}); return err }, "1 bytes and 0 descriptors came"},
		"lines": {func(c *net.UnixConn) error { _, err := c.Write([]byte("{}\n")); return err }, "0 descriptors came"},
		"end":   {func(c *net.UnixConn) error { return c.Close() }, "were not handed over"},
	} {
		near, far := unixPair(t)
		if err := c.send(near); err != nil {
			t.Fatal(err)
		}
		files, err := takeOver(far)
		switch {
		case c.want == "" && (err != nil || len(files) != 2):
			t.Errorf("%s: %v, %v", name, files, err)
		case c.want != "" && (!errors.Is(err, errHandover) || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v", name, err)
		}
		closeFiles(files)
	}
}

// One that is there although its connection has ended is told, and not waited for
// without end; one that goes is waited for.
func TestOutlast(t *testing.T) {
	near, far := unixPair(t)
	l := &lingering{UnixConn: near}
	if err := l.outlast(50 * time.Millisecond); !errors.Is(err, errLingers) {
		t.Errorf("one that stays: %v", err)
	}
	if n, err := far.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("the other end was not told: %d, %v", n, err)
	}
	far.Close()
	if err := l.outlast(10 * time.Second); err != nil {
		t.Errorf("one that goes: %v", err)
	}
}

// aHalf is a half as the supervisor sees it, and its end of the connection.
func aHalf(t *testing.T) (*child, *net.UnixConn) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "half.sock")
	l := must[*net.UnixListener](t)(net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"}))
	defer l.Close()
	null := must[*os.File](t)(os.Open("/dev/null"))
	defer null.Close()
	c := must[*child](t)(startUnit(path, []*os.File{null, null}, halves.Offer{}))
	far := must[*net.UnixConn](t)(l.AcceptUnix())
	t.Cleanup(func() { far.Close() })
	closeFiles(must[[]*os.File](t)(takeOver(far)))
	return c, far
}

// A half that neither answers nor ends holds up no supervisor that ends: the unit of
// the supervisor takes the half along.
func TestLeavingAHalfThatHangs(t *testing.T) {
	c, _ := aHalf(t)
	leaving := make(chan struct{})
	close(leaving)
	began := time.Now()
	err := c.stop(100*time.Millisecond, leaving)
	if took := time.Since(began); err == nil || took > leaveLimit+5*time.Second {
		t.Errorf("%v after %v", err, took)
	}
	if !errors.Is(c.err, errForced) {
		t.Errorf("it ended so: %v", c.err)
	}
}

// A half that was ended by force has ended only when its process has: two must not use
// one identity.
func TestAHalfThatIsEndedIsWaitedFor(t *testing.T) {
	c, far := aHalf(t)
	c.kill()
	if n, err := far.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("it was not told: %d, %v", n, err)
	}
	select {
	case <-c.ended:
		t.Fatal("it was taken for gone")
	case <-time.After(200 * time.Millisecond):
	}
	far.Close()
	select {
	case <-c.ended:
	case <-time.After(10 * time.Second):
		t.Fatal("it was not seen to go")
	}
	if !errors.Is(c.err, errForced) || errors.Is(c.err, errLingers) {
		t.Errorf("it ended so: %v", c.err)
	}
}

// A half that hangs in the join has a capability: it asks for no more time than its unit
// gives a start.
func TestAHalfThatHangsInTheJoinAsksForNoTime(t *testing.T) {
	s := listenAsSystemd(t, "")
	memory := debug.SetMemoryLimit(-1) // the half sets its own
	t.Cleanup(func() { debug.SetMemoryLimit(memory) })
	near, far := net.Pipe()
	h, joining := newHalf(io.Discard), make(chan struct{})
	h.join = func(ctx context.Context, _ *halves.Supervisor, _ netguard.View, _ halves.Setup) (*netguard.Half, error) {
		close(joining)
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	text := "state_dir = \"/state\"\nenrolment_token_file = \"/token\"\n[guard]\nmode = \"unprotected\"\n"
	desk := desk{&site{setup: halves.Setup{Text: text}}, newNotices()}
	up := halves.Serve(near, halves.Offer{Ports: stillPorts{}, Desk: desk})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = up.Run(ctx) })
	running.Go(func() { _ = h.watched(ctx, far) })
	defer running.Wait()
	defer cancel()
	select {
	case <-joining:
	case <-time.After(10 * time.Second):
		t.Fatal("it does not join")
	}
	s.none("EXTEND_TIMEOUT_USEC", 3*statusEvery)
}

// stillPorts are two ports that do not change.
type stillPorts struct{}

func (stillPorts) View(context.Context, uint64) (netguard.View, error) { return netguard.View{}, nil }
func (stillPorts) Permit(context.Context, netguard.Endpoint) ([]netip.AddrPort, error) {
	return nil, netguard.ErrNotAllowed
}

func unixPair(t *testing.T) (near, far *net.UnixConn) {
	t.Helper()
	a, file, err := connected()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	b := must[net.Conn](t)(net.FileConn(file))
	t.Cleanup(func() { a.Close(); b.Close() })
	return a.(*net.UnixConn), b.(*net.UnixConn)
}
