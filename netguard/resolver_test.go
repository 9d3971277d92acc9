package netguard

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// serveDNS answers A questions in n from the table; what is not in it does not exist.
func serveDNS(t *testing.T, n *namespace, address string, table map[string]netip.Addr) *dnsServer {
	t.Helper()
	s := &dnsServer{table: table}
	var c net.PacketConn
	must(t, n.do(t.Context(), func() (err error) {
		c, err = (&net.ListenConfig{}).ListenPacket(context.Background(), "udp", address)
		return err
	}))
	t.Cleanup(func() { _ = c.Close() })
	go func() {
		b := make([]byte, 1500)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			if reply, err := s.answer(b[:n]); err == nil {
				_, _ = c.WriteTo(reply, from)
			}
		}
	}()
	return s
}

// dnsServer counts what it is asked.
type dnsServer struct {
	mu      sync.Mutex
	table   map[string]netip.Addr
	queries int
	broken  dnsmessage.RCode // what it says to everything, unless it is success
	hears   func(name string)
}

// breaks makes the server say code to whatever it is asked.
func (s *dnsServer) breaks(code dnsmessage.RCode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = code
}

// tells makes the server call f with each name before it answers.
func (s *dnsServer) tells(f func(name string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hears = f
}

func (s *dnsServer) set(name string, a netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.table[name] = a
}

// asked returns how many queries came since it was called last.
func (s *dnsServer) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.queries
	s.queries = 0
	return n
}

func (s *dnsServer) answer(query []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queries++
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil {
		return nil, err
	}
	q := m.Questions[0]
	r := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, RecursionAvailable: true}, Questions: m.Questions}
	if s.hears != nil {
		s.hears(q.Name.String())
	}
	a, ok := s.table[q.Name.String()]
	switch {
	case s.broken != dnsmessage.RCodeSuccess:
		r.RCode = s.broken
	case !ok:
		r.RCode = dnsmessage.RCodeNameError
	case a.Is4() && q.Type == dnsmessage.TypeA:
		r.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class}, Body: &dnsmessage.AResource{A: a.As4()}}}
	case a.Is6() && q.Type == dnsmessage.TypeAAAA:
		r.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class}, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}}}
	}
	return r.Pack()
}

// Each port asks its own server; a name cannot lead where an address may not.
func TestNames(t *testing.T) {
	s := newSite(t)
	addr := netip.MustParseAddr
	serveDNS(t, s.device, deviceAddr4+":53", map[string]netip.Addr{"router.example.": addr(deviceAddr4)})
	serveDNS(t, s.cloud, cloudAddr4+":53", map[string]netip.Addr{
		"cloud.example.": addr(cloudAddr4), "router.example.": addr("192.0.2.66"),
		"inside.example.": addr(deviceAddr4), "mapped.example.": addr("::ffff:10.99.0.1"), "loop.example.": addr("127.0.0.1"), "localhost.": addr("127.0.0.1")})
	s.config.Internal.DNS = []netip.AddrPort{netip.MustParseAddrPort(deviceAddr4 + ":53")}
	s.config.Allow = []Endpoint{{Host: "cloud.example", Port: 443}}
	s.config.External.DNS = []netip.AddrPort{netip.MustParseAddrPort(cloudAddr4 + ":53")}
	serve(t, s.device, deviceAddr4+":830", "router")
	serve(t, s.cloud, cloudAddr4+":443", "cloud")
	g := s.up(t)

	c, err := g.Internal().DialContext(within(t, testTimeout), "tcp", "router.example:830")
	must(t, err)
	if got := readAll(t, c); got != "router" {
		t.Errorf("router.example from the internal port said %q", got)
	}
	c, err = g.External().DialContext(within(t, testTimeout), "tcp", "cloud.example:443")
	must(t, err)
	if got := readAll(t, c); got != "cloud" {
		t.Errorf("cloud.example from the external port said %q", got)
	}
	if ips, err := g.External().Resolver().LookupNetIP(t.Context(), "ip4", "router.example"); err != nil || len(ips) != 1 || ips[0] != addr("192.0.2.66") {
		t.Errorf("router.example from the external port is %v, %v", ips, err)
	}
	for _, name := range []string{"inside.example", "mapped.example", "loop.example", "localhost"} {
		must(t, g.SetAllowed([]Endpoint{{Host: name, Port: 80}}))
		if _, err := g.External().DialContext(within(t, testTimeout), "tcp", name+":80"); !errors.Is(err, ErrNotAllowed) {
			t.Errorf("dialling %s: %v, want ErrNotAllowed", name, err)
		}
	}
	if _, err := g.Internal().DialContext(within(t, testTimeout), "tcp", "cloud.example:443"); err == nil {
		t.Error("the internal port resolved a name of the cloud")
	}
}

// A server that refuses is passed over for the next, which stays the first.
func TestNamesSecondServer(t *testing.T) {
	s := newSite(t)
	serveDNS(t, s.device, deviceAddr4+":5353", map[string]netip.Addr{"router.example.": netip.MustParseAddr(deviceAddr4)})
	s.config.Internal.DNS = []netip.AddrPort{netip.MustParseAddrPort(deviceAddr4 + ":53"), netip.MustParseAddrPort(deviceAddr4 + ":5353")}
	g := s.up(t)
	for range 2 {
		if ips, err := g.Internal().Resolver().LookupNetIP(within(t, testTimeout), "ip4", "router.example"); err != nil || len(ips) != 1 {
			t.Errorf("router.example is %v, %v", ips, err)
		}
	}
	if turn := g.internal.port.server.Load(); turn != 1 {
		t.Errorf("the resolver moved on %d times, want once", turn)
	}
}

// Servers that answer without helping are passed over too, as many as there are;
// what does not exist is asked of one alone.
func TestNamesLameServers(t *testing.T) {
	s := newSite(t)
	var servers []*dnsServer
	for i := range 6 {
		at := netip.AddrPortFrom(netip.MustParseAddr(deviceAddr4), uint16(5300+i))
		d := serveDNS(t, s.device, at.String(), map[string]netip.Addr{"router.example.": netip.MustParseAddr(deviceAddr4)})
		d.breaks([]dnsmessage.RCode{dnsmessage.RCodeServerFailure, dnsmessage.RCodeRefused}[i%2])
		servers = append(servers, d)
		s.config.Internal.DNS = append(s.config.Internal.DNS, at)
	}
	last := servers[len(servers)-1]
	last.breaks(dnsmessage.RCodeSuccess)
	serve(t, s.device, deviceAddr4+":830", "router")
	g := s.up(t)
	c, err := g.Internal().DialContext(within(t, testTimeout), "tcp", "router.example:830")
	must(t, err)
	if got := readAll(t, c); got != "router" {
		t.Errorf("read %q", got)
	}
	for _, d := range servers {
		d.asked()
	}
	_, err = g.Internal().DialContext(within(t, testTimeout), "tcp", "nobody.example:830")
	dns, ok := errors.AsType[*net.DNSError](err)
	if !ok || !dns.IsNotFound || dns.Name != "nobody.example" || dns.Server != deviceAddr4+":5305" {
		t.Errorf("error is %v, want that the last server knows of no nobody.example", err)
	}
	if n := last.asked(); n != 2 { // A and AAAA
		t.Errorf("what does not exist was asked for %d times, want 2", n)
	}
	last.breaks(dnsmessage.RCodeServerFailure)
	if _, err := g.Internal().DialContext(within(t, testTimeout), "tcp", "router.example:830"); err == nil {
		t.Error("found a name that no server knows")
	}
}

// A name is asked for as it is, whatever the machine's resolv.conf would add.
func TestNamesAreAbsolute(t *testing.T) {
	for host, want := range map[string]string{"cloud": "cloud.", "cloud.": "cloud.", "cloud.example": "cloud.example.", "cloud.example.": "cloud.example."} {
		if got := rooted(host); got != want {
			t.Errorf("%q is asked for as %q, want %q", host, got, want)
		}
	}
}

// A name server that a lease brings is judged as what is dialled is.
func TestNamesForbiddenServer(t *testing.T) {
	s := newSite(t)
	g := s.up(t)
	p := g.external.port
	p.gate = bentGate{g, func(o *outlet) {
		o.servers = []netip.AddrPort{netip.MustParseAddrPort(deviceAddr4 + ":53")}
	}}
	if _, err := p.dialServer(within(t, testTimeout), "udp", ""); !errors.Is(err, ErrNotAllowed) {
		t.Errorf("error is %v, want ErrNotAllowed", err)
	}
}
