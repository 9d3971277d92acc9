package junos

import (
	"bytes"
	"maps"
)

// Bounds of what a masker holds.
const (
	maskWindow  = 16 << 10 // of a line
	maskOverlap = 512      // in which a match that began before may end
	maskSpace   = 4 << 10  // white space behind a value
)

// masker masks the text of one document as a scan comes by it. Text that holds
// nothing to mask passes where it is. Other text is gathered to lines, or windows
// of long lines, which begin and end where the document says so, not where a
// write did: so the outcome does not depend on how the document came.
type masker struct {
	s      *scan
	out    *outflow
	rules  *maskRules
	plain  uint8       // what the bytes of a short text may be that holds nothing to mask
	marks  []maskMark  // of open elements in which something is masked
	all    *maskTarget // all text here is masked; nil: it is not
	value  maskValue
	unit   maskUnit
	find   finder
	side   bool // in a comment or the like, of which the digest learns nothing
	busy   bool // a text is not handed on to its end, or has a meaning for what follows
	counts map[MaskClass]int
	buf    []byte
}

// maskMark is an open element in which something is masked.
type maskMark struct {
	depth    int
	all      *maskTarget
	patterns []*maskTarget
}

// maskValue is the value of an element that is masked as a whole.
type maskValue struct {
	namer namer
	began bool
	space []byte // that came behind it
}

func newMasker(r *maskRules, s *scan) *masker {
	m := &masker{s: s, out: &s.out, rules: r, plain: isBlack | isJoint}
	switch {
	case len(r.anywhere) > 0:
		m.plain = 0
	case r.addresses:
		m.plain = isBlack
	}
	m.value.namer.key = r.key
	m.find = finder{rules: r, namer: namer{key: r.key}, count: m.count, column: -1}
	return m
}

// count counts a value; the first one makes what is handed on differ from what
// came.
func (m *masker) count(class MaskClass) {
	if m.counts == nil {
		m.counts = map[MaskClass]int{}
	}
	m.counts[class]++
	m.out.diverge()
}

func (m *masker) masked() map[string]int {
	all := make(map[string]int, len(m.counts))
	for class, n := range maps.All(m.counts) {
		all[string(class)] = n
	}
	return all
}

// idle tells whether the next text stands for itself.
func (m *masker) idle() bool { return !m.busy && m.all == nil }

// steady tells whether elements are masked only by their own names and text.
func (m *masker) steady() bool { return !m.busy && len(m.marks) == 0 }

// dull tells whether a text of n bytes certainly holds nothing to mask.
func (m *masker) dull(n int, seen uint8) bool {
	return seen&^m.plain == 0 && n < sshKeySize && len(m.find.extra) == 0
}

// interesting tells whether a whole text may hold something to mask; seen is what
// its bytes are.
func (m *masker) interesting(p []byte, seen uint8) bool {
	switch {
	case seen&isBlack == 0:
		return false
	case m.plain == 0, len(m.find.extra) > 0, m.rules.addresses && seen&(isJoint|isColon) != 0:
		return true
	}
	return hasWord(p)
}

// open takes the start tag of an element, which is the innermost open one.
func (m *masker) open(local []byte) {
	if n := len(m.marks); n > 0 && m.marks[n-1].all != nil && m.marks[n-1].all.deep {
		return
	}
	m.all, m.find.extra = nil, nil
	if !m.rules.mayMask(local) {
		return
	}
	if all, patterns := m.rules.element(m.s, local); all != nil || patterns != nil {
		m.marks = append(m.marks, maskMark{len(m.s.ends), all, patterns})
		m.all, m.find.extra = all, patterns
	}
}

// close follows the end of an element, to the element of that depth.
func (m *masker) close(depth int) {
	n := len(m.marks)
	if n == 0 {
		return
	}
	for n > 0 && m.marks[n-1].depth > depth {
		n--
	}
	m.marks, m.all, m.find.extra = m.marks[:n], nil, nil
	if n == 0 {
		return
	}
	if k := m.marks[n-1]; k.depth == depth || k.all != nil && k.all.deep {
		m.all, m.find.extra = k.all, k.patterns
	}
}

// lose forgets the open elements, but not that all in one of them is masked.
func (m *masker) lose() {
	n := len(m.marks)
	if n > 0 && m.marks[n-1].all != nil && m.marks[n-1].all.deep {
		m.marks[0] = maskMark{all: m.marks[n-1].all}
		m.marks = m.marks[:1]
		return
	}
	m.marks, m.all, m.find.extra = m.marks[:0], nil, nil
}

// text takes the text src[i:j].
func (m *masker) text(b []byte, i, j int) {
	switch whole := textEnds(b, j); {
	case m.all != nil:
		m.hide(i, j, b[i:j])
	case whole && len(m.unit.raw) == 0 && shortLines(b[i:j]):
		m.inPlace(b, i, j)
	default:
		m.gather(b, i, j)
	}
}

// shortLines tells whether a text needs no windows.
func shortLines(p []byte) bool {
	for len(p) >= maskWindow {
		n := bytes.IndexByte(p[:maskWindow], '\n')
		if n < 0 {
			return false
		}
		p = p[n+1:]
	}
	return true
}

// inPlace masks the text src[i:j], which is whole.
func (m *masker) inPlace(b []byte, i, j int) {
	from := m.out.at(i)
	for i < j {
		n := bytes.IndexByte(b[i:j], '\n') + 1
		if n == 0 {
			n = j - i
		}
		m.find.line(b[i:i+n], true)
		for _, f := range m.find.found {
			m.out.drop(i+f.from, i+f.to)
			m.out.insert(i+f.to, f.with)
		}
		i += n
	}
	m.busy = m.find.busy()
	if !m.side {
		m.s.digestText(m.out.since(from, j))
	}
}

// gather takes the text src[i:j] into the unit.
func (m *masker) gather(b []byte, i, j int) {
	m.out.drop(i, j)
	m.busy = true
	for p := b[i:j]; len(p) > 0; {
		n := min(len(p), maskWindow-len(m.unit.text))
		k := bytes.IndexByte(p[:n], '\n')
		if k >= 0 {
			n = k + 1
		}
		m.unit.literal(p[:n])
		p = p[n:]
		if k >= 0 || len(m.unit.text) >= maskWindow {
			m.flush(j, k >= 0)
		}
	}
}

// reference takes the reference src[i:j].
func (m *masker) reference(b []byte, i, j int) {
	switch p := decodeReference(nil, b[i:j]); {
	case m.all == nil:
		m.unitReference(b, i, j)
	case m.value.began && len(p) == 1 && spaceClass[p[0]] && len(m.value.space) < maskSpace:
		m.value.namer.write(p)
		m.value.space = append(m.value.space, b[i:j]...)
		m.out.drop(i, j)
	default:
		m.hide(i, j, p)
	}
}

// unitReference takes the reference src[i:j] into the unit.
func (m *masker) unitReference(b []byte, i, j int) {
	var char [maxReference + 1]byte
	p := decodeReference(char[:0], b[i:j])
	m.out.drop(i, j)
	m.busy = true
	m.unit.reference(b[i:j], p)
	if end := string(p) == "\n"; end || len(m.unit.text) >= maskWindow {
		m.flush(j, end)
	}
}

// delimiter takes the beginning or end of CDATA, src[i:j], which stays where it
// is: it is never part of a value.
func (m *masker) delimiter(b []byte, i, j int) {
	if m.all == nil && len(m.unit.raw) > 0 {
		m.out.drop(i, j)
		m.unit.delimiter(b[i:j])
	}
}

// flush masks the unit, a line or a window of one, before src[at:].
func (m *masker) flush(at int, line bool) {
	n := m.unit.bound(m.find.line(m.unit.text, line))
	m.buf = m.unit.render(m.buf[:0], m.find.found, n)
	m.unit.cut(n)
	m.out.insert(at, m.buf)
	if !m.side {
		m.s.digestText(m.buf)
	}
}

// endUnit ends a text before src[at:], for markup that is no tag.
func (m *masker) endUnit(at int) {
	if len(m.unit.raw) > 0 {
		m.flush(at, true)
	}
	if m.find.open() {
		m.buf = m.find.namer.name(m.buf[:0])
		m.out.insert(at, m.buf)
	}
	m.find.reset()
	m.busy = m.value.began
}

// endText ends a text before src[at:], for a tag or the end of the document.
func (m *masker) endText(at int) {
	m.endUnit(at)
	if !m.value.began {
		return
	}
	m.buf = append(m.value.namer.name(m.buf[:0]), m.value.space...)
	m.out.insert(at, m.buf)
	m.s.digestText(m.buf)
	m.value.began, m.busy = false, false
}

// aside takes the text src[i:j] of a comment or the like.
func (m *masker) aside(b []byte, i, j int) {
	m.side = true
	m.gather(b, i, j)
}

// endAside ends it before src[at:].
func (m *masker) endAside(at int) {
	m.endUnit(at)
	m.side = false
}

// hide takes src[i:j], text that stands for p, into the value.
func (m *masker) hide(i, j int, p []byte) {
	v := &m.value
	if !v.began {
		blank := len(p) - len(bytes.TrimLeft(p, " \t\r\n"))
		if blank == len(p) {
			return
		}
		if j-i == len(p) {
			i += blank
		}
		p = p[blank:]
		v.began, m.busy = true, true
		m.count(m.all.class)
		v.namer.begin(m.all.class)
	}
	v.namer.write(p)
	text := bytes.TrimRight(p, " \t\r\n")
	if len(text) > 0 {
		v.space = v.space[:0]
	}
	room := max(0, maskSpace-len(v.space))
	v.space = append(v.space, p[len(text):min(len(p), len(text)+room)]...)
	m.out.drop(i, j)
}
