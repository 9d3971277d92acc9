package netguard

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"lwc/netguard/netguardtest"
)

// rules is the ruleset of a host as the kernel's own tool prints it, without
// counters and the addresses that are permitted for a while. The tables are in
// order of their names: one that is made again comes last with the kernel.
func rules(t *testing.T, h *netguardtest.Host) string {
	t.Helper()
	tables := strings.SplitAfter(tool(t, h, "nft", "-s", "list", "ruleset"), "\n}\n")
	slices.Sort(tables)
	return strings.Join(tables, "")
}

// edit is what an attacker with root does to the tables, and what must come of it.
type edit struct {
	name, script string
	want         outcome
}

// outcome is what becomes of an edit.
type outcome string

const (
	refusedEdit  outcome = "refused"  // by the kernel with EPERM: the table has another owner
	busyEdit     outcome = "busy"     // by the kernel with EBUSY: the set is constant and a rule uses it
	skippedEdit  outcome = "skipped"  // by the kernel, which says so to nobody: a flush of all spares what is owned
	restoredEdit outcome = "restored" // taken by the kernel, undone by the guard, which told of it
)

// foreignEdits are about tables that are not ours.
func foreignEdits(link string, owned bool) []edit {
	flush := edit{"flush ruleset", "flush ruleset", restoredEdit}
	if owned {
		flush.want = skippedEdit
	}
	return []edit{flush,
		{"foreign table", "add table inet evil", restoredEdit},
		{"foreign chain, accepts", "add table inet evil; add chain inet evil o { type filter hook output priority -400; policy accept; }", restoredEdit},
		{"foreign nat", "add table ip evil; add chain ip evil p { type nat hook prerouting priority -100; }; add rule ip evil p dnat to 192.0.2.1", restoredEdit},
		{"foreign netdev", "add table netdev evil; add chain netdev evil i { type filter hook ingress device lo priority 0; policy accept; }", restoredEdit},
		{"foreign flowtable", "add table inet evil; add flowtable inet evil f { hook ingress priority 0; devices = { " + link + " }; }", restoredEdit}}
}

// What nft -a lists, as far as an attacker needs it: the chains with their hooks,
// the rules' handles and the sets with one element.
var (
	listedChain = regexp.MustCompile(`(?m)^\tchain (\S+) \{ # handle \d+\n\t\ttype filter hook (\S+) (device "?[^" ]+"? )?priority (\S+);`)
	listedRule  = regexp.MustCompile(`(?m)^\t\t\S.* # handle (\d+)$`)
	listedSet   = regexp.MustCompile(`(?m)^\tset (\S+) \{ # handle \d+\n(?:\t\t[^}\n]*\n)*?\t\telements = \{ ([^,}\s]+)`)
)

// editsOf are those of one of our tables ("inet lwc"), of which nft -a lists text.
func editsOf(table, text string) []edit {
	want := restoredEdit
	if strings.Contains(text, "flags owner") {
		want = refusedEdit
	}
	var all []edit
	add := func(name, format string, args ...any) {
		all = append(all, edit{table + ": " + name, fmt.Sprintf(format, args...), want})
	}
	add("delete table", "delete table %s", table)
	add("flush table", "flush table %s", table)
	add("dormant", "add table %s { flags dormant; }", table)
	add("add chain", "add chain %s evil", table)
	add("add set", "add set %s evil { type ipv4_addr; }", table)
	for i, part := range strings.Split(text, "\tchain ")[1:] {
		c := listedChain.FindStringSubmatch("\tchain " + part)
		if c == nil {
			continue
		}
		add("insert rule into "+c[1], "insert rule %s %s accept", table, c[1])
		add("flush chain "+c[1], "flush chain %s %s", table, c[1])
		add("policy of "+c[1], "add chain %s %s { type filter hook %s %spriority %s; policy accept; }", table, c[1], c[2], c[3], c[4])
		if r := listedRule.FindStringSubmatch(part); r != nil {
			add("delete rule of "+c[1], "delete rule %s %s handle %s", table, c[1], r[1])
			add("replace rule of "+c[1], "replace rule %s %s handle %s accept", table, c[1], r[1])
		}
		if i == 0 {
			add("delete chain "+c[1], "flush chain %s %s; delete chain %s %s", table, c[1], table, c[1])
		}
	}
	if want == restoredEdit {
		want = busyEdit
	}
	for _, s := range listedSet.FindAllStringSubmatch(text, -1) {
		add("flush set "+s[1], "flush set %s %s", table, s[1])
		add("delete element of "+s[1], "delete element %s %s { %s }", table, s[1], s[2])
	}
	if strings.Contains(text, "set devices4") {
		add("add element", "add element %s devices4 { 203.0.113.0/24 }", table)
	}
	if want == busyEdit {
		want = restoredEdit
	}
	if strings.Contains(text, "set permitted4") {
		add("add element", "add element %s permitted4 { 203.0.113.9 . tcp . 443 timeout 1h }", table)
	}
	return all
}

// Every change of the tables is refused by the kernel or undone at once; what
// the table lets through does not change. A guard that heard of none would see
// them with its sweep of everything each half minute: the ceiling is below that.
func TestCase13Tables(t *testing.T) {
	for _, side := range []Side{InternalSide, ExternalSide} {
		t.Run(string(side), func(t *testing.T) {
			t.Parallel()
			editTables(t, side)
		})
	}
}

func editTables(t *testing.T, side Side) {
	s := newScene(t)
	g := s.guarded(t)
	h := s.in(t, side)
	all, owned := editsOfAll(t, h)
	if len(all) < 20 {
		t.Fatalf("only %d edits of the tables are made up", len(all))
	}
	want, count := rules(t, h), map[outcome]int{}
	var worst time.Duration
	for _, e := range append(all, foreignEdits(s.wire(side).Port, owned)...) {
		took, tried := e.attempt(t, g, h, want)
		if tried {
			count[e.want]++
		}
		worst = max(worst, took)
	}
	if m := g.ask(t, "verify"); m.Answer != "clean" {
		t.Errorf("afterwards: %s", m.Answer)
	}
	if m := g.ask(t, "state"); m.Answer != string(Open) {
		t.Errorf("afterwards the ports are %s: %s", m.Answer, m.State.Detail)
	}
	record(t, caseResult{Case: 13, What: fmt.Sprintf("nft at the %s port: %d edits refused, %d skipped, %d undone", side,
		count[refusedEdit]+count[busyEdit], count[skippedEdit], count[restoredEdit]), Took: worst})
}

// editsOfAll are those of all our tables, and whether the kernel lets them be owned.
func editsOfAll(t *testing.T, h *netguardtest.Host) (all []edit, owned bool) {
	t.Helper()
	owned = true
	for _, table := range strings.Split(strings.TrimSpace(tool(t, h, "nft", "list", "tables")), "\n") {
		name := strings.TrimSpace(strings.TrimPrefix(table, "table "))
		text := tool(t, h, "nft", append([]string{"-a", "-n", "list", "table"}, strings.Fields(name)...)...)
		owned = owned && strings.Contains(text, "flags owner")
		all = append(all, editsOf(name, text)...)
	}
	return all, owned
}

// attempt makes the edit of the tables and checks what becomes of it: in the end
// they are as wanted. It is not tried where the kernel knows no such thing.
func (e edit) attempt(t *testing.T, g *guardian, h *netguardtest.Host, want string) (took time.Duration, tried bool) {
	t.Helper()
	start := time.Now()
	out, err := tryTool(t, h, "nft", e.script)
	refusal, refused := map[outcome]string{refusedEdit: "Operation not permitted", busyEdit: "Device or resource busy"}[e.want]
	switch {
	case refused:
		if err == nil || !strings.Contains(out, refusal) {
			t.Errorf("%s: %v: %s, want %q", e.name, err, out, refusal)
		}
	case err != nil && strings.Contains(e.script, "flowtable") && unknownTo(out):
		t.Logf("%s: NOT TRIED: this kernel has no flowtables", e.name)
		return 0, false
	case err != nil:
		t.Errorf("%s: the attack itself went wrong: %v: %s", e.name, err, out)
	case e.want == restoredEdit:
		waitUntil(t, limit(testTimeout), e.name+" undone", func() bool { return rules(t, h) == want })
		event := g.event(t, limit(testTimeout), KindFilter)
		for !event.Violation.Healed {
			event = g.event(t, limit(testTimeout), KindFilter)
		}
		if took = event.At.Sub(start); took > limit(100*time.Millisecond) {
			t.Errorf("%s: restored after %v", e.name, took)
		}
	}
	if got := rules(t, h); got != want {
		t.Errorf("%s: the tables are:\n%s\nwere:\n%s", e.name, got, want)
	}
	return took, true
}

// unknownTo reports whether nft says that the kernel has no such thing.
func unknownTo(out string) bool {
	return slices.ContainsFunc([]string{"No such file or directory", "Operation not supported"},
		func(words string) bool { return strings.Contains(out, words) })
}
