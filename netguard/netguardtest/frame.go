package netguardtest

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"net"
	"net/netip"
)

// Nonce marks the frames of one attack.
type Nonce [12]byte

// NewNonce returns a nonce that no other test has.
func NewNonce() Nonce {
	n := Nonce{'L', 'W', 'C', '!'}
	_, _ = rand.Read(n[4:]) // it never fails: the runtime ends the program first
	return n
}

// In reports whether the frame carries the nonce anywhere.
func (n Nonce) In(frame []byte) bool { return bytes.Contains(frame, n[:]) }

// The protocol numbers of IANA's registry that the builders use.
const (
	protoICMP  = 1
	protoTCP   = 6
	protoUDP   = 17
	protoFrag6 = 44
	protoGRE   = 47
	protoICMP6 = 58
	protoSCTP  = 132
)

// The EtherTypes that the builders use.
const (
	typeIPv4 = 0x0800
	typeARP  = 0x0806
	typeIPv6 = 0x86dd
)

// Packet is an IPv4 or IPv6 packet, by the family of Dst.
type Packet struct {
	Src, Dst netip.Addr
	Proto    byte
	TTL      byte   // hop limit; zero means 64
	Options  []byte // of IPv4, a multiple of four bytes
	ID       uint16 // of IPv4
	Fragment uint16 // flags and offset of IPv4, RFC 791 section 3.1
	Body     []byte
}

// Bytes returns the packet with its checksum.
func (p Packet) Bytes() []byte {
	if p.TTL == 0 {
		p.TTL = 64
	}
	if p.Dst.Is6() {
		b := make([]byte, 40, 40+len(p.Body))
		b[0] = 6 << 4
		binary.BigEndian.PutUint16(b[4:], uint16(len(p.Body)))
		b[6], b[7] = p.Proto, p.TTL
		copy(b[8:], p.Src.AsSlice())
		copy(b[24:], p.Dst.AsSlice())
		return append(b, p.Body...)
	}
	size := 20 + len(p.Options)
	b := make([]byte, size, size+len(p.Body))
	b[0] = 4<<4 | byte(size/4)
	binary.BigEndian.PutUint16(b[2:], uint16(size+len(p.Body)))
	binary.BigEndian.PutUint16(b[4:], p.ID)
	binary.BigEndian.PutUint16(b[6:], p.Fragment)
	b[8], b[9] = p.TTL, p.Proto
	copy(b[12:], p.Src.AsSlice())
	copy(b[16:], p.Dst.AsSlice())
	copy(b[20:], p.Options)
	binary.BigEndian.PutUint16(b[10:], checksum(0, b))
	return append(b, p.Body...)
}

// Frame puts the packet into an Ethernet frame.
func (p Packet) Frame(dst, src net.HardwareAddr) []byte {
	if p.Dst.Is6() {
		return Ethernet(dst, src, typeIPv6, p.Bytes())
	}
	return Ethernet(dst, src, typeIPv4, p.Bytes())
}

// Ethernet returns a frame of that EtherType.
func Ethernet(dst, src net.HardwareAddr, etherType uint16, payload []byte) []byte {
	b := make([]byte, 0, 14+len(payload))
	b = append(b, dst...)
	b = append(b, src...)
	b = binary.BigEndian.AppendUint16(b, etherType)
	return append(b, payload...)
}

// Fragments splits the packet into two, the first with size bytes of the body,
// a multiple of eight.
func (p Packet) Fragments(size int) [2]Packet {
	const id = 0x4c57
	first, second := p, p
	if p.Dst.Is6() { // RFC 8200 section 4.5
		head := func(offset int, more byte) []byte {
			return binary.BigEndian.AppendUint32([]byte{p.Proto, 0, byte(offset >> 8), byte(offset) | more}, id)
		}
		first.Proto, second.Proto = protoFrag6, protoFrag6
		first.Body = append(head(0, 1), p.Body[:size]...)
		second.Body = append(head(size, 0), p.Body[size:]...)
		return [2]Packet{first, second}
	}
	first.ID, second.ID = id, id
	first.Body, first.Fragment = p.Body[:size], 0x2000
	second.Body, second.Fragment = p.Body[size:], uint16(size/8)
	return [2]Packet{first, second}
}

// SourceRouted sends an IPv4 packet by way of hop with the option of RFC 791
// section 3.1: strict or loose source route.
func (p Packet) SourceRouted(hop netip.Addr, strict bool) Packet {
	kind := byte(131)
	if strict {
		kind = 137
	}
	last := p.Dst.As4()
	p.Options = append([]byte{kind, 7, 4}, append(last[:], 0)...)
	p.Dst = hop
	return p
}

// UDP returns a datagram.
func UDP(src, dst netip.AddrPort, payload []byte) Packet {
	b := make([]byte, 8, 8+len(payload))
	binary.BigEndian.PutUint16(b, src.Port())
	binary.BigEndian.PutUint16(b[2:], dst.Port())
	binary.BigEndian.PutUint16(b[4:], uint16(8+len(payload)))
	return sealed(Packet{Src: src.Addr(), Dst: dst.Addr(), Proto: protoUDP, Body: append(b, payload...)}, 6)
}

// The flags of a TCP segment, RFC 9293 section 3.1.
const (
	FIN = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
)

// TCP returns a segment with those flags; a SYN may carry a payload too.
func TCP(src, dst netip.AddrPort, flags byte, payload []byte) Packet {
	b := make([]byte, 20, 20+len(payload))
	binary.BigEndian.PutUint16(b, src.Port())
	binary.BigEndian.PutUint16(b[2:], dst.Port())
	binary.BigEndian.PutUint32(b[4:], 0x4c574301)
	if flags&ACK != 0 {
		binary.BigEndian.PutUint32(b[8:], 0x4c574302)
	}
	b[12], b[13] = 5<<4, flags
	binary.BigEndian.PutUint16(b[14:], 64240)
	return sealed(Packet{Src: src.Addr(), Dst: dst.Addr(), Proto: protoTCP, Body: append(b, payload...)}, 16)
}

// Echo returns an ICMP or ICMPv6 echo request.
func Echo(src, dst netip.Addr, id uint16, payload []byte) Packet {
	b := []byte{8, 0, 0, 0, byte(id >> 8), byte(id), 0, 1}
	if dst.Is6() {
		b[0] = 128
	}
	return ICMP(src, dst, append(b, payload...))
}

// ICMP returns a message of ICMP or ICMPv6 and fills in its checksum.
func ICMP(src, dst netip.Addr, message []byte) Packet {
	p := Packet{Src: src, Dst: dst, Proto: protoICMP, Body: message}
	if dst.Is6() {
		p.Proto = protoICMP6
		return sealed(p, 2)
	}
	binary.BigEndian.PutUint16(p.Body[2:], 0)
	binary.BigEndian.PutUint16(p.Body[2:], checksum(0, p.Body))
	return p
}

// sealed puts the checksum over pseudo-header and body at that offset.
func sealed(p Packet, at int) Packet {
	pseudo := append(p.Src.AsSlice(), p.Dst.AsSlice()...)
	pseudo = append(pseudo, byte(len(p.Body)>>8), byte(len(p.Body)), 0, p.Proto)
	binary.BigEndian.PutUint16(p.Body[at:], 0)
	sum := checksum(add(0, pseudo), p.Body)
	if sum == 0 && p.Proto == protoUDP {
		sum = 0xffff // RFC 768: zero means none
	}
	binary.BigEndian.PutUint16(p.Body[at:], sum)
	return p
}

// checksum is that of RFC 1071 over what is in sum already and b.
func checksum(sum uint32, b []byte) uint16 {
	sum = add(sum, b)
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

func add(sum uint32, b []byte) uint32 {
	for len(b) > 1 {
		sum += uint32(b[0])<<8 | uint32(b[1])
		b = b[2:]
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	return sum
}
