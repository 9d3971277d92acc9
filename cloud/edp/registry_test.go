package edp_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"lwc/cloud/edp"
	"lwc/transport/wire"
)

func TestWhatACollectorSaysOfItself(t *testing.T) {
	s, ctx := open(t), t.Context()
	enrol(t, s, site)
	get := func() edp.Collector { t.Helper(); return must[edp.Collector](t)(s.Collector(ctx, site)) }
	if c := get(); c.Online || c.Health != nil || c.LastRun != nil || !c.LastSeen.IsZero() {
		t.Fatalf("%+v", c)
	}
	ok(t, s.SawHello(ctx, wire.Hello{Collector: site, Boot: "boot-1", Conn: 3, Firmware: "1.2", BootKey: []byte{1, 2},
		Capabilities: []string{"item:show-version"}, Ports: wire.PortState{Mode: "enforce", State: "open"}}))
	if c := get(); !c.Online || c.Boot != "boot-1" || c.Conn != 3 || c.Firmware != "1.2" || c.Ports.Mode != "enforce" ||
		len(c.BootKey) != 2 || c.Capabilities[0] != "item:show-version" || time.Since(c.LastSeen) > time.Minute {
		t.Fatalf("%+v", c)
	}
	state := wire.State{Collector: site, Boot: "boot-1", Config: wire.ConfigRef{Version: 4, SHA256: "aa"}, Status: wire.ConfigApplied,
		Items: []wire.ItemError{{Path: "devices/x", Error: "no such profile"}}}
	ok(t, s.SawState(ctx, state))
	state.Config, state.Status, state.Error, state.Items = wire.ConfigRef{Version: 5, SHA256: "bb"}, wire.ConfigRejected, "bad signature", nil
	ok(t, s.SawState(ctx, state))
	if c := get(); c.Applied != (wire.ConfigRef{Version: 4, SHA256: "aa"}) || c.AppliedStatus != wire.ConfigRejected || c.AppliedError != "bad signature" {
		t.Errorf("%+v", c)
	}
	ok(t, s.SawHealth(ctx, wire.Health{Collector: site, Boot: "boot-1", RSS: 42, Config: wire.ConfigRef{Version: 4}}))
	if c := get(); c.Health == nil || c.Health.RSS != 42 || c.Applied.Version != 4 {
		t.Errorf("%+v", c)
	}
	ok(t, s.SawBye(ctx, site, "boot-0", true))
	if !get().Online {
		t.Error("the bye of an older boot took it offline")
	}
	ok(t, s.SawBye(ctx, site, "boot-1", true))
	if get().Online {
		t.Error("still online")
	}
	for what, err := range map[string]error{
		"state":  s.SawState(ctx, wire.State{Collector: site, Boot: "boot-0"}),
		"health": s.SawHealth(ctx, wire.Health{Collector: site, Boot: "boot-0"}),
	} {
		if !errors.Is(err, edp.ErrConflict) {
			t.Errorf("%s of another boot: %v", what, err)
		}
	}
	if err := s.SawHello(ctx, wire.Hello{Collector: other}); !errors.Is(err, edp.ErrNotFound) {
		t.Error(err)
	}
}

func TestARestartForgetsWhoWasOnline(t *testing.T) {
	s, ctx := open(t), t.Context()
	enrol(t, s, site)
	ok(t, s.SawHello(ctx, wire.Hello{Collector: site, Boot: "boot-1"}))
	ok(t, s.AllOffline(ctx))
	if list := must[[]edp.Collector](t)(s.Collectors(ctx)); len(list) != 1 || list[0].Online {
		t.Fatalf("%+v", list)
	}
}

func TestEvents(t *testing.T) {
	s, ctx := open(t), t.Context()
	for i := range 5 {
		ok(t, s.AddEvent(ctx, wire.Event{Collector: site, Time: time.Now(), Kind: wire.EventClockStep, Text: fmt.Sprint(i)}))
	}
	ok(t, s.AddEvent(ctx, wire.Event{Collector: other, Kind: wire.EventHostKeyChanged, Device: "edge-1"}))
	mine := must[[]wire.Event](t)(s.Events(ctx, site, 2))
	if len(mine) != 2 || mine[0].Text != "4" || mine[1].Text != "3" {
		t.Fatalf("%+v", mine)
	}
	if all := must[[]wire.Event](t)(s.Events(ctx, "", 0)); len(all) != 6 || all[0].Device != "edge-1" {
		t.Fatalf("%+v", all)
	}
}

// A time beyond what JSON can tell comes back as one that it can: or nobody could
// list the events of any collector.
func TestEventsOfNoTime(t *testing.T) {
	s, ctx := open(t), t.Context()
	for _, zone := range []string{"0000-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"} {
		at := must[time.Time](t)(time.Parse(time.RFC3339, zone))
		ok(t, s.AddEvent(ctx, wire.Event{Collector: site, Time: at, Kind: wire.EventClockStep}))
		got := must[[]wire.Event](t)(s.Events(ctx, site, 1))
		if _, err := json.Marshal(got); err != nil || got[0].Time.Sub(at).Abs() > 366*24*time.Hour+24*time.Hour {
			t.Errorf("%s: %v, %v", zone, got, err)
		}
	}
}

// What a violation is about stays with its event, newest first, and other events
// are not among them.
func TestViolations(t *testing.T) {
	s, ctx := open(t), t.Context()
	at := time.Now().UTC().Truncate(time.Microsecond)
	for i := range 4 {
		ok(t, s.AddEvent(ctx, wire.Event{Collector: site, Time: at, Kind: wire.EventPortViolation, Text: "ports are open again"}))
		ok(t, s.AddEvent(ctx, wire.Event{Collector: site, Time: at, Kind: wire.EventPortViolation, Text: fmt.Sprint(i),
			Violation: &wire.PortViolation{Kind: "sysctl", Port: "internal", Detail: "ip_forward is 1", Healed: i%2 == 1, At: at}}))
	}
	ok(t, s.AddEvent(ctx, wire.Event{Collector: other, Kind: wire.EventPortViolation, Violation: &wire.PortViolation{Kind: "link"}}))
	got := must[[]wire.Event](t)(s.Violations(ctx, site, 3))
	if len(got) != 3 || got[0].Text != "3" || got[2].Text != "1" {
		t.Fatalf("%+v", got)
	}
	want := wire.PortViolation{Kind: "sysctl", Port: "internal", Detail: "ip_forward is 1", Healed: true, At: at}
	if *got[0].Violation != want || got[1].Violation.Healed {
		t.Errorf("%+v, %+v", got[0].Violation, got[1].Violation)
	}
	if all := must[[]wire.Event](t)(s.Events(ctx, site, 2)); all[0].Violation == nil || all[1].Violation != nil {
		t.Errorf("%+v", all)
	}
}
