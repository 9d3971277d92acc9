package junos

import "regexp"

// What the daemons of Junos say, by what it means for a collector.
var (
	deniedText = regexp.MustCompile(`(?i)permission denied|does not have access privileges`)
	retryText  = regexp.MustCompile(`(?i)the chassis(-control)? subsystem is not running|the \S+ subsystem is not responding|abnormal communication termination with|resource deadlock avoided|timeout communicating with`)
	// The last line is for features that the device has and does not run.
	unsupportedText = regexp.MustCompile(`(?i)unrecognized command|command is not valid on|syntax error|unknown command|couldn't initiate connection|could not connect to .* no route to host` +
		`|is not enabled|is not configured|not supported|subsystem not running|instance is not running|is not running|can only be used on`)
)

// outcome decides what a document was. Data beside an error is partial: what a
// device emitted before an error may be incomplete, and one routing engine of
// several may have answered.
func outcome(cut, broken, content bool, errs []RPCError) Outcome {
	worst := verdict(errs)
	switch {
	case cut:
		return Partial
	case content && !broken && hasError(errs):
		return Partial
	case worst != "" && !content:
		return worst
	case broken:
		return Malformed
	case content:
		return OK
	}
	return Empty
}

func hasError(errs []RPCError) bool {
	for _, e := range errs {
		if e.Severity == SeverityError {
			return true
		}
	}
	return false
}

// verdict is the outcome of a reply that holds nothing else: of the first error,
// or, when there are only warnings, of the first that says why there is no data.
func verdict(errs []RPCError) Outcome {
	for _, e := range errs {
		if e.Severity == SeverityError {
			return Outcome(first(string(e.meaning()), string(DeviceError)))
		}
	}
	for _, e := range errs {
		if m := e.meaning(); m != "" {
			return m
		}
	}
	return ""
}

// meaning maps text and error-tag (RFC 6241 appendix A) to an outcome; empty
// when neither says more than that there was an error.
func (e RPCError) meaning() Outcome {
	switch {
	case deniedText.MatchString(e.Message), e.Tag == "access-denied":
		return Denied
	case retryText.MatchString(e.Message), e.Tag == "resource-denied", e.Tag == "in-use":
		return RetryLater
	case unsupportedText.MatchString(e.Message), e.Tag == "operation-not-supported", e.Tag == "unknown-element":
		return Unsupported
	}
	return ""
}
