package wall

import (
	"bytes"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// The numbers of nft's data types (include/datatype.h of nftables), by which it
// shows the elements; the kernel only keeps them.
const (
	typeIPv4Addr    = 7
	typeIPv6Addr    = 8
	typeInetProto   = 12
	typeInetService = 13
	typeICMPType    = 14
	typeICMPv6Type  = 29
	typeBits        = 6 // of each part of a concatenation
)

// span is the keys from first to last, both included.
type span struct{ first, last []byte }

// constant makes a set that cannot be changed while a rule uses it.
func constant(name string, keyType, keyLen uint32, keys ...[]byte) set {
	s := set{name: name, flags: unix.NFT_SET_CONSTANT, keyType: keyType, keyLen: keyLen}
	for _, k := range keys {
		s.elements = append(s.elements, element{key: k})
	}
	return s
}

// intervals makes a constant set of spans, which may touch and overlap.
func intervals(name string, keyType, keyLen uint32, spans []span) set {
	s := set{name: name, flags: unix.NFT_SET_CONSTANT | unix.NFT_SET_INTERVAL, keyType: keyType, keyLen: keyLen}
	for _, sp := range merge(spans) {
		s.elements = append(s.elements, element{key: sp.first})
		if end, ok := successor(sp.last); ok {
			s.elements = append(s.elements, element{key: end, end: true})
		}
	}
	return s
}

// merge returns the same keys in ascending spans that do not touch.
func merge(spans []span) []span {
	spans = slices.Clone(spans)
	slices.SortFunc(spans, func(a, b span) int { return bytes.Compare(a.first, b.first) })
	var out []span
	for _, s := range spans {
		if len(out) > 0 {
			last := &out[len(out)-1]
			next, ok := successor(last.last)
			if !ok || bytes.Compare(s.first, next) <= 0 {
				if bytes.Compare(s.last, last.last) > 0 {
					last.last = s.last
				}
				continue
			}
		}
		out = append(out, s)
	}
	return out
}

// successor returns the next key; ok is false behind the last one.
func successor(key []byte) (next []byte, ok bool) {
	next = slices.Clone(key)
	for i := len(next) - 1; i >= 0; i-- {
		if next[i]++; next[i] != 0 {
			return next, true
		}
	}
	return nil, false
}

// prefixSpans returns the addresses of the prefixes of one family.
func prefixSpans(prefixes []netip.Prefix, v6 bool) []span {
	var spans []span
	for _, p := range prefixes {
		if p.Addr().Is6() != v6 {
			continue
		}
		first := p.Masked().Addr().AsSlice()
		last := slices.Clone(first)
		for bit := p.Bits(); bit < len(last)*8; bit++ {
			last[bit/8] |= 0x80 >> (bit % 8)
		}
		spans = append(spans, span{first, last})
	}
	return spans
}

func portSpans(ranges []Range) []span {
	var spans []span
	for _, r := range ranges {
		spans = append(spans, span{big16(r.First), big16(r.Last)})
	}
	return spans
}

// endpointKey is the key of an address, protocol and port, each padded to the 4
// bytes of a register.
func endpointKey(a netip.AddrPort, proto byte) []byte {
	key := append(a.Addr().Unmap().AsSlice(), proto, 0, 0, 0)
	return append(append(key, big16(a.Port())...), 0, 0)
}

// endpointOf is the reverse of endpointKey.
func endpointOf(key []byte) (a netip.AddrPort, proto byte, ok bool) {
	n := len(key) - 8
	if n < 0 {
		return netip.AddrPort{}, 0, false
	}
	addr, ok := netip.AddrFromSlice(key[:n])
	return netip.AddrPortFrom(addr, uint16(key[n+4])<<8|uint16(key[n+5])), key[n], ok
}

// endpointType returns the type and length of such keys.
func endpointType(family byte) (keyType, keyLen uint32) {
	keyType, keyLen = typeIPv4Addr, 4
	if family == unix.NFPROTO_IPV6 {
		keyType, keyLen = typeIPv6Addr, 16
	}
	return (keyType<<typeBits|typeInetProto)<<typeBits | typeInetService, keyLen + 8
}

func endpoints(name string, family byte, servers []netip.AddrPort) set {
	keyType, keyLen := endpointType(family)
	var keys [][]byte
	for _, s := range servers {
		if s.Addr().Unmap().Is6() == (family == unix.NFPROTO_IPV6) {
			keys = append(keys, endpointKey(s, unix.IPPROTO_UDP), endpointKey(s, unix.IPPROTO_TCP))
		}
	}
	slices.SortFunc(keys, bytes.Compare)
	return constant(name, keyType, keyLen, slices.CompactFunc(keys, bytes.Equal)...)
}

// permitted is the set that Permit fills. The kernel counts an element until it
// has swept it up, about a second behind its time-out, and while a transaction
// renews it twice: hence the room beyond maxPermitted.
func permitted(name string, family byte) set {
	keyType, keyLen := endpointType(family)
	return set{name: name, flags: unix.NFT_SET_TIMEOUT, keyType: keyType, keyLen: keyLen, size: 4 * maxPermitted}
}
