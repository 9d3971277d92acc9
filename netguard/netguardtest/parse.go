package netguardtest

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// seen is a received frame, as far as a scan and the tests look into it. What a
// frame is too short for stays zero.
type seen struct {
	source   net.HardwareAddr
	toAll    bool // to a group address
	src, dst netip.Addr
	proto    byte
	body     []byte     // of the packet
	asks     netip.Addr // whose hardware address is asked for, by ARP or NS
	tells    netip.Addr // whose hardware address is told, by ARP or NA
}

// parse looks into a frame, which may be anything.
func parse(frame []byte) seen {
	if len(frame) < 14 {
		return seen{}
	}
	s := seen{source: net.HardwareAddr(append([]byte(nil), frame[6:12]...))}
	s.toAll = frame[0]&1 != 0
	payload := frame[14:]
	switch binary.BigEndian.Uint16(frame[12:]) {
	case typeARP:
		s.arp(payload)
	case typeIPv4:
		s.ipv4(payload)
	case typeIPv6:
		s.ipv6(payload)
	}
	return s
}

func (s *seen) arp(b []byte) {
	if len(b) < 28 {
		return
	}
	s.src, s.dst = addr(b[14:18]), addr(b[24:28])
	if b[7] == 1 && s.src != s.dst {
		s.asks = s.dst
	} else {
		s.tells = s.src
	}
}

func (s *seen) ipv4(b []byte) {
	if len(b) < 20 {
		return
	}
	size := int(b[0]&15) * 4
	if size < 20 || len(b) < size {
		return
	}
	s.src, s.dst, s.proto, s.body = addr(b[12:16]), addr(b[16:20]), b[9], b[size:]
}

func (s *seen) ipv6(b []byte) {
	if len(b) < 40 {
		return
	}
	s.src, s.dst, s.proto, s.body = addr(b[8:24]), addr(b[24:40]), b[6], b[40:]
	if s.proto != protoICMP6 || len(s.body) < 24 {
		return
	}
	switch s.body[0] {
	case 135:
		s.asks = addr(s.body[8:24])
	case 136:
		s.tells = addr(s.body[8:24])
	}
}

func addr(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a
}

func (s seen) dstPort() uint16 {
	if len(s.body) < 4 {
		return 0
	}
	return binary.BigEndian.Uint16(s.body[2:])
}

func (s seen) srcPort() uint16 {
	if len(s.body) < 4 {
		return 0
	}
	return binary.BigEndian.Uint16(s.body)
}

// String says what the frame is.
func (s seen) String() string {
	switch {
	case s.asks.IsValid():
		return fmt.Sprintf("%s asks who has %s", s.src, s.asks)
	case s.tells.IsValid():
		return fmt.Sprintf("%s is told to be at %s", s.tells, s.source)
	case s.proto == protoTCP && len(s.body) > 13:
		return fmt.Sprintf("tcp %s from port %d", flagNames(s.body[13]), s.srcPort())
	case s.proto == protoUDP:
		return fmt.Sprintf("udp from port %d", s.srcPort())
	case (s.proto == protoICMP || s.proto == protoICMP6) && len(s.body) > 1:
		return fmt.Sprintf("icmp type %d code %d from %s", s.body[0], s.body[1], s.src)
	case s.src.IsValid():
		return fmt.Sprintf("ip protocol %d from %s", s.proto, s.src)
	}
	return fmt.Sprintf("frame from %s", s.source)
}

func flagNames(flags byte) string {
	var names []string
	for i, name := range []string{"FIN", "SYN", "RST", "PSH", "ACK", "URG"} {
		if flags&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "no flags"
	}
	return strings.Join(names, "+")
}

// Describe says in a few words what a frame is.
func Describe(frame []byte) string { return parse(frame).String() }

// Source returns the address that a frame's packet comes from: of an ARP message
// that of its sender. It is the zero Addr for other frames.
func Source(frame []byte) netip.Addr { return parse(frame).src }

// Destination returns the address that a frame's packet goes to: of an ARP
// message that of its target.
func Destination(frame []byte) netip.Addr { return parse(frame).dst }

// Told returns the address whose hardware address the frame tells, by an ARP
// reply or a neighbour advertisement.
func Told(frame []byte) netip.Addr { return parse(frame).tells }

// IsTCP reports whether the frame carries a segment with exactly these flags.
func IsTCP(frame []byte, flags byte) bool {
	s := parse(frame)
	return s.proto == protoTCP && len(s.body) > 13 && s.body[13] == flags
}

// IsMLDReport reports whether the frame tells switches and routers which IPv6
// groups its sender belongs to (RFC 3810), without which switches that snoop
// would keep neighbour solicitations from it.
func IsMLDReport(frame []byte) bool {
	s := parse(frame)
	// A hop-by-hop header with the router alert option comes first.
	return s.proto == 0 && s.dst == netip.MustParseAddr("ff02::16") && len(s.body) > 8 && s.body[0] == protoICMP6 && s.body[8] == 143
}

// IsUnicastProbe reports whether the frame asks one neighbour, whose hardware
// address is known already, whether it is there still.
func IsUnicastProbe(frame []byte) bool {
	return parse(frame).asks.IsValid() && frame[0]&1 == 0
}

// DHCPRequest returns the message type (RFC 2132 section 9.6) and transaction of
// a frame that a DHCP client sent.
func DHCPRequest(frame []byte) (kind byte, xid uint32, ok bool) {
	s := parse(frame)
	const fixed = 8 + 236 + 4 // UDP header, BOOTP, cookie
	if s.proto != protoUDP || s.dstPort() != 67 || len(s.body) < fixed {
		return 0, 0, false
	}
	xid = binary.BigEndian.Uint32(s.body[8+4:])
	for options := s.body[fixed:]; len(options) > 2 && options[0] != 255; {
		if options[0] == 0 { // padding
			options = options[1:]
			continue
		}
		if options[0] == 53 {
			return options[2], xid, true
		}
		options = options[min(2+int(options[1]), len(options)):]
	}
	return 0, 0, false
}
