package wall

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestLinkComesBack deletes the link and makes another of the same name and
// index. The chains of the first are gone with it up to Linux 6.15, and the
// generation of the rules stays: either Check tells, or they filter again.
func TestLinkComesBack(t *testing.T) {
	port, peer := wire(t)
	w, p := port.open(), external(port.link("p0"), false)
	must(t, w.Apply(p))
	wantProblems(t, w, p)
	renew := func(index string) {
		port.must("ip link delete p0")
		port.join(peer, "ip link add p0 index "+index+" address "+portMAC+" type veth peer name p1 index 11 address "+peerMAC)
		port.must("ip link set p0 up")
		peer.must("ip link set p1 up")
	}
	renew("10")
	problems, err := w.Check(p)
	must(t, err)
	if len(problems) > 0 {
		t.Logf("Check says %q", problems)
		must(t, w.Apply(p))
		wantProblems(t, w, p)
	}
	send, listen := port.frames("p0", 0), peer.frames("p1", unix.ETH_P_ALL)
	for from, want := range map[string]bool{portMAC: true, strangerMAC: false} {
		_, err := unix.Write(send, frame("ff:ff:ff:ff:ff:ff", from, probing, "from "+from))
		if got := hears(listen, "from "+from); got != want {
			t.Errorf("heard %t from %s (%v), want %t", got, from, err, want)
		}
	}
	renew("12")
	wantProblems(t, w, p, fmt.Sprintf("%v: p0 has index 12 there, want 10", ErrNoLink))
}

// TestEndedPermissionStaysOut applies anew while an ended permission is remembered.
func TestEndedPermissionStaysOut(t *testing.T) {
	port, _ := wire(t)
	w, p := port.open(), external(port.link("p0"), false)
	must(t, w.Apply(p))
	must(t, w.Permit(addrPorts("192.0.2.2:443"), false, time.Millisecond))
	listed := func() bool { return strings.Contains(port.must("nft list set inet lwc "+setPermitted4), "192.0.2.2") }
	within(t, 5*time.Second, "the permission ends", func() bool { return !listed() })
	p.DNS = nil
	must(t, w.Apply(p))
	if listed() {
		t.Error("a permission is back that had ended")
	}
}

// TestPermitHidesNothing permits after a foreign change and before it is seen.
func TestPermitHidesNothing(t *testing.T) {
	port, _ := wire(t)
	w, p := port.open(), external(port.link("p0"), false)
	must(t, w.Apply(p))
	wantProblems(t, w, p)
	port.must("nft add table ip alien")
	must(t, w.Permit(addrPorts("192.0.2.2:443"), false, time.Hour))
	must(t, w.Pulse())
	wantProblems(t, w, p, "table ip alien is not ours")
}

// TestPermitWithoutSet has the set deleted, which is no lack of the kernel's.
func TestPermitWithoutSet(t *testing.T) {
	port, _ := wire(t)
	w := port.open()
	w.kernel.owner = ownedByNobody
	must(t, w.Apply(external(port.link("p0"), false)))
	port.must("nft flush ruleset")
	if err := w.Permit(addrPorts("192.0.2.2:443"), false, time.Hour); !errors.Is(err, unix.ENOENT) || errors.Is(err, ErrUnsupported) {
		t.Errorf("Permit says %v, want %v alone", err, unix.ENOENT)
	}
}

// TestLateAnswers leaves the answer to one exchange to the next.
func TestLateAnswers(t *testing.T) {
	w := newHost(t).open()
	must(t, w.Apply(Port{}))
	stray := request{kind: unix.NFT_MSG_GETTABLE, flags: unix.NLM_F_DUMP}
	must(t, w.nl.send(stray.append(nil, 1<<31)))
	wantProblems(t, w, Port{})
	w.gen = 0
	wantProblems(t, w, Port{})
}

func TestLearn(t *testing.T) {
	refused := func(p part) error { return &kernelError{kind: ErrUnsupported, errno: unix.EOPNOTSUPP, part: p} }
	var k kernel
	var got []bool
	for _, p := range []part{partEgress, partEgress, partFlags, partFlags, partFlags, partOther} {
		got = append(got, k.learn(refused(p)))
	}
	if want := []bool{true, false, true, true, false, false}; !slices.Equal(got, want) || !k.noEgress || k.owner != ownedByNobody || len(k.degraded()) != 2 {
		t.Errorf("learned %v and %+v, degraded %q", got, k, k.degraded())
	}
	if k.learn(&kernelError{kind: ErrPrivilege, errno: unix.EPERM, part: partFlags}) {
		t.Error("a missing privilege counts as a missing feature")
	}
}
