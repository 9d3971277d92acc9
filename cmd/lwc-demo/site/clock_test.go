package site

import (
	"context"
	"testing"
	"time"
)

// A box without a clock of its own comes up in 1970, when no certificate is valid yet,
// and no time server answers: it enrols, connects and collects. So it does when it
// comes up again.
func TestBootIn1970(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), testTime)
	defer cancel()
	const devices = 4
	inThePast := time.Until(time.Unix(60, 0))
	c := newStepped(t, Config{Devices: devices})
	c.clock.Set(inThePast)
	c.bringUp(ctx)
	collect(ctx, t, c.Site)
	c.KillCollector()
	c.clock.Set(inThePast) // whoever has set it meanwhile
	must(t, c.StartCollector(ctx))
	must(t, c.WaitOnline(ctx))
	must(t, c.WaitApplied(ctx))
	collect(ctx, t, c.Site)
	for _, r := range runs(ctx, t, c.Site) {
		if r.State != "complete" {
			t.Errorf("%+v", r)
		}
	}
	if n := len(stored(ctx, t, c.Site)); n < 2*devices {
		t.Errorf("%d documents", n)
	}
}
