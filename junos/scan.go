package junos

import (
	"bytes"
	"encoding/hex"
	"slices"
)

// Bounds of what a scan holds, whatever the document.
const (
	maxMarkup  = 64 << 10 // one tag
	maxDepth   = 1024     // open elements, and
	maxNames   = 64 << 10 // the bytes of their names
	maxCapture = 16 << 10 // one error of the device
	maxErrors  = 32       // errors of one document
	maxText    = 2 << 10  // text in which an error may hide
)

// mode is what the next byte belongs to.
type mode uint8

const (
	inText mode = iota
	inComment
	inCDATA
	inInstruction // <? ?>
	inDeclaration // <!DOCTYPE and the like
	inLongTag     // a tag over the bound: only its end is looked for
)

// scan looks once at each byte of a document as it streams by. It checks that
// tags balance, quotes close, references end and text has no control characters,
// so that a cut or broken document is known as such, masks what is to be masked,
// and hands the rest to a digest, which keeps what decides the outcome. It is no
// XML parser: attributes and entities are not checked.
//
// A scan that loses its way (a tag over the bound, too many open elements) goes
// on masking: it takes what it does not understand for text, and elements for
// ones of which only the innermost are known.
type scan struct {
	out   outflow
	mode  mode
	tag   tagEnd
	names []byte // of the open elements, one after the other
	ends  []int  // where in names each ends
	roots int
	lost  bool   // beyond the bounds: the digest learns nothing more
	bad   string // why the document is not well-formed; empty: it is so far
	reply digest
	taken int // where the error that is being read began in what this write hands on
	mask  *masker
}

// newScan scans a reply to the item; mask may be nil.
func newScan(item string, mask *Mask) *scan {
	s := &scan{out: newOutflow()}
	if mask != nil {
		s.mask = newMasker(mask.of(item), s)
	}
	return s
}

// write takes the next bytes of the document and returns the bytes to hand on:
// p itself where nothing changes and nothing is held back. They are valid until
// the next write.
func (s *scan) write(p []byte) []byte {
	b := s.out.take(p)
	return s.handOn(s.advance(b, false))
}

// end returns what write held back. What write returned before stays valid.
func (s *scan) end() []byte {
	b := s.out.takeLast()
	n := s.advance(b, true)
	s.endText(n)
	return s.handOn(n)
}

// handOn closes a write of which n bytes were scanned.
func (s *scan) handOn(n int) []byte {
	p := s.out.finish(n)
	if s.reply.capturing {
		s.reply.raw(p[s.taken:])
		s.taken = 0
	}
	return p
}

// advance scans b and returns how much of it; the rest, an unfinished tag or
// reference, must come again with more behind it, unless this is the last of it.
func (s *scan) advance(b []byte, last bool) int {
	i := 0
	for i < len(b) {
		n := s.step(b, i, last)
		if n == i {
			break
		}
		i = n
	}
	return i
}

// step scans what begins at b[i] and returns where that ends, i when it does not.
func (s *scan) step(b []byte, i int, last bool) int {
	switch s.mode {
	case inText:
		if b[i] == '<' {
			return s.stepMarkup(b, i, last)
		}
		return s.stepText(b, i, last)
	case inComment:
		return s.until(b, i, "-->", last)
	case inCDATA:
		return s.until(b, i, "]]>", last)
	case inInstruction:
		return s.until(b, i, "?>", last)
	default:
		return s.until(b, i, ">", last)
	}
}

// stepMarkup tells what a '<' begins.
func (s *scan) stepMarkup(b []byte, i int, last bool) int {
	if i+1 == len(b) {
		if last {
			return s.broken(b, i, i+1, "a bare less-than sign")
		}
		return i
	}
	switch c := b[i+1]; {
	case nameClass[c] || c == '/':
		return s.stepTag(b, i, last)
	case c == '!':
		return s.stepBang(b, i, last)
	case c == '?':
		return s.enter(inInstruction, i, 2)
	}
	return s.broken(b, i, i+1, "a bare less-than sign")
}

// stepBang tells comment, CDATA and declaration apart.
func (s *scan) stepBang(b []byte, i int, last bool) int {
	const cdata = "<![CDATA["
	switch rest := b[i:]; {
	case bytes.HasPrefix(rest, []byte("<!--")):
		return s.enter(inComment, i, 4)
	case bytes.HasPrefix(rest, []byte(cdata)):
		if len(s.ends) == 0 {
			s.malformed("text outside the root element")
		}
		s.mode = inCDATA
		if s.mask != nil {
			s.mask.delimiter(b, i, i+len(cdata))
		}
		return i + len(cdata)
	case !last && len(rest) < len(cdata) && (bytes.HasPrefix([]byte(cdata), rest) || bytes.HasPrefix([]byte("<!--"), rest)):
		return i
	}
	return s.enter(inDeclaration, i, 2)
}

// enter begins markup of n bytes that ends the text before it.
func (s *scan) enter(m mode, i, n int) int {
	if s.mask != nil && s.mask.busy {
		s.mask.endUnit(i)
	}
	s.mode = m
	return i + n
}

// until takes what is inside markup that ends with the terminator. All but the
// last byte of a terminator are alike, so a beginning of it is told by them.
func (s *scan) until(b []byte, i int, terminator string, last bool) int {
	n := bytes.Index(b[i:], []byte(terminator))
	if n >= 0 {
		s.inside(b, i, i+n)
		s.leave(b, i+n, i+n+len(terminator))
		return i + n + len(terminator)
	}
	j := len(b)
	for k := 1; !last && k < len(terminator) && j > i && b[j-1] == terminator[0]; k++ {
		j--
	}
	s.inside(b, i, j)
	return j
}

// inside takes the text of a comment, CDATA section, instruction, declaration or
// overlong tag.
func (s *scan) inside(b []byte, i, j int) {
	switch {
	case s.mode == inCDATA:
		s.literal(b, i, j)
	case s.mask != nil:
		s.mask.aside(b, i, j)
	}
}

// leave ends such markup.
func (s *scan) leave(b []byte, i, j int) {
	if s.mode == inCDATA {
		if s.mask != nil {
			s.mask.delimiter(b, i, j)
		}
	} else if s.mask != nil {
		s.mask.endAside(i)
	}
	s.mode = inText
}

// broken takes b[i:j], which is no XML, as text.
func (s *scan) broken(b []byte, i, j int, why string) int {
	s.malformed(why)
	s.literal(b, i, j)
	return j
}

// malformed keeps the first reason.
func (s *scan) malformed(why string) {
	if s.bad == "" {
		s.bad = why
	}
}

// lose gives up the structure of the document, not the masking.
func (s *scan) lose(why string) {
	s.malformed(why)
	s.lost = true
	s.reply.capturing = false
	s.names, s.ends = s.names[:0], s.ends[:0]
	if s.mask != nil {
		s.mask.lose()
	}
}

// unfinished tells whether the document so far lacks its end.
func (s *scan) unfinished() bool {
	return s.mode != inText || len(s.ends) > 0 || s.roots == 0
}

// addressed tells whether the root's start tag was seen, or will not come.
func (s *scan) addressed() bool { return s.roots > 0 || s.lost }

// result sums up. cut says that the device ended before the document did.
func (s *scan) result(cut bool) Result {
	r := Result{Size: s.out.size, SHA256: hex.EncodeToString(s.out.sum.Sum(nil)),
		RawSize: s.out.rawSize, RawSHA256: hex.EncodeToString(s.out.rawSum()), Release: s.reply.release}
	broken := s.bad != "" || !cut && s.out.rawSize > 0 && s.unfinished()
	r.Errors = s.reply.allErrors()
	r.Outcome = outcome(cut, broken, s.reply.hasContent(), r.Errors)
	if r.Outcome == Empty && s.reply.done {
		r.Outcome = OK // <ok/> is no data, and no lack of it
	}
	r.Flags = flags(cut, broken, s.out.repaired || len(s.out.tail) > 0, r.Errors)
	if s.mask != nil && len(s.mask.counts) > 0 {
		r.Masked = s.mask.masked()
		r.Flags = append(r.Flags, FlagMasked)
	}
	return r
}

func flags(cut, broken, repaired bool, errs []RPCError) []string {
	var all []string
	if cut {
		all = append(all, FlagPartial)
	}
	if repaired {
		all = append(all, FlagRepaired)
	}
	if broken {
		all = append(all, FlagMalformed)
	}
	if slices.ContainsFunc(errs, func(e RPCError) bool { return e.Severity == SeverityWarning }) {
		all = append(all, FlagWarnings)
	}
	return all
}
