package collector

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"lwc/transport/wire"
)

func mustSchedule(t *testing.T, s wire.Schedule) *schedule {
	t.Helper()
	out, err := parseSchedule(s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestParseSchedule(t *testing.T) {
	for _, bad := range []struct {
		in   wire.Schedule
		want string
	}{
		{wire.Schedule{Start: "25:00"}, "time of day"},
		{wire.Schedule{Start: "2am"}, "time of day"},
		{wire.Schedule{Start: "02:00", Window: "2"}, "window"},
		{wire.Schedule{Start: "02:00", Window: "-1h"}, "window"},
		{wire.Schedule{Start: "02:00", Window: "24h"}, "window"},
		{wire.Schedule{Start: "02:00", Timezone: "Mars/Olympus"}, "IANA"},
		{wire.Schedule{Start: "02:00", Timezone: "Local"}, "IANA"},
		{wire.Schedule{Start: "02:00", Timezone: "../etc/passwd"}, "IANA"},
		{wire.Schedule{Start: "02:00", Days: []string{"mon", "Sunday"}}, "day of the week"},
	} {
		if _, err := parseSchedule(bad.in); err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%+v: error %v, want one about %q", bad.in, err, bad.want)
		}
	}
	if s := mustSchedule(t, wire.Schedule{}); s != nil {
		t.Error("an empty schedule collects")
	}
	if s := mustSchedule(t, wire.Schedule{Start: "02:00"}); s.window != defaultWindow || s.zone != time.UTC {
		t.Errorf("defaults: %+v", s)
	}
}

func TestWallClockOnDaysOfClockChange(t *testing.T) {
	for _, c := range []struct{ zone, day, at, want string }{
		{"Europe/Berlin", "2026-03-28", "02:30", "2026-03-28T02:30:00+01:00"},
		{"Europe/Berlin", "2026-03-29", "02:30", "2026-03-29T03:00:00+02:00"}, // skipped: 02:00 → 03:00
		{"Europe/Berlin", "2026-03-29", "02:00", "2026-03-29T03:00:00+02:00"},
		{"Europe/Berlin", "2026-03-29", "03:00", "2026-03-29T03:00:00+02:00"},
		{"Europe/Berlin", "2026-10-25", "02:30", "2026-10-25T02:30:00+02:00"}, // twice: the first
		{"Europe/Berlin", "2026-10-25", "03:00", "2026-10-25T03:00:00+01:00"},
		{"America/New_York", "2026-03-08", "02:15", "2026-03-08T03:00:00-04:00"},
		{"America/New_York", "2026-11-01", "01:15", "2026-11-01T01:15:00-04:00"},
		{"Australia/Lord_Howe", "2026-04-05", "01:45", "2026-04-05T01:45:00+11:00"}, // half an hour back
		{"Australia/Lord_Howe", "2026-10-04", "02:10", "2026-10-04T02:30:00+11:00"},
		{"America/Sao_Paulo", "2018-11-04", "00:30", "2018-11-04T01:00:00-02:00"}, // midnight skipped
		{"Asia/Kolkata", "2026-06-01", "23:59", "2026-06-01T23:59:00+05:30"},
		{"UTC", "2026-06-01", "00:00", "2026-06-01T00:00:00Z"},
	} {
		zone, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		day, _ := time.Parse("2006-01-02", c.day)
		at, _ := time.Parse("15:04", c.at)
		y, m, d := day.Date()
		if got := wallClock(y, m, d, at.Hour(), at.Minute(), zone).Format(time.RFC3339); got != c.want {
			t.Errorf("%s %s %s: %s, want %s", c.zone, c.day, c.at, got, c.want)
		}
	}
}

// A year hour by hour: every local day has one window, and current and next
// agree about it.
func TestOneWindowEachDay(t *testing.T) {
	for _, s := range []wire.Schedule{
		{Start: "02:30", Window: "2h", Timezone: "Europe/Berlin"},
		{Start: "01:30", Window: "23h", Timezone: "America/New_York"},
		{Start: "00:00", Window: "1m", Timezone: "America/Santiago"},
		{Start: "23:59", Timezone: "Pacific/Auckland"},
	} {
		sched := mustSchedule(t, s)
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, sched.zone)
		days := map[string]int{}
		for last := sched.current(now); now.Year() == 2026; now = now.Add(15 * time.Minute) {
			cur, next := sched.current(now), sched.next(now)
			if cur.start.After(now) || !next.start.After(now) || sched.current(next.start) != next {
				t.Fatalf("%v at %v: current %v, next %v", s, now, cur.start, next.start)
			}
			if cur.start != last.start {
				days[cur.start.In(sched.zone).Format("2006-01-02")]++
				last = cur
			}
		}
		for day, n := range days {
			if n != 1 {
				t.Errorf("%v: %d windows on %s", s, n, day)
			}
		}
		if len(days) < 364 {
			t.Errorf("%v: windows on %d days", s, len(days))
		}
	}
}

func TestOffsetsSpreadEvenly(t *testing.T) {
	const n = 10000
	var quarters [4]int
	for i := range n {
		o := offset("site-1", fmt.Sprintf("edge-%d", i), time.Hour)
		if o < 0 || o >= time.Hour {
			t.Fatalf("offset %v", o)
		}
		quarters[o/(15*time.Minute)]++
	}
	for q, k := range quarters {
		if k < n/4-n/20 || k > n/4+n/20 {
			t.Errorf("quarter %d has %d of %d devices", q, k, n)
		}
	}
	// The offset is the same in every version, or an update would move devices.
	if o := offset("site-1", "edge-1", time.Hour); o.Truncate(time.Second) != 43*time.Minute+24*time.Second {
		t.Errorf("edge-1 at %v", o)
	}
}

// Whatever a schedule says: it is refused, or its windows follow each other.
func FuzzSchedule(f *testing.F) {
	f.Add("02:30", "2h", "Europe/Berlin", "mon", "", int64(1774659600))
	f.Add("01:30", "23h", "America/New_York", "sun", "sat", int64(1793511000))
	f.Add("00:00", "1m", "Pacific/Apia", "fri", "", int64(1325203200)) // a day that was skipped
	f.Add("0:00", "", "Pacific/Apia", "", "", int64(1325203200))
	f.Add("24:00", "-1h", "../UTC", "Mon", "x", int64(-1))
	f.Fuzz(func(t *testing.T, start, window, zone, day, other string, unix int64) {
		in := wire.Schedule{Start: start, Window: window, Timezone: zone}
		for _, d := range []string{day, other} {
			if d != "" {
				in.Days = append(in.Days, d)
			}
		}
		s, err := parseSchedule(in)
		if s == nil || err != nil {
			return
		}
		now := time.Unix(unix%(1<<34), 0)
		cur, next := s.current(now), s.next(now)
		if cur.start.After(now) || !next.start.After(now) || next.day <= cur.day || cur.end.Sub(cur.start) != s.window {
			t.Fatalf("%+v at %v: %v, then %v", in, now, cur, next)
		}
		if again := s.current(next.start); again != next {
			t.Fatalf("%+v: %v begins, and %v is the newest", in, next, again)
		}
	})
}

// A window of a fleet of 10,000: what each look at the schedules costs.
func BenchmarkWindow(b *testing.B) {
	f := &fleet{devices: map[string]*device{}, profiles: map[string]profile{wire.DefaultProfile: {}}}
	for i := range 10000 {
		id := fmt.Sprintf("edge-%05d", i)
		f.devices[id], f.order = &device{Device: wire.Device{ID: id}}, append(f.order, id)
	}
	s, err := parseSchedule(wire.Schedule{Start: "02:00", Window: "1h", Timezone: "Europe/Berlin"})
	if err != nil {
		b.Fatal(err)
	}
	f.schedules = []*schedule{s}
	for b.Loop() {
		p := newPlan("site-0001")
		now := time.Date(2026, 6, 3, 0, 0, 0, 0, time.UTC)
		p.configure(f, nil, now.Add(-time.Hour))
		looks, due := 0, 0
		for end := now.Add(time.Hour); now.Before(end); looks++ {
			st := p.steps(now)[0]
			for _, t := range st.due {
				due++
				p.visited(s.name, wire.DeviceResult{Device: t.device, OK: true, Seconds: 3}, now)
				p.passed(s.name, t.device)
			}
			now = st.next
		}
		b.ReportMetric(float64(looks), "looks/op")
		if due != len(f.order) {
			b.Fatalf("%d devices were due", due)
		}
	}
}
