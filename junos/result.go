package junos

// Outcome says in one word what a reply was.
type Outcome string

// Outcomes.
const (
	OK          Outcome = "ok"           // data, perhaps with warnings
	Partial     Outcome = "partial"      // data that ends early or stands beside an error
	Unsupported Outcome = "unsupported"  // this device does not know the command, or does not run the feature
	Denied      Outcome = "denied"       // the account may not ask this
	Empty       Outcome = "empty"        // a reply without data
	Malformed   Outcome = "malformed"    // not well-formed XML; the bytes are as they came
	DeviceError Outcome = "device-error" // another error of the device
	RetryLater  Outcome = "retry-later"  // a process of the device is not ready
)

// Flags of a Result.
const (
	FlagPartial   = "partial"       // the device ended before the reply did
	FlagRepaired  = "repaired-utf8" // the bytes hold invalid UTF-8: a reader of text must repair it
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
