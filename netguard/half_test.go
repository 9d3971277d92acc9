package netguard

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/rpc"
	"net/rpc/jsonrpc"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
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
	for _, field := range []string{"CapEff:", "CapPrm:", "CapInh:", "CapBnd:", "CapAmb:"} {
		if caps, err := capabilities("/proc/thread-self/status", field); err != nil || caps != 0 {
			return fmt.Errorf("%s is %x (%v)", field, caps, err)
		}
	}
	status, err := os.ReadFile("/proc/thread-self/status")
	if err != nil || !strings.Contains(string(status), "NoNewPrivs:\t1") {
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

// stalledUpstream is a supervisor that is stopped: what it is asked it answers
// from before, and nothing new comes.
type stalledUpstream struct{ *Guard }

func (u stalledUpstream) View(ctx context.Context, serial uint64) (View, error) {
	if serial != 0 {
		<-ctx.Done()
		return View{}, ctx.Err()
	}
	return u.Guard.View(ctx, serial)
}

// joined is a half of g in this process, running.
func joined(t *testing.T, g *Guard, u Upstream) *Half {
	t.Helper()
	v, err := g.View(within(t, testTimeout), 0)
	must(t, err)
	b, err := json.Marshal(v)
	must(t, err)
	var again View
	must(t, json.Unmarshal(b, &again))
	h, err := Join(within(t, testTimeout), again, u)
	must(t, err)
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

// bareGuard is a guard that neither watches nor heals: a supervisor that is
// stopped.
func bareGuard(t *testing.T, s *site) *Guard {
	t.Helper()
	g := s.up(t)
	return g
}

// Without help of its supervisor a half closes by its own watch.
func TestHalfClosesByItself(t *testing.T) {
	s := newSite(t)
	device := holdOpen(t, s.device, deviceAddr4+":830")
	g := bareGuard(t, s)
	h := joined(t, g, stalledUpstream{g})
	c, err := h.Internal().DialContext(within(t, testTimeout), "tcp", device)
	must(t, err)
	l, err := g.sides[1].ns.nl.LinkByIndex(g.sides[1].link.index)
	must(t, err)
	must(t, g.sides[1].ns.nl.AddrAdd(l, &netlink.Addr{IPNet: ipNet(netip.MustParsePrefix("198.51.100.7/32"))}))
	began := time.Now()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("reading: %v, want net.ErrClosed", err)
	}
	if took := time.Since(began); took > healTime+halfEvery {
		t.Errorf("the connection was closed after %v", took)
	}
	if _, err := h.Internal().DialContext(within(t, testTimeout), "tcp", device); !errors.Is(err, ErrBlocked) {
		t.Errorf("dialing: %v, want ErrBlocked", err)
	}
	if s := h.State(); s.Status != Blocked || !strings.Contains(s.Detail, "198.51.100.7") {
		t.Errorf("the half is %+v", s)
	}
}
