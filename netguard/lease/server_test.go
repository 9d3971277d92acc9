package lease

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// network is a link with servers on it, in memory: what the client sends goes to
// answer, and what that returns comes back at once.
type network struct {
	t     *testing.T
	start time.Time

	mu     sync.Mutex // guards what follows
	answer func(sent) []*dhcpv4.DHCPv4
	all    []sent
	off    bool              // the link is down
	refuse func(Lease) error // what the owner says of a lease
	way    time.Time         // before it, nobody has a way to the servers
}

// sent is one message of the client.
type sent struct {
	at   time.Duration // since the start
	kind dhcpv4.MessageType
	msg  *dhcpv4.DHCPv4
	from netip.Addr
	to   Peer
}

type memory struct {
	net *network
	in  chan []byte
}

// wayTime is how long it takes to find out that there is no way to the servers.
const wayTime = 22 * time.Second

func (n *network) open(ctx context.Context, _ dhcpv4.TransactionID) (Conn, error) {
	n.mu.Lock()
	wayless := time.Now().Before(n.way)
	n.mu.Unlock()
	if wayless {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wayTime):
			return nil, errors.New("no way")
		}
	}
	return &memory{n, make(chan []byte, 4096)}, nil
}

func (m *memory) Send(message []byte, from netip.Addr, to Peer) error {
	msg, err := dhcpv4.FromBytes(message)
	if err != nil {
		m.net.t.Errorf("the client sent what is no message: %v", err)
		return err
	}
	s := sent{time.Since(m.net.start), msg.MessageType(), msg, from, to}
	m.net.mu.Lock()
	m.net.all = append(m.net.all, s)
	off, answer := m.net.off, m.net.answer
	m.net.mu.Unlock()
	if off {
		return net.ErrClosed
	}
	for _, r := range answer(s) {
		m.in <- r.ToBytes()
	}
	return nil
}

func (m *memory) Receive(ctx context.Context, b []byte) (int, Peer, error) {
	select {
	case in := <-m.in:
		return copy(b, in), Peer{netip.MustParseAddr("192.0.2.1"), serverMAC()}, nil
	case <-ctx.Done():
		return 0, Peer{}, ctx.Err()
	}
}

func (m *memory) Close() error { return nil }

func clientMAC() net.HardwareAddr { return net.HardwareAddr{2, 0, 0, 0, 0, 7} }
func serverMAC() net.HardwareAddr { return net.HardwareAddr{2, 0, 0, 0, 0, 1} }

func (n *network) messages() []sent {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]sent(nil), n.all...)
}

// lender is a server that behaves, but for what change does to its replies.
type lender struct {
	address, server string
	length          time.Duration
	change          func(kind dhcpv4.MessageType, reply *dhcpv4.DHCPv4)
}

func (l lender) reply(s sent, kind dhcpv4.MessageType) *dhcpv4.DHCPv4 {
	r := &dhcpv4.DHCPv4{OpCode: dhcpv4.OpcodeBootReply, HWType: 1, TransactionID: s.msg.TransactionID,
		ClientHWAddr: s.msg.ClientHWAddr, YourIPAddr: net.ParseIP(l.address), Options: dhcpv4.Options{}}
	r.UpdateOption(dhcpv4.OptMessageType(kind))
	r.UpdateOption(dhcpv4.OptServerIdentifier(net.ParseIP(l.server)))
	if kind != dhcpv4.MessageTypeNak {
		r.UpdateOption(dhcpv4.OptSubnetMask(net.CIDRMask(24, 32)))
		r.UpdateOption(dhcpv4.OptRouter(net.ParseIP("192.0.2.1")))
		r.UpdateOption(dhcpv4.OptDNS(net.ParseIP("192.0.2.53")))
		r.UpdateOption(dhcpv4.OptIPAddressLeaseTime(l.length))
	}
	if l.change != nil {
		l.change(kind, r)
	}
	return r
}

// answer offers and acknowledges whatever it is asked for.
func (l lender) answer(s sent) []*dhcpv4.DHCPv4 {
	switch s.kind {
	case dhcpv4.MessageTypeDiscover:
		return []*dhcpv4.DHCPv4{l.reply(s, dhcpv4.MessageTypeOffer)}
	case dhcpv4.MessageTypeRequest:
		return []*dhcpv4.DHCPv4{l.reply(s, dhcpv4.MessageTypeAck)}
	}
	return nil
}

func good() lender { return lender{address: "192.0.2.50", server: "192.0.2.1", length: time.Hour} }

// owner notes what the client tells.
type owner struct {
	client *Client
	links  chan struct{}
	// closed is when Run has returned.
	closed chan struct{}

	mu      sync.Mutex // guards what follows
	bound   []Lease
	lost    []error
	waiting []error
}

func (o *owner) note(f func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f()
}

func (o *owner) leases() (all []Lease) { o.note(func() { all = slices.Clone(o.bound) }); return }
func (o *owner) losses() (all []error) { o.note(func() { all = slices.Clone(o.lost) }); return }
func (o *owner) waits() (all []error)  { o.note(func() { all = slices.Clone(o.waiting) }); return }

// play runs a client against answer in a bubble of synctest.
func play(t *testing.T, n *network, last string) *owner {
	t.Helper()
	n.t, n.start = t, time.Now()
	o := &owner{links: make(chan struct{}, 1), closed: make(chan struct{})}
	o.client = &Client{MAC: clientMAC(), Open: n.open, Links: o.links,
		Accept: func(l Lease) error {
			n.mu.Lock()
			defer n.mu.Unlock()
			if n.refuse != nil {
				return n.refuse(l)
			}
			return nil
		},
		Bound:   func(_ context.Context, l Lease) error { o.note(func() { o.bound = append(o.bound, l) }); return nil },
		Lost:    func(_ context.Context, err error) { o.note(func() { o.lost = append(o.lost, err) }) },
		Waiting: func(err error) { o.note(func() { o.waiting = append(o.waiting, err) }) },
	}
	if last != "" {
		o.client.Last = netip.MustParseAddr(last)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(o.closed)
		if err := o.client.Run(ctx); err != nil {
			t.Errorf("Run returned %v", err)
		}
	}()
	t.Cleanup(func() { cancel(); <-o.closed })
	return o
}

func kinds(all []sent) []dhcpv4.MessageType {
	var k []dhcpv4.MessageType
	for _, s := range all {
		k = append(k, s.kind)
	}
	return k
}

// refuses makes the owner refuse every lease for which bad is true.
func (n *network) refuses(bad func(Lease) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refuse = func(l Lease) error {
		if bad(l) {
			return errors.New("overlaps the other port")
		}
		return nil
	}
}

// becomesWayless takes the way to the servers away until then.
func (n *network) becomesWayless(until time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.way = until
}

// becomes puts other servers on the link.
func (n *network) becomes(answer func(sent) []*dhcpv4.DHCPv4) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.answer = answer
}
