package junostest

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"
)

// writer writes XML as Junos does: one element a line, indented by four spaces
// in the CLI and not at all over NETCONF.
type writer struct {
	buf    bytes.Buffer
	indent bool
	depth  int
	only   string // pattern of the ports to write; empty: all
}

func (w *writer) pad() {
	if w.indent {
		w.buf.WriteString(strings.Repeat("    ", w.depth))
	}
}

// tag writes a start tag up to, not including, its end. attrs are names and
// values in turn.
func (w *writer) tag(name string, attrs []string) {
	w.pad()
	w.buf.WriteString("<" + name)
	for i := 0; i+1 < len(attrs); i += 2 {
		w.buf.WriteString(" " + attrs[i] + `="`)
		w.buf.WriteString(escape(attrs[i+1], true) + `"`)
	}
}

// in writes an element around what body writes.
func (w *writer) in(name string, body func(), attrs ...string) {
	w.tag(name, attrs)
	w.buf.WriteString(">\n")
	w.depth++
	body()
	w.depth--
	w.pad()
	w.buf.WriteString("</" + name + ">\n")
}

// leaf writes an element that holds text.
func (w *writer) leaf(name, text string, attrs ...string) {
	w.tag(name, attrs)
	w.buf.WriteByte('>')
	w.text(text)
	w.buf.WriteString("</" + name + ">\n")
}

// some is leaf, but writes nothing where there is no text.
func (w *writer) some(name, text string) {
	if text != "" {
		w.leaf(name, text)
	}
}

// block is leaf with the text on a line of its own, as older daemons write it.
func (w *writer) block(name, text string, attrs ...string) {
	w.tag(name, attrs)
	w.buf.WriteString(">\n")
	w.text(text)
	w.buf.WriteByte('\n')
	w.pad()
	w.buf.WriteString("</" + name + ">\n")
}

// empty writes an element without content.
func (w *writer) empty(name string, attrs ...string) {
	w.tag(name, attrs)
	w.buf.WriteString("/>\n")
}

// blank writes the empty line that mgd leaves around the replies of others.
func (w *writer) blank() { w.buf.WriteByte('\n') }

// text writes s with the escapes that Junos uses: quotes stay as they are.
func (w *writer) text(s string) { w.buf.WriteString(escape(s, false)) }

func escape(s string, attr bool) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '&':
			b.WriteString("&amp;")
		case r == '<':
			b.WriteString("&lt;")
		case r == '>':
			b.WriteString("&gt;")
		case attr && r == '"':
			b.WriteString("&quot;")
		case attr && (r == '\n' || r == '\t'), r == '\r':
			b.WriteString("&#" + strconv.Itoa(int(r)) + ";")
		case r < ' ' && r != '\n' && r != '\t', r == 0xFFFE, r == 0xFFFF:
			b.WriteRune(utf8.RuneError)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
