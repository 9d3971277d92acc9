package uplink

import (
	"testing"
	"time"

	"lwc/transport/wire"
)

// absent fails if something comes on c within a time in which what is wrong
// would come.
func absent[T any](t *testing.T, c <-chan T, within time.Duration, what string) {
	t.Helper()
	select {
	case v := <-c:
		t.Fatalf("%s: %+v", what, v)
	case <-time.After(within):
	}
}

// The state of the ports follows an event of the ports, and no other event.
func TestHeartbeatAfterAPortViolation(t *testing.T) {
	s := newSite(t)
	s.cloud.limits.HeartbeatSeconds = 3600
	h := newRecorder()
	u := newUplink(t, identityOf(s.ca, s.pub, s.broker), h)
	u.cfg.Ports = func() wire.PortState { return wire.PortState{Violations: 1} }
	start(t, u)
	wait(t, h.welcomed, "the welcome")
	wait(t, s.cloud.health, "the first heartbeat")
	u.SendEvent(wire.Event{Kind: wire.EventClockStep})
	absent(t, s.cloud.health, portsBeat+portsBeat/2, "a heartbeat after another event")
	for range 3 { // a burst
		u.SendEvent(wire.Event{Kind: wire.EventPortViolation, Violation: &wire.PortViolation{Kind: "sysctl"}})
	}
	if b := wait(t, s.cloud.health, "the heartbeat after the violation"); b.Ports.Violations != 1 {
		t.Errorf("%+v", b)
	}
	absent(t, s.cloud.health, portsBeat+portsBeat/2, "a second heartbeat after one burst")
}

// A Reconnect of the time of a session does not shorten the pause after it: all
// the collectors of a cloud that restarts would come at once.
func TestReconnectOfASessionIsForgotten(t *testing.T) {
	s := newSite(t)
	p := newProxy(t, s.broker)
	h := newRecorder()
	u := newUplink(t, identityOf(s.ca, s.pub, p.addr), h)
	u.time.retry, u.time.retryMax = time.Hour, time.Hour
	start(t, u)
	wait(t, h.welcomed, "the welcome")
	u.Reconnect()
	p.cut()
	for end := time.Now().Add(10 * time.Second); u.Trouble() == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the session does not end")
		}
	}
	absent(t, h.welcomed, 300*time.Millisecond, "it connected without a pause")
	u.Reconnect()
	wait(t, h.welcomed, "the second welcome")
}
