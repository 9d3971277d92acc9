package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"lwc/image/release"
)

// Release is what is to be known of a release that is published.
type Release struct {
	Version, Floor string
	Security       bool
	Published      time.Time
	// Resumed is when an admin last let it go on although it was held back: what had gone
	// wrong before does not count against it. Zero: never.
	Resumed time.Time
}

// Box is the box of one collector.
type Box struct {
	Collector string
	Running   string // the release; empty: it is no appliance, and nothing is planned for it
	Unseen    bool   // it has never connected, so that nobody knows what runs there
	Trial     bool   // the release that runs has not proved itself yet
	Online    bool
	Policy    Policy
	Approved  []string // versions that were approved for this box
	Busy      string   // the version of an update under way; empty: none
	Begun     bool     // the box has begun it
	// Heard is until when the box was heard; or when it was asked, or the start that it
	// waits for, where that is later. In Deaf of the time since then nobody listened.
	Heard    time.Time
	Deaf     time.Duration
	Failures []Failure
}

// lost tells whether the box has begun an update and fell silent over it.
func (b Box) lost(now time.Time) bool { return b.Begun && b.silent(now) }

func (b Box) silent(now time.Time) bool {
	return b.Busy != "" && !b.Online && now.Sub(b.Heard)-b.Deaf > silence
}

// Failure is an update that the box began and that did not succeed.
type Failure struct {
	Version string
	At      time.Time
	// Silent is since when nothing is heard of the box, which never told how it ended;
	// zero: it did, or is there again.
	Silent time.Time
	// RolledBack says that the release was started and the box went back: it is not
	// tried again there.
	RolledBack bool
}

// Verdict is what becomes of a box.
type Verdict struct {
	Wanted string // the release that it will take; empty: it runs the newest that it may have
	Send   bool   // now
	// RebootAt is when the box starts what it installed; zero: at once.
	RebootAt time.Time
	// Expires is until when the order makes sense to a box that has not begun.
	Expires time.Time
	Next    time.Time // when to look again; zero: when something happens
	Why     string    // in words
	// Ask says that it goes on only when a person decides something.
	Ask bool
}

const (
	// maxFailures is how often a release is tried on one box without being asked.
	maxFailures = 2
	// retryAfter is how long a box is left alone after a failure.
	retryAfter = time.Hour
	// silence is how long a box may not be heard in an update. A slow one that starts a
	// release three times in vain and goes back needs half of it.
	silence = time.Hour
	// ahead is how long before its window a box may download and install.
	ahead = time.Hour
	// enough is what must be left of a window to begin in it.
	enough = 20 * time.Minute
	// orderLife is how long an order waits for a box to begin, outside of windows.
	orderLife = time.Hour
)

// Judge says what becomes of one box, by what is published and by its policy alone.
func Judge(now time.Time, b Box, list []Release) Verdict {
	switch {
	case b.Unseen:
		return Verdict{Why: "not known yet: it has never connected"}
	case release.CheckVersion(b.Running) != nil:
		return Verdict{Why: "no appliance: it is updated by its own means"}
	case b.lost(now):
		return Verdict{Wanted: b.Busy, Ask: true, Why: fmt.Sprintf("it began the update to %s and was heard last at %s: see to the box", b.Busy, clock(b.Heard))}
	case b.Busy != "":
		return Verdict{Wanted: b.Busy, Why: "the update to " + b.Busy + " is under way"}
	case b.Trial:
		return Verdict{Why: "release " + b.Running + " is on trial"}
	}
	steps := b.steps(list)
	if len(steps) == 0 {
		return b.end(list)
	}
	v := Verdict{}
	for _, r := range steps { // the newest that may be taken now, or else why the newest may not
		one := b.consider(now, r)
		if one.Send {
			return one
		}
		if v.Wanted == "" {
			v = one
		} else {
			v.Next = sooner(v.Next, one.Next)
		}
	}
	return v
}

// end says why there is no release that the box may go to.
func (b Box) end(list []Release) Verdict {
	var next Release
	for _, r := range list {
		if release.Compare(r.Version, b.Running) > 0 && (next.Version == "" || release.Compare(r.Version, next.Version) < 0) {
			next = r
		}
	}
	if next.Version == "" {
		return Verdict{Why: "runs the newest release"}
	}
	return Verdict{Ask: true, Why: fmt.Sprintf("%s needs %s at least: publish a release that leads there", next.Version, next.Floor)}
}

// steps are the releases that the box may go to from where it is, the newest first.
func (b Box) steps(list []Release) []Release {
	var out []Release
	for _, r := range list {
		if release.Compare(r.Version, b.Running) > 0 && (r.Floor == "" || release.Compare(r.Floor, b.Running) <= 0) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(x, y Release) int { return release.Compare(y.Version, x.Version) })
	return out
}

// consider says what becomes of one release on the box.
func (b Box) consider(now time.Time, r Release) Verdict {
	wait := func(next time.Time, format string, args ...any) Verdict {
		return Verdict{Wanted: r.Version, Next: next, Why: fmt.Sprintf(format, args...)}
	}
	ask := func(format string, args ...any) Verdict {
		return Verdict{Wanted: r.Version, Ask: true, Why: fmt.Sprintf(format, args...)}
	}
	failed, last := b.failed(r.Version)
	again := last.At.Add(retryAfter)
	switch due := b.due(r); {
	case last.RolledBack:
		return ask("%s was rolled back here: see why, then ask for it by hand, or wait for the next release", r.Version)
	case failed >= maxFailures:
		return ask("%s failed %d times here: see why, then ask for it by hand, or wait for the next release", r.Version, failed)
	case failed > 0 && now.Before(again):
		return wait(again, "%s failed here: it is tried once more at %s", r.Version, clock(again))
	case b.Policy.Mode == Approval && !slices.Contains(b.Approved, r.Version):
		return ask("%s waits for an approval%s", r.Version, hole(r))
	case now.Before(due):
		return wait(due, "%s is put off until %s", r.Version, clock(due))
	case !b.Online:
		return wait(time.Time{}, "%s waits for the box to be online", r.Version)
	}
	return b.fit(now, r)
}

// fit finds the place of a release in the window of the box.
func (b Box) fit(now time.Time, r Release) Verdict {
	v := Verdict{Wanted: r.Version, Send: true, Expires: now.Add(orderLife), Why: r.Version + " is to be sent now"}
	if b.Policy.Window.IsZero() {
		return v
	}
	opens, closes, ok := b.Policy.Window.Around(now)
	if ok && closes.Sub(now) < enough { // too late for this one
		opens, closes, ok = b.Policy.Window.Around(closes)
	}
	switch {
	case !ok:
		return Verdict{Wanted: r.Version, Why: r.Version + " waits, and its window cannot be read"}
	case now.Before(opens.Add(-ahead)):
		return Verdict{Wanted: r.Version, Next: opens.Add(-ahead), Why: fmt.Sprintf("%s waits for the window at %s", r.Version, clock(opens))}
	case now.Before(opens):
		v.RebootAt = opens
	}
	v.Expires = closes.Add(-enough)
	if v.Expires.Before(now) {
		v.Expires = closes
	}
	return v
}

// due is when the deferral of a release is over.
func (b Box) due(r Release) time.Time {
	if r.Security && b.Policy.Security != SecurityDeferred {
		return r.Published
	}
	return r.Published.Add(time.Duration(b.Policy.DeferDays) * 24 * time.Hour)
}

// failed counts the failures of a version, and returns the last one.
func (b Box) failed(version string) (n int, last Failure) {
	for _, f := range b.Failures {
		if f.Version == version {
			n++
			if !f.At.Before(last.At) {
				last = f
			}
		}
	}
	return n, last
}

func hole(r Release) string {
	if r.Security {
		return "; it closes a hole"
	}
	return ""
}

func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// sooner returns the earlier of two times; zero is never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || b.IsZero() {
		return cmp.Or(a, b)
	}
	return slices.MinFunc([]time.Time{a, b}, time.Time.Compare)
}
