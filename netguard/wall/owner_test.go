package wall

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// edits are what another program may try, with what Check says where it can.
var edits = []struct{ name, script, problem string }{
	{"flush a chain", "flush chain inet lwc output", "rule 1 of chain output of table inet lwc is gone"},
	{"flush the table", "flush table inet lwc", "rule 1 of chain prerouting of table inet lwc is gone"},
	{"delete the table", "delete table inet lwc", "table inet lwc is gone"},
	{"delete the netdev table", "delete table netdev lwc", "table netdev lwc is gone"},
	{"open a policy", "add chain inet lwc input { policy accept; }", "chain input of table inet lwc was changed"},
	{"add a chain", "add chain inet lwc extra { type filter hook input priority -1; policy accept; }", "chain extra of table inet lwc is not ours"},
	{"add a rule", "insert rule inet lwc output accept", "rule 1 of chain output of table inet lwc was changed"},
	{"append a rule", "add rule netdev lwc ingress accept", "rule 4 of chain ingress of table netdev lwc is not ours"},
	{"sleep", "add table inet lwc { flags dormant; }", "table inet lwc is dormant: it filters nothing"},
	{"add a set", "add set inet lwc extra { type ipv4_addr; }", "set extra of table inet lwc is not ours"},
	{"add a counter", "add counter inet lwc extra", "table inet lwc was changed"},
	{"add an element", "add element inet lwc permitted4 { 198.51.100.1 . tcp . 22 timeout 1h }", "set permitted4 holds 198.51.100.1:22 (protocol 6), which nobody permitted"},
	{"take an element", "delete element inet lwc resolvers4 { 192.0.2.3 . udp . 53 }", ""}, // constant sets refuse anybody
}

func TestForeignEditsAreRefused(t *testing.T) {
	port, _ := wire(t)
	w := port.open()
	p := external(port.link("p0"), false)
	must(t, w.Apply(p))
	if w.kernel.owner != ownedForGood {
		t.Skip("NOT RUN: this kernel has no tables that are owned and persistent")
	}
	before := port.must("nft -a list ruleset")
	for _, e := range append(edits, edits[0]) {
		if out, err := port.nft(e.script + "\n"); err == nil {
			t.Errorf("%s: nft did it: %s", e.name, out)
		}
	}
	port.must("nft flush ruleset") // skips what has an owner
	if after := port.must("nft -a list ruleset"); after != before {
		t.Errorf("the rules became\n%s\nwere\n%s", after, before)
	}
	wantProblems(t, w, p)
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
			out, err := port.nft(e.script + "\n")
			if refused := err != nil; refused != (e.problem == "") {
				t.Fatalf("nft: %v: %s", err, out)
			}
			if e.problem == "" {
				return
			}
			problems, err := w.Check(p)
			must(t, err)
			if !slices.Contains(problems, e.problem) {
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
	if w.kernel.owner != ownedForGood {
		t.Skip("NOT RUN: this kernel has no tables that are owned and persistent")
	}
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

// TestKilled leaves the tables to a successor.
func TestKilled(t *testing.T) {
	port, _ := wire(t)
	p := external(port.link("p0"), true)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), envRole+"=hold")
	cmd.ExtraFiles = []*os.File{port.ns}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	in, err := cmd.StdinPipe()
	must(t, err)
	must(t, cmd.Start())
	defer in.Close()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "holding\n" {
		t.Fatalf("the child says %q, %v", line, err)
	}
	w := port.open()
	if err := w.Apply(p); !errors.Is(err, ErrOwned) {
		t.Errorf("while the owner lives, Apply says %v, want %v", err, ErrOwned)
	}
	before := withoutDoubles(ownerName.ReplaceAllString(port.must("nft -a list ruleset"), "{\n"))
	must(t, cmd.Process.Kill())
	_ = cmd.Wait() // says that it was killed
	left := port.must("nft -a list ruleset")
	if strings.Contains(left, "progname") {
		t.Errorf("the dead still owns\n%s", left)
	}
	if !strings.Contains(left, "chain egress") || strings.Count(left, "accept") != strings.Count(before, "accept") {
		t.Errorf("the killed left\n%s\nhad\n%s", left, before)
	}
	must(t, w.Apply(p))
	wantProblems(t, w, p)
	if out, err := port.nft("flush table inet lwc\n"); err == nil && w.kernel.owner == ownedForGood {
		t.Errorf("the adopted table can be changed: %s", out)
	}
	// Chains and tables were taken over in place: their handles are the same.
	handles := func(s string) []string { return tableHandles.FindAllString(s, -1) }
	if got, want := handles(withoutDoubles(port.must("nft -a list ruleset"))), handles(before); !slices.Equal(got, want) {
		t.Errorf("handles %q, were %q", got, want)
	}
}

// play is what the test binary does as a child.
func play(role string) error {
	if role != "hold" {
		return fmt.Errorf("unknown part %q", role)
	}
	w, err := Open(os.NewFile(3, "namespace"))
	if err != nil {
		return err
	}
	mac := []byte{2, 0, 0, 0, 0, 1}
	if err := w.Apply(external(Port{Link: "p0", Index: 10, MAC: mac}, true)); err != nil {
		return err
	}
	fmt.Println("holding")
	_, err = bufio.NewReader(os.Stdin).ReadString('\n')
	return err
}
