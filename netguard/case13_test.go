package netguard

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"lwc/netguard/netguardtest"
)

// rules is the ruleset of a host as the kernel's own tool prints it, without
// counters and the addresses that are permitted for a while.
func rules(t *testing.T, h *netguardtest.Host) string {
	t.Helper()
	return tool(t, h, "nft", "-s", "list", "ruleset")
}

// unwall are what an attacker with root does to the tables.
func unwall(t *testing.T, s *scene, h *netguardtest.Host) map[string][]string {
	t.Helper()
	all := map[string][]string{
		"flush ruleset":           {"flush", "ruleset"},
		"foreign table":           {"add", "table", "inet", "evil"},
		"foreign chain, accepted": {"add table inet evil; add chain inet evil o { type filter hook output priority -400; policy accept; }"},
		"foreign nat":             {"add table ip evil; add chain ip evil p { type nat hook prerouting priority -500; }; add rule ip evil p dnat to 192.0.2.1"},
		"foreign netdev":          {"add table netdev evil; add chain netdev evil i { type filter hook ingress device lo priority 0; policy accept; }"},
	}
	for _, table := range strings.Split(strings.TrimSpace(tool(t, h, "nft", "list", "tables")), "\n") {
		name := strings.TrimSpace(strings.TrimPrefix(table, "table "))
		all["delete "+name] = []string{"delete", "table", name}
		all["flush "+name] = []string{"flush", "table", name}
		all["dormant "+name] = []string{"add table " + name + " { flags dormant; }"}
		all["chain in "+name] = []string{"add chain " + name + " evil"}
		all["empty sets of "+name] = []string{"reset", "counters", "table", name}
	}
	return all
}

// Every change of the tables is refused by the kernel or undone at once; what
// the table lets through does not change.
func TestCase13Tables(t *testing.T) {
	s := newScene(t)
	g := s.guarded(t)
	var refused, restored int
	var worst time.Duration
	for _, side := range []Side{InternalSide, ExternalSide} {
		h := s.in(t, side)
		want := rules(t, h)
		for name, args := range unwall(t, s, h) {
			start := time.Now()
			if out, err := tryTool(t, h, "nft", args...); err != nil {
				if !strings.Contains(out, "not permitted") && !strings.Contains(out, "Operation not supported") {
					t.Errorf("%s: %v: %s", name, err, out)
				}
				refused++
				continue
			}
			// nft itself takes some milliseconds to start and to list.
			took := waitUntil(t, limit(time.Second), name+" undone", func() bool { return rules(t, h) == want })
			restored++
			worst = max(worst, took)
			if took > limit(100*time.Millisecond) {
				t.Errorf("%s at the %s port: restored after %v", name, side, time.Since(start))
			}
		}
		if got := rules(t, h); got != want {
			t.Errorf("the tables of the %s port changed:\n%s\nwere:\n%s", side, got, want)
		}
	}
	if m := g.ask(t, "verify"); m.Answer != "clean" {
		t.Errorf("afterwards: %s", m.Answer)
	}
	if refused == 0 || restored == 0 {
		t.Errorf("%d changes were refused, %d restored", refused, restored)
	}
	record(t, caseResult{Case: 13, What: fmt.Sprintf("nft: %d changes refused, %d restored (worst)", refused, restored), Took: worst})
}
