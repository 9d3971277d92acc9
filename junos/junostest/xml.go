package junostest

import (
	"bytes"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// text is a document as it grows. Unlike a bytes.Buffer it is inlined where it
// is written to, and all replies are written byte by byte.
type text []byte

func (t *text) Write(b []byte) { *t = append(*t, b...) }
func (t *text) Bytes() []byte  { return *t }
func (t *text) String() string { return string(*t) }

// WriteString does without a write barrier while there is room.
func (t *text) WriteString(s string) {
	n := len(*t) + len(s)
	if n > cap(*t) {
		*t = append(*t, s...)
		return
	}
	*t = (*t)[:n]
	copy((*t)[n-len(s):], s)
}

func (t *text) WriteByte(c byte) error {
	*t = append(*t, c)
	return nil
}

// scratch holds what documents are written into before their sizes are known.
var scratch = sync.Pool{New: func() any { return new(text) }}

// maxScratch is the largest document whose memory is kept for the next.
const maxScratch = 4 << 20

// written returns what body writes, in memory of its own size.
func (w *writer) written(body func()) []byte {
	kept := scratch.Get().(*text)
	w.buf = (*kept)[:0]
	body()
	doc := bytes.Clone(w.buf)
	if cap(w.buf) <= maxScratch {
		*kept = w.buf
		scratch.Put(kept)
	}
	w.buf = nil
	return doc
}

// writer writes XML as Junos does: one element a line, indented by four spaces
// in the CLI and not at all over NETCONF.
type writer struct {
	buf    text
	indent bool
	depth  int
	only   string // pattern of the ports to write; empty: all
}

const spaces = "                                                                                "

func (w *writer) byte(c byte) { w.buf = append(w.buf, c) }

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
	w.byte('<')
	w.buf.WriteString(name)
	for i := 0; i+1 < len(attrs); i += 2 {
		w.byte(' ')
		w.buf.WriteString(attrs[i])
		w.buf.WriteString(`="`)
		w.buf.WriteString(escape(attrs[i+1], true))
		w.byte('"')
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
	w.byte('>')
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
	w.byte('>')
	w.buf = strconv.AppendInt(w.buf, int64(n), 10)
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
	w.byte('\n')
	w.pad()
	w.end(name)
}

// empty writes an element without content.
func (w *writer) empty(name string, attrs ...string) {
	w.tag(name, attrs)
	w.buf.WriteString("/>\n")
}

// blank writes the empty line that mgd leaves around the replies of others.
func (w *writer) blank() { w.byte('\n') }

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
