package rollout

import (
	"strings"
	"testing"
	"time"
)

// noon is a Wednesday.
var noon = time.Date(2026, 1, 14, 12, 0, 0, 0, time.UTC)

func at(text string) time.Time {
	t, err := time.Parse("2006-01-02 15:04", text)
	if err != nil {
		panic(err)
	}
	return t
}

func published(version string, ago time.Duration) Release {
	return Release{Version: version, Published: noon.Add(-ago)}
}

func box(p Policy) Box {
	return Box{Collector: "site-a", Running: "1.0.0", Online: true, Policy: p}
}

const day = 24 * time.Hour

func TestJudge(t *testing.T) {
	night := Policy{Mode: InWindow, Window: Window{Start: "02:00", Length: "2h", Timezone: "Europe/Berlin"}}
	lunch := Policy{Mode: InWindow, Window: Window{Start: "11:30", Length: "1h"}}
	soon := Policy{Mode: InWindow, Window: Window{Start: "12:40", Length: "1h"}}
	late := Policy{Mode: InWindow, Window: Window{Start: "11:10", Length: "1h"}}
	week := Policy{Mode: Automatic, DeferDays: 7}
	all := Policy{Mode: Automatic}
	asked := Policy{Mode: Approval}
	for name, c := range map[string]struct {
		box    Box
		list   []Release
		send   string // the version that is sent; empty: none is
		reboot time.Time
		next   time.Time
		why    string
	}{
		"nothing is published":               {box: box(all), why: "newest"},
		"the same version":                   {box: box(all), list: []Release{published("1.0.0", day)}, why: "newest"},
		"an older version":                   {box: box(all), list: []Release{published("0.9.9", day)}, why: "newest"},
		"a newer one, by number":             {box: box(all), list: []Release{published("1.0.10", day), published("1.0.9", day)}, send: "1.0.10"},
		"no appliance":                       {box: with(box(all), func(b *Box) { b.Running = "" }), list: []Release{published("1.1.0", day)}, why: "no appliance"},
		"never seen":                         {box: with(box(all), func(b *Box) { b.Running, b.Unseen = "", true }), list: []Release{published("1.1.0", day)}, why: "not known yet"},
		"a version that is none":             {box: with(box(all), func(b *Box) { b.Running = "dev" }), list: []Release{published("1.1.0", day)}, why: "no appliance"},
		"on trial":                           {box: with(box(all), func(b *Box) { b.Trial = true }), list: []Release{published("1.1.0", day)}, why: "on trial"},
		"at it already":                      {box: with(box(all), func(b *Box) { b.Busy = "1.1.0" }), list: []Release{published("1.2.0", day)}, why: "1.1.0 is under way"},
		"offline":                            {box: with(box(all), func(b *Box) { b.Online = false }), list: []Release{published("1.1.0", day)}, why: "online"},
		"over a floor":                       {box: box(all), list: []Release{{Version: "2.0.0", Floor: "1.5.0", Published: noon}, published("1.5.0", day)}, send: "1.5.0"},
		"at the floor":                       {box: with(box(all), func(b *Box) { b.Running = "1.5.0" }), list: []Release{{Version: "2.0.0", Floor: "1.5.0", Published: noon}}, send: "2.0.0"},
		"only beyond the floor":              {box: box(all), list: []Release{{Version: "2.0.0", Floor: "1.5.0", Published: noon}}, why: "2.0.0 needs 1.5.0 at least"},
		"far beyond the floor":               {box: box(all), list: []Release{{Version: "3.0.0", Floor: "2.0.0", Published: noon}, {Version: "2.0.0", Floor: "1.5.0", Published: noon}}, why: "2.0.0 needs 1.5.0 at least"},
		"put off":                            {box: box(week), list: []Release{published("1.1.0", 2*day)}, next: noon.Add(5 * day), why: "put off until 2026-01-19 12:00"},
		"put off for long enough":            {box: box(week), list: []Release{published("1.1.0", 7*day)}, send: "1.1.0"},
		"the newest put off, one before not": {box: box(week), list: []Release{published("1.2.0", day), published("1.1.0", 8*day)}, send: "1.1.0"},
		"both put off":                       {box: box(week), list: []Release{published("1.2.0", day), published("1.1.0", 5*day)}, next: noon.Add(2 * day), why: "1.2.0 is put off until 2026-01-20 12:00"},
		"a hole waits for no deferral":       {box: box(week), list: []Release{hot("1.1.0", day)}, send: "1.1.0"},
		"a hole waits where it is said":      {box: box(Policy{Mode: Automatic, DeferDays: 7, Security: SecurityDeferred}), list: []Release{hot("1.1.0", day)}, next: noon.Add(6 * day), why: "put off"},
		"a hole waits for the window":        {box: box(night), list: []Release{hot("1.1.0", 0)}, next: at("2026-01-15 00:00"), why: "window at 2026-01-15 01:00"},
		"a hole waits for its approval":      {box: box(asked), list: []Release{hot("1.1.0", day)}, why: "approval; it closes a hole"},
		"not approved":                       {box: box(asked), list: []Release{published("1.1.0", day)}, why: "waits for an approval"},
		"another one approved":               {box: with(box(asked), func(b *Box) { b.Approved = []string{"1.1.0"} }), list: []Release{published("1.2.0", day), published("1.1.0", day)}, send: "1.1.0"},
		"approved, and the window is shut": {box: with(box(Policy{Mode: Approval, Window: night.Window}), func(b *Box) { b.Approved = []string{"1.1.0"} }),
			list: []Release{published("1.1.0", day)}, next: at("2026-01-15 00:00"), why: "window"},
		"in the window":           {box: box(lunch), list: []Release{published("1.1.0", day)}, send: "1.1.0"},
		"ahead of the window":     {box: box(soon), list: []Release{published("1.1.0", day)}, send: "1.1.0", reboot: at("2026-01-14 12:40")},
		"too late in the window":  {box: box(late), list: []Release{published("1.1.0", day)}, next: at("2026-01-15 10:10"), why: "window at 2026-01-15 11:10"},
		"failed just now":         {box: failed(box(all), 30*time.Minute), list: []Release{published("1.1.0", day)}, next: noon.Add(30 * time.Minute), why: "once more at 2026-01-14 12:30"},
		"failed some time ago":    {box: failed(box(all), 2*time.Hour), list: []Release{published("1.1.0", day)}, send: "1.1.0"},
		"failed twice":            {box: failed(box(all), 3*day, 2*day), list: []Release{published("1.1.0", 9*day)}, why: "failed 2 times here"},
		"failed twice, but fixed": {box: failed(box(all), 3*day, 2*day), list: []Release{published("1.1.1", day), published("1.1.0", 9*day)}, send: "1.1.1"},
		"rolled back": {box: with(box(all), func(b *Box) {
			b.Failures = []Failure{{Version: "1.1.0", At: noon.Add(-2 * day), RolledBack: true}}
		}), list: []Release{published("1.1.0", 9*day)}, why: "rolled back here"},
	} {
		t.Run(name, func(t *testing.T) {
			v := Judge(noon, c.box, c.list)
			if v.Send != (c.send != "") || v.Send && v.Wanted != c.send {
				t.Fatalf("sent: %v %q, want %q: %s", v.Send, v.Wanted, c.send, v.Why)
			}
			if !v.RebootAt.Equal(c.reboot) || !v.Next.Equal(c.next) {
				t.Errorf("reboot at %v, next %v; want %v, %v", v.RebootAt, v.Next, c.reboot, c.next)
			}
			if ask := strings.Contains(c.why, "approval") || strings.Contains(c.why, "times here") || strings.Contains(c.why, "rolled back") || strings.Contains(c.why, "needs"); v.Ask != ask {
				t.Errorf("a person is asked: %v", v.Ask)
			}
			if !strings.Contains(v.Why, c.why) || v.Why == "" {
				t.Errorf("why: %q, want %q", v.Why, c.why)
			}
			if v.Send && (!v.Expires.After(noon) || v.Expires.Before(v.RebootAt)) {
				t.Errorf("it expires at %v", v.Expires)
			}
		})
	}
}

func with(b Box, change func(*Box)) Box {
	change(&b)
	return b
}

func hot(version string, ago time.Duration) Release {
	r := published(version, ago)
	r.Security = true
	return r
}

func failed(b Box, ago ...time.Duration) Box {
	for _, d := range ago {
		b.Failures = append(b.Failures, Failure{Version: "1.1.0", At: noon.Add(-d)})
	}
	return b
}

// A box is never started outside of its window, whatever the hour, the zone and the
// change of the clocks.
func TestNothingStartsOutsideOfTheWindow(t *testing.T) {
	for _, w := range []Window{
		{Start: "02:00", Length: "2h", Timezone: "Europe/Berlin"},
		{Start: "23:30", Length: "90m", Timezone: "America/New_York", Days: []string{"sat"}},
		{Start: "00:00", Length: "23h"},
		{Start: "02:30", Length: "45m", Timezone: "Europe/Berlin"},
	} {
		b := box(Policy{Mode: InWindow, Window: w})
		sent := 0
		for now := at("2026-03-20 00:00"); now.Before(at("2026-04-05 00:00")); now = now.Add(7 * time.Minute) {
			v := Judge(now, b, []Release{{Version: "1.1.0", Published: at("2026-03-01 00:00")}})
			if !v.Send {
				if !v.Next.After(now) {
					t.Fatalf("%v at %v: to be looked at again at %v", w, now, v.Next)
				}
				continue
			}
			sent++
			start := v.RebootAt
			if start.IsZero() {
				start = now
			}
			opens, closes, ok := w.Around(start)
			if !ok || start.Before(opens) || !start.Before(closes) || !w.on(opens.In(zone(t, w)).Weekday()) {
				t.Fatalf("%v at %v: started at %v, the window is %v to %v", w, now, start, opens, closes)
			}
			if start.Sub(now) > ahead {
				t.Fatalf("%v at %v: sent too early", w, now)
			}
		}
		if sent == 0 {
			t.Errorf("%v: it never opens", w)
		}
	}
}

func zone(t *testing.T, w Window) *time.Location {
	t.Helper()
	l, err := w.location()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestPolicyCheck(t *testing.T) {
	for text, p := range map[string]Policy{
		"":                           {},
		"mode: the mode":             {DeferDays: 3},
		"mode: \"sometimes\"":        {Mode: "sometimes"},
		"window: in mode auto":       {Mode: Automatic, Window: Window{Start: "02:00"}},
		"window.start: the win":      {Mode: InWindow},
		"window.start: \"2:00\"":     {Mode: InWindow, Window: Window{Start: "2:00"}},
		"window.start: \"24:00\"":    {Mode: InWindow, Window: Window{Start: "24:00"}},
		"window.length: \"5m\"":      {Mode: InWindow, Window: Window{Start: "02:00", Length: "5m"}},
		"window.length: \"24h\"":     {Mode: InWindow, Window: Window{Start: "02:00", Length: "24h"}},
		"window.timezone: \"Local\"": {Mode: InWindow, Window: Window{Start: "02:00", Timezone: "Local"}},
		"window.days: \"monday\"":    {Mode: InWindow, Window: Window{Start: "02:00", Days: []string{"monday"}}},
		"window.days: \"sun\" stan":  {Mode: InWindow, Window: Window{Start: "02:00", Days: []string{"sun", "sun"}}},
		"defer_days: -1":             {Mode: Automatic, DeferDays: -1},
		"defer_days: 366":            {Mode: Automatic, DeferDays: 366},
		"security: \"never\"":        {Mode: Automatic, Security: "never"},
	} {
		got := ""
		for _, x := range p.Check() {
			got += x.Field + ": " + x.Text + "\n"
		}
		if !strings.HasPrefix(got, text) || (text == "") != (got == "") || strings.Count(got, "\n") > 1 {
			t.Errorf("%+v: %q, want %q", p, got, text)
		}
	}
	if len(Default().Check()) > 0 {
		t.Error(Default().Check())
	}
}

func TestPolicyInWords(t *testing.T) {
	for want, p := range map[string]Policy{
		"the cloud's default": {},
		"as soon as there is a release, a day after it was published (what closes a hole: at once)": {Mode: Automatic, DeferDays: 1},
		"on sat, sun at 02:00 Europe/Berlin within 2h":                                              {Mode: InWindow, Window: Window{Days: []string{"sat", "sun"}, Start: "02:00", Length: "2h", Timezone: "Europe/Berlin"}},
		"after an approval, daily at 02:00 UTC within 3h, 3 days after it was published":            {Mode: Approval, Window: Window{Start: "02:00"}, DeferDays: 3, Security: SecurityDeferred},
	} {
		if got := p.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestAround(t *testing.T) {
	for _, c := range []struct {
		w                  Window
		now, opens, closes string
	}{
		{Window{Start: "23:30", Length: "90m"}, "2026-01-14 00:15", "2026-01-13 23:30", "2026-01-14 01:00"}, // yesterday's is open
		{Window{Start: "23:30", Length: "90m", Days: []string{"tue"}}, "2026-01-14 00:15", "2026-01-13 23:30", "2026-01-14 01:00"},
		{Window{Start: "23:30", Length: "90m", Days: []string{"wed"}}, "2026-01-14 00:15", "2026-01-14 23:30", "2026-01-15 01:00"},
		{Window{Start: "23:30", Length: "90m"}, "2026-01-14 01:00", "2026-01-14 23:30", "2026-01-15 01:00"},                           // it closed just now
		{Window{Start: "02:00", Days: []string{"wed"}}, "2026-01-14 05:00", "2026-01-21 02:00", "2026-01-21 05:00"},                   // next week's
		{Window{Start: "02:30", Length: "1h", Timezone: "Europe/Berlin"}, "2026-03-29 00:00", "2026-03-29 01:30", "2026-03-29 02:30"}, // 02:30 is left out: 03:30 there
		{Window{Start: "02:00", Length: "2h", Timezone: "Europe/Berlin"}, "2026-07-01 12:00", "2026-07-02 00:00", "2026-07-02 02:00"}, // in summer
		// 02:30 is left out west of Greenwich too: 03:30 there, and not 01:30.
		{Window{Start: "02:30", Length: "1h", Timezone: "America/New_York"}, "2026-03-08 05:00", "2026-03-08 07:30", "2026-03-08 08:30"},
		// Midnight is left out: 01:30 of that day, and not 23:30 of the one before.
		{Window{Start: "00:30", Length: "1h", Timezone: "America/Santiago", Days: []string{"sun"}}, "2026-09-05 20:00", "2026-09-06 04:30", "2026-09-06 05:30"},
		{Window{Start: "00:30", Length: "1h", Timezone: "America/Santiago", Days: []string{"sat"}}, "2026-09-06 00:00", "2026-09-12 03:30", "2026-09-12 04:30"},
	} {
		opens, closes, ok := c.w.Around(at(c.now))
		if !ok || !opens.Equal(at(c.opens)) || !closes.Equal(at(c.closes)) {
			t.Errorf("%v at %s: %v to %v", c.w, c.now, opens, closes)
		}
	}
	for _, w := range []Window{{}, {Start: "25:00"}, {Start: "02:00", Length: "x"}, {Start: "02:00", Timezone: "Nowhere"}} {
		if _, _, ok := w.Around(noon); ok {
			t.Errorf("%v is a window", w)
		}
	}
}

// An order that no box has begun lapses while there is time enough to carry it out, and
// outside of windows before anybody has forgotten it.
func TestOrdersLapse(t *testing.T) {
	for start, want := range map[string]time.Time{
		"":      noon.Add(time.Hour),
		"12:30": at("2026-01-14 13:10"), // not begun in the last 20 minutes of 12:30 to 13:30
		"11:40": at("2026-01-14 12:20"),
	} {
		p := Policy{Mode: Approval}
		if start != "" {
			p.Window = Window{Start: start, Length: "1h"}
		}
		b := box(p)
		b.Approved = []string{"1.1.0"}
		if v := Judge(noon, b, []Release{published("1.1.0", day)}); !v.Send || !v.Expires.Equal(want) {
			t.Errorf("window at %q: %v, it lapses at %v", start, v.Send, v.Expires)
		}
	}
}
