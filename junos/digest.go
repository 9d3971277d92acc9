package junos

import (
	"bytes"
	"regexp"
	"slices"
	"strings"

	"github.com/beevik/etree"
)

// digest keeps of a reply what decides its outcome: who it answers, whether
// there is data in it, and the errors of the device wherever they hide.
//
// The envelope is rpc-reply and, on devices with several routing engines,
// members or nodes, multi-routing-engine-results and -item; so is cli, which
// holds the prompt's banner. An element inside the envelope is payload, but for
// the banner, the name of the routing engine and the errors.
type digest struct {
	messageID *string // nil: the root has none
	release   string
	content   bool   // the payload holds more than an empty element
	done      bool   // the device says <ok/>
	payload   int    // depth of the open payload element; 0: none
	output    bool   // the payload element is <output>: text for people
	aside     int    // depth of the open element that is no payload; 0: none
	capturing bool   // an error is being read, into
	capture   []byte // its XML
	errors    []RPCError
	plain     []byte // the beginning of the text outside the payload and in <output>
}

// start takes a start tag; the root has depth 1. It tells whether an error begins
// with it.
func (d *digest) start(name, tag []byte, depth int) bool {
	if depth == 1 {
		d.messageID = attributeOf(tag, "message-id")
	}
	if d.release == "" && len(tag) > len(name) {
		d.release = releaseOf(tag)
	}
	if d.aside > 0 {
		return false
	}
	prefix, local := splitName(name)
	switch {
	case isError(prefix, local, tag, d.payload == 0 && depth > 1):
		d.aside, d.capturing = depth, true
		d.capture = d.capture[:0]
		return true
	case string(local) == "ok":
		d.done = true
	case d.payload > 0:
		d.content, d.output = true, false
	case isAside(local):
		d.aside = depth
	case !isEnvelope(local):
		d.payload, d.output = depth, string(local) == "output"
	}
	return false
}

// end takes the end of the element of that depth. It tells whether an error ends
// with it.
func (d *digest) end(depth int) bool {
	switch depth {
	case d.aside:
		d.aside = 0
		return d.capturing
	case d.payload:
		if d.output {
			d.keepPlain([]byte("\n")) // the text of the next engine is not of this line
		}
		d.payload, d.output = 0, false
	}
	return false
}

// steady tells whether elements without attributes, children and a prefix teach
// nothing, but for rpc-error.
func (d *digest) steady() bool {
	return d.payload > 0 && d.content && !d.output && d.aside == 0
}

// text takes character data inside the element of that depth.
func (d *digest) text(p []byte, depth int) {
	switch {
	case d.aside > 0:
	case d.payload > 0 && !d.output:
		d.content = d.content || len(bytes.TrimSpace(p)) > 0
	default:
		d.keepPlain(p)
	}
}

// keepPlain folds white space, so that indentation does not use up the bound,
// but keeps lines apart.
func (d *digest) keepPlain(p []byte) {
	for _, c := range p {
		last := len(d.plain) - 1
		switch space := c == ' ' || c == '\t' || c == '\r' || c == '\n'; {
		case last+1 == maxText:
			return
		case !space:
			d.plain = append(d.plain, c)
		case last < 0 || d.plain[last] == '\n':
		case c == '\n' && d.plain[last] == ' ':
			d.plain[last] = c
		case c == '\n':
			d.plain = append(d.plain, c)
		case d.plain[last] != ' ':
			d.plain = append(d.plain, ' ')
		}
	}
}

// raw takes bytes of the error that is being read.
func (d *digest) raw(p []byte) {
	d.capture = append(d.capture, p[:min(len(p), max(0, maxCapture-len(d.capture)))]...)
}

// keep takes the error that was read to its end.
func (d *digest) keep() {
	d.capturing = false
	if len(d.errors) == maxErrors {
		return
	}
	e := RPCError{Severity: SeverityError, Message: clipText(string(d.capture), maxFact)}
	if root, err := parseSmall(d.capture); err == nil {
		e = rpcError(root.ChildElements()[0])
	}
	d.errors = append(d.errors, e)
}

// rpcError reads an rpc-error (RFC 6241 §4.3), an xnm:error or an xnm:warning.
// What has no severity is an error.
func rpcError(e *etree.Element) RPCError {
	r := RPCError{
		Severity: childText(e, "error-severity"),
		Type:     childText(e, "error-type"),
		Tag:      childText(e, "error-tag"),
		Path:     childText(e, "error-path"),
		Element:  deepText(e, "bad-element"),
		Daemon:   childText(e, "source-daemon"),
	}
	for _, c := range e.ChildElements() {
		if c.Tag == "error-message" || c.Tag == "message" {
			r.Message = first(r.Message, oneLine(c.Text()))
		}
	}
	r.Message = strings.TrimPrefix(first(r.Message, oneLine(e.Text())), "error: ")
	if r.Severity != SeverityWarning {
		r.Severity = SeverityError
	}
	if e.Tag == "warning" {
		r.Severity = SeverityWarning
	}
	return r
}

func oneLine(t string) string {
	return clipText(strings.Join(strings.Fields(t), " "), 4*maxFact)
}

func isEnvelope(local []byte) bool {
	switch string(local) {
	case "rpc-reply", "multi-routing-engine-results", "multi-routing-engine-item", "cli":
		return true
	}
	return false
}

// isAside tells what in the envelope is no payload.
func isAside(local []byte) bool {
	switch string(local) {
	case "re-name", "banner", "ignore-signals":
		return true
	}
	return false
}

// isError tells an error of the device from data that only has such a name.
func isError(prefix, local, tag []byte, inEnvelope bool) bool {
	switch string(local) {
	case rpcErrorName:
		return true
	case "error", "warning":
		return string(prefix) == "xnm" || inEnvelope || bytes.Contains(tag, []byte("xml.juniper.net/xnm/"))
	}
	return false
}

func splitName(name []byte) (prefix, local []byte) {
	if i := bytes.IndexByte(name, ':'); i >= 0 {
		return name[:i], name[i+1:]
	}
	return nil, name
}

// releaseOf finds the release in the URI of a Junos namespace.
func releaseOf(tag []byte) string {
	const base = "http://xml.juniper.net/junos/"
	i := bytes.Index(tag, []byte(base))
	if i < 0 {
		return ""
	}
	v, _, found := bytes.Cut(tag[i+len(base):], []byte("/"))
	if !found || len(v) == 0 || len(v) > maxFact || v[0] < '0' || v[0] > '9' {
		return ""
	}
	return string(v)
}

var (
	textError = regexp.MustCompile(`(?mi)^\s*(error|warning): *(.+)$`)
	// textVerdict is what a whole text says in place of data, and textAbsent what a
	// line says of a routing engine that did not answer.
	textVerdict = regexp.MustCompile(`(?i)^(?:syntax error|unknown command|permission denied|unrecognized command|command is not valid on|(?:aborted!? )?this command can only be used on` +
		`|the \S+ subsystem is not r(?:unning|esponding)|abnormal communication termination with|resource deadlock avoided|timeout communicating with|couldn't initiate connection)`)
	textOff    = regexp.MustCompile(`(?i)^\S+(?: \S+)? (?:instance is not running|is not (?:running|configured|enabled|supported)|subsystem not running(?: - not needed by configuration)?)\.?$`)
	textAbsent = regexp.MustCompile(`(?mi)^\s*(could(?: not|n't) connect to \S+ *:.+)$`)
	unescape   = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&apos;", "'", "&quot;", `"`, "&amp;", "&")
)

// allErrors returns the errors in elements and those in text.
func (d *digest) allErrors() []RPCError {
	return append(d.errors[:len(d.errors):len(d.errors)], d.textErrors()...)
}

// textErrors returns the errors in text outside the payload and in <output>.
func (d *digest) textErrors() []RPCError {
	text := unescape.Replace(string(d.plain))
	room := maxErrors - len(d.errors)
	var all []RPCError
	for _, m := range textError.FindAllStringSubmatch(text, room) {
		all = append(all, RPCError{Severity: strings.ToLower(m[1]), Message: oneLine(m[2])})
	}
	for _, m := range textAbsent.FindAllStringSubmatch(text, room-len(all)) {
		all = append(all, RPCError{Severity: SeverityError, Message: oneLine(m[1])})
	}
	switch t := oneLine(text); {
	case len(all) > 0 || len(d.errors) > 0:
	case textVerdict.MatchString(t):
		all = append(all, RPCError{Severity: SeverityError, Message: t})
	case saysOff(text):
		all = append(all, RPCError{Severity: SeverityWarning, Message: t})
	}
	return all
}

// saysOff tells whether each line, one of each routing engine, says that the
// feature is off.
func saysOff(text string) bool {
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' })
	off := false
	for _, line := range lines {
		if line = oneLine(line); line != "" {
			if !textOff.MatchString(line) {
				return false
			}
			off = true
		}
	}
	return off
}

// hasContent tells whether the reply holds data: payload, or text that is
// neither an error nor stands beside one, nor says why there is none.
func (d *digest) hasContent() bool {
	if d.content {
		return true
	}
	text := strings.TrimSpace(textAbsent.ReplaceAllString(textError.ReplaceAllString(string(d.plain), ""), ""))
	errs := d.textErrors()
	return text != "" && !hasError(errs) && !slices.ContainsFunc(errs, func(e RPCError) bool { return e.Message == oneLine(unescape.Replace(text)) })
}
