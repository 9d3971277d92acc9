package lease

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// ErrBadLease: what the server offers is no address that a host can have.
var ErrBadLease = errors.New("unusable lease")

// Bounds of what is taken from a server.
const (
	// minLease keeps a server from making the client ask without end: a shorter
	// lease is not taken. Half of it is the shortest time between two renewals.
	minLease = 30 * time.Second
	// maxRoutes and maxServers are more than one UDP message of usual size holds.
	maxRoutes  = 64
	maxServers = 8
	// mtuSize is the length of option 26 (RFC 2132 section 5.1).
	mtuSize = 2
)

// reply is a message of a server that answers one of ours.
type reply struct {
	kind   dhcpv4.MessageType
	server netip.Addr
	from   Peer
	text   string // the server's own words (option 56), made printable
	msg    *dhcpv4.DHCPv4
}

// parse reads a message, and returns false unless a server answers with it the
// request that has this transaction number and hardware address.
func parse(b []byte, xid dhcpv4.TransactionID, mac net.HardwareAddr) (reply, bool) {
	m, err := dhcpv4.FromBytes(b)
	if err != nil || m.OpCode != dhcpv4.OpcodeBootReply || m.TransactionID != xid || !bytes.Equal(m.ClientHWAddr, mac) {
		return reply{}, false
	}
	if overloaded(m, b) != nil {
		return reply{}, false
	}
	r := reply{kind: m.MessageType(), msg: m, text: printable(m.Options.Get(dhcpv4.OptionMessage))}
	r.server, _ = option4(m, dhcpv4.OptionServerIdentifier)
	switch r.kind {
	case dhcpv4.MessageTypeOffer, dhcpv4.MessageTypeAck, dhcpv4.MessageTypeNak:
		return r, isHost(r.server)
	}
	return reply{}, false
}

// Where a message has the names of a server and of a file (RFC 2131 figure 1).
const (
	serverName = 44
	fileName   = 108
	afterNames = 236
)

// overloaded adds to m the options that did not fit into their own field, which
// option 52 says are in place of the names (RFC 2132 section 9.3). The file's come
// before the server's (RFC 3396 section 5). What those say of more is not followed.
func overloaded(m *dhcpv4.DHCPv4, b []byte) error {
	where := m.Options.Get(dhcpv4.OptionOptionOverload)
	if len(where) != 1 || len(b) < afterNames {
		return nil
	}
	if where[0]&1 != 0 {
		if err := m.Options.FromBytes(b[fileName:afterNames]); err != nil {
			return err
		}
	}
	if where[0]&2 != 0 {
		return m.Options.FromBytes(b[serverName:fileName])
	}
	return nil
}

// isHost reports whether a may be one host's address on some network.
func isHost(a netip.Addr) bool {
	return a.Is4() && a.As4()[0] != 0 && a.As4()[0] < 224 && !a.IsLoopback() && !a.IsLinkLocalUnicast()
}

// printable keeps what may be shown to an operator, up to a short line.
func printable(b []byte) string {
	const most = 80
	b = slices.Clone(b[:min(len(b), most)])
	for i, c := range b {
		if c < ' ' || c > '~' {
			b[i] = '?'
		}
	}
	return string(b)
}

// option4 returns the one address that is the whole of an option.
func option4(m *dhcpv4.DHCPv4, code dhcpv4.OptionCode) (netip.Addr, bool) {
	b := m.Options.Get(code)
	if len(b) != net.IPv4len {
		return netip.Addr{}, false
	}
	return netip.AddrFrom4([4]byte(b)), true
}

// lease reads what is lent by r, asked for at that time.
func (r reply) lease(asked time.Time) (Lease, error) {
	l := Lease{Server: r.server}
	var err error
	if l.Address, err = r.address(); err != nil {
		return Lease{}, err
	}
	if err := r.times(&l, asked); err != nil {
		return Lease{}, err
	}
	if err := r.routes(&l); err != nil {
		return Lease{}, err
	}
	l.DNS = r.servers()
	if b := r.msg.Options.Get(dhcpv4.OptionInterfaceMTU); len(b) == mtuSize {
		l.MTU = int(binary.BigEndian.Uint16(b))
	}
	return l, nil
}

func (r reply) address() (netip.Prefix, error) {
	a, _ := netip.AddrFromSlice(r.msg.YourIPAddr)
	a = a.Unmap()
	if !isHost(a) {
		return netip.Prefix{}, fmt.Errorf("%w: address %s from server %s is not a host's", ErrBadLease, a, r.server)
	}
	mask := r.msg.Options.Get(dhcpv4.OptionSubnetMask)
	if len(mask) != net.IPv4len {
		return netip.Prefix{}, fmt.Errorf("%w: address %s from server %s comes without a subnet mask", ErrBadLease, a, r.server)
	}
	ones, bits := net.IPMask(mask).Size()
	if bits == 0 || ones == 0 {
		return netip.Prefix{}, fmt.Errorf("%w: address %s from server %s has subnet mask %s", ErrBadLease, a, r.server, net.IP(mask))
	}
	return netip.PrefixFrom(a, ones), nil
}

// times reads the length of the lease (RFC 2131 table 3: a server must give it)
// and when to renew it, for which it may give other times than the usual half
// and seven eighths (section 4.4.5).
func (r reply) times(l *Lease, asked time.Time) error {
	length, ok := seconds(r.msg, dhcpv4.OptionIPAddressLeaseTime)
	if !ok || length < minLease {
		return fmt.Errorf("%w: address %s from server %s is lent for %s: the least is %s", ErrBadLease, l.Address, r.server, length, minLease)
	}
	renew, rebind := length/2, length/8*7
	t1, ok1 := seconds(r.msg, dhcpv4.OptionRenewTimeValue)
	t2, ok2 := seconds(r.msg, dhcpv4.OptionRebindingTimeValue)
	if ok1 && ok2 && t1 >= minLease/2 && t1 < t2 && t2 < length {
		renew, rebind = t1, t2
	}
	l.Renew, l.Rebind, l.Expires = asked.Add(renew), asked.Add(rebind), asked.Add(length)
	return nil
}

func seconds(m *dhcpv4.DHCPv4, code dhcpv4.OptionCode) (time.Duration, bool) {
	b := m.Options.Get(code)
	if len(b) != 4 {
		return 0, false
	}
	return time.Duration(binary.BigEndian.Uint32(b)) * time.Second, true
}

// routes reads the classless routes or, without those, the routers: a client
// that has the first must ignore the second (RFC 3442).
func (r reply) routes(l *Lease) error {
	b := r.msg.Options.Get(dhcpv4.OptionClasslessStaticRoute)
	if len(b) == 0 {
		if b = r.msg.Options.Get(dhcpv4.OptionRouter); len(b) >= net.IPv4len {
			l.Gateway = netip.AddrFrom4([4]byte(b[:4]))
		}
		return nil
	}
	for len(b) > 0 {
		route, rest, err := classless(b)
		if err != nil {
			return fmt.Errorf("%w: routes from server %s: %w", ErrBadLease, r.server, err)
		}
		b = rest
		switch {
		case route.Destination.Bits() == 0:
			l.Gateway = route.Via
		case len(l.Routes) == maxRoutes:
			return fmt.Errorf("%w: server %s gives more than %d routes", ErrBadLease, r.server, maxRoutes)
		case !slices.Contains(l.Routes, route):
			l.Routes = append(l.Routes, route)
		}
	}
	return nil
}

// classless reads one route of option 121: the length of the prefix, as many of
// its bytes as are not zero, the router. A router 0.0.0.0 means on the link.
func classless(b []byte) (r Route, rest []byte, err error) {
	bits := int(b[0])
	n := (bits + 7) / 8
	if bits > 32 || len(b) < 1+n+net.IPv4len {
		return r, nil, errors.New("a route is cut short or longer than an address")
	}
	var dst [4]byte
	copy(dst[:], b[1:1+n])
	r.Destination = netip.PrefixFrom(netip.AddrFrom4(dst), bits).Masked()
	if via := netip.AddrFrom4([4]byte(b[1+n : 1+n+net.IPv4len])); !via.IsUnspecified() {
		r.Via = via
	}
	if bits == 0 && !r.Via.IsValid() {
		return r, nil, errors.New("a default route has no gateway")
	}
	return r, b[1+n+net.IPv4len:], nil
}

// servers returns the name servers that may be hosts; a broken one costs itself.
func (r reply) servers() []netip.Addr {
	b := r.msg.Options.Get(dhcpv4.OptionDomainNameServer)
	var all []netip.Addr
	for ; len(b) >= net.IPv4len && len(all) < maxServers; b = b[net.IPv4len:] {
		if a := netip.AddrFrom4([4]byte(b[:4])); isHost(a) && !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	return all
}
