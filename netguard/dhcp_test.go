package netguard

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"

	"lwc/testdata/need"
)

// dhcpServer is a real dnsmasq on eth0 of a simulated host.
type dhcpServer struct {
	cmd  *exec.Cmd
	mu   sync.Mutex // guards what follows
	log  []string
	seen chan struct{} // closed with the next line of the log
}

// serveLeases starts dnsmasq in n and waits until it listens.
func serveLeases(t *testing.T, n *namespace, lent string, options ...string) *dhcpServer {
	t.Helper()
	args := append([]string{"--keep-in-foreground", "--conf-file=/dev/null", "--interface=eth0", "--bind-interfaces", "--port=0",
		"--user=", "--group=", "--no-ping", "--dhcp-authoritative", "--log-dhcp", "--log-facility=-", "--pid-file=",
		"--dhcp-leasefile=" + filepath.Join(t.TempDir(), "leases"), "--dhcp-range=" + lent}, options...)
	s := &dhcpServer{seen: make(chan struct{})}
	s.cmd = exec.Command(need.Program(t, "dnsmasq"), args...)
	s.cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	out, err := s.cmd.StderrPipe()
	must(t, err)
	must(t, n.do(t.Context(), s.cmd.Start))
	read := make(chan struct{})
	go func() { defer close(read); s.follow(out) }()
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		<-read
		_ = s.cmd.Wait()
		if t.Failed() {
			t.Log(strings.Join(s.lines(), "\n"))
		}
	})
	s.expect(t, 0, "DHCP, IP range")
	return s
}

func (s *dhcpServer) follow(out io.Reader) {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		s.mu.Lock()
		s.log = append(s.log, lines.Text())
		close(s.seen)
		s.seen = make(chan struct{})
		s.mu.Unlock()
	}
}

func (s *dhcpServer) lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.log...)
}

// expect waits for a line with that word after the first skip lines, and returns
// how many there are then.
func (s *dhcpServer) expect(t *testing.T, skip int, word string) int {
	t.Helper()
	late := time.After(testTimeout)
	for {
		s.mu.Lock()
		lines, next := s.log, s.seen
		s.mu.Unlock()
		for i := skip; i < len(lines); i++ {
			if strings.Contains(lines[i], word) {
				return i + 1
			}
		}
		select {
		case <-next:
		case <-late:
			t.Fatalf("dnsmasq did not say %q:\n%s", word, strings.Join(lines, "\n"))
		}
	}
}

// newLentSite has an External Port that uses DHCP.
func newLentSite(t *testing.T) *site {
	t.Helper()
	s := newSite(t)
	s.config.External = Port{Interface: "lwcext0", DHCP: true}
	return s
}

// awaitPort polls until the external port is as wanted.
func awaitPort(t *testing.T, g *Guard, what string, ok func(Port) bool) Port {
	t.Helper()
	var p Port
	await(t, what, func() bool {
		c, _ := g.effective()
		p = c.External
		return ok(p) && len(g.leaseNotes()) == 0 // the kernel has it too
	})
	return p
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx := within(t, testTimeout)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func hasAddress(p Port) bool { return len(p.Addresses) > 0 }

// All that the lease brings is configured, as the kernel's own tool shows it, and
// the port dials by it; the next process gets the same address by asking for it.
func TestDHCPPort(t *testing.T) {
	s := newLentSite(t)
	server := serveLeases(t, s.cloud, "192.0.2.100,192.0.2.120,255.255.255.0,10m", "--dhcp-option=3,192.0.2.1",
		"--dhcp-option=6,192.0.2.53", "--dhcp-option=26,1400", "--dhcp-option=121,198.51.100.0/24,192.0.2.7,0.0.0.0/0,192.0.2.1")
	address := serve(t, s.cloud, cloudAddr4+":443", "cloud")
	g := s.up(t)
	p := awaitPort(t, g, "a lease", hasAddress)
	lent := p.Addresses[0].String()
	state := ip(t, s.config.paths()[1], "addr") + ip(t, s.config.paths()[1], "route")
	for _, want := range []string{"inet " + lent, "mtu 1400", "default via 192.0.2.1 dev lwcext0 proto static",
		"198.51.100.0/24 via 192.0.2.7 dev lwcext0", "valid_lft 60"} {
		if !strings.Contains(state, want) {
			t.Errorf("the kernel lacks %q:\n%s", want, state)
		}
	}
	if len(p.DNS) != 1 || p.DNS[0] != netip.MustParseAddrPort("192.0.2.53:53") {
		t.Errorf("dns is %v", p.DNS)
	}
	expectGreeting(t, g, address, "cloud")
	expectClean(t, g)

	before := len(server.lines())
	must(t, g.Close())
	again := awaitPort(t, s.up(t), "the same lease", hasAddress)
	if again.Addresses[0].String() != lent {
		t.Errorf("the next process has %s, want %s", again.Addresses[0], lent)
	}
	if said := strings.Join(server.lines()[before:], "\n"); strings.Contains(said, "DHCPDISCOVER") || !strings.Contains(said, "DHCPREQUEST") {
		t.Errorf("the next process did not ask for its address:\n%s", said)
	}
}

func expectGreeting(t *testing.T, g *Guard, address, want string) {
	t.Helper()
	c, err := g.External().DialContext(within(t, testTimeout), "tcp", address)
	must(t, err)
	if got := readAll(t, c); got != want {
		t.Errorf("%s said %q, want %q", address, got, want)
	}
}

// expectClean: nothing is wrong and the ports are open, after one more look.
func expectClean(t *testing.T, g *Guard) {
	t.Helper()
	report, err := g.Verify(t.Context())
	must(t, err)
	must(t, report.Err())
	if state := g.State(); state.Status != Open || len(g.leaseNotes()) != 0 {
		t.Errorf("state is %+v", state)
	}
}

// A cable pulled and put back: the address stays, and the server is asked.
func TestDHCPLinkFlap(t *testing.T) {
	s := newLentSite(t)
	server := serveLeases(t, s.cloud, "192.0.2.100,192.0.2.120,255.255.255.0,10m")
	g := s.up(t)
	p := awaitPort(t, g, "a lease", hasAddress)
	seen := server.expect(t, 0, "DHCPACK")
	cloud := filepath.Join(s.dir, "cloud")
	ip(t, cloud, "link", "set", "eth0", "down")
	ip(t, cloud, "link", "set", "eth0", "up")
	server.expect(t, seen, "DHCPACK")
	again := awaitPort(t, g, "the lease", hasAddress)
	if again.Addresses[0] != p.Addresses[0] || strings.Contains(strings.Join(server.lines()[seen:], ""), "DHCPDISCOVER") {
		t.Errorf("address was %s, is %s", p.Addresses[0], again.Addresses[0])
	}
}

// An address that is lost goes from the kernel, the port stays, and what comes
// next is configured again; the other port's wall follows.
func TestDHCPAddressGoesAndComes(t *testing.T) {
	s := newLentSite(t)
	serveLeases(t, s.cloud, "192.0.2.100,192.0.2.120,255.255.255.0,10m")
	g := s.up(t)
	p := awaitPort(t, g, "a lease", hasAddress)
	m := g.sides[1]
	g.lost(t.Context(), m, errors.New("test"))
	if out := ip(t, s.config.paths()[1], "-4", "addr"); strings.Contains(out, "192.0.2.") {
		t.Errorf("the address is still there:\n%s", out)
	}
	if notes := g.leaseNotes(); len(notes) != 1 || !strings.Contains(notes[0], "external port: port has no address: test") {
		t.Errorf("notes are %q", notes)
	}
	report, err := g.Verify(t.Context())
	must(t, err)
	must(t, report.Err())
	must(t, g.replan(t.Context(), ExternalSide, p, time.Now().Add(time.Hour)))
	expectServing(t, s, "192.0.2.1")
	var overlap *OverlapError
	bad := p
	bad.Addresses = prefixes("10.11.0.77/25")
	bad.Gateway, bad.Routes = netip.Addr{}, nil
	if err := g.replan(t.Context(), ExternalSide, bad, time.Now().Add(time.Hour)); !errors.As(err, &overlap) {
		t.Errorf("replan: %v, want an OverlapError", err)
	}
	expectServing(t, s, "192.0.2.1")
}

func expectServing(t *testing.T, s *site, gateway string) {
	t.Helper()
	if out := ip(t, s.config.paths()[1], "route"); !strings.Contains(out, "default via "+gateway) {
		t.Errorf("routes are\n%s", out)
	}
}

// Close does not wait for a server.
func TestDHCPWithoutServer(t *testing.T) {
	s := newLentSite(t)
	g := s.up(t)
	if _, err := g.External().DialContext(t.Context(), "tcp", cloudAddr4+":443"); !errors.Is(err, ErrNoAddress) {
		t.Errorf("dial: %v, want ErrNoAddress", err)
	}
	done := make(chan error, 1)
	go func() { done <- g.Close() }()
	select {
	case err := <-done:
		must(t, err)
	case <-time.After(2 * time.Second):
		t.Error("Close took more than two seconds")
	}
	if err := context.Cause(t.Context()); err != nil {
		t.Error(err)
	}
}

// The socket of the client hears the answer to its question and nothing else, and
// a server's flood does not reach the process.
func TestDHCPSocketHearsItsAnswerAlone(t *testing.T) {
	s := newLentSite(t)
	g := s.up(t)
	xid := dhcpv4.TransactionID{1, 2, 3, 4}
	conn, err := g.openLease(t.Context(), g.sides[1], xid)
	must(t, err)
	defer conn.Close()
	datagram := func(xid dhcpv4.TransactionID, text string) []byte {
		return append(append([]byte{2, 1, 6, 0}, xid[:]...), text...)
	}
	var from net.PacketConn
	must(t, s.cloud.do(t.Context(), func() (err error) {
		listen := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
			return c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1) })
		}}
		from, err = listen.ListenPacket(t.Context(), "udp4", cloudAddr4+":67")
		return err
	}))
	defer from.Close()
	send := func(port int, b []byte) {
		_, err := from.WriteTo(b, &net.UDPAddr{IP: net.IPv4(192, 0, 2, 255), Port: port})
		must(t, err)
	}
	for range 2000 {
		send(68, datagram(dhcpv4.TransactionID{9, 9, 9, 9}, "flood"))
	}
	send(69, datagram(xid, "other port"))
	send(68, datagram(xid, string(make([]byte, 3000)))) // leaves in fragments
	send(68, datagram(xid, "the answer"))
	b := make([]byte, 2048)
	n, peer, err := conn.Receive(within(t, testTimeout), b)
	must(t, err)
	if got := string(b[8:n]); got != "the answer" || peer.Addr.String() != cloudAddr4 || len(peer.MAC) != 6 {
		t.Errorf("heard %q from %v", got, peer)
	}
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if n, _, err := conn.Receive(short, b); err == nil {
		t.Errorf("heard %d bytes more", n)
	}
}
