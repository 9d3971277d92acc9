package netguard

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"

	"lwc/netguard/netguardtest"
)

// onTop puts a macvlan with the hardware address of the link itself on top of it,
// made straight into another namespace: that of the link hears nothing of it.
func onTop(h *netguardtest.Host, link, name string, to *netguardtest.Host, near netip.Prefix) error {
	parent, err := h.Link(link)
	if err != nil {
		return err
	}
	a := netlink.NewLinkAttrs()
	a.Name, a.ParentIndex, a.Namespace = name, parent.Attrs().Index, netlink.NsFd(to.Fd())
	return errors.Join(h.Netlink().LinkAdd(&netlink.Macvlan{LinkAttrs: a, Mode: netlink.MACVLAN_MODE_PASSTHRU}),
		to.Address(name, near), to.Up(name))
}

// joinAbove joins the ports in a third namespace, which forwards.
func joinAbove(t *testing.T, left, right *netguardtest.Host, s *netguardtest.Site) {
	t.Helper()
	third, err := netguardtest.NewHost()
	must(t, err)
	t.Cleanup(third.Close)
	must(t, onTop(left, s.Internal.Port, "m0", third, s.Internal.Near4))
	must(t, onTop(right, s.External.Port, "m1", third, s.External.Near4))
	must(t, third.Forward())
}

// Whoever is root on the box joins the ports where the guard does not look:
// nothing crosses, whether it lives or not.
func TestCase14JoinedInAThirdNamespace(t *testing.T) {
	t.Parallel()
	site, right := split(t)
	joinAbove(t, site.Box, right, site)
	seenOut, seenIn := across(t, site)
	if seenOut == 0 || seenIn == 0 {
		t.Fatalf("control: %d frames to the cloud, %d to the device", seenOut, seenIn)
	}
	for _, killed := range []bool{false, true} {
		s := newScene(t)
		g := s.guarded(t)
		when := "guard alive"
		if killed {
			kill(t, g)
			when = "guard killed"
		}
		joinAbove(t, s.in(t, InternalSide), s.in(t, ExternalSide), s.Site)
		out, in := across(t, s.Site)
		if out+in > 0 {
			t.Errorf("%s: %d frames crossed to the cloud, %d to the device", when, out, in)
		}
		record(t, caseResult{Case: 14, What: "macvlans in a third namespace, " + when, Control: seenOut + seenIn, Crossed: out + in})
	}
}
