package netguard

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"lwc/netguard/netguardtest"
)

// Each change by root is detected at once; what can be undone while the ports
// stay open is.
func TestCase16Changes(t *testing.T) {
	tests := []struct {
		name   string
		kind   Kind
		blocks bool
		change func(t *testing.T, s *scene, h *netguardtest.Host) error
	}{
		{"rule", KindRule, false, func(_ *testing.T, _ *scene, h *netguardtest.Host) error {
			r := netlink.NewRule()
			r.Table, r.Priority, r.Family = 99, 10, unix.AF_INET
			return h.Netlink().RuleAdd(r)
		}},
		{"extra route", KindRoute, false, func(_ *testing.T, s *scene, h *netguardtest.Host) error {
			return h.Route(netip.MustParsePrefix("198.51.100.0/24"), s.Internal.FarAddr(false))
		}},
		{"MAC", KindLink, true, func(t *testing.T, s *scene, h *netguardtest.Host) error {
			l, err := h.Link(s.Internal.Port)
			must(t, err)
			return h.Netlink().LinkSetHardwareAddr(l, net.HardwareAddr{2, 0, 0, 0, 0, 7})
		}},
		{"namesake", KindLink, true, func(t *testing.T, s *scene, h *netguardtest.Host) error {
			l, err := h.Link(s.Internal.Port)
			must(t, err)
			attrs := netlink.NewLinkAttrs()
			attrs.Name = s.Internal.Port
			return errors.Join(h.Netlink().LinkDel(l),
				h.Netlink().LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "evil", PeerNamespace: netlink.NsFd(s.Internal.Far.Fd())}))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			g := s.guarded(t)
			h := s.in(t, InternalSide)
			start := time.Now()
			must(t, tt.change(t, s, h))
			e := g.event(t, limit(testTimeout), tt.kind)
			took := e.At.Sub(start)
			if took > limit(100*time.Millisecond) {
				t.Errorf("detected after %v", took)
			}
			if e.Violation.Healed == tt.blocks || (e.Status == Blocked) != tt.blocks {
				t.Errorf("the event is %+v, %+v", e, e.Violation)
			}
			record(t, caseResult{Case: 16, What: tt.name + ": detected", Took: took})
		})
	}
}
