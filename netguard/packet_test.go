package netguard

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// otherMaker makes packet sockets as another process would, or what a test has it hand over.
type otherMaker struct {
	mu    sync.Mutex // held while a socket is made
	made  map[PacketKind]int
	cheat func(space *os.File, kind PacketKind) (*os.File, error)
}

// Socket implements Packets.
func (l *otherMaker) Socket(_ context.Context, space *os.File, kind PacketKind) (*os.File, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.made[kind]++
	if l.cheat != nil {
		return l.cheat(space, kind)
	}
	return PacketSocketIn(space, kind, 0)
}

// Ports whose packet sockets somebody else makes open, and make none themselves; what is
// no packet socket of the port's own namespace is not taken.
func TestPacketsOfAnother(t *testing.T) {
	s := newSite(t)
	l := &otherMaker{made: map[PacketKind]int{}}
	s.config.Packets = l
	g, err := Up(t.Context(), s.config)
	must(t, err)
	t.Cleanup(func() { _ = g.Close() })
	if g.State().Status != Open || l.made[ProbePackets] != 2 {
		t.Errorf("status %s after %d sockets", g.State().Status, l.made[ProbePackets])
	}
	udp := func(*os.File, PacketKind) (*os.File, error) {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		return os.NewFile(uintptr(fd), "udp"), err
	}
	for name, cheat := range map[string]func(*os.File, PacketKind) (*os.File, error){
		"udp":                udp,
		"of our namespace":   func(_ *os.File, kind PacketKind) (*os.File, error) { return makePacket(kind) },
		"of the other kind":  func(space *os.File, _ PacketKind) (*os.File, error) { return PacketSocketIn(space, ProbePackets, 0) },
		"of the wrong place": func(_ *os.File, kind PacketKind) (*os.File, error) { return g.sides[0].packetHere(t, kind) },
	} {
		l.cheat = cheat
		if f, err := g.sides[1].packet(t.Context(), LeasePackets); !errors.Is(err, ErrWrongNamespace) || f != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// packetHere makes a socket in the namespace of m.
func (m *member) packetHere(t *testing.T, kind PacketKind) (file *os.File, err error) {
	t.Helper()
	err = m.ns.do(t.Context(), func() error {
		file, err = makePacket(kind)
		return err
	})
	return file, err
}

// Nothing is made in the namespace of the process, in the one that is named as the
// machine's, or for what is no network namespace.
func TestPacketSocketIn(t *testing.T) {
	s := newSite(t)
	space, err := s.device.again()
	must(t, err)
	defer space.Close()
	for path, want := range map[string]string{"/proc/self/ns/net": "no namespace of a port", "/proc/self/ns/mnt": "no network namespace", "/proc/self/status": "no network namespace"} {
		f, err := os.Open(path)
		must(t, err)
		if made, err := PacketSocketIn(f, ProbePackets, 0); made != nil || !errors.Is(err, ErrWrongNamespace) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
		must(t, f.Close())
	}
	if made, err := PacketSocketIn(space, ProbePackets, s.device.cookie); made != nil || !errors.Is(err, ErrWrongNamespace) {
		t.Errorf("the machine's: %v", err)
	}
	if made, err := PacketSocketIn(space, "raw", 0); made != nil || !errors.Is(err, ErrUnsupported) {
		t.Errorf("another kind: %v", err)
	}
	made, err := PacketSocketIn(space, LeasePackets, 0)
	must(t, err)
	must(t, errors.Join(s.device.madeFor(made, LeasePackets), made.Close()))
}
