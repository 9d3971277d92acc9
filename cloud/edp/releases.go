package edp

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"lwc/cloud/rollout"
	"lwc/cloud/tidy"
	"lwc/image/release"
	"lwc/transport/wire"
)

// The kinds of events that tell what admins do with releases.
const (
	EventReleasePublished = "release-published"
	EventReleaseWithdrawn = "release-withdrawn"
	EventReleaseApproved  = "release-approval" // given or taken back
	EventReleaseResumed   = "release-resumed"
)

// ReleaseState is whether boxes get a release.
type ReleaseState string

// The states of a release. A withdrawn one goes on where it runs already.
const (
	ReleasePublished ReleaseState = "published"
	ReleaseWithdrawn ReleaseState = "withdrawn"
)

// Release is a release of the appliance that the cloud has.
type Release struct {
	release.Manifest
	State                    ReleaseState
	Digest                   string // SHA-256 of the signed manifest, hexadecimal
	PublishedAt, WithdrawnAt time.Time
	PublishedBy, WithdrawnBy string
	Reason                   string // why it was withdrawn
	Approvals                []ReleaseApproval
	// ResumedAt is when an admin last let it go on although it was held back: what had
	// gone wrong before does not count against it.
	ResumedAt                time.Time
	ResumedBy, ResumedReason string
}

// Plan is what the planner of updates has to know of the release.
func (r Release) Plan() rollout.Release {
	return rollout.Release{Version: r.Version, Floor: r.Floor, Security: r.Security, Published: r.PublishedAt, Resumed: r.ResumedAt}
}

// ReleaseApproval lets the boxes of a policy with approvals take a release.
type ReleaseApproval struct {
	Collector string // empty: all
	By        string
	At        time.Time
}

// Releases returns all releases, the newest version first.
func (s *Store) Releases(ctx context.Context) ([]Release, error) {
	var list []Release
	err := s.snapshot(ctx, func(t *sql.Tx) (err error) {
		list, err = loadReleases(ctx, t)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing releases: %w", err)
	}
	return list, nil
}

// Release returns one release.
func (s *Store) Release(ctx context.Context, version string) (Release, error) {
	var r Release
	err := s.snapshot(ctx, func(t *sql.Tx) (err error) {
		r, err = loadRelease(ctx, t, version)
		return err
	})
	if err != nil {
		return Release{}, fmt.Errorf("reading release %.40q: %w", version, err)
	}
	return r, nil
}

const releaseColumns = `manifest, state, digest, published_at, published_by, withdrawn_at, withdrawn_by, reason,
	resumed_at, resumed_by, resume_reason`

func scanRelease(r row) (x Release, err error) {
	return x, r.Scan(jsonColumn{&x.Manifest}, &x.State, &x.Digest, moment{&x.PublishedAt}, &x.PublishedBy,
		moment{&x.WithdrawnAt}, &x.WithdrawnBy, &x.Reason, moment{&x.ResumedAt}, &x.ResumedBy, &x.ResumedReason)
}

func loadReleases(ctx context.Context, q querier) ([]Release, error) {
	list, err := all(ctx, q, scanRelease, `SELECT `+releaseColumns+` FROM releases`)
	for i := 0; i < len(list) && err == nil; i++ {
		list[i].Approvals, err = loadApprovals(ctx, q, list[i].Version)
	}
	slices.SortFunc(list, func(a, b Release) int { return release.Compare(b.Version, a.Version) })
	return list, err
}

func loadRelease(ctx context.Context, q querier, version string) (Release, error) {
	r, err := one(ctx, q, scanRelease, `SELECT `+releaseColumns+` FROM releases WHERE version = $1`, version)
	if err == nil {
		r.Approvals, err = loadApprovals(ctx, q, version)
	}
	return r, err
}

func loadApprovals(ctx context.Context, q querier, version string) ([]ReleaseApproval, error) {
	return all(ctx, q, func(r row) (a ReleaseApproval, err error) {
		return a, r.Scan(&a.Collector, &a.By, moment{&a.At})
	}, `SELECT collector, approved_by, approved_at FROM release_approvals WHERE version = $1 ORDER BY collector`, version)
}

// PublishRelease enters a release whose files are there, with the hash of its signed
// manifest. One that was withdrawn is published again. ErrConflict says that another
// release of this version was published before: a version is never reused.
func (s *Store) PublishRelease(ctx context.Context, m release.Manifest, digest, by string) error {
	body, err := asJSON(m)
	if err != nil {
		return err
	}
	err = s.tx(ctx, func(t *sql.Tx) error {
		old, err := loadRelease(ctx, t, m.Version)
		switch {
		case errors.Is(err, ErrNotFound):
			_, err = exec(ctx, t, `INSERT INTO releases (version, state, digest, manifest, published_at, published_by)
				VALUES ($1, $2, $3, $4, $5, $6)`, m.Version, ReleasePublished, digest, body, micros(time.Now()), by)
			return told(ctx, t, err, EventReleasePublished, "", "release %s was published by %s", m.Version, by)
		case err != nil:
			return err
		case old.Digest != digest:
			return fmt.Errorf("another release was published under this version before: give the new one a version of its own: %w", ErrConflict)
		case old.State == ReleasePublished:
			return nil
		}
		_, err = exec(ctx, t, `UPDATE releases SET state = $1, published_at = $2, published_by = $3,
			withdrawn_at = 0, withdrawn_by = '', reason = '' WHERE version = $4`, ReleasePublished, micros(time.Now()), by, m.Version)
		return told(ctx, t, err, EventReleasePublished, "", "release %s was published again by %s", m.Version, by)
	})
	if err != nil {
		return fmt.Errorf("publishing release %.40q: %w", m.Version, err)
	}
	return nil
}

// WithdrawRelease keeps a release from all boxes that do not run it yet, calls off the
// updates to it that no box has taken, and forgets its approvals.
func (s *Store) WithdrawRelease(ctx context.Context, version, by, reason string) error {
	err := s.tx(ctx, func(t *sql.Tx) error {
		if reason = why(reason); reason == "" {
			return errNoReason()
		}
		r, err := loadRelease(ctx, t, version)
		if err != nil {
			return err
		}
		if r.State == ReleaseWithdrawn {
			return fmt.Errorf("it was withdrawn before: %w", ErrConflict)
		}
		now := micros(time.Now())
		if _, err = exec(ctx, t, `UPDATE releases SET state = $1, withdrawn_at = $2, withdrawn_by = $3, reason = $4 WHERE version = $5`,
			ReleaseWithdrawn, now, by, reason, version); err != nil {
			return err
		}
		if _, err = exec(ctx, t, `DELETE FROM release_approvals WHERE version = $1`, version); err != nil {
			return err
		}
		_, err = exec(ctx, t, `UPDATE jobs SET state = $1, finished_at = $2, error = 'the release was withdrawn'
			|| CASE sent_at WHEN 0 THEN '' ELSE ', but the update had been sent, and the collector may have it: what it says of it still counts' END
			WHERE kind = $3 AND release = $4 AND source = '' AND state = $5`, JobCalledOff, now, wire.JobUpdate, version, JobQueued)
		return told(ctx, t, err, EventReleaseWithdrawn, "", "release %s was withdrawn by %s: %s%s", version, by, reason, forgotten(r.Approvals))
	})
	if err != nil {
		return fmt.Errorf("withdrawing release %.40q: %w", version, err)
	}
	return nil
}

// forgotten tells of the approvals that a withdrawal takes along.
func forgotten(list []ReleaseApproval) string {
	if len(list) == 0 {
		return ""
	}
	var of []string
	for _, a := range list[:min(len(list), 5)] {
		of = append(of, forWhom(a.Collector))
	}
	if more := len(list) - len(of); more > 0 {
		of = append(of, fmt.Sprintf("%d more", more))
	}
	return "; forgotten are its approvals for " + strings.Join(of, ", ")
}

// ApproveRelease lets these collectors take a release, or all where none is named;
// without approve, it takes back just that: ErrConflict when there is no such approval.
// Updates that were sent stay.
func (s *Store) ApproveRelease(ctx context.Context, version string, collectors []string, approve bool, by string) error {
	if slices.Contains(collectors, "") { // it would be read as all of them
		return fmt.Errorf("deciding on release %.40q: a collector has no name: %w", version, ErrInvalid)
	}
	if len(collectors) == 0 {
		collectors = []string{""}
	}
	err := s.tx(ctx, func(t *sql.Tx) error {
		r, err := loadRelease(ctx, t, version)
		if err != nil {
			return err
		}
		if r.State == ReleaseWithdrawn {
			return fmt.Errorf("it is withdrawn: %w", ErrConflict)
		}
		for _, c := range collectors {
			if err := decideRelease(ctx, t, version, c, approve, by); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("deciding on release %.40q: %w", version, err)
	}
	return nil
}

func decideRelease(ctx context.Context, t *sql.Tx, version, collector string, approve bool, by string) error {
	if !approve {
		return unapprove(ctx, t, version, collector, by)
	}
	if collector != "" {
		if _, err := one(ctx, t, scanString, `SELECT id FROM collectors WHERE id = $1`, collector); err != nil {
			return fmt.Errorf("collector %.80q: %w", collector, err)
		}
	}
	n, err := exec(ctx, t, `INSERT INTO release_approvals (version, collector, approved_by, approved_at)
		VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`, version, collector, by, micros(time.Now()))
	if err != nil || n == 0 { // approved before
		return err
	}
	return told(ctx, t, nil, EventReleaseApproved, collector, "release %s was approved for %s by %s", version, forWhom(collector), by)
}

// unapprove takes one approval back. Who names a box that may take the release with all
// the others is told so, instead of that it is done.
func unapprove(ctx context.Context, t *sql.Tx, version, collector, by string) error {
	n, err := exec(ctx, t, `DELETE FROM release_approvals WHERE version = $1 AND collector = $2`, version, collector)
	if err != nil || n > 0 {
		return told(ctx, t, err, EventReleaseApproved, collector, "the approval of release %s for %s was taken back by %s", version, forWhom(collector), by)
	}
	of, err := loadApprovals(ctx, t, version)
	switch {
	case err != nil:
		return err
	case len(of) > 0 && of[0].Collector == "":
		return fmt.Errorf("it is approved for all boxes, not for %.80s by itself: take the approval for all back, then approve it for those that may take it: %w", collector, ErrConflict)
	case collector == "" && len(of) > 0:
		return fmt.Errorf("it is approved for some boxes, not for all: name those whose approval is to be taken back: %w", ErrConflict)
	}
	return fmt.Errorf("it is not approved for %.80s: %w", forWhom(collector), ErrConflict)
}

func forWhom(collector string) string { return cmp.Or(collector, "all boxes") }

// ResumeRelease lets a release go on that was held back: what failed with it so far does
// not count against it any more. A box that it failed on is not sent it again for that.
// Hold is what it was held back for when somebody decided (rollout.HoldOf): where it is
// another by now, nothing changes, and ErrConflict tells it.
func (s *Store) ResumeRelease(ctx context.Context, version, by, reason, hold string) error {
	err := s.tx(ctx, func(t *sql.Tx) error {
		if reason = why(reason); reason == "" {
			return errNoReason()
		}
		r, err := loadRelease(ctx, t, version)
		if err != nil {
			return err
		}
		if r.State == ReleaseWithdrawn {
			return fmt.Errorf("it is withdrawn: publish it again with lwc-cloud release add: %w", ErrConflict)
		}
		boxes, _, err := loadUpdates(ctx, t)
		if err != nil {
			return err
		}
		now := time.Now()
		w := waveOf(now, r, boxes)
		if !w.Halted() {
			return fmt.Errorf("it is not held back: %w", ErrConflict)
		}
		switch is := rollout.HoldOf(now, r.Plan(), planOf(boxes)); hold {
		case is:
		case "":
			return fmt.Errorf("it is held back: %s (hold %s); say that this is the hold that you looked at: %w", w.Reason(), is, ErrInvalid)
		default:
			return fmt.Errorf("since you looked, what it is held back for has changed: %s (hold %s): %w", w.Reason(), is, ErrConflict)
		}
		_, err = exec(ctx, t, `UPDATE releases SET resumed_at = $1, resumed_by = $2, resume_reason = $3 WHERE version = $4`,
			micros(now), by, reason, version)
		return told(ctx, t, err, EventReleaseResumed, "", "release %s was held back (%s), and %s let it go on: %s", version, w.Reason(), by, reason)
	})
	if err != nil {
		return fmt.Errorf("resuming release %.40q: %w", version, err)
	}
	return nil
}

// why is a reason that stands on one line of a list.
func why(reason string) string { return strings.TrimSpace(tidy.Text(reason, tidy.MaxText)) }

func errNoReason() error {
	return fmt.Errorf("no reason is given: say why, for those who look after the boxes: %w", ErrInvalid)
}

// told keeps the event of what was done to a release, unless that failed. Of all boxes
// it is an event of no collector.
func told(ctx context.Context, t *sql.Tx, err error, kind, collector, format string, args ...any) error {
	if err != nil {
		return err
	}
	return addEvent(ctx, t, wire.Event{V: wire.Version, Collector: collector, Time: time.Now().UTC(), Kind: kind, Text: fmt.Sprintf(format, args...)})
}
