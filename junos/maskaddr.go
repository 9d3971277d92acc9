package junos

import (
	"bytes"
	"encoding/hex"
	"net/netip"
)

// addressClass marks what addresses are made of.
var addressClass = func() (class [256]bool) {
	for c := range class {
		class[c] = c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f' || c == ':' || c == '.' || c == '-'
	}
	return class
}()

// wordPart marks what may not stand beside an address.
func wordPart(c byte) bool { return isLetter(c) || c >= '0' && c <= '9' || c == '_' }

// addresses finds MAC and IP addresses.
func (f *finder) addresses(p []byte, from int) {
	for i := from; i < len(p); {
		if !addressClass[p[i]] {
			i++
			continue
		}
		j := i
		for j < len(p) && addressClass[p[j]] {
			j++
		}
		if j-i >= 3 && (i == 0 || !wordPart(p[i-1])) {
			f.address(p, i, j)
		}
		i = j
	}
}

// address finds the addresses in p[i:j], which is made of what they are.
func (f *finder) address(p []byte, i, j int) {
	for i < j {
		n := 0
		switch {
		case f.rules.classes[MaskMACs]:
			if n = f.mac(p, i, j); n > 0 {
				break
			}
			fallthrough
		default:
			if f.rules.classes[MaskIPs] {
				n = f.ip(p, i, j)
			}
		}
		if n > 0 {
			i += n
			continue
		}
		// The next may begin behind a hyphen, as in a range.
		n = bytes.IndexByte(p[i:j], '-')
		if n < 0 {
			return
		}
		i += n + 1
	}
}

// mac finds a MAC address of six octets at p[i].
func (f *finder) mac(p []byte, i, j int) int {
	const size = 17
	if j-i < size || i+size < len(p) && (wordPart(p[i+size]) || p[i+size] == p[i+2]) {
		return 0
	}
	sep := p[i+2]
	if sep != ':' && sep != '-' {
		return 0
	}
	var octets [6]byte
	for k := range octets {
		at := i + 3*k
		if k > 0 && p[at-1] != sep {
			return 0
		}
		if _, err := hex.Decode(octets[k:k+1], p[at:at+2]); err != nil {
			return 0
		}
	}
	f.spans = append(f.spans, span{begin: i, from: i, to: i + size, class: MaskMACs, with: f.namer.ofMAC(nil, octets, sep)})
	return size
}

// ip finds an IP address at p[i]. A port may follow it behind a dot, as in the
// tables of connections.
func (f *finder) ip(p []byte, i, j int) int {
	word := p[i:j]
	if n := bytes.IndexByte(word, '-'); n >= 0 {
		word = word[:n]
	}
	if j < len(p) && wordPart(p[j]) && len(word) == j-i {
		return 0
	}
	word = bytes.TrimRight(word, ".")
	for _, w := range [][]byte{word, bytes.TrimRight(word, ":"), cutLast(word, '.'), cutLast(word, ':')} {
		a, err := netip.ParseAddr(string(w))
		if len(w) < 2 || err != nil {
			continue
		}
		if special(a) {
			return len(w)
		}
		f.spans = append(f.spans, span{begin: i, from: i, to: i + len(w), class: MaskIPs, with: f.namer.ofIP(nil, a)})
		return len(w)
	}
	return 0
}

// cutLast cuts p before its last byte c.
func cutLast(p []byte, c byte) []byte {
	if n := bytes.LastIndexByte(p, c); n >= 0 {
		return p[:n]
	}
	return nil
}

// special tells whether an address names no host of anyone.
func special(a netip.Addr) bool {
	return a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || a.Is4() && a.As4()[0] == 255
}
