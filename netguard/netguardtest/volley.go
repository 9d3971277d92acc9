package netguardtest

import (
	"maps"
	"net/netip"
	"sync"
)

// Strike is an attack of a few frames that a box without a guard lets through.
type Strike struct {
	Name   string
	Nonce  Nonce
	Frames [][]byte
}

// Volley is all strikes from the host at a, over the box, to the host at b.
func Volley(a, b Wire) []Strike {
	var all []Strike
	add := func(name string, packets func(mark []byte) []Packet) {
		s := Strike{Name: name, Nonce: NewNonce()}
		for _, p := range packets(s.Nonce[:]) {
			s.Frames = append(s.Frames, p.Frame(a.MAC, a.FarMAC))
		}
		all = append(all, s)
	}
	for _, six := range []bool{false, true} {
		src, dst := netip.AddrPortFrom(a.FarAddr(six), 40000), netip.AddrPortFrom(b.FarAddr(six), 8080)
		v := map[bool]string{false: "", true: " v6"}[six]
		add("icmp"+v, func(m []byte) []Packet { return list(Echo(src.Addr(), dst.Addr(), 1, m)) })
		add("udp"+v, func(m []byte) []Packet { return list(UDP(src, dst, m)) })
		add("tcp syn"+v, func(m []byte) []Packet { return list(TCP(src, dst, SYN, m)) })
		add("tcp ack"+v, func(m []byte) []Packet { return list(TCP(src, dst, ACK, m)) })
		add("gre"+v, func(m []byte) []Packet {
			return list(GRE(src.Addr(), dst.Addr(), UDP(src, dst, m)))
		})
		add("fragments"+v, func(m []byte) []Packet {
			f := UDP(src, dst, append(make([]byte, 56), append(m, m...)...)).Fragments(64)
			return f[:]
		})
	}
	addOdd(a, b, add)
	return all
}

func list(p ...Packet) []Packet { return p }

// The groups to which the strikes of a Volley go: a kernel forwards none by itself,
// only with a relay, see [Host.RelayGroup].
const (
	Group4 = "239.1.2.3"
	Group6 = "ff0e::123"
)

// addOdd adds what routers treat specially.
func addOdd(a, b Wire, add func(string, func([]byte) []Packet)) {
	src, dst := netip.AddrPortFrom(a.FarAddr(false), 40000), netip.AddrPortFrom(b.FarAddr(false), 8080)
	for _, strict := range []bool{false, true} {
		add(map[bool]string{false: "lsrr", true: "ssrr"}[strict], func(m []byte) []Packet {
			return list(UDP(src, dst, m).SourceRouted(a.Near(false), strict))
		})
	}
	broadcast := b.Far4.Masked().Addr().As4()
	broadcast[3] = 255
	add("directed broadcast", func(m []byte) []Packet {
		return list(UDP(src, netip.AddrPortFrom(netip.AddrFrom4(broadcast), 8080), m))
	})
	for _, group := range []string{Group4, Group6} {
		to := netip.AddrPortFrom(netip.MustParseAddr(group), 8080)
		add("multicast "+group, func(m []byte) []Packet {
			return list(UDP(netip.AddrPortFrom(a.FarAddr(to.Addr().Is6()), 40000), to, m))
		})
	}
}

// Tally counts what arrived of each strike.
type Tally struct {
	Strikes []Strike
	mu      sync.Mutex // guards what follows
	arrived map[string]int
}

// NewTally returns one that has seen nothing yet.
func NewTally(strikes []Strike) *Tally { return &Tally{Strikes: strikes, arrived: map[string]int{}} }

// Match is for Sniff: it counts the frames of the strikes.
func (c *Tally) Match(frame []byte) bool {
	for _, s := range c.Strikes {
		if s.Nonce.In(frame) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.arrived[s.Name]++
			return true
		}
	}
	return false
}

// Arrived is how many frames came of each strike, by its name.
func (c *Tally) Arrived() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.arrived)
}

// Total is the number of frames, and missing the strikes of which none came.
func (c *Tally) Total() (frames int, missing []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.Strikes {
		frames += c.arrived[s.Name]
		if c.arrived[s.Name] == 0 {
			missing = append(missing, s.Name)
		}
	}
	return frames, missing
}
