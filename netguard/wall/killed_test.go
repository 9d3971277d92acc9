package wall

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
)

// TestKilled leaves the tables to a successor.
func TestKilled(t *testing.T) {
	port, _ := wire(t)
	p := external(port.link("p0"), true)
	kill := port.hold()
	w := port.open()
	if err := w.Apply(p); !errors.Is(err, ErrOwned) {
		t.Errorf("while the owner lives, Apply says %v, want %v", err, ErrOwned)
	}
	before := withoutDoubles(ownerName.ReplaceAllString(port.must("nft -a list ruleset"), "{\n"))
	kill()
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

// TestTamperedOrphans changes what a killed process left, before it is adopted.
func TestTamperedOrphans(t *testing.T) {
	extras := []edit{
		{"a comment on a chain", "flush chain inet lwc forward\ndelete chain inet lwc forward\n" +
			`add chain inet lwc forward { type filter hook forward priority 0; policy drop; comment "x"; }`, "new"},
		{"a table of nobody's", "delete table inet lwc\nadd table inet lwc", "new"},
		{"a permission", "add element inet lwc permitted4 { 198.51.100.1 . tcp . 443 }", "new"},
		{"another set", "flush chain inet lwc output\ndelete set inet lwc permitted4\n" +
			"add set inet lwc permitted4 { type ipv4_addr . inet_proto . inet_service; timeout 1d; }", "new"},
	}
	// Of the edits of others those that adoption could overlook.
	adopted := []string{"flush the table", "add a chain", "sleep", "add a counter", "permit everything", "another device"}
	for _, e := range append(extras, edits...) {
		if !slices.Contains(extras, e) && !slices.Contains(adopted, e.name) {
			continue
		}
		t.Run(e.name, func(t *testing.T) {
			port, _ := wire(t)
			kill := port.hold()
			want := ruleset(port)
			kill()
			out, err := port.nft(e.script + "\n")
			e.refused(t, out, err)
			w, p := port.open(), external(port.link("p0"), true)
			must(t, w.Apply(p))
			wantProblems(t, w, p)
			fresh := newHost(t).open()
			must(t, fresh.Apply(Port{}))
			if got, want := w.Degraded(), fresh.Degraded(); !slices.Equal(got, want) {
				t.Errorf("degraded %q, without orphans %q", got, want)
			}
			if got := ruleset(port); got != want {
				t.Errorf("the rules became\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// hold has a child process apply walls, and returns what kills it.
func (h *host) hold() (kill func()) {
	h.t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), envRole+"=hold")
	cmd.ExtraFiles = []*os.File{h.ns}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(h.t, err)
	_, err = cmd.StdinPipe() // held open until it is killed
	must(h.t, err)
	must(h.t, cmd.Start())
	kill = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // says that it was killed
	})
	h.t.Cleanup(kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "holding\n" {
		h.t.Fatalf("the child says %q, %v", line, err)
	}
	return kill
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
