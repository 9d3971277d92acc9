package lease

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Whatever a server sends is either nothing, or a lease of one host's address in
// a subnet, with times in order and within their bounds.
func FuzzReply(f *testing.F) {
	request := sent{msg: &dhcpv4.DHCPv4{ClientHWAddr: clientMAC(), Options: dhcpv4.Options{}}}
	ok := good().reply(request, ack)
	f.Add(ok.ToBytes())
	ok.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionClasslessStaticRoute, []byte{0, 192, 0, 2, 1, 24, 10, 1, 2, 0, 0, 0, 0}))
	ok.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionInterfaceMTU, []byte{5, 220}))
	f.Add(ok.ToBytes())
	f.Add(good().reply(request, nak).ToBytes())
	f.Add(overload(ok.ToBytes(), 3, []byte{26, 2, 5, 220, 255}, []byte{6, 4, 192, 0, 2, 53, 255}))
	asked := time.Unix(1e9, 0)
	f.Fuzz(func(t *testing.T, b []byte) {
		r, ok := parse(b, dhcpv4.TransactionID{}, clientMAC())
		if !ok {
			return
		}
		if !isHost(r.server) {
			t.Errorf("server %s", r.server)
		}
		l, err := r.lease(asked)
		if err != nil {
			return
		}
		if !isHost(l.Address.Addr()) || l.Address.Bits() == 0 {
			t.Errorf("address %s", l.Address)
		}
		if !asked.Before(l.Renew) || !l.Renew.Before(l.Rebind) || !l.Rebind.Before(l.Expires) || l.Expires.Sub(asked) < minLease {
			t.Errorf("times %v, %v, %v", l.Renew, l.Rebind, l.Expires)
		}
		for _, route := range l.Routes {
			if route.Destination.Bits() == 0 || route.Destination != route.Destination.Masked() {
				t.Errorf("route %v", route)
			}
		}
		if len(l.DNS) > maxServers || len(l.Routes) > maxRoutes || l.MTU < 0 || l.MTU > 65535 {
			t.Errorf("too much: %+v", l)
		}
	})
}

// A datagram is taken as a whole or not at all, and what was packed comes out.
func FuzzDatagram(f *testing.F) {
	a, b := netip.MustParseAddr("192.0.2.50"), netip.MustParseAddr("192.0.2.1")
	f.Add(swapPorts(pack([]byte("hello"), a, b)), true)
	f.Add(swapPorts(pack(nil, a, b)), false)
	f.Add([]byte{0x4f, 0, 0, 28}, true)
	f.Fuzz(func(t *testing.T, datagram []byte, checked bool) {
		message, from, ok := unpack(datagram, checked)
		if !ok {
			return
		}
		if len(message) > len(datagram)-ipHeader-udpHeader || !from.Is4() {
			t.Errorf("%d bytes from %s out of %d", len(message), from, len(datagram))
		}
	})
}

// swapPorts makes an answer of a request; the checksum stays what it was, for it
// is a sum.
func swapPorts(b []byte) []byte {
	udp := b[ipHeader:]
	udp[0], udp[1], udp[2], udp[3] = udp[2], udp[3], udp[0], udp[1]
	return b
}

func TestDatagram(t *testing.T) {
	a, b := netip.MustParseAddr("192.0.2.50"), netip.MustParseAddr("192.0.2.1")
	for _, text := range []string{"", "x", "hello", string(make([]byte, 1000))} {
		d := swapPorts(pack([]byte(text), a, b))
		got, from, ok := unpack(d, true)
		if !ok || string(got) != text || from != a {
			t.Errorf("%d bytes give %q from %s, %v", len(text), got, from, ok)
		}
		for i := range d { // every bit counts, but for a checksum that says there is none
			d[i] ^= 0x40
			if _, _, ok := unpack(d, true); ok {
				t.Errorf("%d bytes: byte %d was changed and nobody saw", len(text), i)
			}
			d[i] ^= 0x40
		}
		if _, _, ok := unpack(d[:len(d)-1], true); ok {
			t.Error("took what is cut short")
		}
		for _, part := range []uint16{0x2000, 1} { // more follow; not the first
			binary.BigEndian.PutUint16(d[6:], part)
			d[10], d[11] = 0, 0
			binary.BigEndian.PutUint16(d[10:], ^fold(sum(0, d[:ipHeader])))
			if _, _, ok := unpack(d, true); ok {
				t.Errorf("took a fragment, %#x", part)
			}
		}
	}
}

// overload puts options where a message has the names of a file and a server, and
// says with option 52 which of the two count.
func overload(b []byte, which byte, file, server []byte) []byte {
	end := bytes.LastIndexByte(b, 255) // the pad behind it is zero
	b = append(slices.Clone(b[:end]), 52, 1, which, 255)
	copy(b[serverName:fileName], server)
	copy(b[fileName:afterNames], file)
	return b
}

// Options in place of the names count when option 52 says so, and are added up in
// order (RFC 3396); a message with broken ones is none.
func TestOverloadedOptions(t *testing.T) {
	message := good().reply(sent{msg: &dhcpv4.DHCPv4{ClientHWAddr: clientMAC(), Options: dhcpv4.Options{}}}, ack).ToBytes()
	file, server := []byte{26, 2, 5, 220, 6, 4, 192, 0, 2, 54, 255, 9}, []byte{6, 4, 192, 0, 2, 55, 255}
	for _, tt := range []struct {
		which byte
		file  []byte
		mtu   int
		dns   []string
		ok    bool
	}{
		{0, file, 0, []string{"192.0.2.53"}, true},
		{1, file, 1500, []string{"192.0.2.53", "192.0.2.54"}, true},
		{2, file, 0, []string{"192.0.2.53", "192.0.2.55"}, true},
		{3, file, 1500, []string{"192.0.2.53", "192.0.2.54", "192.0.2.55"}, true},
		{3, bytes.Repeat([]byte{26, 127}, 64), 0, nil, false},
	} {
		r, ok := parse(overload(message, tt.which, tt.file, server), dhcpv4.TransactionID{}, clientMAC())
		if ok != tt.ok {
			t.Errorf("overload %d: taken: %v", tt.which, ok)
		}
		if !ok {
			continue
		}
		l, err := r.lease(time.Unix(1e9, 0))
		var dns []string
		for _, a := range l.DNS {
			dns = append(dns, a.String())
		}
		if err != nil || l.MTU != tt.mtu || !slices.Equal(dns, tt.dns) {
			t.Errorf("overload %d: mtu %d, dns %v, %v", tt.which, l.MTU, dns, err)
		}
	}
}

// What a server says beyond its bounds is not taken.
func TestReplyBounds(t *testing.T) {
	asked := time.Unix(1e9, 0)
	read := func(change func(*dhcpv4.DHCPv4)) (Lease, error) {
		m := good().reply(sent{msg: &dhcpv4.DHCPv4{ClientHWAddr: clientMAC(), Options: dhcpv4.Options{}}}, ack)
		change(m)
		r, ok := parse(m.ToBytes(), dhcpv4.TransactionID{}, clientMAC())
		if !ok {
			t.Fatal("the message is none")
		}
		return r.lease(asked)
	}
	l, err := read(func(m *dhcpv4.DHCPv4) { // T1 after T2: both are made up instead
		m.UpdateOption(dhcpv4.OptRenewTimeValue(50 * time.Minute))
		m.UpdateOption(dhcpv4.OptRebindingTimeValue(40 * time.Minute))
	})
	if err != nil || l.Renew != asked.Add(30*time.Minute) || !l.Rebind.Before(l.Expires) {
		t.Errorf("times %v, %v of %v, %v", l.Renew, l.Rebind, l.Expires, err)
	}
	for n, want := range map[int]bool{maxRoutes: true, maxRoutes + 1: false} {
		var routes []byte
		for i := range n {
			routes = append(routes, 24, 10, 1, byte(i), 192, 0, 2, 1)
		}
		l, err := read(func(m *dhcpv4.DHCPv4) { m.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionClasslessStaticRoute, routes)) })
		if (err == nil) != want || want && len(l.Routes) != n {
			t.Errorf("%d routes give %d, %v", n, len(l.Routes), err)
		}
	}
}
