package junos

import "strings"

// Outcome says in one word what a reply was.
type Outcome string

// Outcomes.
const (
	OK          Outcome = "ok"           // data or <ok/>, perhaps with warnings
	Partial     Outcome = "partial"      // data that ends early or stands beside an error
	Unsupported Outcome = "unsupported"  // this device does not know the command, or does not run the feature
	Denied      Outcome = "denied"       // the account may not ask this
	Empty       Outcome = "empty"        // a reply without data
	Malformed   Outcome = "malformed"    // not well-formed XML, handed on all the same
	DeviceError Outcome = "device-error" // another error of the device
	RetryLater  Outcome = "retry-later"  // a process of the device is not ready
)

// Flags of a Result.
const (
	FlagPartial   = "partial"       // the device ended before the reply did
	FlagRepaired  = "repaired-utf8" // bytes that were no UTF-8 were replaced by U+FFFD
	FlagMalformed = "malformed"     // not well-formed XML
	FlagMasked    = "masked"        // values were replaced by pseudonyms
	FlagWarnings  = "warnings"      // the device added warnings
)

// Severities of an RPCError.
const (
	SeverityError   = "error"
	SeverityWarning = "warning"
)

// RPCError is one error or warning that a device put in a reply, in whichever
// of its forms: rpc-error, xnm:error, xnm:warning, or a line of text.
type RPCError struct {
	Severity string // SeverityError or SeverityWarning
	Type     string // error-type of RFC 6241 §4.3; empty in the other forms
	Tag      string // error-tag
	Path     string // error-path
	Element  string // bad-element
	Daemon   string // source-daemon
	Message  string
}

// Result is what the scan of one document found. SHA256 (hexadecimal) and Size
// are of the bytes that are handed on, RawSHA256 and RawSize of those the device
// sent; they differ where values were masked or invalid UTF-8 was repaired.
type Result struct {
	Outcome   Outcome
	Flags     []string
	SHA256    string
	Size      int64
	RawSHA256 string
	RawSize   int64
	Masked    map[string]int // values replaced, by class; nil when none was
	Errors    []RPCError     // the first 32
	Release   string         // Junos release named by the namespaces, "23.4R2-S7.4"; empty when none is
}

// Advice tells an operator what happened, the likely cause and what to do. It is
// empty for OK.
func (r Result) Advice() string {
	switch r.Outcome {
	case OK:
		return ""
	case Partial:
		return r.partialAdvice()
	case Unsupported:
		return r.said("The device does not know this command, or does not run the feature it is about") +
			" Nothing is wrong. If the feature should run here, check its configuration; if the platform does not have it, leave the item out of the profile."
	case Denied:
		return r.said("The account may not run this command") +
			" Its login class lacks the command: give the account the login class that is printed for the profile, or leave the item out of the profile."
	case Empty:
		return "The device answered without data. Most often nothing of the kind is configured or present; if there should be, run the command on the device by hand."
	case Malformed:
		return "The reply is not well-formed XML, and is stored as it came. Most often this is an error of the release: look for it among the problem reports of the vendor, and compare with the command's output on the device."
	case RetryLater:
		return r.said("A process of the device that should answer is starting, restarting or busy") +
			" It is asked again in the next run. If that does not help, look at the processes of the routing engine and for core dumps."
	}
	return r.said("The device answered with an error") + " Run the command on the device by hand: if it fails there too, its log tells more."
}

func (r Result) partialAdvice() string {
	for _, f := range r.Flags {
		if f == FlagPartial {
			return "The reply ended early; what came of it is stored. The connection was lost, or the device stalled or restarted: look at its uptime, and collect again."
		}
	}
	return r.said("The reply holds data and an error, so the data may be incomplete") +
		" Most often one routing engine or member did not answer: check that all of them are up."
}

// said is what happened, with the words of the device.
func (r Result) said(what string) string {
	for _, e := range r.Errors {
		if e.Message != "" && (e.Severity == SeverityError || !hasError(r.Errors)) {
			return what + ": it says \"" + strings.TrimSuffix(e.Message, ".") + "\"."
		}
	}
	return what + "."
}
