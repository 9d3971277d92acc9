package dial

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"lwc/collector"
	"lwc/netguard"
	"lwc/transport/device"
	"lwc/transport/secret"
	"lwc/transport/wire"
)

// What the Internal Port refuses is told as such, not as a device that is silent.
func TestPortRefusalsAreTold(t *testing.T) {
	for _, c := range []struct {
		err         error
		phase, kind string
		advice      string
	}{
		{netguard.ErrBlocked, "connect", "connect", "ports of the collector are blocked"},
		{fmt.Errorf("%w: 10.2.0.1 lies in 10.2.0.0/24 of the external port", netguard.ErrNotAllowed), "config", "config", "10.2.0.0/24 of the external port"},
		{netguard.ErrNoDNS, "resolve", "resolve", "internal.dns"},
		{errors.New("no route to host"), "connect", "connect", "does not answer"},
	} {
		d := New(&device.Dialer{Net: func(context.Context, string, string) (net.Conn, error) { return nil, c.err }})
		_, err := d.Dial(t.Context(), collector.Target{
			Device: wire.Device{ID: "edge-1", Address: "10.2.0.1", TrustFirst: true},
			Auth:   collector.Auth{User: "lwc", Password: secret.FromString("x")}})
		var e dialError
		if !errors.As(err, &e) {
			t.Fatalf("%v: got %T", c.err, err)
		}
		phase, kind, advice := e.Diagnosis()
		if phase != c.phase || kind != c.kind || !strings.Contains(advice, c.advice) || e.FailedHop() != "edge-1" {
			t.Errorf("%v: %s, %s, %s", c.err, phase, kind, advice)
		}
	}
}
