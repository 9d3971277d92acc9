package collector

import (
	"regexp"
	"slices"

	"lwc/junos"
)

// What a device says of a command that its release or model does not have. It
// says so until it runs another release.
var foreignCommand = regexp.MustCompile(`(?i)syntax error|un(known|recognized) command|command is not valid on|not supported`)

// foreignTags say the same in the words of RFC 6241, appendix A.
var foreignTags = []string{"operation-not-supported", "unknown-element"}

// What a device says of a feature that is not configured, or of a part that does
// not answer just now. The next commit, or the next minute, may change that.
var idleFeature = regexp.MustCompile(`(?i)not (enabled|configured|running|needed)|no route to host|initiate connection`)

// lasting tells whether an answer holds until the release changes. A feature that
// is not in use may be tomorrow, so that such an answer holds for its moment only.
func lasting(res junos.Result) bool {
	foreign := func(e junos.RPCError) bool {
		return foreignCommand.MatchString(e.Message) || slices.Contains(foreignTags, e.Tag)
	}
	idle := func(e junos.RPCError) bool { return idleFeature.MatchString(e.Message) }
	return res.Outcome == junos.Unsupported && slices.ContainsFunc(res.Errors, foreign) && !slices.ContainsFunc(res.Errors, idle)
}
