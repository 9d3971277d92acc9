package lease

import (
	"encoding/binary"
	"net/netip"
)

// The ports of DHCP (RFC 2131 section 4.1).
const (
	clientPort = 68
	serverPort = 67
)

const (
	ipHeader  = 20
	udpHeader = 8
	// maxDatagram is the largest that is read: no Ethernet frame without jumbo
	// support carries more, and the client asks for less.
	maxDatagram = 2048
	protocolUDP = 17
	// timeToLive is the usual one; a relay agent may be beyond a router when the
	// server is asked directly.
	timeToLive = 64
	// noFragment is the DF bit: nothing of DHCP is longer than an MTU of 576.
	noFragment = 0x4000
)

// pack puts the message into UDP and IPv4 (RFC 768, RFC 791).
func pack(message []byte, from, to netip.Addr) []byte {
	b := make([]byte, ipHeader+udpHeader, ipHeader+udpHeader+len(message))
	b = append(b, message...)
	b[0], b[8], b[9] = 4<<4|ipHeader/4, timeToLive, protocolUDP
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	binary.BigEndian.PutUint16(b[6:], noFragment)
	src, dst := from.As4(), to.As4()
	copy(b[12:], src[:])
	copy(b[16:], dst[:])
	binary.BigEndian.PutUint16(b[10:], ^fold(sum(0, b[:ipHeader])))
	udp := b[ipHeader:]
	binary.BigEndian.PutUint16(udp, clientPort)
	binary.BigEndian.PutUint16(udp[2:], serverPort)
	binary.BigEndian.PutUint16(udp[4:], uint16(len(udp)))
	checksum := ^fold(pseudo(b))
	if checksum == 0 {
		checksum = 0xffff // zero says that there is none
	}
	binary.BigEndian.PutUint16(udp[6:], checksum)
	return b
}

// unpack returns the message of a datagram from a server's port and its sender.
// The UDP checksum counts unless the kernel says that it was not made yet, as
// between interfaces of one machine.
func unpack(b []byte, checked bool) (message []byte, from netip.Addr, ok bool) {
	if len(b) < ipHeader || b[0]>>4 != 4 || b[9] != protocolUDP {
		return nil, from, false
	}
	header, total := int(b[0]&0xf)*4, int(binary.BigEndian.Uint16(b[2:]))
	if header < ipHeader || total < header+udpHeader || total > len(b) {
		return nil, from, false
	}
	if binary.BigEndian.Uint16(b[6:])&0x3fff != 0 || fold(sum(0, b[:header])) != 0xffff {
		return nil, from, false // a fragment, or a broken header
	}
	b = b[:total]
	udp := b[header:]
	length := int(binary.BigEndian.Uint16(udp[4:]))
	if binary.BigEndian.Uint16(udp) != serverPort || binary.BigEndian.Uint16(udp[2:]) != clientPort ||
		length < udpHeader || length > len(udp) {
		return nil, from, false
	}
	if checked && udp[6]|udp[7] != 0 && fold(pseudo(b[:header+length])) != 0xffff {
		return nil, from, false
	}
	return udp[udpHeader:length], netip.AddrFrom4([4]byte(b[12:16])), true
}

// pseudo sums the UDP datagram in b with the pseudo header of RFC 768.
func pseudo(b []byte) uint32 {
	udp := b[int(b[0]&0xf)*4:]
	return sum(sum(protocolUDP+uint32(len(udp)), b[12:20]), udp)
}

// sum adds up 16-bit words as RFC 1071 has it.
func sum(s uint32, b []byte) uint32 {
	for ; len(b) > 1; b = b[2:] {
		s += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		s += uint32(b[0]) << 8
	}
	return s
}

func fold(s uint32) uint16 {
	for s>>16 != 0 {
		s = s&0xffff + s>>16
	}
	return uint16(s)
}
