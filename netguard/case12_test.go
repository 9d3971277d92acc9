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

// tamper gives a sysctl a wrong value inside a host and measures how long it keeps
// it, by looking every so often on the host's thread.
func tamper(h *netguardtest.Host, s setting, look, patience time.Duration) (took time.Duration, err error) {
	err = h.Do(func() error {
		full := filepath.Join(sysctlRoot, s.path)
		start := time.Now()
		if err := os.WriteFile(full, []byte(s.wrongValue()), 0); err != nil {
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
			case strings.TrimSpace(string(now)) == s.value:
				return nil
			case took > patience:
				return fmt.Errorf("%s is %s after %v", s.path, strings.TrimSpace(string(now)), took.Round(time.Millisecond))
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
			took, err := tamper(s.in(t, side), setting{"ipv4/ip_forward", "0"}, 200*time.Microsecond, limit(testTimeout))
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
	sent.check(t)
	crossed := silent(t, "flood to the cloud", sniffers[0]) + silent(t, "flood to the device", sniffers[1])
	slices.Sort(times)
	p50, worst := times[len(times)/2], times[len(times)-1]
	t.Logf("%d frames, %d a second; ip_forward reverted after %v (p50), %v (worst of %d)", sent.sent, sent.rate(), p50, worst, len(times))
	// Each change follows the revert before it. If only the look each second undid
	// it, each would last about a second, and p50 tells that apart from an event.
	if p50 > slow(pollEvery/3) || worst > limit(100*time.Millisecond) {
		t.Errorf("reverting ip_forward took %v (p50), %v (worst)", p50, worst)
	}
	if m := g.ask(t, "state"); m.Answer != string(Open) {
		t.Errorf("the ports are %s: %s; events %s", m.Answer, m.State.Detail, g.said())
	}
	record(t, caseResult{Case: 12, What: fmt.Sprintf("ip_forward=1 under %d frames/s: reverted (p50)", sent.rate()), Control: seen.Count(), Crossed: crossed, Took: p50})
	record(t, caseResult{Case: 12, What: "the same (worst of 30)", Control: seen.Count(), Crossed: crossed, Took: worst})
}

// floodRate is how many frames a second a flood asks for, half of them each way.
const floodRate = 20_000

// flooding is what the senders of a flood did.
type flooding struct {
	sent int
	took time.Duration
}

func (f flooding) rate() int { return int(float64(f.sent) / f.took.Seconds()) }

// check fails when the senders did not reach the rate, or half of it in an
// emulator: a trickle proves nothing.
func (f flooding) check(t *testing.T) {
	t.Helper()
	want := floodRate * 9 / 10
	if factor := int(slow(time.Second) / time.Second); factor > 1 {
		want = floodRate / factor / 2
	}
	if f.rate() < want {
		t.Errorf("the flood reached %d frames a second, want %d at least", f.rate(), want)
	}
}

// flood sends floodRate frames a second, as fewer as an emulator is slower, until
// stopped; the channel then says what was sent.
func flood(t *testing.T, s *netguardtest.Site, nonce netguardtest.Nonce) (sent <-chan flooding, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	counts, total := make(chan int, 2), make(chan flooding, 1)
	rate := int(floodRate / 2 * float64(time.Second) / float64(slow(time.Second)))
	start := time.Now()
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
	go func() {
		n := <-counts + <-counts
		total <- flooding{n, time.Since(start)}
	}()
	return total, cancel
}

func floodFrames(a, b netguardtest.Wire, nonce netguardtest.Nonce) (frames [][]byte) {
	for _, six := range []bool{false, true} {
		frames = append(frames, netguardtest.Echo(a.FarAddr(six), b.FarAddr(six), 9, nonce[:]).Frame(a.MAC, a.FarMAC))
	}
	return frames
}

// wrongValue is one that the setting must not have.
func (s setting) wrongValue() string {
	if s.value == "0" {
		return "1"
	}
	return "0"
}

// settingsOf are all that the guard keeps at a port, but for disable_ipv6, which
// takes addresses and routes along, and those that this kernel does not have.
func (s *scene) settingsOf(t *testing.T, side Side) (all []setting) {
	t.Helper()
	h := s.in(t, side)
	for _, set := range planOf(s.config, side).sysctls(s.wire(side).Port) {
		have, err := h.Get(set.path)
		switch {
		case errors.Is(err, os.ErrNotExist):
			continue
		case err != nil || have != set.value:
			t.Errorf("%s is %q before anything was done: %v", set.path, have, err)
		case !strings.HasSuffix(set.path, "/disable_ipv6"):
			all = append(all, set)
		}
	}
	return all
}

// silentLimit is for what no event tells of: the guard looks each second, and its
// goal is a second and a half.
const silentLimit = 2500 * time.Millisecond

// Every setting of the guard's own list is put back, whenever it was changed, also
// those whose change makes no event.
func TestCase12EverySetting(t *testing.T) {
	s := newScene(t)
	g := s.guarded(t)
	var worst time.Duration
	changed := 0
	for range 4 { // at four points of the guard's second
		n, took := s.changeSettings(t)
		changed, worst = changed+n, max(worst, took)
		if e := g.event(t, limit(testTimeout), KindSysctl); !e.Violation.Healed {
			t.Errorf("%s: was not healed", e.Text)
		}
		_, err := g.next(within(t, 300*time.Millisecond), func(saying) bool { return false })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	}
	for _, side := range []Side{InternalSide, ExternalSide} {
		path := filepath.Join("ipv6/conf", s.wire(side).Port, "disable_ipv6")
		took, err := tamper(s.in(t, side), setting{path, "0"}, 10*time.Millisecond, limit(silentLimit))
		must(t, err)
		changed, worst = changed+1, max(worst, took)
	}
	waitUntil(t, limit(testTimeout), "clean", func() bool { return g.ask(t, "verify").Answer == "clean" })
	record(t, caseResult{Case: 12, What: fmt.Sprintf("%d changes of every setting: reverted (worst)", changed), Took: worst})
}

// changeSettings changes them all at once, each in its own thread, and returns
// how many and how long the last of them kept its value.
func (s *scene) changeSettings(t *testing.T) (n int, worst time.Duration) {
	t.Helper()
	type outcome struct {
		path string
		took time.Duration
		err  error
	}
	results := make(chan outcome)
	for _, side := range []Side{InternalSide, ExternalSide} {
		h, all := s.in(t, side), s.settingsOf(t, side)
		if len(all) < 60 {
			t.Errorf("only %d settings of the %s port", len(all), side)
		}
		for _, set := range all {
			n++
			go func() {
				took, err := tamper(h, set, 10*time.Millisecond, limit(silentLimit))
				results <- outcome{string(side) + " " + set.path, took, err}
			}()
		}
	}
	for range n {
		r := <-results
		worst = max(worst, r.took)
		if r.err != nil {
			t.Errorf("%s: %v", r.path, r.err)
		}
	}
	return n, worst
}
