package uplink

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"lwc/transport/wire"
)

// An uplink that cannot connect is alive for as long as it tries; one whose dial
// never returns is not.
func TestAlive(t *testing.T) {
	var release chan struct{} // made in the bubble
	for name, c := range map[string]struct {
		dial func(context.Context, string, string) (net.Conn, error)
		want error
	}{
		"refused": {func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("refused") }, nil},
		"stuck": {func(context.Context, string, string) (net.Conn, error) {
			<-release // it does not keep its deadline
			return nil, errors.New("released")
		}, ErrStuck},
	} {
		synctest.Test(t, func(t *testing.T) {
			release = make(chan struct{})
			u := New(Config{Dial: c.dial, Identity: Identity{Bootstrap: wire.Bootstrap{
				Endpoints: []wire.Endpoint{{Kind: wire.EndpointMQTT, Host: "192.0.2.1:8883"}}}}})
			if err := u.Alive(); err != nil {
				t.Errorf("%s: before Run: %v", name, err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { defer close(done); u.beat(); u.supervise(ctx) }()
			for range 12 {
				time.Sleep(10 * time.Minute)
				if err := u.Alive(); err != nil && c.want == nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			if err := u.Alive(); !errors.Is(err, c.want) {
				t.Errorf("%s: after two hours: %v", name, err)
			}
			cancel()
			close(release)
			<-done
		})
	}
}
