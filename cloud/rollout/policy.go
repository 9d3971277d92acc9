package rollout

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // the time zones, on hosts that have no /usr/share/zoneinfo
)

// The modes of a policy.
const (
	Automatic = "automatic" // as soon as there is a release
	InWindow  = "window"    // in the window
	Approval  = "approval"  // after an admin's approval; in the window, if there is one
)

// Modes lists the modes.
func Modes() []string { return []string{Automatic, InWindow, Approval} }

// What becomes of a release that closes a hole.
const (
	SecurityAtOnce   = "at-once"  // it waits for no deferral
	SecurityDeferred = "deferred" // it waits as others do
)

// Policy says when a box may change its release. Its zero value says nothing: then
// another one holds.
type Policy struct {
	Mode      string `json:"mode,omitempty" doc:"automatic (as soon as there is a release), window (in the window) or approval (after an admin approved it; in the window, if there is one)."`
	Window    Window `json:"window,omitzero" doc:"When a box may start anew."`
	DeferDays int    `json:"defer_days,omitempty" doc:"How many days a release must have been published; 0: none."`
	Security  string `json:"security,omitempty" doc:"What becomes of a release that closes a hole: at-once (the default: it waits for no deferral) or deferred."`
}

// Default is the policy of a cloud that was told none: at night, a week after a
// release came out, and at once where it closes a hole.
func Default() Policy {
	return Policy{Mode: InWindow, Window: Window{Start: "02:00", Length: "3h", Timezone: "UTC"}, DeferDays: 7, Security: SecurityAtOnce}
}

// IsZero tells whether the policy says nothing.
func (p Policy) IsZero() bool {
	return p.Mode == "" && p.Window.IsZero() && p.DeferDays == 0 && p.Security == ""
}

// Window is a time of day that opens on each of its days.
type Window struct {
	Days     []string `json:"days,omitempty" doc:"mon, tue, wed, thu, fri, sat, sun; none: every day."`
	Start    string   `json:"start,omitempty" doc:"Time of day at which it opens, as 02:00."`
	Length   string   `json:"length,omitempty" doc:"How long it is open, as 2h; 3h unless given."`
	Timezone string   `json:"timezone,omitempty" doc:"IANA name, as Europe/Berlin; UTC unless given."`
}

// IsZero tells whether there is no window.
func (w Window) IsZero() bool {
	return len(w.Days) == 0 && w.Start == "" && w.Length == "" && w.Timezone == ""
}

const (
	defaultLength = "3h"
	// minLength has room for a download, an installation and a start.
	minLength = 30 * time.Minute
	maxLength = 23 * time.Hour
	maxDefer  = 365
)

// Days names the days of a week, the first first.
func Days() []string { return []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"} }

// Problem is one thing that is wrong with a policy: the field, by its name in JSON,
// and what to do.
type Problem struct{ Field, Text string }

// Check lists what is wrong with a policy. The zero value is in order.
func (p Policy) Check() (out []Problem) {
	add := func(field, format string, args ...any) {
		out = append(out, Problem{field, fmt.Sprintf(format, args...)})
	}
	switch {
	case p.IsZero():
		return nil
	case p.Mode == "":
		add("mode", "the mode is missing: give automatic, window or approval")
	case !slices.Contains(Modes(), p.Mode):
		add("mode", "%.40q is not a mode: give automatic, window or approval", p.Mode)
	}
	if p.Mode == Automatic && !p.Window.IsZero() {
		add("window", "in mode automatic no window is waited for: leave it out, or choose mode window")
	}
	if p.Mode == InWindow && p.Window.Start == "" {
		add("window.start", "the window is missing: give the time of day at which it opens, as start: \"02:00\"")
	}
	if p.DeferDays < 0 || p.DeferDays > maxDefer {
		add("defer_days", "%d is not a number of days from 0 to %d", p.DeferDays, maxDefer)
	}
	if p.Security != "" && p.Security != SecurityAtOnce && p.Security != SecurityDeferred {
		add("security", "%.40q is neither at-once nor deferred", p.Security)
	}
	return append(out, p.Window.check()...)
}

func (w Window) check() (out []Problem) {
	add := func(field, format string, args ...any) {
		out = append(out, Problem{"window." + field, fmt.Sprintf(format, args...)})
	}
	if w.IsZero() {
		return nil
	}
	if _, err := time.Parse("15:04", w.Start); err != nil || len(w.Start) != len("15:04") {
		add("start", "%.40q is not a time of day: write it as \"02:00\", from 00:00 to 23:59", w.Start)
	}
	if d, err := time.ParseDuration(cmp.Or(w.Length, defaultLength)); err != nil || d < minLength || d > maxLength {
		add("length", "%.40q is not a length of time from 30m to 23h: write it as 45m or 2h", w.Length)
	}
	if _, err := w.location(); err != nil {
		add("timezone", "%.60q is not a time zone: give its IANA name, as Europe/Berlin or UTC", w.Timezone)
	}
	for i, d := range w.Days {
		if !slices.Contains(Days(), d) {
			add("days", "%.40q is not a day: give mon, tue, wed, thu, fri, sat or sun", d)
		} else if slices.Index(w.Days, d) < i {
			add("days", "%q stands twice", d)
		}
	}
	return out
}

func (w Window) location() (*time.Location, error) {
	if w.Timezone == "Local" {
		return nil, errors.New("the zone of this host is nobody else's")
	}
	return time.LoadLocation(w.Timezone) // "" is UTC
}

// Around returns when the window that is open at now opened and closes, or else when
// the next one does. It is one that Check finds in order; ok is false where it is not.
// Where a clock is put forward over the start, the window opens as much later by it, in
// every zone; it is that of the day on which it was to open.
func (w Window) Around(now time.Time) (opens, closes time.Time, ok bool) {
	at, err := time.Parse("15:04", w.Start)
	length, lerr := time.ParseDuration(cmp.Or(w.Length, defaultLength))
	zone, zerr := w.location()
	if err != nil || lerr != nil || zerr != nil {
		return opens, closes, false
	}
	here := now.In(zone)
	for day := -1; day <= len(Days()); day++ { // yesterday's may be open still
		wanted := time.Date(here.Year(), here.Month(), here.Day()+day, at.Hour(), at.Minute(), 0, 0, time.UTC)
		opens = onClock(wanted, zone)
		closes = opens.Add(length)
		if now.Before(closes) && w.on(wanted.Weekday()) {
			return opens.UTC(), closes.UTC(), true
		}
	}
	return time.Time{}, time.Time{}, false
}

// onClock is when the clocks of a zone show what wanted says. For a time that they leave
// out, time.Date takes the offset before or after as it comes, and so an hour before or
// after: here it is always the one after, as many minutes later as are left out.
func onClock(wanted time.Time, zone *time.Location) time.Time {
	t := time.Date(wanted.Year(), wanted.Month(), wanted.Day(), wanted.Hour(), wanted.Minute(), 0, 0, zone)
	_, offset := t.Zone()
	shown := t.Add(time.Duration(offset) * time.Second).UTC() // what the clocks show then, as if it were UTC
	return t.Add(max(wanted.Sub(shown), 0))
}

func (w Window) on(d time.Weekday) bool {
	return len(w.Days) == 0 || slices.Contains(w.Days, Days()[(int(d)+6)%7])
}

// String says the policy in words.
func (p Policy) String() string {
	if p.IsZero() {
		return "the cloud's default"
	}
	text := map[string]string{Automatic: "as soon as there is a release", InWindow: p.Window.String(), Approval: "after an approval"}[p.Mode]
	if p.Mode == Approval && !p.Window.IsZero() {
		text += ", " + p.Window.String()
	}
	if p.DeferDays > 0 {
		text += fmt.Sprintf(", %s after it was published", days(p.DeferDays))
		if p.Security != SecurityDeferred {
			text += " (what closes a hole: at once)"
		}
	}
	return text
}

// String says the window in words.
func (w Window) String() string {
	text := "daily"
	if len(w.Days) > 0 {
		text = "on " + strings.Join(w.Days, ", ")
	}
	return text + " at " + w.Start + " " + cmp.Or(w.Timezone, "UTC") + " within " + cmp.Or(w.Length, defaultLength)
}

func days(n int) string {
	if n == 1 {
		return "a day"
	}
	return fmt.Sprintf("%d days", n)
}
