package netguard

import (
	"context"
	"testing"
	"time"
)

// moments for the tables: seconds after some beginning.
func at(seconds float64) time.Time {
	return time.Unix(1_800_000_000, 0).Add(time.Duration(seconds * float64(time.Second)))
}

// step is one thing that happens to a hold.
type step struct {
	at    float64
	what  string // block, uncounted, dirty, clean, revert or loss
	wants bool   // what the call returns
}

func (s step) take(h *hold) bool {
	switch s.what {
	case "block":
		h.block(at(s.at), true)
	case "uncounted":
		h.block(at(s.at), false)
	case "dirty":
		return h.sweep(at(s.at), false)
	case "clean":
		return h.sweep(at(s.at), true)
	case "revert":
		return h.revert(at(s.at))
	case "loss":
		return h.loss(at(s.at))
	}
	return false
}

func TestHold(t *testing.T) {
	tests := map[string][]step{
		"three clean sweeps over five seconds": {
			{0, "block", false}, {0, "clean", false}, {2.5, "clean", false}, {4.9, "clean", false}, {5, "clean", true}},
		"two are not enough": {
			{0, "block", false}, {0, "clean", false}, {60, "clean", false}, {61, "clean", true}},
		"many in a second are not enough": {
			{0, "block", false}, {0, "clean", false}, {.1, "clean", false}, {.2, "clean", false}, {.9, "clean", false}},
		"a find begins anew": {
			{0, "block", false}, {0, "clean", false}, {2.5, "clean", false}, {4, "dirty", false},
			{5, "clean", false}, {7.5, "clean", false}, {9.9, "clean", false}, {10, "clean", true}},
		"a block begins anew and holds twice as long": {
			{0, "block", false}, {0, "clean", false}, {2.5, "clean", false}, {3, "block", false},
			{3, "clean", false}, {6, "clean", false}, {9, "clean", false}, {12.9, "clean", false}, {13, "clean", true}},
		"the third holds four times as long": {
			{0, "block", false}, {10, "block", false}, {20, "block", false},
			{20, "clean", false}, {30, "clean", false}, {39.9, "clean", false}, {40, "clean", true}},
		"after a quiet window the hold is short again": {
			{0, "block", false}, {10, "block", false}, {1000, "block", false},
			{1000, "clean", false}, {1002.5, "clean", false}, {1005, "clean", true}},
		"events lost twice in short time": {{0, "loss", false}, {10, "loss", true}, {21, "loss", false}},
	}
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			var h hold
			for i, s := range steps {
				if got := s.take(&h); got != s.wants {
					t.Errorf("step %d (%v): %v", i, s, got)
				}
			}
		})
	}
}

// The hold doubles up to its limit and no further, however many blocks there are.
func TestHoldDoubles(t *testing.T) {
	var h hold
	for i, want := range []time.Duration{5, 10, 20, 40, 80, 160, 300, 300, 300} {
		now := at(float64(i))
		h.block(now, false)
		if got := h.opens.Sub(now); got != want*time.Second {
			t.Errorf("hold %d is %v, want %v s", i, got, want)
		}
	}
	if h.latched {
		t.Error("blocks that do not count latched")
	}
}

func TestHoldLatches(t *testing.T) {
	var h hold
	for i := range latchBlocks {
		if h.latched {
			t.Fatalf("latched by %d blocks", i)
		}
		h.block(at(float64(i)), true)
	}
	for i := range 10 { // nothing opens it any more
		if h.sweep(at(1000*float64(i+1)), true) || !h.latched {
			t.Fatal("latched ports opened")
		}
	}
}

func TestHoldForgetsOldBlocks(t *testing.T) {
	var h hold
	for i := range 4 * latchBlocks {
		h.block(at(150*float64(i)), true) // four or five of them lie in any ten minutes
	}
	if h.latched {
		t.Errorf("latched by blocks two and a half minutes apart: %v", h.blocks)
	}
}

func TestHoldLatchesOnReverts(t *testing.T) {
	var h hold
	for i := range latchReverts - 1 {
		if h.revert(at(5 * float64(i))) {
			t.Fatalf("latched by %d reverts", i+1)
		}
	}
	if !h.revert(at(5 * latchReverts)) {
		t.Errorf("%d reverts in %v did not latch", latchReverts, latchWindow)
	}
	h = hold{}
	for i := range 3 * latchReverts {
		if h.revert(at(6.1 * float64(i))) {
			t.Fatalf("latched by a revert every 6.1 s, after %d", i+1)
		}
	}
}

func TestProber(t *testing.T) {
	var q prober
	if q.due(at(0)) || q.carrier(false, at(0)) {
		t.Error("a probe without carrier")
	}
	if !q.carrier(true, at(1)) || !q.due(at(1)) {
		t.Error("no probe when the carrier comes")
	}
	if q.carrier(true, at(2)) {
		t.Error("a carrier that stays came back")
	}
	now := 1.5
	for _, want := range []float64{1 + 5, 1 + 35, 1 + 35 + 600, 1 + 35 + 1200} {
		q.begin(at(now))
		q.done(at(now))
		if q.at != at(want) {
			t.Errorf("after a probe at %v s the next is at %v, want %v", now, q.at, at(want))
		}
		now = want
	}
	q.carrier(false, at(now))
	q.done(at(now)) // one that was under way
	if q.due(at(now + 1e4)) {
		t.Error("a probe without carrier")
	}
	q.carrier(true, at(now+1))
	q.begin(at(now + 2))
	q.carrier(false, at(now+2.1))
	q.carrier(true, at(now+2.2))
	if q.done(at(now + 3)); !q.due(at(now + 3)) {
		t.Errorf("a carrier that came during a probe was not probed: %+v", q)
	}
	q.restart(true, at(1e5))
	if q.at != at(1e5+5) || q.running {
		t.Errorf("after opening: %+v", q)
	}
}

// A probe that cannot be made is tried again soon, and counts from the first; a probe that
// was made, or a carrier that went, ends that.
func TestProberWithoutASocket(t *testing.T) {
	var q prober
	q.restart(true, at(0))
	now, tries := 605.0, 0
	for q.begin(at(now)); q.unmade(errNobody, at(now)) < probeLimit; q.begin(at(now)) {
		if !q.due(q.at) || q.latest() != at(605).Add(probeLimit) {
			t.Fatalf("at %v s: %+v", now, q)
		}
		now, tries = q.at.Sub(at(0)).Seconds(), tries+1
	}
	if now != 605+300 || tries != 20 || !q.good.Equal(at(0)) {
		t.Errorf("given up at %v s after %d tries: %+v", now, tries, q)
	}
	if q.unmade(context.DeadlineExceeded, at(now)); q.why != errNobody {
		t.Errorf("why: %v", q.why)
	}
	q.carrier(false, at(1000))
	if q.unmade(errNobody, at(1001)) != 0 || !q.lack.IsZero() || q.due(at(1e6)) {
		t.Errorf("without carrier: %+v", q)
	}
	q.carrier(true, at(2000))
	q.begin(at(2000))
	if q.unmade(errNobody, at(2010)) != 10*time.Second {
		t.Errorf("after a carrier: %+v", q)
	}
	if q.passed(at(2020)); !q.lack.IsZero() || !q.good.Equal(at(2020)) {
		t.Errorf("after a probe: %+v", q)
	}
}

// What nobody changed in the kernel never latches.
func TestCounts(t *testing.T) {
	for v, want := range map[*Violation]bool{
		{Kind: KindSegment}:                             false,
		{Kind: KindOverlap}:                             false,
		{Kind: KindAddress, cure: setAddresses | block}: false, // another host has it
		{Kind: KindAddress, cure: setAddresses}:         true,  // it does not stay undone
		{Kind: KindExtraInterface, cure: rearrange}:     true,
		{Kind: KindQueue, cure: clearQueues | block}:    true,
	} {
		if v.counts() != want {
			t.Errorf("%v: counts is %v", v, !want)
		}
	}
}

// Another collector on the same wire probes too: its frames prove nothing.
func TestProbeOfAnother(t *testing.T) {
	ours, theirs := make([]byte, nonceLen), []byte("0123456789abcdef")
	frame := probeFrame(make([]byte, 6), theirs)
	if carriesNonce(frame, ours) || !carriesNonce(frame, theirs) {
		t.Error("a nonce is taken for another")
	}
}
