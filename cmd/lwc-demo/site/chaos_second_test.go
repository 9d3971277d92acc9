package site

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"lwc/testdata/chaos"
	"lwc/transport/wire"
)

// A boot in the middle of a window collects only what is missing: no device that a
// manifest accounts for is asked again.
func TestSecondBootCollectsOnlyWhatWasMissing(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), testTime)
	defer cancel()
	const devices = 48
	// By the clocks of both ends it is shortly before the window.
	start := time.Now().UTC().Truncate(time.Minute).Add(time.Minute)
	c := stepped(ctx, t, Config{Devices: devices, Latency: "20ms", Timeouts: shortTimeouts,
		Schedules: []wire.Schedule{{Name: "daily", Start: start.Format("15:04"), Window: "1m"}}}, time.Until(start)-10*time.Second)
	var done map[string]bool
	must(t, c.lwcd.waitFor(ctx, "a third of the devices to be accounted for", func() bool {
		done = c.whole(ctx)
		return len(done) >= devices/3
	}))
	c.KillCollector()
	killed := time.Now()
	done = c.whole(ctx)
	if len(done) > devices*3/4 {
		t.Fatalf("%d of %d devices were done before the kill: the test shows nothing", len(done), devices)
	}
	must(t, c.StartCollector(ctx))
	must(t, c.WaitOnline(ctx))
	must(t, c.lwcd.waitFor(ctx, "all to be accounted for", func() bool { return len(c.whole(ctx)) == devices }))
	c.waitOwesNothing(ctx)
	life := c.lastBoot(ctx)
	life.Start = killed.Add(afterKill)
	c.verdict(ctx, life)
	c.checkAskedAgain(killed, done)
	if all := len(c.runIDs); all != 1 {
		t.Errorf("%d runs, want the one of the window", all)
	}
}

// whole are the devices that results of the run account for.
func (c *chaosRun) whole(ctx context.Context) map[string]bool {
	done := map[string]bool{}
	out, err := c.Cloud(ctx, "runs", "--json")
	must(c.t, err)
	var all []runState
	must(c.t, json.Unmarshal([]byte(out), &all))
	c.runIDs = nil
	for _, r := range all {
		c.runIDs = append(c.runIDs, r.ID)
		var shown shownRun
		asJSON(ctx, c.t, c.Site, &shown, "run", "show", "--json", r.ID)
		if len(shown.Manifests) == 0 {
			continue
		}
		for _, d := range shown.Devices {
			if d.OK {
				done[d.Device] = true
			}
		}
	}
	return done
}

// checkAskedAgain looks at what the devices sent after the kill.
func (c *chaosRun) checkAskedAgain(killed time.Time, done map[string]bool) {
	answers, err := chaos.Sent(c.SentLog())
	must(c.t, err)
	after, before := map[string]bool{}, map[string]bool{}
	for _, a := range answers {
		switch {
		case a.Time.After(killed.Add(time.Second)):
			after[a.Device] = true
		case a.Time.Before(killed):
			before[a.Device] = true
		}
	}
	for device := range done {
		if after[device] {
			c.t.Errorf("%s was accounted for, and is asked again", device)
		}
	}
	c.t.Logf("%d devices were asked before the kill, %d of them were accounted for, %d were asked after it", len(before), len(done), len(after))
	if len(after) == 0 {
		c.t.Error("no device was asked after the kill")
	}
}
