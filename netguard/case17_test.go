package netguard

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/rpc"
	"net/rpc/jsonrpc"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"lwc/netguard/netguardtest"
	"lwc/testdata/need"
)

// A guard that is killed under a flood leaves both walls standing; the next one
// takes them over as they are.
func TestCase17KilledUnderFlood(t *testing.T) {
	open := openScene(t)
	nonce := netguardtest.NewNonce()
	seen := sniff(t, open.External, nonce.In)
	flooded, stopControl := flood(t, open.Site, nonce)
	must(t, seen.Wait(within(t, testTimeout), 1000))
	stopControl()
	<-flooded

	s := newScene(t)
	serveCloud(t, s)
	g := s.guarded(t)
	before := [2]string{rules(t, s.in(t, InternalSide)), rules(t, s.in(t, ExternalSide))}
	leaves := func(w netguardtest.Wire) func([]byte) bool {
		mine := fromBox(w)
		return func(frame []byte) bool { return nonce.In(frame) || mine(frame) }
	}
	sniffers := []*netguardtest.Sniffer{sniff(t, s.External, leaves(s.External)), sniff(t, s.Internal, leaves(s.Internal))}
	flooded, stopFlood := flood(t, s.Site, nonce)
	kill(t, g)
	must(t, settle(t, sniffers[0]))
	generations := [2]uint32{generation(t, s.in(t, InternalSide)), generation(t, s.in(t, ExternalSide))}
	start := time.Now()
	next := s.guarded(t)
	took := time.Since(start)
	for i, side := range []Side{InternalSide, ExternalSide} {
		if n := generation(t, s.in(t, side)) - generations[i]; n != 1 {
			t.Errorf("taking over the tables of the %s port took %d transactions, want 1", side, n)
		}
	}
	stopFlood()
	sent := <-flooded
	sent.check(t)
	crossed := silent(t, "flood and gap, to the cloud", sniffers[0]) + silent(t, "flood and gap, to the device", sniffers[1])
	for i, side := range []Side{InternalSide, ExternalSide} {
		if after := rules(t, s.in(t, side)); after != before[i] {
			t.Errorf("the tables of the %s port were:\n%s\nare:\n%s", side, before[i], after)
		}
	}
	if m := next.ask(t, "external tcp "+net.JoinHostPort(s.External.FarAddr(false).String(), "443")); m.Answer != "connected" {
		t.Errorf("dialling afterwards: %s", m.Answer)
	}
	t.Logf("%d frames, %d a second", sent.sent, sent.rate())
	record(t, caseResult{Case: 17, What: fmt.Sprintf("SIGKILL, restart under %d frames/s, 1 transaction a port", sent.rate()),
		Control: seen.Count(), Crossed: crossed, Took: took})
}

// generation is the number of the tables' present state in a host: the kernel adds
// one with each transaction (NFT_MSG_GETGEN, net/netfilter/nf_tables_api.c).
func generation(t *testing.T, h *netguardtest.Host) (n uint32) {
	t.Helper()
	const subsystem = unix.NFNL_SUBSYS_NFTABLES << 8
	must(t, h.Do(func() error {
		request := nl.NewNetlinkRequest(subsystem|unix.NFT_MSG_GETGEN, 0)
		request.AddData(&nl.Nfgenmsg{})
		answers, err := request.Execute(unix.NETLINK_NETFILTER, subsystem|unix.NFT_MSG_NEWGEN)
		if err != nil || len(answers) != 1 || len(answers[0]) < nl.SizeofNfgenmsg {
			return fmt.Errorf("asking for the generation: %d answers, %w", len(answers), err)
		}
		attrs, err := nl.ParseRouteAttr(answers[0][nl.SizeofNfgenmsg:])
		for _, a := range attrs {
			if a.Attr.Type == unix.NFTA_GEN_ID {
				n = binary.BigEndian.Uint32(a.Value)
			}
		}
		return err
	}))
	if n == 0 {
		t.Fatal("the kernel tells no generation")
	}
	return n
}

// playServing holds the ports and serves a half over file 3.
func playServing() error {
	g, err := childUp(context.Background())
	if err != nil {
		return err
	}
	conn, err := net.FileConn(os.NewFile(3, "half"))
	if err != nil {
		return err
	}
	server := rpc.NewServer()
	if err := server.Register(RemoteGuard{g}); err != nil {
		return err
	}
	fmt.Println("up")
	server.ServeCodec(jsonrpc.NewServerCodec(conn))
	return g.Close()
}

// halves starts a supervisor in the box and a collector half for it, in an empty
// namespace of its own.
func (s *scene) halves(t *testing.T) (supervisor, half *child) {
	t.Helper()
	ours, theirs := socketpair(t)
	in := func(cmd *exec.Cmd) error {
		cmd.ExtraFiles = []*os.File{ours}
		return s.Box.Do(cmd.Start)
	}
	env := (&site{config: s.config}).env(t, "")
	supervisor = launch(t, in, "serving", env...)
	must(t, ours.Close())
	supervisor.expect(t, "up")
	half = startWith(t, "half", &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}, []*os.File{theirs})
	must(t, theirs.Close())
	half.expect(t, "ready")
	return supervisor, half
}

// A half without privileges dials; when its supervisor is frozen and somebody
// changes the ports, it closes by itself what it holds; when the supervisor is
// dead, for good.
func TestCase18HalfWithoutSupervisor(t *testing.T) {
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_GETPID, 0, 0, 0); errno == syscall.ENOTSUP {
		need.Missing(t, "a binary without cgo (CGO_ENABLED=0), which alone can drop privileges in all threads")
	}
	t.Parallel()
	s := newScene(t)
	cloud := "external " + netip.AddrPortFrom(s.External.FarAddr(false), 443).String()
	l, err := s.External.Far.Listen(":443")
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go keepAccepted(t, l)
	supervisor, half := s.halves(t)
	half.say(t, cloud)
	half.expect(t, "connected")
	must(t, supervisor.cmd.Process.Signal(syscall.SIGSTOP))
	start := time.Now()
	must(t, s.in(t, InternalSide).Address(s.Internal.Port, netip.MustParsePrefix("192.0.2.200/25")))
	half.say(t, "closed")
	half.expect(t, "closed by us: true")
	took := time.Since(start)
	if took > limit(100*time.Millisecond) {
		t.Errorf("the half closed its connections after %v", took)
	}
	half.say(t, cloud)
	half.expect(t, "refused blocked")
	record(t, caseResult{Case: 18, What: "supervisor frozen, overlap: the half has closed its connections", Took: took})
	start = time.Now()
	supervisor.kill()
	half.say(t, "ended")
	half.expect(t, "ended with an error: true")
	if took = time.Since(start); took > limit(100*time.Millisecond) {
		t.Errorf("the half ended after %v", took)
	}
	record(t, caseResult{Case: 18, What: "supervisor killed: the half has ended", Took: took})
}

// keepAccepted keeps what it accepts until the test ends.
func keepAccepted(t *testing.T, l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		t.Cleanup(func() { _ = c.Close() })
	}
}

// Both ports in one switch; a third card; one that is plugged in later.
func TestCase19OneSwitchOrThirdCard(t *testing.T) {
	t.Run("one switch", func(t *testing.T) {
		t.Parallel()
		s := newScene(t)
		plug, err := netguardtest.NewHost()
		must(t, err)
		t.Cleanup(plug.Close)
		// The far ends leave their hosts for the switch.
		for i, w := range []netguardtest.Wire{s.Internal, s.External} {
			name := fmt.Sprintf("port%d", i)
			far, err := w.Far.Link(netguardtest.FarLink)
			must(t, err)
			must(t, errors.Join(w.Far.Netlink().LinkSetDown(far), w.Far.Netlink().LinkSetName(far, name), w.Far.Move(name, plug)))
		}
		must(t, plug.Bridge("switch", "port0", "port1"))
		if m := s.guardian(t).answer(t); !strings.Contains(m.Answer, ErrSameSegment.Error()) {
			t.Errorf("the guard says %q, want %v", m.Answer, ErrSameSegment)
		}
	})
	t.Run("third card", func(t *testing.T) {
		t.Parallel()
		s := newScene(t)
		s.config.Dedicated = true
		must(t, s.Box.Bridge("third0"))
		if m := s.guardian(t).answer(t); !strings.Contains(m.Answer, ErrExtraInterface.Error()) || !strings.Contains(m.Answer, "third0") {
			t.Errorf("the guard says %q, want %v", m.Answer, ErrExtraInterface)
		}
	})
	for _, dedicated := range []bool{true, false} {
		t.Run(fmt.Sprintf("plugged in later, dedicated %v", dedicated), func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.config.Dedicated = dedicated
			g := s.guarded(t)
			where := s.Box
			if !dedicated { // the machine may have others, a port's namespace may not
				where = s.in(t, ExternalSide)
			}
			start := time.Now()
			must(t, where.Bridge("third0"))
			took := s.portDown(t, start)
			g.event(t, limit(testTimeout), KindExtraInterface)
			if took > limit(100*time.Millisecond) {
				t.Errorf("blocked after %v", took)
			}
			record(t, caseResult{Case: 19, What: fmt.Sprintf("third interface later, dedicated %v: External Port down", dedicated), Took: took})
		})
	}
}
