package uplink

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"lwc/transport/wire"
)

// Reconnect ends the pause between two attempts, and the pauses after it are
// short again.
func TestReconnectEndsThePause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dials atomic.Int64
		u := New(Config{Dial: func(context.Context, string, string) (net.Conn, error) {
			dials.Add(1)
			return nil, errors.New("refused")
		}, Identity: Identity{Bootstrap: wire.Bootstrap{Endpoints: []wire.Endpoint{{Kind: wire.EndpointMQTT, Host: "192.0.2.1:8883"}}}}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); u.supervise(ctx) }()
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		before := dials.Load()
		u.Reconnect()
		u.Reconnect() // a second one adds nothing but another attempt
		synctest.Wait()
		if n := dials.Load() - before; n < 1 || n > 2 {
			t.Errorf("%d attempts at once", n)
		}
		// Ceilings of 1, 2, 4, 8, 16 and 32 s: five minutes would be one attempt.
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := dials.Load() - before; n < 5 {
			t.Errorf("%d attempts within a minute", n)
		}
		cancel()
		<-done
	})
}
