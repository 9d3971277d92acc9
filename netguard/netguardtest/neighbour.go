package netguardtest

import (
	"encoding/binary"
	"hash/crc32"
	"net"
	"net/netip"
)

// Broadcast is the hardware address of everybody.
func Broadcast() net.HardwareAddr { return net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff} }

// ARPRequest is the frame by which the owner of mac and from asks who has an
// IPv4 address (RFC 826).
func ARPRequest(mac net.HardwareAddr, from, who netip.Addr) []byte {
	return Ethernet(Broadcast(), mac, typeARP, arp(1, mac, from, make(net.HardwareAddr, 6), who))
}

// ARPReply tells the owner of toMAC and to that mac has the address is.
func ARPReply(mac net.HardwareAddr, is netip.Addr, toMAC net.HardwareAddr, to netip.Addr) []byte {
	return Ethernet(toMAC, mac, typeARP, arp(2, mac, is, toMAC, to))
}

func arp(op byte, mac net.HardwareAddr, from netip.Addr, toMAC net.HardwareAddr, to netip.Addr) []byte {
	b := []byte{0, 1, 8, 0, 6, 4, 0, op}
	b = append(append(b, mac...), from.AsSlice()...)
	return append(append(b, toMAC...), to.AsSlice()...)
}

// Solicitation is the frame by which the owner of mac and from asks who has an
// IPv6 address (RFC 4861 section 4.3).
func Solicitation(mac net.HardwareAddr, from, who netip.Addr) []byte {
	a := who.As16()
	group := netip.AddrFrom16([16]byte{0xff, 2, 11: 1, 12: 0xff, 13: a[13], 14: a[14], 15: a[15]})
	to := net.HardwareAddr{0x33, 0x33, 0xff, a[13], a[14], a[15]}
	body := append([]byte{135, 0, 0, 0, 0, 0, 0, 0}, a[:]...)
	p := ICMP(from, group, append(append(body, 1, 1), mac...))
	p.TTL = 255
	return p.Frame(to, mac)
}

// Advertisement tells the owner of toMAC and to that mac has the IPv6 address
// is, solicited and to be believed (RFC 4861 section 4.4).
func Advertisement(mac net.HardwareAddr, is netip.Addr, toMAC net.HardwareAddr, to netip.Addr) []byte {
	body := append([]byte{136, 0, 0, 0, 0x60, 0, 0, 0}, is.AsSlice()...)
	p := ICMP(is, to, append(append(body, 2, 1), mac...))
	p.TTL = 255
	return p.Frame(toMAC, mac)
}

// RouterAdvertisement is a rogue router's: it offers itself as the default
// router and prefix for addresses (RFC 4861 section 4.2).
func RouterAdvertisement(mac net.HardwareAddr, from netip.Addr, prefix netip.Prefix) []byte {
	body := []byte{134, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0}
	body = append(append(body, 1, 1), mac...)
	body = append(body, 3, 4, byte(prefix.Bits()), 0xc0)
	body = binary.BigEndian.AppendUint32(body, 86400)
	body = binary.BigEndian.AppendUint32(body, 14400)
	body = append(append(body, 0, 0, 0, 0), prefix.Masked().Addr().AsSlice()...)
	p := ICMP(from, netip.MustParseAddr("ff02::1"), body)
	p.TTL = 255
	return p.Frame(net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}, mac)
}

// Redirect is the message of router that what original was sent to is better
// reached by way of better (RFC 792; RFC 4861 section 4.5 for IPv6).
func Redirect(router, better netip.Addr, original Packet) Packet {
	quoted := original.Bytes()
	if original.Dst.Is6() {
		body := append([]byte{137, 0, 0, 0, 0, 0, 0, 0}, better.AsSlice()...)
		body = append(body, original.Dst.AsSlice()...)
		for len(quoted)%8 != 0 {
			quoted = append(quoted, 0)
		}
		body = append(body, 4, byte(1+len(quoted)/8), 0, 0, 0, 0, 0, 0)
		p := ICMP(router, original.Src, append(body, quoted...))
		p.TTL = 255
		return p
	}
	body := append([]byte{5, 1, 0, 0}, better.AsSlice()...)
	return ICMP(router, original.Src, append(body, quoted[:min(len(quoted), 28)]...))
}

// SCTPInit asks for an SCTP association (RFC 9260 section 3.3.2).
func SCTPInit(src, dst netip.AddrPort) Packet {
	b := make([]byte, 32)
	binary.BigEndian.PutUint16(b, src.Port())
	binary.BigEndian.PutUint16(b[2:], dst.Port())
	b[12], b[15] = 1, 20
	binary.BigEndian.PutUint32(b[16:], 0x4c574301)
	binary.BigEndian.PutUint32(b[20:], 65535)
	b[25], b[27] = 1, 1
	binary.BigEndian.PutUint32(b[28:], 1)
	sum := crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
	binary.LittleEndian.PutUint32(b[8:], sum)
	return Packet{Src: src.Addr(), Dst: dst.Addr(), Proto: protoSCTP, Body: b}
}

// GRE tunnels a packet from src to dst (RFC 2784).
func GRE(src, dst netip.Addr, inner Packet) Packet {
	head := []byte{0, 0, typeIPv4 >> 8, typeIPv4 & 0xff}
	if inner.Dst.Is6() {
		head = []byte{0, 0, typeIPv6 >> 8, typeIPv6 & 0xff}
	}
	return Packet{Src: src, Dst: dst, Proto: protoGRE, Body: append(head, inner.Bytes()...)}
}

// DHCPOffer offers an address, and server as the router, to the client with that
// hardware address (RFC 2131). kind 2 is an offer, 5 an acknowledgement; xid has
// to be the client's.
func DHCPOffer(kind byte, xid uint32, server netip.Addr, offered netip.Prefix, mac net.HardwareAddr) Packet {
	b := make([]byte, 236)
	b[0], b[1], b[2] = 2, 1, 6
	binary.BigEndian.PutUint32(b[4:], xid)
	copy(b[16:], offered.Addr().AsSlice())
	copy(b[20:], server.AsSlice())
	copy(b[28:], mac)
	option := func(code byte, value []byte) { b = append(append(b, code, byte(len(value))), value...) }
	b = append(b, 99, 130, 83, 99)
	option(53, []byte{kind})
	option(54, server.AsSlice())
	option(51, []byte{0, 0, 14, 16})
	option(1, net.CIDRMask(offered.Bits(), 32))
	option(3, server.AsSlice())
	b = append(b, 255)
	all := netip.AddrFrom4([4]byte{255, 255, 255, 255})
	return UDP(netip.AddrPortFrom(server, 67), netip.AddrPortFrom(all, 68), b)
}
