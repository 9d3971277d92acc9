package site

import (
	"strings"
	"testing"
)

// What the release of a device does not know is not asked for again by a run of
// all devices, is accounted for, and leaves the run complete. What is only not
// configured there is asked for again.
func TestSecondRunSkipsWhatDevicesDoNotKnow(t *testing.T) {
	ctx, s := running(t, Config{Devices: 6, Behind: 2})
	collect(ctx, t, s)
	unknown := 0
	for _, d := range stored(ctx, t, s) {
		if d.Outcome == "unsupported" {
			unknown++
		}
	}
	if unknown == 0 {
		t.Fatal("every device knows every item: the test shows nothing")
	}
	collect(ctx, t, s)
	all := runs(ctx, t, s)
	if len(all) != 2 || all[0].State != "complete" || all[0].Skipped == 0 || all[0].Skipped > unknown ||
		all[0].Stored+all[0].Skipped != all[0].Expected {
		t.Fatalf("runs %+v, %d items were refused in the first", all, unknown)
	}
	out, err := s.Cloud(ctx, "run", "show", all[0].ID)
	must(t, err)
	if !strings.Contains(out, "skipped because the device does not know them") || !strings.Contains(out, "not asked: the device said before") {
		t.Errorf("the run is told so:\n%s", out)
	}
}
