package netguard

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/rpc"
	"net/rpc/jsonrpc"
	"os"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// RemoteGuard serves a Guard to a half in another process, as JSON.
type RemoteGuard struct{ g *Guard }

// View serves Guard.View.
func (r RemoteGuard) View(serial uint64, v *View) (err error) {
	*v, err = r.g.View(context.Background(), serial)
	return err
}

// Permit serves Guard.Permit; an error is its code and its text.
func (r RemoteGuard) Permit(e Endpoint, addrs *[]netip.AddrPort) (err error) {
	if *addrs, err = r.g.Permit(context.Background(), e); err != nil {
		return errors.New(ErrorCode(err) + "|" + err.Error())
	}
	return nil
}

// remoteUpstream is the other end of RemoteGuard.
type remoteUpstream struct{ c *rpc.Client }

func (u remoteUpstream) View(ctx context.Context, serial uint64) (v View, err error) {
	return v, u.call(ctx, "RemoteGuard.View", serial, &v)
}

func (u remoteUpstream) Permit(ctx context.Context, e Endpoint) (addrs []netip.AddrPort, err error) {
	err = u.call(ctx, "RemoteGuard.Permit", e, &addrs)
	if err == nil {
		return addrs, nil
	}
	code, text, _ := strings.Cut(err.Error(), "|")
	return nil, ErrorFromCode(code, text)
}

func (u remoteUpstream) call(ctx context.Context, method string, args, reply any) error {
	select {
	case c := <-u.c.Go(method, args, reply, make(chan *rpc.Call, 1)).Done:
		return c.Error
	case <-ctx.Done():
		return ctx.Err()
	}
}

// playHalf is a collector half: it joins the ports of the guard at the other end
// of file 3, drops its privileges, and does what it is told line by line.
func playHalf() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	up, err := net.FileConn(os.NewFile(3, "upstream"))
	if err != nil {
		return err
	}
	u := remoteUpstream{jsonrpc.NewClient(up)}
	v, err := u.View(ctx, 0)
	if err != nil {
		return err
	}
	h, err := Join(ctx, v, u)
	if err != nil {
		return err
	}
	user := dropTo()
	if err := errors.Join(h.DropPrivileges(user, user), unprivileged(user)); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	select {
	case <-h.Ready():
	case err := <-ended:
		return err
	}
	fmt.Println("ready")
	return errors.Join(obey(ctx, h, ended), h.Close())
}

func unprivileged(user int) error {
	fields := []string{"CapEff:", "CapPrm:", "CapInh:", "CapAmb:"}
	cgo := errors.Is(allThreads(unix.PR_GET_NO_NEW_PRIVS, 0, 0), syscall.ENOTSUP) // as with the race detector
	if !cgo {
		fields = append(fields, "CapBnd:")
	}
	for _, field := range fields {
		if caps, err := capabilities("/proc/thread-self/status", field); err != nil || caps != 0 {
			return fmt.Errorf("%s is %x (%v)", field, caps, err)
		}
	}
	status, err := os.ReadFile("/proc/thread-self/status")
	if err != nil || !cgo && !strings.Contains(string(status), "NoNewPrivs:\t1") {
		return fmt.Errorf("no_new_privs is not set (%v)", err)
	}
	if os.Geteuid() != user || os.Getegid() != user {
		return fmt.Errorf("is user %d:%d, want %d", os.Geteuid(), os.Getegid(), user)
	}
	return nil
}

func obey(ctx context.Context, h *Half, ended <-chan error) error {
	held := net.Conn(nil)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		word, address, _ := strings.Cut(lines.Text(), " ")
		switch word {
		case "internal", "external":
			dial := h.Internal().DialContext
			if word == "external" {
				dial = h.External().DialContext
			}
			c, err := dial(ctx, "tcp", address)
			if err != nil {
				fmt.Println("refused", ErrorCode(err))
				continue
			}
			fmt.Println("connected")
			held = c
		case "closed": // waits until the connection that was dialled last is
			_, err := held.Read(make([]byte, 1))
			fmt.Println("closed by us:", errors.Is(err, net.ErrClosed))
		case "ended":
			fmt.Println("ended with an error:", <-ended != nil)
		}
	}
	return lines.Err()
}

// startHalf starts a half and serves it g.
func startHalf(t *testing.T, g *Guard) *child {
	t.Helper()
	ours, theirs := socketpair(t)
	server := rpc.NewServer()
	must(t, server.Register(RemoteGuard{g}))
	conn, err := net.FileConn(ours)
	must(t, err)
	must(t, ours.Close())
	go server.ServeCodec(jsonrpc.NewServerCodec(conn))
	t.Cleanup(func() { _ = conn.Close() })
	c := startWith(t, "half", &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}, []*os.File{theirs})
	must(t, theirs.Close())
	c.expect(t, "ready")
	return c
}

func socketpair(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	return os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs")
}

func (c *child) say(t *testing.T, line string) {
	t.Helper()
	_, err := fmt.Fprintln(c.in, line)
	must(t, err)
}

// holdOpen accepts connections to address in n and keeps them open.
func holdOpen(t *testing.T, n *namespace, address string) string {
	t.Helper()
	l := listen(t, n, address)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = c.Close() })
		}
	}()
	return l.Addr().String()
}

// A half without any privilege dials through both ports, what it may and
// nothing else, and ends when its supervisor does.
func TestHalfDialsWithoutPrivileges(t *testing.T) {
	s := newSite(t)
	device, cloud := holdOpen(t, s.device, deviceAddr4+":830"), holdOpen(t, s.cloud, cloudAddr4+":443")
	g, err := Up(within(t, testTimeout), s.config)
	must(t, err)
	defer g.Close()
	c := startHalf(t, g)
	for _, step := range []struct{ say, want string }{
		{"internal " + device, "connected"},
		{"internal " + deviceAddr4 + ":443", "refused not-allowed"},
		{"external " + device, "refused not-allowed"},
		{"external " + cloudAddr4 + ":444", "refused not-allowed"},
		{"external " + cloud, "connected"},
	} {
		c.say(t, step.say)
		c.expect(t, step.want)
	}
	must(t, g.Close())
	c.say(t, "closed")
	c.expect(t, "closed by us: true")
	c.say(t, "ended")
	c.expect(t, "ended with an error: true")
	c.say(t, "external "+cloud)
	c.expect(t, "refused blocked")
}

// playSupervisor holds the ports and tells their view, until it is killed.
func playSupervisor() error {
	g, err := childUp(context.Background())
	if err != nil {
		return err
	}
	defer g.Close()
	v, err := g.View(context.Background(), 0)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(v); err != nil {
		return err
	}
	_, err = bufio.NewReader(os.Stdin).ReadString('\n')
	return err
}

// stalledUpstream is a supervisor that is stopped: nothing new comes from it.
type stalledUpstream struct{}

func (stalledUpstream) View(ctx context.Context, _ uint64) (View, error) {
	<-ctx.Done()
	return View{}, ctx.Err()
}

func (stalledUpstream) Permit(ctx context.Context, _ Endpoint) ([]netip.AddrPort, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// run starts the half of a view in this process.
func (v View) run(t *testing.T, u Upstream) *Half {
	t.Helper()
	h, err := Join(within(t, testTimeout), v, u)
	must(t, err)
	if _, err := h.Internal().DialContext(t.Context(), "tcp", deviceAddr4+":830"); !errors.Is(err, ErrBlocked) {
		t.Errorf("before it has looked itself: %v, want ErrBlocked", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-ended
		must(t, h.Close())
	})
	select {
	case <-h.Ready():
	case <-time.After(testTimeout):
		t.Fatalf("the half is %+v", h.State())
	}
	return h
}

// While its supervisor is stopped a half closes by its own watch, and opens
// again when the violation is gone.
func TestHalfClosesByItself(t *testing.T) {
	s := newSite(t)
	device := holdOpen(t, s.device, deviceAddr4+":830")
	c := start(t, "supervisor", nil, s.env(t, "")...)
	line, err := c.lines.ReadBytes('\n')
	must(t, err)
	var v View
	must(t, json.Unmarshal(line, &v))
	h := v.run(t, stalledUpstream{})
	conn, err := h.Internal().DialContext(within(t, testTimeout), "tcp", device)
	must(t, err)
	must(t, c.cmd.Process.Signal(unix.SIGSTOP))

	ip(t, v.Paths[1], "address", "add", "198.51.100.7/32", "dev", v.Links[1].Name)
	began := time.Now()
	must(t, conn.SetReadDeadline(began.Add(testTimeout)))
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("reading: %v, want net.ErrClosed", err)
	}
	if took := time.Since(began); took > healTime+pollEvery {
		t.Errorf("the connection was closed after %v", took)
	}
	if _, err := h.Internal().DialContext(within(t, testTimeout), "tcp", device); !errors.Is(err, ErrBlocked) {
		t.Errorf("dialing: %v, want ErrBlocked", err)
	}
	if s := h.State(); s.Status != Blocked || !strings.Contains(s.Detail, "198.51.100.7") {
		t.Errorf("the half is %+v", s)
	}
	ip(t, v.Paths[1], "address", "del", "198.51.100.7/32", "dev", v.Links[1].Name)
	waitFor(t, func() bool { return h.State().Status == Open })
}

// What the supervisor heals in time costs no connection.
func TestHalfLeavesTimeToHeal(t *testing.T) {
	s := newSite(t)
	device := holdOpen(t, s.device, deviceAddr4+":830")
	g := s.up(t)
	v, err := g.View(within(t, testTimeout), 0)
	must(t, err)
	h := v.run(t, g)
	conn, err := h.Internal().DialContext(within(t, testTimeout), "tcp", device)
	must(t, err)
	ip(t, v.Paths[0], "route", "add", "198.51.100.0/24", "dev", v.Links[0].Name)
	waitFor(t, func() bool { return g.State().Healed > 0 && h.State().Status == Open })
	must(t, conn.SetReadDeadline(time.Now().Add(healTime+100*time.Millisecond)))
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection: %v, want it open", err)
	}
}

// A half joins the namespaces of its view and no others.
func TestJoinWrongNamespace(t *testing.T) {
	s := newSite(t)
	g := s.up(t)
	v, err := g.View(within(t, testTimeout), 0)
	must(t, err)
	v.Cookies[1]++
	if _, err := Join(within(t, testTimeout), v, g); !errors.Is(err, ErrWrongNamespace) {
		t.Errorf("error is %v, want ErrWrongNamespace", err)
	}
}

func TestViewWaitsForChange(t *testing.T) {
	s := newSite(t)
	g := s.up(t)
	v, err := g.View(within(t, testTimeout), 0)
	must(t, err)
	got := make(chan uint64, 1)
	go func() {
		next, _ := g.View(context.Background(), v.Serial)
		got <- next.Serial
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := g.View(ctx, v.Serial); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without a change: %v", err)
	}
	g.changed()
	if serial := <-got; serial == v.Serial {
		t.Error("the change has the serial of before")
	}
}

func TestViewIsJSON(t *testing.T) {
	c := good()
	c.DevicePorts = []PortRange{{22, 22}, {2200, 2299}}
	v := View{Serial: 7, Config: c, Cookies: [2]uint64{1 << 63, 2}, State: State{Status: Open, Degraded: []string{"x"}}}
	b, err := json.Marshal(v)
	must(t, err)
	var again View
	must(t, json.Unmarshal(b, &again))
	v.Config.Mode, v.State.Mode = Enforce, Enforce // as the empty mode is read
	if !reflect.DeepEqual(again, v) {
		t.Errorf("%+v\ncomes back as\n%+v", v, again)
	}
}

func TestErrorCodes(t *testing.T) {
	for _, is := range []error{ErrBlocked, ErrClosed, ErrNotAllowed, ErrNoDNS, ErrUnprotected} {
		err := fmt.Errorf("permitting: %w: because", is)
		if again := ErrorFromCode(ErrorCode(err), err.Error()); !errors.Is(again, is) || again.Error() != err.Error() {
			t.Errorf("%v comes back as %v", err, again)
		}
	}
	if err := ErrorFromCode(ErrorCode(io.EOF), "EOF"); err.Error() != "EOF" || errors.Is(err, ErrBlocked) {
		t.Errorf("another error comes back as %v", err)
	}
}
