package collector

import (
	"fmt"
	"hash/fnv"
	"time"
	_ "time/tzdata" // the appliance has no zoneinfo files

	"lwc/transport/wire"
)

// defaultWindow is the window of a schedule that names none. A day's log-ins
// of a fleet spread over an hour stay below the rate limits of AAA servers.
const defaultWindow = time.Hour

// schedule is a parsed wire.Schedule. The zero value never collects.
type schedule struct {
	on           bool
	hour, minute int
	window       time.Duration
	zone         *time.Location
}

// window of one day: devices start in [start, end).
type window struct{ start, end time.Time }

func parseSchedule(s wire.Schedule) (schedule, error) {
	if s.Start == "" {
		return schedule{}, nil
	}
	at, err := time.Parse("15:04", s.Start)
	if err != nil {
		return schedule{}, fmt.Errorf("start %.40q is not a time of day: write it as 02:00", s.Start)
	}
	out := schedule{on: true, hour: at.Hour(), minute: at.Minute(), window: defaultWindow, zone: time.UTC}
	if s.Window != "" {
		out.window, err = time.ParseDuration(s.Window)
		if err != nil || out.window < time.Minute || out.window > 23*time.Hour {
			return schedule{}, fmt.Errorf("window %.40q is not a duration between 1m and 23h: write it as 2h or 90m", s.Window)
		}
	}
	if s.Timezone != "" {
		out.zone, err = time.LoadLocation(s.Timezone)
		if err != nil || s.Timezone == "Local" {
			return schedule{}, fmt.Errorf("timezone %.40q is not in the IANA database: write it as Europe/Berlin", s.Timezone)
		}
	}
	return out, nil
}

// current returns the newest window that has begun at now.
func (s schedule) current(now time.Time) window {
	for back := 0; ; back-- {
		if w := s.day(now, back); !w.start.After(now) {
			return w
		}
	}
}

// next returns the first window that begins after now.
func (s schedule) next(now time.Time) window {
	for ahead := -1; ; ahead++ {
		if w := s.day(now, ahead); w.start.After(now) {
			return w
		}
	}
}

// day returns the window that begins on the local day of now plus days.
func (s schedule) day(now time.Time, days int) window {
	y, m, d := now.In(s.zone).Date()
	start := wallClock(y, m, d+days, s.hour, s.minute, s.zone)
	return window{start, start.Add(s.window)}
}

// wallClock is time.Date with the days of a clock change decided: a time that
// occurs twice means the first, a time that is skipped means the moment of the
// change. So there is exactly one window a day.
func wallClock(y int, m time.Month, d, hour, minute int, zone *time.Location) time.Time {
	t := time.Date(y, m, d, hour, minute, 0, 0, zone)
	begin, end := t.ZoneBounds()
	switch face := onFace(t).Compare(time.Date(y, m, d, hour, minute, 0, 0, time.UTC)); {
	case face > 0:
		return begin
	case face < 0:
		return end
	}
	if begin.IsZero() {
		return t
	}
	_, after := t.Zone()
	_, before := begin.Add(-time.Second).Zone()
	first := t.Add(-time.Duration(before-after) * time.Second)
	if first.Before(begin) && onFace(first).Equal(onFace(t)) {
		return first
	}
	return t
}

// onFace is what a clock on the wall shows at t, as if it were UTC.
func onFace(t time.Time) time.Time {
	y, m, d := t.Date()
	return time.Date(y, m, d, t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
}

// offset is where in a window a device starts: the same every day, and spread
// evenly over the fleet.
func offset(device string, window time.Duration) time.Duration {
	h := fnv.New64a()
	h.Write([]byte(device))
	// FNV's high bits barely differ for short, similar names; the finalizer of
	// MurmurHash3 (fmix64) spreads them.
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	x ^= x >> 33
	return time.Duration(x % uint64(window))
}
