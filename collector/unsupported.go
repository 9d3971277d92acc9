package collector

import (
	"regexp"
	"slices"

	"lwc/junos"
)

// What a device says of a command that its release or model does not have. It
// says so until it runs another release.
var foreignCommand = regexp.MustCompile(`(?i)syntax error|un(known|recognized) command|command is not valid on`)

// What a device says of a feature that is not configured, or of a part that does
// not answer just now. The next commit, or the next minute, may change that.
var idleFeature = regexp.MustCompile(`(?i)not (enabled|configured|running|needed)|no route to host|initiate connection`)

// lasting tells whether an answer holds until the release changes. A feature that
// is not in use may be tomorrow, so that such an answer holds for its moment only.
func lasting(res junos.Result) bool {
	says := func(words *regexp.Regexp) bool {
		return slices.ContainsFunc(res.Errors, func(e junos.RPCError) bool { return words.MatchString(e.Message) })
	}
	return res.Outcome == junos.Unsupported && says(foreignCommand) && !says(idleFeature)
}
