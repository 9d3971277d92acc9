package uplink

import (
	"errors"
	"testing"

	"lwc/transport/wire"
)

// What the broker, or anybody else without the config key, makes up is refused by
// its first part: it takes no memory.
func TestForgedPartsAreNotKept(t *testing.T) {
	key, pkix := configSigner(t)
	forger, _ := configSigner(t)
	u := New(Config{Identity: Identity{Collector: collectorID, Bootstrap: wire.Bootstrap{ConfigKey: pkix}}})
	h := wire.Header{Type: wire.KindDesired, Collector: collectorID, Boot: u.Boot()}
	plain := noise(2 * wire.MaxFrame)
	first := func(p wire.Packing) []byte {
		h.ID = wire.NewID()
		frames, err := wire.Split(h, plain, p)
		if err != nil || len(frames) < 2 {
			t.Fatal(len(frames), err)
		}
		return frames[0]
	}
	for name, p := range map[string]wire.Packing{"unsigned": {}, "forged": {Key: forger}} {
		if err := u.inbox.desired(first(p)); !errors.Is(err, wire.ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := u.inbox.desired(first(wire.Packing{Key: key})); err != nil {
		t.Errorf("the true one: %v", err)
	}
	// Copies of a true one under new ids have a bound.
	var err error
	for i := 0; i < maxDesired/wire.MaxFrame && err == nil; i++ {
		err = u.inbox.desired(first(wire.Packing{Key: key}))
	}
	if !errors.Is(err, wire.ErrTooLarge) {
		t.Errorf("copies without end: %v", err)
	}
}
