package wall

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lwc/testdata/need"
)

// edit is what another program may try, with what Check says afterwards: "" where
// every kernel refuses it, "?" in front where some do.
type edit struct{ name, script, problem string }

// refused says whether the edit was, and fails the test if that is wrong.
func (e edit) refused(t *testing.T, out string, err error) bool {
	t.Helper()
	if wrong := (err != nil) != (e.problem == ""); wrong && (err == nil || !strings.HasPrefix(e.problem, "?")) {
		t.Fatalf("nft: %v: %s", err, out)
	}
	return err != nil
}

// edits are tried on the walls of an external port that has one permission, of
// 192.0.2.2:443.
var edits = []edit{
	{"flush a chain", "flush chain inet lwc output", "rule 1 of chain output of table inet lwc is gone"},
	{"flush the table", "flush table inet lwc", "rule 1 of chain prerouting of table inet lwc is gone"},
	{"delete the table", "delete table inet lwc", "table inet lwc is gone"},
	{"delete the netdev table", "delete table netdev lwc", "table netdev lwc is gone"},
	{"open a policy", "add chain inet lwc input { policy accept; }", "chain input of table inet lwc was changed"},
	{"add a chain", "add chain inet lwc extra { type filter hook input priority -1; policy accept; }", "chain extra of table inet lwc is not ours"},
	{"add a rule", "insert rule inet lwc output accept", "rule 1 of chain output of table inet lwc was changed"},
	{"append a rule", "add rule netdev lwc ingress accept", "rule 4 of chain ingress of table netdev lwc is not ours"},
	{"sleep", "add table inet lwc { flags dormant; }", "?table inet lwc is dormant: it filters nothing"},
	{"add a set", "add set inet lwc extra { type ipv4_addr; }", "set extra of table inet lwc is not ours"},
	{"add a counter", "add counter inet lwc extra", "table inet lwc was changed"},
	{"add an element", "add element inet lwc permitted4 { 198.51.100.1 . tcp . 22 timeout 1h }", "set permitted4 holds 198.51.100.1:22 (protocol 6), which nobody permitted"},
	{"permit everything", "add element inet lwc permitted4 { * timeout 1h }", `set permitted4 holds the key "", which nobody permitted`},
	{"permit for longer", renew + "timeout 2h }", "set permitted4 holds 192.0.2.2:443 (protocol 6) for longer than was permitted"},
	{"permit for good", renew + "}", "set permitted4 holds 192.0.2.2:443 (protocol 6) for longer than was permitted"},
	{"the same rule anew", "flush chain inet lwc forward\nadd rule inet lwc forward drop comment \"nothing else\"", "rule 1 of chain forward of table inet lwc was changed"},
	{"the same chain later", "flush chain inet lwc forward\ndelete chain inet lwc forward\n" +
		"add chain inet lwc forward { type filter hook forward priority 10; policy drop; }", "chain forward of table inet lwc was changed"},
	{"the same table anew", "delete table netdev lwc\nadd table netdev lwc", "chain ingress of table netdev lwc is gone"},
	{"another device", "add chain netdev lwc ingress { type filter hook ingress devices = { lo } priority 0; }", "?chain ingress of table netdev lwc was changed"},
	{"take an element", "delete element inet lwc resolvers4 { 192.0.2.3 . udp . 53 }", ""}, // constant sets refuse anybody
}

// renew begins to make a permitted element anew.
const renew = "delete element inet lwc permitted4 { 192.0.2.2 . tcp . 443 }\nadd element inet lwc permitted4 { 192.0.2.2 . tcp . 443 "

// TestForeignEditsAreRefused tries all on the tables that have an owner: the
// tables themselves, and their doubles of kernels that cannot keep the owned.
func TestForeignEditsAreRefused(t *testing.T) {
	for owner, name := range map[ownership]string{ownedForGood: tableName, ownedAlive: aliveName} {
		t.Run(name, func(t *testing.T) {
			port, _ := wire(t)
			w := port.open()
			w.kernel.owner = owner
			p := external(port.link("p0"), false)
			must(t, w.Apply(p))
			if w.kernel.owner != owner {
				need.Kernel(t, "nft-persist", "tables that are owned and persistent, Linux 6.9")
			}
			must(t, w.Permit(addrPorts("192.0.2.2:443"), false, 1<<40))
			owned := func() string {
				return timeouts.ReplaceAllString(port.must("nft -a list table inet "+name)+port.must("nft -a list table netdev "+name), "")
			}
			before := owned()
			for _, e := range append(edits, edits[0]) {
				script := strings.NewReplacer("inet lwc", "inet "+name, "netdev lwc", "netdev "+name).Replace(e.script)
				if out, err := port.nft(script + "\n"); err == nil {
					t.Errorf("%s: nft did it: %s", e.name, out)
				}
			}
			if owner == ownedForGood {
				wantProblems(t, w, p)
			}
			port.must("nft flush ruleset") // skips what has an owner
			if after := owned(); after != before {
				t.Errorf("the rules became\n%s\nwere\n%s", after, before)
			}
		})
	}
}

// TestForeignEditsAreUndone is the same on a kernel without owned tables.
func TestForeignEditsAreUndone(t *testing.T) {
	for i, e := range append(edits, edits...) {
		owner := ownedAlive + ownership(i/len(edits))
		t.Run(fmt.Sprint(e.name, " ", owner), func(t *testing.T) {
			port, _ := wire(t)
			w := port.open()
			w.kernel.owner = owner
			p := external(port.link("p0"), false)
			must(t, w.Apply(p))
			must(t, w.Permit(addrPorts("192.0.2.2:443"), false, 1<<40))
			before := untimed(ruleset(port))
			wantProblems(t, w, p)
			out, err := port.nft(e.script + "\n")
			if e.refused(t, out, err) {
				return
			}
			problems, err := w.Check(p)
			must(t, err)
			if !slices.Contains(problems, strings.TrimPrefix(e.problem, "?")) {
				t.Errorf("Check says %q, want %q among it", problems, e.problem)
			}
			must(t, w.Apply(p))
			if after := untimed(ruleset(port)); after != before {
				t.Errorf("the rules became\n%s\nwere\n%s", after, before)
			}
			wantProblems(t, w, p)
			if len(w.Degraded()) == 0 {
				t.Error("nothing is said to be degraded")
			}
		})
	}
}

// TestDoubles has tables that everybody can delete and others that stay.
func TestDoubles(t *testing.T) {
	port, peer := wire(t)
	port.echo("22", "192.0.2.1")
	peer.echo("443", peerAddrs...)
	w, err := Open(port.ns)
	must(t, err)
	w.kernel.owner = ownedAlive
	p := external(port.link("p0"), false)
	judge(t, peer, w, p, []probe{{"tcp", "192.0.2.1:22", false}})
	must(t, w.Permit(addrPorts("192.0.2.2:443"), false, time.Hour))
	must(t, port.reaches("tcp", "192.0.2.2:443", 5*time.Second))
	port.must("nft flush ruleset")
	if err := peer.reaches("tcp", "192.0.2.1:22", noAnswer); err == nil {
		t.Error("a flush opens the port")
	}
	must(t, port.reaches("tcp", "192.0.2.2:443", 5*time.Second))
	wantProblems(t, w, p, "table inet lwc is gone", "table netdev lwc is gone")
	must(t, w.Apply(p))
	wantProblems(t, w, p)
	must(t, w.Close())
	within(t, 5*time.Second, "the doubles go with their owner", func() bool {
		return !strings.Contains(port.must("nft list tables"), aliveName)
	})
	if err := peer.reaches("tcp", "192.0.2.1:22", noAnswer); err == nil {
		t.Error("the end of the owner opens the port")
	}
}

// untimed cuts what passes with time out of nft's text.
func untimed(rules string) string { return timeouts.ReplaceAllString(rules, "") }

func TestForeignTables(t *testing.T) {
	port, _ := wire(t)
	w := port.open()
	p := external(port.link("p0"), false)
	must(t, w.Apply(p))
	before := ruleset(port)
	script := "table ip nat {\n chain out {\n type filter hook postrouting priority 100;\n accept\n }\n}\ntable bridge quiet {\n}\n"
	if out, err := port.nft(script); err != nil {
		t.Fatal(err, out)
	}
	wantProblems(t, w, p, "table ip nat is not ours and hooks traffic: filter chain out", "table bridge quiet is not ours")
	must(t, w.Apply(p))
	if after := ruleset(port); after != before {
		t.Errorf("the rules became\n%s\nwere\n%s", after, before)
	}
	wantProblems(t, w, p)
}

// TestForeignOwner has a table that cannot be deleted.
func TestForeignOwner(t *testing.T) {
	port, _ := wire(t)
	other, w := port.open(), port.open()
	p := external(port.link("p0"), false)
	must(t, w.Apply(p))
	attrs := attr32(attrText(nil, unix.NFTA_TABLE_NAME, "alien"), unix.NFTA_TABLE_FLAGS, tableOwner)
	must(t, other.commit([]operation{{request: request{unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, unix.NFPROTO_IPV4, 0, attrs}}}))
	wantProblems(t, w, p, "table ip alien is not ours")
	p.DNS = nil
	must(t, w.Apply(p))
	wantProblems(t, w, p, "table ip alien is not ours")
	if err := other.Apply(p); !errors.Is(err, ErrOwned) {
		t.Errorf("a second wall says %v, want %v", err, ErrOwned)
	}
}

func wantProblems(t *testing.T, w *Wall, p Port, want ...string) {
	t.Helper()
	got, err := w.Check(p)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("Check says %q, %v, want %q", got, err, want)
	}
}
