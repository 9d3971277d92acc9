package collector

import (
	"fmt"
	"hash/fnv"
	"math/bits"
	"slices"
	"time"
	_ "time/tzdata" // the appliance has no zoneinfo files

	"lwc/transport/wire"
)

// defaultWindow is the window of a schedule that names none. A day's log-ins
// of a fleet spread over an hour stay below the rate limits of AAA servers.
const defaultWindow = time.Hour

// schedule is a parsed wire.Schedule that collects. It is never changed.
type schedule struct {
	name         string
	days         [7]bool // by time.Weekday, of the window's start
	hour, minute int
	window       time.Duration
	zone         *time.Location
	collect      string   // profile; empty: that of each device
	profiles     []string // only devices of these; nil: all
}

// window of one day: devices start in [start, end).
type window struct {
	start, end time.Time
	day        int       // of the start, in days since 1970, by the schedule's calendar
	id         time.Time // what the run is known by: start, unless the schedule was moved since
}

// weekdays are the words for the days, in the order of time.Weekday.
var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// parseSchedule returns a schedule, or nil where s never collects.
func parseSchedule(s wire.Schedule) (*schedule, error) {
	if s.Start == "" {
		return nil, nil
	}
	at, err := time.Parse("15:04", s.Start)
	if err != nil {
		return nil, fmt.Errorf("start %.40q is not a time of day: write it as 02:00", s.Start)
	}
	out := &schedule{name: scheduleName(s), hour: at.Hour(), minute: at.Minute(), window: defaultWindow, zone: time.UTC,
		collect: s.Collect, profiles: s.Profiles}
	if s.Window != "" {
		out.window, err = time.ParseDuration(s.Window)
		if err != nil || out.window < time.Minute || out.window > 23*time.Hour {
			return nil, fmt.Errorf("window %.40q is not a duration between 1m and 23h: write it as 2h or 90m", s.Window)
		}
	}
	if s.Timezone != "" {
		out.zone, err = time.LoadLocation(s.Timezone)
		if err != nil || s.Timezone == "Local" {
			return nil, fmt.Errorf("timezone %.40q is not in the IANA database: write it as Europe/Berlin", s.Timezone)
		}
	}
	return out, out.setDays(s.Days)
}

// scheduleName is the name that the run of a schedule bears.
func scheduleName(s wire.Schedule) string {
	if s.Name == "" {
		return wire.DefaultProfile
	}
	return s.Name
}

func (s *schedule) setDays(days []string) error {
	for _, word := range days {
		i := slices.Index(weekdays, word)
		if i < 0 {
			return fmt.Errorf("day %.40q is not a day of the week: write it as mon, tue, wed, thu, fri, sat or sun", word)
		}
		s.days[i] = true
	}
	if len(days) == 0 {
		s.days = [7]bool{true, true, true, true, true, true, true}
	}
	return nil
}

// reaches tells whether devices of a profile are collected by s.
func (s *schedule) reaches(d *device) bool {
	return s.profiles == nil || slices.Contains(s.profiles, d.profile())
}

// profileOf names the profile that s collects of a device.
func (s *schedule) profileOf(d *device) string {
	if s.collect != "" {
		return s.collect
	}
	return d.profile()
}

// current returns the newest window that has begun at now.
func (s *schedule) current(now time.Time) window {
	for back := 1; ; back-- { // the calendar may be a day ahead of its clock changes
		if w, ok := s.day(now, back); ok && !w.start.After(now) {
			return w
		}
	}
}

// next returns the first window that begins after now.
func (s *schedule) next(now time.Time) window {
	for ahead := -1; ; ahead++ {
		if w, ok := s.day(now, ahead); ok && w.start.After(now) {
			return w
		}
	}
}

// day returns the window that begins on the local day of now plus days, if one
// does.
func (s *schedule) day(now time.Time, days int) (window, bool) {
	y, m, d := now.In(s.zone).Date()
	date := time.Date(y, m, d+days, 0, 0, 0, 0, time.UTC)
	start := wallClock(y, m, d+days, s.hour, s.minute, s.zone)
	noon := time.Date(y, m, d+days, 12, 0, 0, 0, s.zone)
	// A day that a country has left out, to be on the other side of the date line.
	skipped := noon.Day() != date.Day()
	return window{start: start, end: start.Add(s.window), day: dayNumber(date), id: start}, s.days[date.Weekday()] && !skipped
}

func dayNumber(date time.Time) int { return int(date.Unix() / (24 * 60 * 60)) }

// dayOf is the local day of t.
func (s *schedule) dayOf(t time.Time) int {
	y, m, d := t.In(s.zone).Date()
	return dayNumber(time.Date(y, m, d, 0, 0, 0, 0, time.UTC))
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

// offset is where in a window a device starts: the same every day, spread evenly
// over the fleet, and other for each collector, so that many of them do not ask
// one AAA server in step. It is the same part of every window, however long.
func offset(collector, device string, window time.Duration) time.Duration {
	h := fnv.New64a()
	h.Write([]byte(collector + "\x00" + device))
	// FNV's high bits barely differ for short, similar names; the finalizer of
	// MurmurHash3 (fmix64) spreads them.
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	x ^= x >> 33
	part, _ := bits.Mul64(x, uint64(window))
	return time.Duration(part)
}
