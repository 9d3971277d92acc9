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

const spaces = "                                                                                "

func (w *writer) pad() {
	if !w.indent {
		return
	}
	for n := 4 * w.depth; n > 0; n -= len(spaces) {
		w.buf.WriteString(spaces[:min(n, len(spaces))])
	}
}

// tag writes a start tag up to, not including, its end. attrs are names and
// values in turn.
func (w *writer) tag(name string, attrs []string) {
	w.pad()
	w.buf.WriteByte('<')
	w.buf.WriteString(name)
	for i := 0; i+1 < len(attrs); i += 2 {
		w.buf.WriteByte(' ')
		w.buf.WriteString(attrs[i])
		w.buf.WriteString(`="`)
		w.buf.WriteString(escape(attrs[i+1], true))
		w.buf.WriteByte('"')
	}
}

// end writes an end tag and the end of the line.
func (w *writer) end(name string) {
	w.buf.WriteString("</")
	w.buf.WriteString(name)
	w.buf.WriteString(">\n")
}

// in writes an element around what body writes.
func (w *writer) in(name string, body func(), attrs ...string) {
	w.tag(name, attrs)
	w.buf.WriteString(">\n")
	w.depth++
	body()
	w.depth--
	w.pad()
	w.end(name)
}

// leaf writes an element that holds text.
func (w *writer) leaf(name, text string, attrs ...string) {
	w.tag(name, attrs)
	w.buf.WriteByte('>')
	w.text(text)
	w.end(name)
}

// leaves writes elements that hold text: names and texts in turn.
func (w *writer) leaves(pairs ...string) {
	for i := 0; i+1 < len(pairs); i += 2 {
		w.leaf(pairs[i], pairs[i+1])
	}
}

// num writes an element that holds a number.
func (w *writer) num(name string, n int) {
	w.tag(name, nil)
	w.buf.WriteByte('>')
	w.buf.Write(strconv.AppendInt(w.buf.AvailableBuffer(), int64(n), 10))
	w.end(name)
}

// zeros writes counters that have not counted.
func (w *writer) zeros(names ...string) {
	for _, name := range names {
		w.num(name, 0)
	}
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
	w.end(name)
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
	if plain(s, attr) {
		return s
	}
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

// plain tells whether every byte of s stands for itself.
func plain(s string, attr bool) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c == '\n' && !attr:
		case c < ' ' || c >= utf8.RuneSelf || c == '&' || c == '<' || c == '>' || c == '"' && attr:
			return false
		}
	}
	return true
}
