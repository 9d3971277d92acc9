package netguard

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"lwc/netguard/netguardtest"
)

// tamper writes a sysctl inside a host and measures how long it keeps the value,
// by looking every so often on the host's thread.
func tamper(h *netguardtest.Host, path, value string, look, patience time.Duration) (took time.Duration, err error) {
	err = h.Do(func() error {
		full := filepath.Join("/proc/sys/net", path)
		good, err := os.ReadFile(full)
		if err != nil {
			return err
		}
		start := time.Now()
		if err := os.WriteFile(full, []byte(value), 0); err != nil {
			return err
		}
		tick := time.NewTicker(look)
		defer tick.Stop()
		for {
			now, err := os.ReadFile(full)
			took = time.Since(start)
			switch {
			case err != nil:
				return err
			case string(now) == string(good):
				return nil
			case took > patience:
				return fmt.Errorf("%s is %s after %v", path, strings.TrimSpace(string(now)), took.Round(time.Millisecond))
			}
			<-tick.C
		}
	})
	return took, err
}

// ip_forward is forced on again and again while 20,000 frames a second ask to be
// forwarded each way.
func TestCase12ForwardingUnderFlood(t *testing.T) {
	out := netguardtest.NewNonce()
	open := openScene(t)
	seen := sniff(t, open.External, out.In)
	flooded, stopControl := flood(t, open.Site, out)
	must(t, seen.Wait(within(t, testTimeout), 1000))
	stopControl()
	<-flooded

	s := newScene(t)
	g := s.guarded(t)
	nonce := netguardtest.NewNonce()
	sniffers := []*netguardtest.Sniffer{sniff(t, s.External, nonce.In), sniff(t, s.Internal, nonce.In)}
	flooded, stopFlood := flood(t, s.Site, nonce)
	var times []time.Duration
	for range 15 {
		for _, side := range []Side{InternalSide, ExternalSide} {
			took, err := tamper(s.in(t, side), "ipv4/ip_forward", "1", 200*time.Microsecond, limit(time.Second))
			must(t, err)
			times = append(times, took)
			// Once more before it is found clean, three times, and it blocks.
			if m := g.ask(t, "verify"); m.Answer != "clean" {
				t.Errorf("after reverting: %s", m.Answer)
			}
		}
	}
	for _, h := range []*netguardtest.Host{s.in(t, InternalSide), s.in(t, ExternalSide)} {
		// Writing ip_forward resets it to 1 (net/ipv4/devinet.c, inet_forward_change).
		waitUntil(t, limit(100*time.Millisecond), "accept_redirects is 0", func() bool {
			v, err := h.Get("ipv4/conf/all/accept_redirects")
			return err == nil && v == "0"
		})
	}
	stopFlood()
	sent := <-flooded
	crossed := silent(t, "flood to the cloud", sniffers[0]) + silent(t, "flood to the device", sniffers[1])
	slices.Sort(times)
	p50, worst := times[len(times)/2], times[len(times)-1]
	t.Logf("%d frames; ip_forward reverted after %v (p50), %v (worst of %d)", sent, p50, worst, len(times))
	if p50 > limit(50*time.Millisecond) || worst > limit(100*time.Millisecond) {
		t.Errorf("reverting ip_forward took %v (p50), %v (worst)", p50, worst)
	}
	if m := g.ask(t, "state"); m.Answer != string(Open) {
		t.Errorf("the ports are %s: %s; events %s", m.Answer, m.State.Detail, g.said())
	}
	record(t, caseResult{Case: 12, What: fmt.Sprintf("ip_forward=1 under %d frames: reverted (p50)", sent), Control: seen.Count(), Crossed: crossed, Took: p50})
	record(t, caseResult{Case: 12, What: "the same (worst of 30)", Control: seen.Count(), Crossed: crossed, Took: worst})
}

// flood sends 20,000 frames a second in all, half each way, until stopped; the
// channel then has their number.
func flood(t *testing.T, s *netguardtest.Site, nonce netguardtest.Nonce) (sent <-chan int, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	counts, total := make(chan int, 2), make(chan int, 1)
	rate := int(10_000 * float64(time.Second) / float64(slow(time.Second)))
	for _, pair := range [][2]netguardtest.Wire{{s.Internal, s.External}, {s.External, s.Internal}} {
		frames := floodFrames(pair[0], pair[1], nonce)
		at := sender(t, pair[0])
		go func() {
			n, err := at.Flood(ctx, rate, frames...)
			if err != nil {
				t.Error(err)
			}
			counts <- n
		}()
	}
	go func() { total <- <-counts + <-counts }()
	return total, cancel
}

func floodFrames(a, b netguardtest.Wire, nonce netguardtest.Nonce) (frames [][]byte) {
	for _, six := range []bool{false, true} {
		frames = append(frames, netguardtest.Echo(a.FarAddr(six), b.FarAddr(six), 9, nonce[:]).Frame(a.MAC, a.FarMAC))
	}
	return frames
}

// silentSettings are those whose change makes no event, with a value that they
// must not have.
var silentSettings = map[string]string{
	"ipv4/conf/%s/arp_ignore": "0", "ipv4/conf/%s/arp_announce": "0", "ipv4/conf/%s/accept_redirects": "1",
	"ipv4/conf/%s/secure_redirects": "1", "ipv4/conf/%s/accept_local": "1", "ipv4/conf/%s/route_localnet": "1",
	"ipv4/conf/%s/accept_source_route": "1", "ipv6/conf/%s/accept_ra": "1", "ipv6/conf/%s/accept_redirects": "1",
	"ipv6/conf/%s/accept_source_route": "0", "ipv6/conf/%s/autoconf": "1", "ipv4/conf/%s/proxy_arp_pvlan": "1"}

// They are put back within a second and a half, whenever they were changed.
func TestCase12SilentSettings(t *testing.T) {
	s := newScene(t)
	g := s.guarded(t)
	var worst time.Duration
	changed := 0
	for range 4 { // at four points of the guard's second
		n, took := s.changeSilently(t)
		changed, worst = changed+n, max(worst, took)
		if e := g.event(t, limit(testTimeout), KindSysctl); !e.Violation.Healed {
			t.Errorf("%s: was not healed", e.Text)
		}
		_, err := g.next(within(t, 300*time.Millisecond), func(saying) bool { return false })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	}
	record(t, caseResult{Case: 12, What: fmt.Sprintf("%d silent settings: reverted (worst)", changed), Took: worst})
}

// changeSilently changes them all at once, each in its own thread, and returns
// how many and how long the last of them kept its value.
func (s *scene) changeSilently(t *testing.T) (n int, worst time.Duration) {
	t.Helper()
	type outcome struct {
		path string
		took time.Duration
		err  error
	}
	results := make(chan outcome)
	for _, side := range []Side{InternalSide, ExternalSide} {
		h := s.in(t, side)
		for pattern, value := range silentSettings {
			for _, device := range []string{"all", "default", s.wire(side).Port} {
				n++
				go func() {
					path := fmt.Sprintf(pattern, device)
					took, err := tamper(h, path, value, 10*time.Millisecond, limit(3*time.Second))
					results <- outcome{path, took, err}
				}()
			}
		}
	}
	for range n {
		r := <-results
		worst = max(worst, r.took)
		if r.err != nil || r.took > limit(1500*time.Millisecond) {
			t.Errorf("%s: %v after %v", r.path, r.err, r.took)
		}
	}
	return n, worst
}
