package api

import (
	"fmt"
	"net/url"
	"regexp"
	"time"

	"lwc/cloud/edp"
	"lwc/transport/wire"
)

// release is what a collector takes as a version.
var release = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$`)

// CheckMachineJob refuses, with edp.ErrInvalid, what a collector would refuse: a
// release or a source that is none, or one of a job that is no update.
func CheckMachineJob(n edp.NewJob) error {
	if n.Kind != wire.JobUpdate && (n.Release != "" || n.Source != "") {
		return fmt.Errorf("only an update has a release and a source: leave them out of %s: %w", n.Kind, edp.ErrInvalid)
	}
	if n.Release != "" && !release.MatchString(n.Release) {
		return fmt.Errorf("%.80q is not a version: give one as 1.4.2, or none for the newest: %w", n.Release, edp.ErrInvalid)
	}
	if err := checkReboot(n, time.Now()); err != nil || n.Source == "" {
		return err
	}
	u, err := url.Parse(n.Source)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		return fmt.Errorf("%.200q is not a source: give an https URL without a password, or none for the cloud's own: %w", n.Source, edp.ErrInvalid)
	}
	return nil
}

// maxAhead is how far ahead an update may be told to start: a box holds it in memory.
const maxAhead = 7 * 24 * time.Hour

func checkReboot(n edp.NewJob, now time.Time) error {
	switch {
	case n.RebootAt.IsZero():
		return nil
	case n.Kind != wire.JobUpdate:
		return fmt.Errorf("only an update is started later: leave the time out of %s: %w", n.Kind, edp.ErrInvalid)
	case n.RebootAt.After(now.Add(maxAhead)):
		return fmt.Errorf("%s is more than 7 days ahead: %w", n.RebootAt.UTC().Format(time.RFC3339), edp.ErrInvalid)
	}
	return nil
}
