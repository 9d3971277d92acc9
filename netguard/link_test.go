package netguard

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A fallback tunnel is one by name and kind, and only while it is down.
func TestFallbackTunnels(t *testing.T) {
	link := func(name string, flags uint32, master int) netlink.LinkAttrs {
		return netlink.LinkAttrs{Name: name, RawFlags: flags, MasterIndex: master}
	}
	for _, tt := range []struct {
		name string
		link netlink.Link
		want bool
	}{
		{"down", &netlink.Sittun{LinkAttrs: link("sit0", 0, 0)}, true},
		{"without an address", &netlink.Gretun{LinkAttrs: link("gre0", 0, 0)}, true},
		{"generic", &netlink.GenericLink{LinkAttrs: link("erspan0", 0, 0), LinkType: "erspan"}, true},
		{"up", &netlink.Sittun{LinkAttrs: link("sit0", unix.IFF_UP, 0)}, false},
		{"in a bridge", &netlink.Gretap{LinkAttrs: link("gretap0", 0, 4)}, false},
		{"another name", &netlink.Sittun{LinkAttrs: link("sit1", 0, 0)}, false},
		{"another kind", &netlink.Veth{LinkAttrs: link("gre0", 0, 0)}, false},
	} {
		if got := isFallback(tt.link); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

// A virtual link that does not belong into a namespace goes; a card goes home.
func TestArrangeEvicts(t *testing.T) {
	s := newSite(t)
	g := s.up(t)
	inside := filepath.Join(s.dir, InternalNamespace)
	g.verifying.Lock()
	ip(t, inside, "link", "add", "br0", "type", "bridge")
	ip(t, inside, "link", "add", "v0", "type", "veth", "peer", "name", "v1")
	must(t, g.arrange(t.Context()))
	g.verifying.Unlock()
	if got := links(t, inside); !strings.HasPrefix(got, "lwcint0@if") || strings.Contains(got, " ") {
		t.Errorf("the namespace holds %q", got)
	}
	for _, name := range []string{"v0", "v1"} {
		if l, err := netlink.LinkByName(name); err == nil {
			t.Cleanup(func() { _ = netlink.LinkDel(l) })
		}
	}
}

// A card that went away is fetched when it is back, with its new index; another
// one of its name is not taken for it.
func TestCardReturns(t *testing.T) {
	s := newSite(t)
	g := s.up(t)
	inside := filepath.Join(s.dir, InternalNamespace)
	was := g.sides[0].link
	g.verifying.Lock()
	ip(t, inside, "link", "del", "lwcint0")
	if err := g.arrange(t.Context()); !errors.Is(err, ErrNoInterface) {
		t.Errorf("arrange without the card: %v", err)
	}
	addVeth(t, "lwcint0", s.device)
	l, err := netlink.LinkByName("lwcint0")
	must(t, err)
	if err := g.arrange(t.Context()); !errors.Is(err, ErrReplaced) || !strings.Contains(err.Error(), was.mac) {
		t.Errorf("arrange with another card: %v, want ErrReplaced", err)
	}
	if _, err := netlink.LinkByName("lwcint0"); err != nil {
		t.Errorf("the other card was taken: %v", err)
	}
	setMAC(t, l, was.mac)
	must(t, g.arrange(t.Context()))
	g.verifying.Unlock()
	if now := g.sides[0].link; now.name != was.name || now.mac != was.mac {
		t.Errorf("the card is %+v, was %+v", now, was)
	}
	report, err := g.Verify(t.Context())
	must(t, err)
	must(t, report.Err())
}

// A silent side keeps its link down through an arrangement.
func TestArrangeKeepsSilence(t *testing.T) {
	s := newDualSite(t)
	g := s.up(t)
	g.verifying.Lock()
	defer g.verifying.Unlock()
	inside := filepath.Join(s.dir, ExternalNamespace)
	g.mu.Lock()
	g.sides[1].silent = true
	g.mu.Unlock()
	ip(t, inside, "link", "set", "lwcext0", "down")
	must(t, g.arrange(t.Context()))
	if out := ip(t, inside, "link", "show", "lwcext0"); !strings.Contains(out, "state DOWN") {
		t.Errorf("the link is\n%s", out)
	}
	g.mu.Lock()
	g.sides[1].silent = false
	g.mu.Unlock()
	must(t, g.arrange(t.Context()))
	if out := ip(t, inside, "route"); !strings.Contains(out, "default via 192.0.2.1") {
		t.Errorf("routes are\n%s", out)
	}
}
