package netguard

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/vishvananda/netlink"

	"lwc/netguard/netguardtest"
)

// The card that both ports share and the far end of its cable, in the switch.
const (
	trunkCard = "nic0"
	trunkLink = "trunk"
	// nativeVLAN is what the switch calls untagged frames of the trunk.
	nativeVLAN = 10
)

// layout is how the two ports share a card; tag 0 is untagged.
type layout struct {
	name               string
	internal, external uint16
}

// layouts are all of them, and for an ordinary user, for whom the kernel does the
// same, one of each kind.
func layouts() []layout {
	all := []layout{{"both tagged", 20, 30}, {"internal untagged", 0, 30}, {"external untagged", 20, 0}}
	if insideUserns() {
		return all[:2]
	}
	return all
}

// eachLayout runs the test for every layout at once; not more, because a sniffer
// takes 16 MiB.
func eachLayout(t *testing.T, attack func(t *testing.T, l layout)) {
	needVLAN(t)
	for _, l := range layouts() {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			attack(t, l)
		})
	}
}

// trunk is a site whose box has one card on a switch with VLANs. Device and cloud
// are each at a port of that switch with one VLAN.
type trunk struct {
	*scene
	layout
	plug *netguardtest.Host // the switch
}

// newTrunk makes the site around a box that nobody has touched yet.
func newTrunk(t *testing.T, l layout) *trunk {
	t.Helper()
	needNamespaces(t)
	box, plug := newHost(t), newHost(t)
	must(t, plug.Set("ipv6/conf/all/disable_ipv6", "1")) // a switch says nothing of its own
	must(t, plug.Set("ipv6/conf/default/disable_ipv6", "1"))
	must(t, netguardtest.Cable(box, trunkCard, plug, trunkLink))
	card, err := box.Link(trunkCard)
	must(t, err)
	must(t, box.Netlink().LinkSetDown(card))
	wire := func(tag uint16, net4, net6 string) netguardtest.Wire {
		return netguardtest.Wire{Port: laneName(trunkCard, tag), MAC: card.Attrs().HardwareAddr,
			Near4: netip.MustParsePrefix(net4 + "2/24"), Near6: netip.MustParsePrefix(net6 + "2/64"),
			Far4: netip.MustParsePrefix(net4 + "1/24"), Far6: netip.MustParsePrefix(net6 + "1/64")}
	}
	site := &netguardtest.Site{Box: box, Internal: wire(l.internal, "10.11.0.", "fd00:11::"), External: wire(l.external, "192.0.2.", "fd00:22::")}
	s := &trunk{scene: &scene{Site: site, dir: t.TempDir()}, layout: l, plug: plug}
	t.Cleanup(func() { unmountAll(t, s.dir) })
	s.connect(t)
	in, ext := site.Internal, site.External
	s.config = Config{NamespaceDir: s.dir,
		Internal: Port{Interface: trunkCard, VLAN: l.internal, Addresses: []netip.Prefix{in.Near4, in.Near6}},
		External: Port{Interface: trunkCard, VLAN: l.external, Addresses: []netip.Prefix{ext.Near4, ext.Near6},
			Gateway: ext.Far4.Addr(), Routes: []Route{route("default via " + ext.Far6.Addr().String())}},
		Allow: []Endpoint{{Host: ext.Far4.Addr().String(), Port: 443}, {Host: ext.Far6.Addr().String(), Port: 443}}}
	return s
}

func newHost(t *testing.T) *netguardtest.Host {
	t.Helper()
	h, err := netguardtest.NewHost()
	must(t, err)
	t.Cleanup(h.Close)
	return h
}

// connect makes the switch: a bridge that keeps VLANs apart, with the trunk, the
// device and the cloud at its ports.
func (s *trunk) connect(t *testing.T) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "switch"
	yes, none := true, uint16(0)
	bridge := &netlink.Bridge{LinkAttrs: attrs, VlanFiltering: &yes, VlanDefaultPVID: &none}
	nl := s.plug.Netlink()
	must(t, nl.LinkAdd(bridge))
	must(t, nl.LinkSetUp(bridge))
	uplink, err := s.plug.Link(trunkLink)
	must(t, err)
	must(t, nl.LinkSetMaster(uplink, bridge))
	for name, p := range map[string]struct {
		wire *netguardtest.Wire
		tag  uint16
	}{"device": {&s.Internal, s.internal}, "cloud": {&s.External, s.external}} {
		p.wire.Far = newHost(t)
		must(t, netguardtest.Cable(s.plug, name, p.wire.Far, netguardtest.FarLink))
		access, err := s.plug.Link(name)
		must(t, err)
		must(t, nl.LinkSetMaster(access, bridge))
		vid, native := p.tag, p.tag == 0
		if native {
			vid = nativeVLAN
		}
		must(t, nl.BridgeVlanAdd(access, vid, true, true, false, true))
		must(t, nl.BridgeVlanAdd(uplink, vid, native, native, false, true))
		far, err := p.wire.Far.Link(netguardtest.FarLink)
		must(t, err)
		p.wire.FarMAC = far.Attrs().HardwareAddr
		must(t, p.wire.Far.Address(netguardtest.FarLink, p.wire.Far4, p.wire.Far6))
		for _, via := range []netip.Addr{p.wire.Near(false), p.wire.Near(true)} {
			must(t, p.wire.Far.Route(defaultPrefix(via), via))
		}
	}
}

// openTrunk makes the control: the box has both VLANs in one namespace, with the
// addresses and every sysctl as an attacker would wish.
func openTrunk(t *testing.T, l layout) *trunk {
	t.Helper()
	s := newTrunk(t, l)
	s.lanes(t)
	for _, w := range []netguardtest.Wire{s.Internal, s.External} {
		must(t, s.Box.Address(w.Port, w.Near4, w.Near6))
	}
	must(t, s.Box.Forward())
	s.awaitUp(t, s.Box, s.Box)
	return s
}

// lanes splits the card in the namespace of the box.
func (s *trunk) lanes(t *testing.T) {
	t.Helper()
	must(t, s.Box.Up(trunkCard))
	card, err := s.Box.Link(trunkCard)
	must(t, err)
	for _, tag := range []uint16{s.internal, s.external} {
		if tag == 0 {
			continue
		}
		a := netlink.NewLinkAttrs()
		a.Name, a.ParentIndex = laneName(trunkCard, tag), card.Attrs().Index
		must(t, s.Box.Netlink().LinkAdd(&netlink.Vlan{LinkAttrs: a, VlanId: int(tag), VlanProtocol: netlink.VLAN_PROTOCOL_8021Q}))
		must(t, s.Box.Up(a.Name))
	}
}

// bridgedTrunk is a worse control: the box passes every frame of one VLAN, or of
// none, to the others.
func bridgedTrunk(t *testing.T, l layout) *trunk {
	t.Helper()
	s := newTrunk(t, l)
	s.lanes(t)
	links := []string{trunkCard}
	for _, w := range []netguardtest.Wire{s.Internal, s.External} {
		if w.Port != trunkCard {
			links = append(links, w.Port)
		}
	}
	must(t, s.Box.Bridge("br0", links...))
	s.awaitUp(t, s.Box, s.Box)
	return s
}

func (s *trunk) awaitUp(t *testing.T, internal, external *netguardtest.Host) {
	t.Helper()
	must(t, internal.AwaitUp(within(t, slow(testTimeout)), s.Internal.Port))
	must(t, external.AwaitUp(within(t, slow(testTimeout)), s.External.Port))
	for _, w := range []netguardtest.Wire{s.Internal, s.External} {
		must(t, w.Far.AwaitUp(within(t, slow(testTimeout)), netguardtest.FarLink))
	}
}

// card opens the namespace of the card.
func (s *trunk) card(t *testing.T) *netguardtest.Host {
	t.Helper()
	h, err := netguardtest.OpenHost(filepath.Join(s.dir, CardNamespace))
	must(t, err)
	t.Cleanup(h.Close)
	return h
}

// all are the namespaces of a guarded box.
func (s *trunk) all(t *testing.T) []*netguardtest.Host {
	t.Helper()
	return append(s.boxes(t), s.card(t))
}

// sendAtTrunk opens a sender of frames with any tag.
func (s *trunk) sendAtTrunk(t *testing.T) *netguardtest.Sender {
	t.Helper()
	at, err := s.plug.Sender(trunkLink)
	must(t, err)
	t.Cleanup(at.Close)
	return at
}

// loose are three sniffers of all that the box says beside the answers to who has
// an address, each about the network that it is in: at the device, at the cloud
// and at the trunk, before the switch looks at tags.
func (s *trunk) loose(t *testing.T) map[string]*netguardtest.Sniffer {
	t.Helper()
	either := func(frame []byte) bool {
		return fromPort(s.Internal, frame) && !aboutItself(s.Internal, frame) && !aboutItself(s.External, frame)
	}
	at, err := netguardtest.Sniff(s.plug, trunkLink, either)
	must(t, err)
	t.Cleanup(func() {
		if _, err := at.Stop(); err != nil {
			t.Error(err)
		}
	})
	return map[string]*netguardtest.Sniffer{"to the device": sniff(t, s.Internal, fromBox(s.Internal)),
		"to the cloud": sniff(t, s.External, fromBox(s.External)), "on the trunk": at}
}

// vlanTag is one tag of a frame: that of 802.1Q, or of 802.1ad.
type vlanTag struct{ protocol, vid uint16 }

func tag(vid uint16) vlanTag { return vlanTag{0x8100, vid} }

// tagged puts tags into a frame, the outermost first.
func tagged(frame []byte, tags ...vlanTag) []byte {
	b := bytes.Clone(frame[:12])
	for _, t := range tags {
		b = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, t.protocol), t.vid)
	}
	return append(b, frame[12:]...)
}

// disguise is a way to tag a frame so that it may be taken for the other side's.
type disguise struct {
	name string
	tags []vlanTag
}

// disguises are those of who is in the VLAN own and means the VLAN other.
func disguises(own, other uint16) []disguise {
	all := []disguise{{"untagged", nil}, {"priority-tagged", []vlanTag{tag(0)}},
		{"unknown tag", []vlanTag{tag(99)}}, {"reserved tag", []vlanTag{tag(4095)}},
		{"native tag, then the other's", []vlanTag{tag(nativeVLAN), tag(other)}},
		{"priority, then the other's", []vlanTag{tag(0), tag(other)}},
		{"priority, then own", []vlanTag{tag(0), tag(own)}},
		{"own twice, then the other's", []vlanTag{tag(own), tag(own), tag(other)}},
		{"own, then the other's", []vlanTag{tag(own), tag(other)}},
		{"802.1ad own, then the other's", []vlanTag{{0x88a8, own}, tag(other)}},
		{"802.1ad the other's", []vlanTag{{0x88a8, other}}}}
	if other != 0 {
		all = append(all, disguise{"the other's tag", []vlanTag{tag(other)}})
	}
	return all
}

// contents are what a frame may carry that a box would pass on or answer: packets
// from one side's host to the other side's and to the box's address there, with
// a forged source too, and questions for hardware addresses.
func contents(own, other netguardtest.Wire, nonce netguardtest.Nonce) (frames [][]byte) {
	for _, six := range []bool{false, true} {
		forged := other.FarAddr(six).As16()
		forged[15] = 77
		for _, src := range []netip.Addr{own.FarAddr(six), netip.AddrFrom16(forged).Unmap()} {
			for _, dst := range []netip.Addr{other.FarAddr(six), other.Near(six)} {
				from, to := netip.AddrPortFrom(src, 40003), netip.AddrPortFrom(dst, listenerPort)
				for _, p := range []netguardtest.Packet{netguardtest.Echo(src, dst, 5, nonce[:]), netguardtest.UDP(from, to, nonce[:]),
					netguardtest.TCP(from, to, netguardtest.SYN, nonce[:])} {
					for _, mac := range []net.HardwareAddr{own.MAC, netguardtest.Broadcast(), other.FarMAC} {
						frames = append(frames, p.Frame(mac, own.FarMAC))
					}
				}
			}
		}
	}
	return append(frames, questions(own, other)...)
}
