package rollout

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func fleet(n int, p Policy) (out []Box) {
	for i := range n {
		b := box(p)
		b.Collector = fmt.Sprintf("site-%03d", i)
		out = append(out, b)
	}
	return out
}

func sentTo(vs []Verdict) (n int) {
	for _, v := range vs {
		if v.Send {
			n++
		}
	}
	return n
}

// A release goes to one box first, then to twice as many as have it.
func TestWaves(t *testing.T) {
	boxes, list := fleet(200, Policy{Mode: Automatic}), []Release{published("1.1.0", day)}
	var waves []int
	for round := 0; sentTo(Orders(noon, boxes, list)) > 0; round++ {
		vs := Orders(noon, boxes, list)
		waves = append(waves, sentTo(vs))
		for i, v := range vs {
			if v.Send {
				boxes[i].Busy = v.Wanted
			}
		}
		if n := sentTo(Orders(noon, boxes, list)); n > 0 {
			t.Fatalf("round %d: %d more while these are at it", round, n)
		}
		for i := range boxes {
			if boxes[i].Busy != "" {
				boxes[i].Busy, boxes[i].Running = "", "1.1.0"
			}
		}
	}
	if got := fmt.Sprint(waves); got != "[1 2 6 18 50 50 50 23]" {
		t.Errorf("the waves are %s", got)
	}
}

// A release that fails on boxes is held back, and the one before it still goes out.
func TestABadReleaseIsHeldBack(t *testing.T) {
	boxes, list := fleet(30, Policy{Mode: Automatic}), []Release{published("1.2.0", day)}
	tried := 0
	for range 200 {
		vs := Orders(noon, boxes, list)
		for i, v := range vs {
			if v.Send {
				tried++
				boxes[i].Failures = append(boxes[i].Failures, Failure{Version: "1.2.0", At: noon.Add(-2 * time.Hour), RolledBack: true})
			}
		}
	}
	if tried != haltAfter {
		t.Errorf("it was tried on %d boxes", tried)
	}
	vs := Orders(noon, boxes, list)
	if v := vs[29]; v.Send || !v.Ask || !strings.Contains(v.Why, "1.2.0 is held back: it failed on 3 boxes") {
		t.Errorf("%+v", v)
	}
	if vs = Orders(noon, boxes, append(list, published("1.1.0", day))); sentTo(vs) != 1 {
		t.Errorf("the one before goes to %d", sentTo(vs))
	}
	if vs = Orders(noon, boxes, append(list, published("1.2.1", day))); sentTo(vs) != 1 {
		t.Errorf("the next one goes to %d", sentTo(vs))
	}
}

// Few failures among many successes hold nothing back.
func TestAFewBadBoxesHoldNothingBack(t *testing.T) {
	boxes, list := fleet(100, Policy{Mode: Automatic}), []Release{published("1.1.0", day)}
	for i := range boxes {
		switch {
		case i < 4:
			boxes[i].Failures = []Failure{{Version: "1.1.0", RolledBack: true}}
		case i < 90:
			boxes[i].Running = "1.1.0"
		}
	}
	if n := sentTo(Orders(noon, boxes, list)); n != 10 {
		t.Errorf("sent to %d", n)
	}
}

// What a box runs on trial proves nothing, and what it runs at last is no failure.
func TestWaveOf(t *testing.T) {
	bad := []Failure{{Version: "1.1.0", At: noon}}
	for name, c := range map[string]struct {
		box  Box
		want Wave
	}{
		"an older one":              {Box{Running: "1.0.0"}, Wave{}},
		"an older one, failed":      {Box{Running: "1.0.0", Failures: bad}, Wave{Failed: 1}},
		"given up, silent":          {Box{Running: "1.0.0", Failures: []Failure{{Version: "1.1.0", At: noon, Silent: noon.Add(-day)}}}, Wave{Lost: 1}},
		"another one failed":        {Box{Running: "1.0.0", Failures: []Failure{{Version: "1.0.9"}}}, Wave{}},
		"at it":                     {Box{Running: "1.0.0", Busy: "1.1.0", Failures: bad, Online: true}, Wave{Busy: 1}},
		"at it, on trial":           {Box{Running: "1.1.0", Trial: true, Busy: "1.1.0", Online: true}, Wave{Busy: 1}},
		"on trial":                  {Box{Running: "1.1.0", Trial: true}, Wave{}},
		"it":                        {Box{Running: "1.1.0"}, Wave{Have: 1}},
		"it, after a failure":       {Box{Running: "1.1.0", Failures: bad}, Wave{Have: 1}},
		"a newer one":               {Box{Running: "1.2.0"}, Wave{Have: 1}},
		"it, at the next one":       {Box{Running: "1.1.0", Busy: "1.2.0"}, Wave{Have: 1}},
		"at it, offline":            {lost(30 * time.Minute), Wave{Busy: 1}},
		"at it, and silent":         {lost(2 * time.Hour), Wave{Lost: 1}},
		"asked, and silent":         {with(lost(2*time.Hour), func(b *Box) { b.Begun = false }), Wave{}},
		"no appliance":              {Box{Running: "dev"}, Wave{}},
		"no appliance, and failure": {Box{Failures: bad}, Wave{Failed: 1}},
	} {
		if got := WaveOf(noon, published("1.1.0", day), []Box{c.box}); got != c.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// lost is a box that began 1.1.0, and was heard last so long ago.
func lost(ago time.Duration) Box {
	return Box{Collector: "site-lost", Running: "1.0.0", Busy: "1.1.0", Begun: true, Heard: noon.Add(-ago), Policy: Policy{Mode: Automatic}}
}

// A box that dies in an update is not followed by others until somebody has looked; but
// it takes nobody's turn once others have proved the release.
func TestABoxThatDies(t *testing.T) {
	boxes, list := append(fleet(5, Policy{Mode: Automatic}), lost(30*time.Minute)), []Release{published("1.1.0", day)}
	if vs := Orders(noon, boxes, list); sentTo(vs) != 0 || vs[5].Ask || !strings.Contains(vs[0].Why, "waits for its turn") {
		t.Errorf("half an hour: %+v", vs)
	}
	boxes[5] = lost(2 * time.Hour)
	vs := Orders(noon, boxes, list)
	if sentTo(vs) != 0 || !vs[0].Ask || vs[0].Why != "1.1.0 is held back: 1 box began it, and fell silent" {
		t.Errorf("the first box: %+v", vs[0])
	}
	if !vs[5].Ask || !strings.Contains(vs[5].Why, "heard last at 2026-01-14 10:00 UTC: see to the box") {
		t.Errorf("the box itself: %+v", vs[5])
	}
	resumed := list[0]
	resumed.Resumed = noon
	if n := sentTo(Orders(noon, boxes, []Release{resumed})); n != 1 {
		t.Errorf("resumed, it is sent to %d", n)
	}
	boxes[0].Running = "1.1.0"
	if n := sentTo(Orders(noon, boxes, list)); n != 2 {
		t.Errorf("proved by one, it is sent to %d", n)
	}
	boxes = append(boxes, lost(2*time.Hour), lost(2*time.Hour))
	if vs := Orders(noon, boxes, list); sentTo(vs) != 0 || !strings.Contains(vs[1].Why, "3 boxes began it, and fell silent") {
		t.Errorf("three that died: %+v", vs[1])
	}
}

// Once an admin has let a release go on, what failed before counts no more; what fails
// then does, whenever it began, and the boxes that it failed on are left alone.
func TestAResumedRelease(t *testing.T) {
	boxes, list := fleet(30, Policy{Mode: Automatic}), []Release{published("1.1.0", day)}
	fail := func(n int, at time.Time) {
		for i := range n {
			boxes[i].Failures = append(boxes[i].Failures, Failure{Version: "1.1.0", At: at, RolledBack: true})
		}
	}
	fail(3, noon.Add(-4*time.Hour))
	if n := sentTo(Orders(noon, boxes, list)); n != 0 {
		t.Fatalf("held back, and sent to %d", n)
	}
	list[0].Resumed = noon.Add(-3 * time.Hour)
	vs := Orders(noon, boxes, list)
	if sentTo(vs) != 1 || vs[0].Send || !strings.Contains(vs[0].Why, "was rolled back here") {
		t.Errorf("resumed: sent to %d, %+v", sentTo(vs), vs[0])
	}
	fail(3, noon.Add(-150*time.Minute))
	if n := sentTo(Orders(noon, boxes, list)); n != 0 {
		t.Errorf("it failed three times more, and is sent to %d", n)
	}
}

// A box that falls silent after a release was let go on counts, though it had begun
// before; and it counts the same when its update is given up.
func TestASilenceAndAnAdmin(t *testing.T) {
	heard := noon.Add(-2 * time.Hour)
	r := published("1.1.0", day)
	for resumed, want := range map[time.Duration]Wave{
		-90 * time.Minute: {Lost: 1},    // it was at it
		-30 * time.Minute: {Excused: 1}, // it was silent for an hour
	} {
		r.Resumed = noon.Add(resumed)
		given := box(Policy{})
		given.Online, given.Failures = false, []Failure{{Version: "1.1.0", At: noon, Silent: heard}}
		for name, b := range map[string]Box{"under way": lost(2 * time.Hour), "given up": given} {
			if got := WaveOf(noon, r, []Box{b}); got != want {
				t.Errorf("%s, let go on %v: %+v", name, resumed, got)
			}
		}
	}
}

// A box on trial says so, and not that the next release is held back.
func TestOnTrial(t *testing.T) {
	boxes := []Box{with(box(Policy{Mode: Automatic}), func(b *Box) { b.Running, b.Trial = "1.1.0", true }), lost(2 * time.Hour)}
	boxes[1].Busy = "1.2.0"
	if vs := Orders(noon, boxes, []Release{published("1.2.0", day)}); vs[0].Ask || vs[0].Why != "release 1.1.0 is on trial" {
		t.Errorf("%+v", vs[0])
	}
}

// A bad box does not take the one turn from the others, time after time.
func TestABadBoxComesLast(t *testing.T) {
	boxes := fleet(3, Policy{Mode: Automatic})
	boxes[0].Failures = []Failure{{Version: "1.1.0", At: noon.Add(-2 * time.Hour)}}
	vs := Orders(noon, boxes, []Release{published("1.1.0", day)})
	if vs[0].Send || !vs[1].Send || vs[2].Send || !strings.Contains(vs[0].Why, "waits for its turn") {
		t.Errorf("%+v", vs)
	}
}
