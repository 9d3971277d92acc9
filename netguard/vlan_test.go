package netguard

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"lwc/testdata/need"
)

// hasVLAN asks the kernel whether it makes 802.1Q links.
func hasVLAN(t *testing.T) bool {
	t.Helper()
	n, err := openNamespace(t.Context(), "", filepath.Join(t.TempDir(), "probe"), true)
	must(t, err)
	defer func() { must(t, n.close()); must(t, unix.Unmount(n.path, unix.MNT_DETACH)) }()
	a := netlink.NewLinkAttrs()
	a.Name = "p0"
	must(t, n.nl.LinkAdd(&netlink.Veth{LinkAttrs: a, PeerName: "p1"}))
	l, err := n.nl.LinkByName("p0")
	must(t, err)
	a = netlink.NewLinkAttrs()
	a.Name, a.ParentIndex = "p0.9", l.Attrs().Index
	err = n.nl.LinkAdd(&netlink.Vlan{LinkAttrs: a, VlanId: 9, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q})
	if err != nil && !lacks(err) {
		t.Fatal(err)
	}
	return err == nil
}

// needVLAN lets the test run where the kernel has 802.1Q links. Where it has not,
// `make test-kernels` runs it under kernels that have.
func needVLAN(t *testing.T) {
	t.Helper()
	if hasVLAN(t) {
		return
	}
	need.Kernel(t, "8021q", "CONFIG_VLAN_8021Q")
}

// newTrunkSite has one card, nic0, whose far end carries the device network as
// VLAN deviceTag (0: untagged) and the cloud network as VLAN 30.
func newTrunkSite(t *testing.T, deviceTag uint16) *site {
	t.Helper()
	s := newSite(t)
	for _, name := range []string{"lwcint0", "lwcext0"} {
		l, err := netlink.LinkByName(name)
		must(t, err)
		must(t, netlink.LinkDel(l))
	}
	addVeth(t, "nic0", s.device)
	s.cloud = s.device
	ip(t, s.far(), "link", "set", "eth0", "up")
	s.carry(t, deviceTag, deviceAddr4+"/24")
	s.carry(t, 30, cloudAddr4+"/24")
	s.config.Internal.Interface, s.config.Internal.VLAN = "nic0", deviceTag
	s.config.External.Interface, s.config.External.VLAN = "nic0", 30
	return s
}

func (s *site) far() string { return filepath.Join(s.dir, "device") }

// carry puts an address on the VLAN at the far end of the card, if the kernel can.
func (s *site) carry(t *testing.T, tag uint16, address string) {
	t.Helper()
	link := "eth0"
	if tag != 0 {
		if !hasVLAN(t) {
			return
		}
		link = laneName("eth0", tag)
		ip(t, s.far(), "link", "add", "link", "eth0", "name", link, "type", "vlan", "id", laneName("", tag)[1:])
		ip(t, s.far(), "link", "set", link, "up")
	}
	ip(t, s.far(), "addr", "add", address, "dev", link)
}

// links lists what a namespace holds beside lo, as the kernel's own tool does.
func links(t *testing.T, path string) string {
	t.Helper()
	var names []string
	for _, line := range strings.Split(ip(t, path, "-o", "link"), "\n") {
		// Beside the links the tool writes that it cannot name the namespace of a peer.
		if f := strings.Fields(line); len(f) > 1 && f[0] != "Error:" && f[1] != "lo:" {
			names = append(names, strings.TrimSuffix(f[1], ":"))
		}
	}
	return strings.Join(names, " ")
}

// Both ports on one card, both tagged or one not: each reaches its own network,
// each namespace holds its own sub-interface alone, and the card lies apart.
func TestVLANOneCard(t *testing.T) {
	for _, tt := range []struct {
		name string
		tag  uint16
		link string
	}{{"both tagged", 20, "nic0.20@if"}, {"one untagged", 0, "nic0@if"}} {
		t.Run(tt.name, func(t *testing.T) {
			needVLAN(t)
			s := newTrunkSite(t, tt.tag)
			device := serve(t, s.device, deviceAddr4+":830", "device")
			cloud := serve(t, s.device, cloudAddr4+":443", "cloud")
			g := s.up(t)
			if c, err := g.Internal().DialContext(within(t, testTimeout), "tcp", device); err != nil {
				t.Error(err)
			} else if got := readAll(t, c); got != "device" {
				t.Errorf("the device said %q", got)
			}
			expectGreeting(t, g, cloud, "cloud")
			expectClean(t, g)
			s.expectApart(t, tt.link)
			before := s.trunkState(t)
			must(t, g.Close())
			if out := ip(t, s.cardPath(), "link", "show", "nic0"); !strings.Contains(out, "state DOWN") {
				t.Errorf("the card is up after Close:\n%s", out)
			}
			s.up(t)
			if after := s.trunkState(t); after != before {
				t.Errorf("state differs after the second Up\nfirst:\n%s\nsecond:\n%s", before, after)
			}
		})
	}
}

func (s *site) cardPath() string { return filepath.Join(s.dir, CardNamespace) }

func (s *site) expectApart(t *testing.T, internal string) {
	t.Helper()
	for path, want := range map[string]string{s.config.paths()[0]: internal, s.config.paths()[1]: "nic0.30@if", s.cardPath(): "nic0@if"} {
		if got := links(t, path); !strings.HasPrefix(got, want) || strings.Contains(got, " ") {
			t.Errorf("%s holds %q, want %s and no other", path, got, want)
		}
	}
	if out := ip(t, s.cardPath(), "addr", "show", "nic0"); strings.Contains(out, "inet") {
		t.Errorf("the card has an address:\n%s", out)
	}
	if l, err := netlink.LinkByName("nic0"); err == nil {
		t.Errorf("the process sees %s", l.Attrs().Name)
	}
}

func (s *site) trunkState(t *testing.T) string {
	t.Helper()
	return s.kernelState(t) + ip(t, s.cardPath(), "-d", "-o", "link", "show", "nic0") + ip(t, s.cardPath(), "addr")
}

// Two cards, each with a tagged port: each card has a namespace of its own, so
// that no link of one leads to the other.
func TestVLANTwoCards(t *testing.T) {
	needVLAN(t)
	s := newSite(t)
	for name, tag := range map[string]string{"device": "20", "cloud": "30"} {
		far := filepath.Join(s.dir, name)
		ip(t, far, "link", "add", "link", "eth0", "name", "eth0."+tag, "type", "vlan", "id", tag)
		ip(t, far, "link", "set", "eth0."+tag, "up")
	}
	ip(t, filepath.Join(s.dir, "device"), "addr", "del", deviceAddr4+"/24", "dev", "eth0")
	ip(t, filepath.Join(s.dir, "device"), "addr", "add", deviceAddr4+"/24", "dev", "eth0.20")
	ip(t, filepath.Join(s.dir, "cloud"), "addr", "del", cloudAddr4+"/24", "dev", "eth0")
	ip(t, filepath.Join(s.dir, "cloud"), "addr", "add", cloudAddr4+"/24", "dev", "eth0.30")
	s.config.Internal.VLAN, s.config.External.VLAN = 20, 30
	cloud := serve(t, s.cloud, cloudAddr4+":443", "cloud")
	g := s.up(t)
	expectGreeting(t, g, cloud, "cloud")
	for name, want := range map[string]string{InternalCardNamespace: "lwcint0@if", ExternalCardNamespace: "lwcext0@if"} {
		if got := links(t, filepath.Join(s.dir, name)); !strings.HasPrefix(got, want) || strings.Contains(got, " ") {
			t.Errorf("%s holds %q, want %s", name, got, want)
		}
	}
	must(t, g.Close())
	// Without tags again: the cards are the ports, and nothing is left of before.
	s.config.Internal.VLAN, s.config.External.VLAN = 0, 0
	must(t, s.up(t).Close())
	if got := links(t, s.config.paths()[0]); !strings.HasPrefix(got, "lwcint0@if") || strings.Contains(got, " ") {
		t.Errorf("%s holds %q", s.config.paths()[0], got)
	}
	if _, err := os.Stat(filepath.Join(s.dir, InternalCardNamespace)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the card's namespace is still there: %v", err)
	}
}

// A card that went away took its sub-interfaces along; when it is back, arrange
// makes all of it again.
func TestVLANCardReturns(t *testing.T) {
	needVLAN(t)
	s := newTrunkSite(t, 20)
	g := s.up(t)
	mac := g.cards[0].link.mac
	g.verifying.Lock()
	ip(t, s.cardPath(), "link", "del", "nic0")
	if err := g.arrange(t.Context()); !errors.Is(err, ErrNoInterface) {
		t.Errorf("arrange: %v, want ErrNoInterface", err)
	}
	addVeth(t, "nic0", s.device)
	l, err := netlink.LinkByName("nic0")
	must(t, err)
	if err := g.arrange(t.Context()); !errors.Is(err, ErrReplaced) {
		t.Errorf("arrange with another card: %v, want ErrReplaced", err)
	}
	setMAC(t, l, mac)
	ip(t, s.far(), "link", "set", "eth0", "up")
	s.carry(t, 20, deviceAddr4+"/24")
	s.carry(t, 30, cloudAddr4+"/24")
	must(t, g.arrange(t.Context()))
	g.verifying.Unlock()
	report, err := g.Verify(t.Context())
	must(t, err)
	must(t, report.Err())
	s.expectApart(t, "nic0.20@if")
}

func setMAC(t *testing.T, l netlink.Link, mac string) {
	t.Helper()
	hw, err := net.ParseMAC(mac)
	must(t, err)
	must(t, netlink.LinkSetHardwareAddr(l, hw))
}

// A kernel without the feature says which, and leaves the ports closed.
func TestVLANFeature(t *testing.T) {
	s := newTrunkSite(t, 20)
	g, err := Up(within(t, testTimeout), s.config)
	if hasVLAN(t) {
		must(t, err)
		must(t, g.Close())
		return
	}
	var missing *FeatureError
	if !errors.Is(err, ErrUnsupported) || !errors.As(err, &missing) {
		t.Fatalf("error is %v, want a FeatureError", err)
	}
	if text := err.Error(); !strings.Contains(text, "internal port: unsupported by this kernel: 802.1Q links: needs CONFIG_VLAN_8021Q") ||
		!strings.Contains(text, "give the port a card of its own") {
		t.Errorf("error is %q", text)
	}
	s.expectClosed(t)
}

// The untagged sub-interface needs no 802.1Q: it is made here on any kernel.
func TestVLANUntaggedLane(t *testing.T) {
	s := newTrunkSite(t, 0)
	g := newGuard(s.config)
	t.Cleanup(func() { must(t, g.Close()) })
	var err error
	g.home, err = openHome()
	must(t, err)
	for i, side := range []Side{InternalSide, ExternalSide} {
		g.sides[i], err = g.enter(t.Context(), planOf(g.config, side), g.config.paths()[i])
		must(t, err)
	}
	must(t, g.openCards(t.Context()))
	if err := g.arrange(t.Context()); err != nil && !errors.Is(err, ErrUnsupported) {
		t.Fatal(err)
	}
	inside := s.config.paths()[0]
	if out := ip(t, inside, "-d", "link", "show", "nic0"); !strings.Contains(out, "macvlan mode passthru") || !strings.Contains(out, "nopromisc") {
		t.Errorf("the port is\n%s", out)
	}
	if out := ip(t, s.cardPath(), "-d", "link", "show", "nic0"); strings.Contains(out, "promiscuity 1") {
		t.Errorf("the card takes in the frames of others:\n%s", out)
	}
	ip(t, inside, "addr", "show", "dev", "nic0", "to", "10.11.0.2/24")
	before := links(t, inside)
	lane, err := g.sides[0].lane(t.Context(), g.sides[0].card)
	must(t, err)
	if lane != g.sides[0].link || links(t, inside) != before {
		t.Errorf("asked again it is %+v, was %+v", lane, g.sides[0].link)
	}
}
