package apitype_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"lwc/cloud/api/apitype"
	"lwc/transport/wire"
)

// kinds are the kinds of violations that the collector's guard knows, read from
// its source: the cloud does not import it.
func kinds(t *testing.T) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "..", "..", "netguard", "errors.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Kind") || len(spec.Values) != 1 {
			return true
		}
		if lit, ok := spec.Values[0].(*ast.BasicLit); ok {
			kind, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, kind)
		}
		return true
	})
	return out
}

// Every kind is explained, and no two that a network can cause in the same words.
func TestEveryKindOfViolationIsExplained(t *testing.T) {
	all := kinds(t)
	if len(all) < 13 {
		t.Fatalf("only %d kinds were found: %v", len(all), all)
	}
	unknown, _ := apitype.ExplainViolation(&wire.PortViolation{Kind: "something-new"})
	seen := map[string]string{unknown: "unknown"}
	for _, kind := range all {
		what, do := apitype.ExplainViolation(&wire.PortViolation{Kind: kind})
		if seen[what] != "" || len(do) < 40 {
			t.Errorf("%s: %q (as %s), %q", kind, what, seen[what], do)
		}
		seen[what] = kind
	}
	if what, do := apitype.ExplainViolation(nil); what+do != "" {
		t.Errorf("no violation means %q, %q", what, do)
	}
}

func TestPortsInWords(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.FixedZone("", 3600))
	for _, c := range []struct {
		p          wire.PortState
		word, sep  string
		since, num string
		need       []string // each in one entry, in order
	}{
		{wire.PortState{}, "-", "unknown", "unknown", "none", nil},
		{wire.PortState{Mode: "enforce", State: "open", Since: at, Violations: 3, Healed: 3}, "open, separated",
			"separated by network namespaces", "open since 2026-03-04 04:06:07 UTC", "3 since the collector started, all put right", nil},
		{wire.PortState{Mode: "userns", State: "open"}, "open, separated, userns", "of an ordinary user", "open", "none", nil},
		{wire.PortState{Mode: "enforce", State: "blocked", Detail: "internal port: link: eth1 is gone", Violations: 2, Healed: 1, Degraded: []string{"no owned tables: Linux 6.9 has them"}},
			"blocked, separated, degraded", "separated", "blocked", "2 since the collector started, 1 put right",
			[]string{"nothing is collected: internal port: link: eth1 is gone. They open by themselves", "weaker here: no owned tables: Linux 6.9 has them."}},
		{wire.PortState{Mode: "enforce", State: "blocked", Latched: true, Violations: 1}, "blocked, separated, latched", "separated", "blocked", "none put right",
			[]string{"stay closed: too many violations came in a short time. Remove the cause, then restart lwcd."}},
		{wire.PortState{Mode: "unprotected", State: "open"}, "open, NOT separated", "NOT separated", "open", "nobody looks", []string{"NOT separated"}},
		{wire.PortState{State: "open"}, "open, NOT separated", "unknown", "open", "none", []string{"does not say whether"}},
		{wire.PortState{Mode: "enforce", State: "down", Detail: "not up yet"}, "down, separated", "separated", "down", "none", []string{"down, and nothing is collected: not up yet."}},
	} {
		if got := apitype.PortsWord(c.p); got != c.word {
			t.Errorf("%+v: %q, want %q", c.p, got, c.word)
		}
		for what, pair := range map[string][2]string{"separation": {apitype.Separation(c.p), c.sep}, "since": {apitype.PortsSince(c.p), c.since}, "count": {apitype.Violations(c.p), c.num}} {
			if !strings.Contains(pair[0], pair[1]) {
				t.Errorf("%s of %+v: %q, want %q", what, c.p, pair[0], pair[1])
			}
		}
		need := apitype.PortsNeed(c.p)
		if len(need) != len(c.need) {
			t.Fatalf("%+v needs %q", c.p, need)
		}
		for i, want := range c.need {
			if !strings.Contains(need[i], want) {
				t.Errorf("%+v needs %q, want %q", c.p, need[i], want)
			}
		}
	}
}

func TestEventInWords(t *testing.T) {
	v := &wire.PortViolation{Kind: "link", Port: "external"}
	for _, c := range []struct {
		e              apitype.Event
		about, outcome string
	}{
		{apitype.Event{}, "-", ""},
		{apitype.Event{Event: wire.Event{Device: "edge-1"}}, "edge-1", ""},
		{apitype.Event{Event: wire.Event{Violation: v}}, "external port", "not put right when this was told"},
		{apitype.Event{Event: wire.Event{Violation: &wire.PortViolation{Healed: true}}}, "outside the ports", "put right by the collector"},
	} {
		if c.e.About() != c.about || c.e.Outcome() != c.outcome {
			t.Errorf("%+v: %q, %q", c.e, c.e.About(), c.e.Outcome())
		}
	}
}
