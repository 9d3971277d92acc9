package portal_test

import (
	"html"
	"strings"
	"testing"
	"time"

	"lwc/cloud/api/apitest"
	"lwc/cloud/edp"
	"lwc/transport/wire"
)

// hello tells the cloud of the ports, as after a connection that broke.
func hello(t *testing.T, c *apitest.Cloud, p wire.PortState) {
	t.Helper()
	must(t, c.Store.SawHello(t.Context(), wire.Hello{V: wire.Version, Collector: apitest.Collector, Boot: wire.NewID(), Conn: 1, Ports: p}))
}

// The pages say of the ports in plain words whether they are separated, since
// when they are open or closed and why, what the kernel lacks, what was found,
// and what to do.
func TestPortsOfACollector(t *testing.T) {
	c := apitest.Start(t)
	c.Enrol(apitest.Collector)
	v := user(t, c, edp.RoleStandard)
	since := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	at := "/collectors/" + apitest.Collector
	for _, s := range []struct {
		name       string
		ports      wire.PortState
		has, lacks []string // of the collector's page
		onOverview string   // empty: nothing of the ports stands there
	}{
		{"well", wire.PortState{Mode: "enforce", State: "open", Since: since, Violations: 2, Healed: 2},
			[]string{"separated by network namespaces", "open since 2026-03-04 05:06:07 UTC", "2 since the collector started, all put right"},
			[]string{"ports-need", "NOT", "Weaker here"}, ""},
		{"blocked", wire.PortState{Mode: "enforce", State: "blocked", Since: since, Detail: "home: extra-interface: usb0", Violations: 1},
			[]string{"blocked since 2026-03-04 05:06:07 UTC", "usb0", "note bad"}, []string{"NOT"}, "nothing is collected: home: extra-interface: usb0"},
		{"latched", wire.PortState{Mode: "enforce", State: "blocked", Latched: true}, []string{"stay closed", "note bad", ">latched<"}, nil, "restart lwcd"},
		{"degraded", wire.PortState{Mode: "enforce", State: "open", Degraded: []string{"tables are not owned: Linux 6.9 can"}},
			[]string{"Weaker here", "tables are not owned: Linux 6.9 can", "note warn", ">degraded<"}, []string{"note bad"}, "weaker here: tables are not owned"},
		{"unprotected", wire.PortState{Mode: "unprotected", State: "open"}, []string{"NOT separated", "note bad", ">not separated<"}, nil, "NOT separated"},
		{"a developer's", wire.PortState{Mode: "userns", State: "open"}, []string{"of an ordinary user"}, []string{"ports-need"}, ""},
	} {
		hello(t, c, s.ports)
		page, overview := html.UnescapeString(v.page(at)), html.UnescapeString(v.page("/"))
		for _, want := range s.has {
			if !strings.Contains(page, want) {
				t.Errorf("%s: the page lacks %q", s.name, want)
			}
		}
		for _, not := range s.lacks {
			if strings.Contains(page, not) {
				t.Errorf("%s: the page has %q", s.name, not)
			}
		}
		if strings.Contains(overview, "port-trouble") != (s.onOverview != "") || !strings.Contains(overview, s.onOverview) {
			t.Errorf("%s: the overview does not say %q", s.name, s.onOverview)
		}
	}
}

// The ports of a collector that was shut out are no trouble any more.
func TestPortsOfARevokedCollector(t *testing.T) {
	c := apitest.Start(t)
	c.Enrol(apitest.Collector)
	v := user(t, c, edp.RoleStandard)
	hello(t, c, wire.PortState{Mode: "enforce", State: "blocked"})
	if !strings.Contains(v.page("/"), "port-trouble") {
		t.Error("closed ports are not on the overview")
	}
	must(t, c.Store.Revoke(t.Context(), apitest.Collector, "ada"))
	if strings.Contains(v.page("/"), "port-trouble") {
		t.Error("a revoked collector is on the overview")
	}
}

// What was found stands on the page of the collector, in the list of events and
// in the API, with what it means.
func TestViolationsOfACollector(t *testing.T) {
	c := apitest.Start(t)
	c.Enrol(apitest.Collector)
	v := user(t, c, edp.RoleStandard)
	at := "/collectors/" + apitest.Collector
	if strings.Contains(v.page(at), `id="violations"`) {
		t.Error("a collector without violations has a list of them")
	}
	for _, violation := range []wire.PortViolation{
		{Kind: "sysctl", Port: "internal", Detail: "ip_forward is 1 <b>", Healed: true, At: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)},
		{Kind: "same-segment", Port: "external", Detail: "a frame of the internal port came in", At: time.Now()},
	} {
		must(t, c.Store.AddEvent(t.Context(), wire.Event{Collector: apitest.Collector, Time: time.Now(), Kind: wire.EventPortViolation, Text: violation.Detail, Violation: &violation}))
	}
	for path, wants := range map[string][]string{
		at:               {`id="violations"`, "2026-03-04 05:06:07", "internal port", "ip_forward is 1 &lt;b&gt;", "badge good\">yes", "badge bad\">no", "Plug the two ports into different networks"},
		"/events":        {"external port", "put right by the collector", "not put right", "Plug the two ports into different networks"},
		"/api/v1/events": {`"healed":true`, `"healed":false`, `"kind":"same-segment"`, `"advice":"Plug the two ports`, `"at":"2026-03-04T05:06:07Z"`},
	} {
		page := v.page(path)
		for _, want := range wants {
			if !strings.Contains(page, want) {
				t.Errorf("%s lacks %q", path, want)
			}
		}
	}
}
