package netguardtest

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lwc/testdata/need"
)

func openSite(t *testing.T) *Site {
	t.Helper()
	need.Root(t)
	s, err := NewOpenSite()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(); s.Box.Close() })
	return s
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// A frame with the nonce crosses the open box in either family, and the sniffer
// sees it, also inside a tunnel; another nonce it does not see.
func TestOpenSiteForwards(t *testing.T) {
	s := openSite(t)
	nonce := NewNonce()
	sniffer, err := Sniff(s.External.Far, FarLink, nonce.In)
	if err != nil {
		t.Fatal(err)
	}
	from, err := s.Internal.Far.Sender(FarLink)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	for _, six := range []bool{false, true} {
		device, cloud := s.Internal.FarAddr(six), s.External.FarAddr(six)
		echo := Echo(device, cloud, 1, nonce[:])
		other := NewNonce()
		err := from.Send(echo.Frame(s.Internal.MAC, from.MAC), GRE(device, cloud, echo).Frame(s.Internal.MAC, from.MAC),
			Echo(device, cloud, 1, other[:]).Frame(s.Internal.MAC, from.MAC))
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := sniffer.Wait(within(t, 5*time.Second), 4); err != nil {
		t.Error(err)
	}
	if n, err := sniffer.Stop(); n != 4 || err != nil {
		t.Errorf("saw %d frames, want 4 (%v)", n, err)
	}
}

// The kernel takes what the builders make: it answers a fragmented echo and a
// loose source route leads on.
func TestFramesAreValid(t *testing.T) {
	s := openSite(t)
	nonce := NewNonce()
	device, cloud := s.Internal, s.External
	payload := append(make([]byte, 64), nonce[:]...)
	tests := map[string][]Packet{
		"fragments":    slice(Echo(device.FarAddr(false), cloud.FarAddr(false), 1, payload).Fragments(32)),
		"fragments v6": slice(Echo(device.FarAddr(true), cloud.FarAddr(true), 1, payload).Fragments(32)),
		"source route": {UDP(port(device.FarAddr(false)), port(cloud.FarAddr(false)), nonce[:]).SourceRouted(device.Near(false), false)},
		"tcp":          {TCP(port(device.FarAddr(true)), port(cloud.FarAddr(true)), SYN, nonce[:])},
	}
	from, err := device.Far.Sender(FarLink)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	for name, packets := range tests {
		sniffer, err := Sniff(cloud.Far, FarLink, nonce.In)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range packets {
			if err := from.Send(p.Frame(device.MAC, from.MAC)); err != nil {
				t.Fatal(err)
			}
		}
		if err := sniffer.Wait(within(t, 5*time.Second), 1); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := sniffer.Stop(); err != nil {
			t.Error(err)
		}
	}
}

func slice(p [2]Packet) []Packet { return p[:] }

func port(a netip.Addr) netip.AddrPort { return netip.AddrPortFrom(a, 1234) }

// The sniffer loses nothing at the speed of the floods.
func TestFloodIsSeenWhole(t *testing.T) {
	s := openSite(t)
	nonce := NewNonce()
	sniffer, err := Sniff(s.External.Far, FarLink, nonce.In)
	if err != nil {
		t.Fatal(err)
	}
	from, err := s.Internal.Far.Sender(FarLink)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	frame := UDP(port(s.Internal.FarAddr(false)), port(s.External.FarAddr(false)), nonce[:]).Frame(s.Internal.MAC, from.MAC)
	// Unreachable ports: the errors that come back are limited in number.
	sent, err := from.Flood(ctx, 20_000, frame)
	if err != nil || sent < 10_000 {
		t.Errorf("sent %d frames: %v", sent, err)
	}
	if err := sniffer.Wait(within(t, 5*time.Second), sent); err != nil {
		t.Error(err)
	}
	if n, err := sniffer.Stop(); n != sent || err != nil {
		t.Errorf("saw %d of %d frames (%v)", n, sent, err)
	}
}

// An ordinary host answers a scan in many ways, and the open port is named, from
// an address of the scanning host and from one that nobody has.
func TestScanSeesAnOrdinaryHost(t *testing.T) {
	s := openSite(t)
	for _, tt := range []struct{ name, from, target string }{
		{"host's own", "192.0.2.1", "192.0.2.2"}, {"nobody's, IPv6", "fd00:22::77", "fd00:22::2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			report := scan(t, s, tt.from, tt.target)
			t.Log(report)
			if report.Answered < 65535 || report.Sent["tcp syn"] != 65535 || report.Took > 20*time.Second ||
				report.MAC.String() != s.External.MAC.String() {
				t.Errorf("%+v", report)
			}
		})
	}
}

// scan scans anew where the machine was too busy to see every answer.
func scan(t *testing.T, s *Site, from, target string) (report Report) {
	t.Helper()
	err := ErrDropped
	for tries := 0; errors.Is(err, ErrDropped) && tries < 5; tries++ {
		err = s.External.Far.Do(func() (err error) {
			report, err = Scan(within(t, time.Minute), FarLink, netip.MustParseAddr(from), netip.MustParseAddr(target), nil)
			return err
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// A host that drops all but neighbour discovery answers no scan; one open port
// among 65,535 is found.
func TestScanTellsSilenceFromOnePort(t *testing.T) {
	s := openSite(t)
	l, err := s.Box.Listen("192.0.2.2:40404")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	silence := "table inet t {\nchain i { type filter hook input priority 0; policy drop; IN; }\nchain o { type filter hook output priority 0; policy drop; OUT; }\n}\n"
	nft(t, s.Box, strings.NewReplacer("IN;", "", "OUT;", "").Replace(silence))
	if report := scan(t, s, "192.0.2.77", "192.0.2.2"); report.Answered != 0 {
		t.Errorf("a silent host answered: %v", report)
	}
	nft(t, s.Box, "flush ruleset\n"+strings.NewReplacer("IN", "tcp dport 40404 accept", "OUT", "accept").Replace(silence))
	report := scan(t, s, "192.0.2.1", "192.0.2.2")
	if report.Answered == 0 || !strings.Contains(report.String(), "SYN+ACK from port 40404") {
		t.Errorf("the open port is not named: %v", report)
	}
}

func nft(t *testing.T, h *Host, text string) {
	t.Helper()
	tool := need.Program(t, "nft")
	file := filepath.Join(t.TempDir(), "rules")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := h.Run(tool, "-f", file); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func FuzzParse(f *testing.F) {
	mac := Broadcast()
	v4, v6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("fd00::1")
	f.Add(ARPRequest(mac, v4, v4.Next()))
	f.Add(Solicitation(mac, v6, v6.Next()))
	f.Add(Advertisement(mac, v6, mac, v6.Next()))
	f.Add(Echo(v4, v4, 1, nil).Frame(mac, mac))
	f.Add(TCP(port(v6), port(v6), SYN, nil).Frame(mac, mac))
	f.Fuzz(func(t *testing.T, frame []byte) {
		s := &scanner{from: v4, target: v6, owned: true}
		seen := parse(frame)
		_, _, _ = seen.String(), s.answer(seen), s.aboutProbe(seen)
		s.from = v6
		s.answer(seen)
	})
}
