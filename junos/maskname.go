package junos

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"net/netip"
)

// pseudonymPrefix is the word that a pseudonym of each class begins with.
var pseudonymPrefix = map[MaskClass]string{
	MaskUserNames:    "user",
	MaskCommunities:  "community",
	MaskSecrets:      "secret",
	MaskDescriptions: "description",
	MaskMACs:         "",
	MaskIPs:          "",
}

// namer makes pseudonyms of values of any length.
type namer struct {
	key   []byte
	mac   hash.Hash // made when first needed
	class MaskClass
	began bool // a byte that is no white space came
	space bool // white space came behind it
	sum   [sha256.Size]byte
}

// begin starts a value.
func (n *namer) begin(class MaskClass) {
	if n.mac == nil {
		n.mac = hmac.New(sha256.New, n.key)
	}
	n.mac.Reset()
	n.class, n.began, n.space = class, false, false
	n.mac.Write(append(append(n.sum[:0], class...), 0))
}

// write takes more of the value. White space at its ends does not count, and
// inside it counts as one space.
func (n *namer) write(p []byte) {
	for len(p) > 0 {
		i := 0
		for i < len(p) && spaceClass[p[i]] {
			i++
		}
		n.space = n.space || i > 0 && n.began
		p = p[i:]
		i = 0
		for i < len(p) && !spaceClass[p[i]] {
			i++
		}
		if i > 0 {
			if n.space {
				n.mac.Write([]byte{' '})
			}
			n.mac.Write(p[:i])
			n.began, n.space = true, false
		}
		p = p[i:]
	}
}

// name appends the pseudonym of what was written.
func (n *namer) name(b []byte) []byte {
	sum := n.mac.Sum(n.sum[:0])
	prefix := pseudonymPrefix[n.class]
	if prefix == "" {
		prefix = string(n.class)
	}
	return hex.AppendEncode(append(append(b, prefix...), '-'), sum[:8])
}

// of appends the pseudonym of a whole value.
func (n *namer) of(b []byte, class MaskClass, value []byte) []byte {
	n.begin(class)
	n.write(value)
	return n.name(b)
}

// ofMAC appends the pseudonym of a MAC address.
func (n *namer) ofMAC(b []byte, octets [6]byte, separator byte) []byte {
	n.begin(MaskMACs)
	n.mac.Write(octets[:])
	sum := n.mac.Sum(n.sum[:0])
	b = append(b, '0', '2')
	for _, o := range sum[:5] {
		b = hex.AppendEncode(append(b, separator), []byte{o})
	}
	return b
}

// ofIP appends the pseudonym of an IP address.
func (n *namer) ofIP(b []byte, a netip.Addr) []byte {
	n.begin(MaskIPs)
	n.mac.Write(a.AsSlice())
	sum := n.mac.Sum(n.sum[:0])
	if a.Is4() {
		return fmt.Appendf(b, "%d.%d.%d.%d", 240+sum[0]%15, sum[1], sum[2], sum[3])
	}
	var to [16]byte
	copy(to[:], []byte{0x20, 0x01, 0x0d, 0xb8})
	copy(to[4:], sum)
	return netip.AddrFrom16(to).AppendTo(b)
}
