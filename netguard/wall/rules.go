package wall

import (
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Hooks and policies (include/uapi/linux/netfilter.h), and the priority before
// all but defragmentation (netfilter_ipv4.h, NF_IP_PRI_RAW).
const (
	hookPrerouting = 0
	hookInput      = 1
	hookForward    = 2
	hookOutput     = 3
	hookIngress    = 0
	hookEgress     = 1

	policyDrop  = 0
	priorityRaw = -300
)

// loopback is the index of lo: the first link of every namespace.
const loopback = 1

// Registers: the first of 16 bytes, and those of 4 bytes behind a key's address.
const (
	register     = unix.NFT_REG_1
	registerBits = unix.NFT_REG32_00
)

// The directions of a tracked connection (enum ip_conntrack_dir).
const (
	directionOriginal = 0
	directionReply    = 1
)

// match is a part of a rule's condition.
type match []expr.Any

// accept makes a rule of the matches; all must hold.
func accept(comment, needs string, matches ...match) rule {
	return verdict(expr.VerdictAccept, comment, needs, matches)
}

func drop(comment, needs string, matches ...match) rule {
	return verdict(expr.VerdictDrop, comment, needs, matches)
}

func verdict(kind expr.VerdictKind, comment, needs string, matches []match) rule {
	var all []expr.Any
	for _, m := range matches {
		all = append(all, m...)
	}
	return rule{comment, append(all, &expr.Verdict{Kind: kind}), needs}
}

func equal(value []byte) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: value}
}

func meta(key expr.MetaKey, value []byte) match {
	return match{&expr.Meta{Key: key, Register: register}, equal(value)}
}

func iif(index int) match       { return meta(expr.MetaKeyIIF, native32(uint32(index))) }
func oif(index int) match       { return meta(expr.MetaKeyOIF, native32(uint32(index))) }
func nfproto(family byte) match { return meta(expr.MetaKeyNFPROTO, []byte{family}) }
func l4proto(number byte) match { return meta(expr.MetaKeyL4PROTO, []byte{number}) }

// ethertype compares the protocol of the frame's content.
func ethertype(number uint16) match { return meta(expr.MetaKeyPROTOCOL, big16(number)) }

// state holds when the connection is in one of the states.
func state(bits uint32) match {
	return match{
		&expr.Ct{Key: expr.CtKeySTATE, Register: register},
		&expr.Bitwise{SourceRegister: register, DestRegister: register, Len: 4, Mask: native32(bits), Xor: native32(0)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: register, Data: native32(0)},
	}
}

func direction(d byte) match {
	return match{&expr.Ct{Key: expr.CtKeyDIRECTION, Register: register}, equal([]byte{d})}
}

// localAddress holds when the destination is an address of the link that the
// packet came in by: fib daddr . iif type local.
func localAddress() match {
	return match{
		&expr.Fib{Register: register, ResultADDRTYPE: true, FlagDADDR: true, FlagIIF: true},
		equal(native32(unix.RTN_LOCAL)),
	}
}

// noWayBack holds when the source cannot be reached by the link that the packet
// came in by: fib saddr . iif oif missing.
func noWayBack() match {
	return match{
		&expr.Fib{Register: register, ResultOIF: true, FlagSADDR: true, FlagIIF: true},
		equal(native32(0)),
	}
}

// foreignSource holds when the source is not an address of this namespace, which
// a socket with IP_FREEBIND or IP_TRANSPARENT can have: fib saddr type != local.
func foreignSource() match {
	return match{
		&expr.Fib{Register: register, ResultADDRTYPE: true, FlagSADDR: true},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: register, Data: native32(unix.RTN_LOCAL)},
	}
}

// Mark is on every packet that has passed the output chain, and has to be on what
// a packet socket sends. IP without it comes from a link that somebody put on top
// of the port in another namespace: a macvlan in mode passthru and an ipvlan have
// the port's own hardware address, and no netlink message of that namespace.
const Mark = 0x6c7763

func mark() rule {
	return rule{"mark what is our own", []expr.Any{
		&expr.Immediate{Register: register, Data: native32(Mark)},
		&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: register},
	}, needsTables}
}

func unmarked() match {
	return match{&expr.Meta{Key: expr.MetaKeyMARK, Register: register},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: register, Data: native32(Mark)}}
}

func payload(base expr.PayloadBase, offset, length uint32, reg uint32) expr.Any {
	return &expr.Payload{DestRegister: reg, Base: base, Offset: offset, Len: length}
}

func inSet(name string) expr.Any {
	return &expr.Lookup{SourceRegister: register, SetName: name}
}

// etherSource holds when the frame comes from that hardware address. It does not
// ask for the type of the link first, as nft would: there is no incoming link at
// the egress hook, and the rule would never hold. nft shows it in raw form.
func etherSource(mac []byte) match {
	return match{payload(expr.PayloadBaseLLHeader, 6, 6, register), equal(mac)}
}

// loopbackSender holds when an ARP message tells an address of 127.0.0.0/8: its
// sender's protocol address is behind 14 bytes (RFC 826).
func loopbackSender() match {
	return match{payload(expr.PayloadBaseNetworkHeader, 14, 1, register), equal([]byte{127})}
}

// icmpType holds when the type of the ICMP message (RFC 792, RFC 4443) is in the set.
func icmpType(set string) match {
	return match{payload(expr.PayloadBaseTransportHeader, 0, 1, register), inSet(set)}
}

// icmpIs compares the type of the ICMP message.
func icmpIs(number byte) match {
	return match{payload(expr.PayloadBaseTransportHeader, 0, 1, register), equal([]byte{number})}
}

// hopLimit compares the hop limit of the IPv6 header.
func hopLimit(n byte) match {
	return match{payload(expr.PayloadBaseNetworkHeader, 7, 1, register), equal([]byte{n})}
}

// linkLocalSource holds for IPv6 packets from fe80::/10.
func linkLocalSource() match {
	return match{
		payload(expr.PayloadBaseNetworkHeader, 8, 2, register),
		&expr.Bitwise{SourceRegister: register, DestRegister: register, Len: 2, Mask: []byte{0xff, 0xc0}, Xor: []byte{0, 0}},
		equal([]byte{0xfe, 0x80}),
	}
}

// destination loads the destination address into the first register.
func destination(family byte, reg uint32) expr.Any {
	if family == unix.NFPROTO_IPV6 {
		return payload(expr.PayloadBaseNetworkHeader, 24, 16, reg)
	}
	return payload(expr.PayloadBaseNetworkHeader, 16, 4, reg)
}

// destinationPort loads the destination port of TCP or UDP.
func destinationPort(reg uint32) expr.Any {
	return payload(expr.PayloadBaseTransportHeader, 2, 2, reg)
}

// endpoint holds when destination, protocol and port are together in the set.
func endpoint(family byte, set string) match {
	next := uint32(registerBits + 1)
	if family == unix.NFPROTO_IPV6 {
		next = registerBits + 4
	}
	return match{
		destination(family, register),
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: next},
		destinationPort(next + 1),
		inSet(set),
	}
}
