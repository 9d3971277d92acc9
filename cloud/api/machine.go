package api

import (
	"fmt"
	"net/url"
	"regexp"

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
	if n.Source == "" {
		return nil
	}
	u, err := url.Parse(n.Source)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		return fmt.Errorf("%.200q is not a source: give an https URL without a password, or none for the updater's own: %w", n.Source, edp.ErrInvalid)
	}
	return nil
}
