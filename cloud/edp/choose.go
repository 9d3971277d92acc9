package edp

import (
	"fmt"
	"strings"
	"time"

	"lwc/image/release"
)

// choice is the choice of a release for one box that somebody updates by hand.
type choice struct {
	list            []Release // the newest first
	boxes           []BoxRow  // all, for how far each release has come; none where one is wanted
	running, wanted string    // wanted empty: the newest that is fit for the box
	now             time.Time
	passed          []string // newer ones that are not fit, with the reason
}

// pick returns the version that the box goes to, and which newer ones were passed over,
// in words.
func (c *choice) pick() (version, passed string, err error) {
	if c.wanted != "" {
		return c.named()
	}
	for _, r := range c.list {
		if release.Compare(r.Version, c.running) <= 0 {
			break
		}
		why := c.unfit(r)
		if why == "" {
			if len(c.passed) > 0 {
				passed = r.Version + " was chosen: " + strings.Join(c.passed, "; ")
			}
			return r.Version, passed, nil
		}
		c.passed = append(c.passed, r.Version+" "+why)
	}
	switch {
	case len(c.list) == 0:
		return "", "", fmt.Errorf("no release is published: add one with lwc-cloud release add: %w", ErrConflict)
	case len(c.passed) > 0:
		return "", "", fmt.Errorf("the box runs %s, and there is no newer release for it: %s: %w", c.running, strings.Join(c.passed, "; "), ErrConflict)
	}
	return "", "", fmt.Errorf("the box runs %s, and no newer release is published: %w", c.running, ErrConflict)
}

// unfit says why a newer release is not for the box; empty: it is.
func (c *choice) unfit(r Release) string {
	if r.State == ReleaseWithdrawn {
		return "is withdrawn"
	}
	if r.Floor != "" && release.Compare(c.running, r.Floor) < 0 {
		return "needs " + r.Floor + " at least"
	}
	if w := waveOf(c.now, r, c.boxes); w.Halted() {
		return "is held back, " + w.Reason() + " (let it go on, or ask for it by name)"
	}
	return ""
}

// named is the release that was asked for by its name: one that is held back, too.
func (c *choice) named() (version, passed string, err error) {
	for _, r := range c.list {
		if r.Version != c.wanted {
			continue
		}
		switch {
		case r.State == ReleaseWithdrawn:
			err = fmt.Errorf("release %s was withdrawn: %w", c.wanted, ErrConflict)
		case release.Compare(r.Version, c.running) <= 0:
			err = fmt.Errorf("the box runs %s, and no box goes back: %w", c.running, ErrConflict)
		case r.Floor != "" && release.Compare(c.running, r.Floor) < 0:
			err = fmt.Errorf("release %s needs %s at least, and the box runs %s: update it to one in between first: %w", c.wanted, r.Floor, c.running, ErrConflict)
		}
		return r.Version, "", err
	}
	return "", "", fmt.Errorf("no release %s is here: publish it with lwc-cloud release add: %w", c.wanted, ErrConflict)
}
