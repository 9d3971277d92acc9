package apitype

import (
	"testing"

	"lwc/transport/wire"
)

func TestAccount(t *testing.T) {
	unknown := Left{Status: "skipped", Before: "unsupported", Items: 12}
	busy := Left{Status: "skipped", Before: "ok", Items: 3}
	failed := Left{Status: "failed", Items: 36}
	for _, c := range []struct {
		run  Run
		want string
	}{
		{Run{Expected: 384, Stored: 336, Failed: 48}, "336 of 384 documents stored, 48 could not be collected"},
		{Run{Expected: 384, Stored: 384}, "384 of 384 documents stored, 0 could not be collected"},
		{Run{Expected: 384, Stored: 372, Skipped: 12, Left: []Left{unknown}}, "372 of 384 documents stored, 12 skipped because the device does not know them"},
		{Run{Expected: 384, Stored: 333, Skipped: 15, Failed: 36, Left: []Left{failed, unknown, busy}},
			"333 of 384 documents stored, 12 skipped because the device does not know them, 3 skipped, 36 could not be collected"},
	} {
		if got := c.run.Account(); got != c.want {
			t.Errorf("%+v:\n%s\nwant\n%s", c.run, got, c.want)
		}
	}
}

func TestNames(t *testing.T) {
	for want, l := range map[string]Left{
		"":                  {},
		"edge-1, edge-2":    {Devices: []string{"edge-1", "edge-2"}, Of: 2},
		"edge-1 and 8 more": {Devices: []string{"edge-1"}, Of: 9},
	} {
		if got := l.Names(); got != want {
			t.Errorf("%+v: %q, want %q", l, got, want)
		}
	}
	d := DeviceResult{Outcomes: map[string]int{"ok": 20, "unsupported": 2, "malformed": 1}}
	if got := d.Odd(); got != "1 malformed, 2 unsupported" {
		t.Errorf("odd: %q", got)
	}
}

// What was passed over on the way to a device is not where it failed.
func TestHeadline(t *testing.T) {
	for want, steps := range map[string][]wire.ProbeStep{
		"fails at auth":  {{Stage: "connect", Kind: PassedOver}, {Stage: "connect", OK: true}, {Stage: "auth", Kind: "auth"}},
		"fails at parse": {{Stage: "privilege", Kind: "over-privileged"}, {Stage: "parse", Kind: "malformed"}},
		"fails":          nil,
	} {
		if got := (Probe{Probe: wire.Probe{Steps: steps}}).Headline(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := (Probe{Probe: wire.Probe{OK: true, Steps: []wire.ProbeStep{{Stage: "permission"}}}}).Headline(); got != "can be collected in part" {
		t.Error(got)
	}
	if got := (Probe{Probe: wire.Probe{OK: true, Steps: []wire.ProbeStep{{Stage: "privilege"}}}}).Headline(); got != "can be collected" {
		t.Errorf("%q", got)
	}
}
