package netguard

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
)

// misledUpstream is a supervisor that permits what it must not.
type misledUpstream struct {
	Upstream
	permits []netip.AddrPort
}

func (u misledUpstream) Permit(context.Context, Endpoint) ([]netip.AddrPort, error) {
	return u.permits, nil
}

// A half goes by its own view of the internal side before it dials what it is
// told, and by the port that it asked for.
func TestHalfDistrustsPermissions(t *testing.T) {
	s := newSite(t)
	cloud := serve(t, s.cloud, cloudAddr4+":443", "cloud")
	g := s.up(t)
	v, err := g.View(within(t, testTimeout), 0)
	must(t, err)
	_, err = g.Permit(within(t, testTimeout), Endpoint{Host: cloudAddr4, Port: 443})
	must(t, err)
	permits := make([]netip.AddrPort, 1)
	h := v.run(t, misledUpstream{g, permits})
	for addr, says := range map[string]string{deviceAddr4 + ":443": "internal port", "10.99.7.7:443": "internal port", "127.0.0.1:443": "loopback",
		"[::ffff:" + cloudAddr4 + "]:443": "mapped", "192.0.2.2:443": "own address"} {
		permits[0] = netip.MustParseAddrPort(addr)
		if _, err := h.External().DialContext(within(t, testTimeout), "tcp", cloud); !errors.Is(err, ErrNotAllowed) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s was permitted: %v, want ErrNotAllowed and %q", addr, err, says)
		}
	}
	permits[0] = netip.AddrPort{}
	if _, err := h.External().DialContext(within(t, testTimeout), "tcp", cloud); !errors.Is(err, ErrNotAllowed) {
		t.Errorf("no address was permitted: %v", err)
	}
	permits[0] = netip.MustParseAddrPort(cloudAddr4 + ":444")
	c, err := h.External().DialContext(within(t, testTimeout), "tcp", cloud)
	must(t, err)
	if got := readAll(t, c); got != "cloud" {
		t.Errorf("read %q", got)
	}
}
