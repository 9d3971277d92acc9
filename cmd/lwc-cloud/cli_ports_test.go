package main

import (
	"strings"
	"testing"
	"time"

	"lwc/cloud/api/apitest"
	"lwc/cloud/edp"
	"lwc/transport/wire"
)

// The ports of a collector, and what was found at them, are told in words.
func TestPortsInTheLists(t *testing.T) {
	s := newShell(t, edp.RoleStandard)
	ctx := t.Context()
	ports := wire.PortState{Mode: "enforce", State: "blocked", Detail: "home: extra-interface: usb0", Violations: 2, Healed: 1, Degraded: []string{"tables are not owned: Linux 6.9 can"}}
	if err := s.cloud.Store.SawHello(ctx, wire.Hello{V: wire.Version, Collector: apitest.Collector, Boot: wire.NewID(), Ports: ports}); err != nil {
		t.Fatal(err)
	}
	for _, v := range []wire.PortViolation{{Kind: "sysctl", Port: "internal", Detail: "ip_forward is 1", Healed: true}, {Kind: "extra-interface", Detail: "usb0"}} {
		if err := s.cloud.Store.AddEvent(ctx, wire.Event{Collector: apitest.Collector, Time: time.Now(), Kind: wire.EventPortViolation, Text: "text of " + v.Kind, Violation: &v}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.cloud.Store.Enrolled(ctx, edp.Enrolment{Collector: "site-new-02", SPKI: "c3BraQ==", Serial: "02", NotAfter: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	out := s.ok("collectors")
	if _, row, found := strings.Cut(out, "\nsite-new-02 "); !found || strings.Join(strings.Fields(row)[:5], " ") != "offline - none - -" {
		t.Errorf("of the ports of one that told nothing yet is said:\n%s", out)
	}
	for _, want := range []string{"blocked, separated, degraded", "2, 1 put right", "site-berlin-01: The ports are closed, and nothing is collected: home: extra-interface: usb0.", "tables are not owned"} {
		if !strings.Contains(out, want) {
			t.Errorf("collectors lacks %q:\n%s", want, out)
		}
	}
	out = s.ok("events")
	for _, want := range []string{"internal port", "sysctl: ip_forward is 1 (put right by the collector)\n", "outside the ports", "extra-interface: usb0 (not put right when this was told). The box has", "Unplug what was added"} {
		if !strings.Contains(out, want) {
			t.Errorf("events lacks %q:\n%s", want, out)
		}
	}
}
