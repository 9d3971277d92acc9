package junos

import (
	"bytes"
	"context"
	"regexp"
	"strings"
)

const (
	// cliEndTag ends every document that "| display xml" prints.
	cliEndTag = "</rpc-reply>"
	// maxNoise is how much may stand before and after the document.
	maxNoise  = 16 << 10
	cliBuffer = 32 << 10
)

// cliOutput finds the document in what a command prints: the lines before it and
// what follows its end are noise, but for those that tell an error. Output without
// any markup is a document as a whole.
type cliOutput struct {
	read  source
	buf   []byte
	w     int // buf[:w] came and is not handed out
	lent  int // buf[:lent] was handed out by the last span
	state cliState
	noise []byte // after the document
	text  string // the document, when it is over and has no markup
}

type cliState int

const (
	cliBefore cliState = iota
	cliInside
	cliAfter // the end tag was seen
	cliText  // there is no markup
	cliDone
)

// cliTrouble is a line of a command that could not do all it was to do. Where a
// line of markup begins, the document begins.
var (
	cliTrouble = regexp.MustCompile(`(?mi)^[ \t]*(error: |warning: |syntax error|unknown command|permission denied|unrecognized command)`)
	cliMarkup  = regexp.MustCompile(`(?m)^[ \t]*<[A-Za-z_?!]`)
)

// span returns the next bytes of the document, as frames.span does.
func (o *cliOutput) span(ctx context.Context) ([]byte, error) {
	o.w = copy(o.buf, o.buf[o.lent:o.w])
	o.lent = 0
	for o.state != cliDone {
		if b := o.step(); len(b) > 0 {
			return b, nil
		}
		n, err := o.read(ctx, o.buf[o.w:])
		o.w += n
		if err == errEnded {
			return o.last()
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, errEnd
}

// step takes what is sure out of the buffer.
func (o *cliOutput) step() []byte {
	switch o.state {
	case cliBefore:
		return o.before()
	case cliInside:
		return o.inside()
	case cliText:
		return o.lend(o.w)
	default:
		o.noise = append(o.noise, o.buf[:min(o.w, maxNoise-len(o.noise))]...)
		o.w = 0
		return nil
	}
}

func (o *cliOutput) lend(n int) []byte {
	o.lent = n
	return o.buf[:n]
}

// before looks for the line with which the document begins.
func (o *cliOutput) before() []byte {
	seen := o.buf[:o.w]
	if at := cliMarkup.FindIndex(seen); at != nil {
		o.state = cliInside
		begin := at[1] - len("<x")
		if t := cliTrouble.FindIndex(seen[:begin]); t != nil {
			begin = t[0]
		}
		o.w = copy(o.buf, seen[begin:])
		return o.inside()
	}
	if o.w > maxNoise {
		o.state = cliText
		return o.lend(o.w)
	}
	return nil
}

// inside looks for the end of the document, which may be split.
func (o *cliOutput) inside() []byte {
	seen := o.buf[:o.w]
	if at := bytes.Index(seen, []byte(cliEndTag)); at >= 0 {
		o.state = cliAfter
		return o.lend(at + len(cliEndTag))
	}
	return o.lend(o.w - heldBack(seen, cliEndTag))
}

// last is what the document ends with when the command is over. Markup without its
// end was cut off.
func (o *cliOutput) last() ([]byte, error) {
	state := o.state
	o.state = cliDone
	switch state {
	case cliBefore:
		b := o.buf[:o.w]
		if t := cliTrouble.FindIndex(b); t != nil {
			b = b[t[0]:]
		}
		o.text = strings.TrimSpace(string(b))
		return o.finalSpan(b)
	case cliAfter:
		if cliTrouble.Match(o.noise) {
			return o.finalSpan(o.noise)
		}
	case cliInside:
		return nil, errEnded
	}
	return nil, errEnd
}

func (o *cliOutput) finalSpan(b []byte) ([]byte, error) {
	o.lent, o.w = 0, 0
	if len(b) == 0 {
		return nil, errEnd
	}
	return b, nil
}

// read decides by text without markup what the document was: what looks like a tag
// in it is none.
func (r *Result) read(text string) {
	if text == "" {
		return
	}
	var d digest
	d.keepPlain([]byte(text))
	r.Errors = d.allErrors()
	r.Outcome = outcome(false, true, d.hasContent(), r.Errors)
}
