package junos

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"slices"
	"unicode/utf8"
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
	inReference
	afterLess // after '<'
	inTag
	inQuote // of an attribute
	afterBang
	inComment
	inCDATA
	inDeclaration // <!DOCTYPE and the like
	inInstruction // <? ?>
	opaque        // beyond the bounds: only hash, size and UTF-8 are kept
)

// scan looks once at each byte of a document as it streams by. It checks that
// tags balance, quotes close, references end and text has no control characters,
// so that a cut or broken document is known as such, and hands the rest to a
// digest, which keeps what decides the outcome. It is no XML parser: names,
// attributes and entities are not checked.
type scan struct {
	sum   hash.Hash
	size  int64
	tail  []byte // of an unfinished UTF-8 sequence, at most 3 bytes
	utf8  bool   // false: invalid
	mode  mode
	quote byte
	run   int    // bytes of a terminator seen ("--", "]]", "?"), or of a reference
	tag   []byte // the tag so far, without '<' and '>'; in afterBang what follows "<!"
	names []byte // of the open elements, one after the other
	ends  []int  // where in names each ends
	roots int
	bad   string // why the document is not well-formed; empty: it is so far
	reply digest
}

// newScan scans a document of an item; mask may be nil.
func newScan(item string, mask *Mask) *scan {
	return &scan{sum: sha256.New(), utf8: true}
}

// write returns the bytes to hand on, valid until the next write.
func (s *scan) write(p []byte) []byte {
	whole := p
	s.sum.Write(p)
	s.size += int64(len(p))
	s.checkUTF8(p)
	for len(p) > 0 && s.mode != opaque {
		n := s.step(p)
		if s.reply.capture != nil {
			s.reply.raw(p[:n])
		}
		p = p[n:]
	}
	return whole
}

// end returns the bytes that write held back.
func (s *scan) end() []byte {
	return nil
}

// checkUTF8 carries a sequence that is split over two writes.
func (s *scan) checkUTF8(p []byte) {
	for len(s.tail) > 0 && len(p) > 0 {
		s.tail = append(s.tail, p[0])
		p = p[1:]
		if utf8.FullRune(s.tail) {
			s.utf8 = s.utf8 && utf8.Valid(s.tail)
			s.tail = s.tail[:0]
		}
	}
	whole := len(p)
	for i := 1; i <= min(utf8.UTFMax-1, len(p)); i++ {
		if utf8.RuneStart(p[len(p)-i]) {
			if !utf8.FullRune(p[len(p)-i:]) {
				whole = len(p) - i
			}
			break
		}
	}
	s.utf8 = s.utf8 && utf8.Valid(p[:whole])
	s.tail = append(s.tail, p[whole:]...)
}

// step consumes at least one byte of p and returns how many.
func (s *scan) step(p []byte) int {
	switch s.mode {
	case inText:
		return s.stepText(p)
	case inReference:
		return s.stepReference(p[0])
	case inTag:
		return s.stepTag(p)
	case inQuote:
		return s.stepQuote(p)
	case inComment:
		return s.until(p, '-', 2)
	case inCDATA:
		return s.until(p, ']', 2)
	case inInstruction:
		return s.until(p, '?', 1)
	case inDeclaration:
		return s.until(p, 0, 0)
	case afterBang:
		return s.stepBang(p[0])
	default:
		return s.stepLess(p)
	}
}

// textClass marks the bytes at which text needs a look.
var textClass = func() (class [256]bool) {
	for c := range 0x20 {
		class[c] = c != '\t' && c != '\n' && c != '\r'
	}
	class['<'], class['&'] = true, true
	return class
}()

// tagClass marks the bytes at which a tag needs a look.
var tagClass = [256]bool{'>': true, '<': true, '"': true, '\'': true}

// spaceClass marks white space.
var spaceClass = [256]bool{' ': true, '\t': true, '\r': true, '\n': true}

func (s *scan) stepText(p []byte) int {
	i := 0
	for i < len(p) && !textClass[p[i]] {
		i++
	}
	if i > 0 {
		s.text(p[:i])
		if i < len(p) && p[i] == '<' {
			s.mode = afterLess
			i++
		}
		return i
	}
	switch p[0] {
	case '<':
		s.mode = afterLess
	case '&':
		s.text(p[:1])
		s.mode, s.run = inReference, 0
	default:
		s.malformed("a control character")
	}
	return 1
}

// text takes character data: it may stand only inside the root.
func (s *scan) text(p []byte) {
	s.reply.text(p, len(s.ends))
	if len(s.ends) == 0 && len(bytes.TrimSpace(p)) > 0 {
		s.malformed("text outside the root element")
	}
}

// stepReference expects a name or number and ';'.
func (s *scan) stepReference(c byte) int {
	switch {
	case c == ';' && s.run > 0:
		s.mode = inText
	case s.run < 32 && (c == '#' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'):
		s.run++
	default:
		s.malformed("a bare ampersand")
		s.mode = inText
		return 0
	}
	s.reply.text([]byte{c}, len(s.ends))
	return 1
}

func (s *scan) stepLess(p []byte) int {
	s.tag = s.tag[:0]
	switch c := p[0]; {
	case c == '/' || c == '_' || c == ':' || c >= 0x80 || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
		s.mode = inTag
		return s.stepTag(p)
	case c == '!':
		s.mode = afterBang
	case c == '?':
		s.mode, s.run = inInstruction, 0
	default:
		s.malformed("a bare less-than sign")
		s.mode = inText
		return 0
	}
	return 1
}

// stepBang tells comment, CDATA and declaration apart.
func (s *scan) stepBang(c byte) int {
	s.tag = append(s.tag, c)
	switch t := string(s.tag); t {
	case "--":
		s.mode, s.run = inComment, 0
	case "[CDATA[":
		s.mode, s.run = inCDATA, 0
		if len(s.ends) == 0 {
			s.malformed("text outside the root element")
		}
	case "-", "[", "[C", "[CD", "[CDA", "[CDAT", "[CDATA":
	default:
		s.mode, s.run = inDeclaration, 0
		return 0
	}
	return 1
}

// until skips to the '>' that follows at least n bytes c.
func (s *scan) until(p []byte, c byte, n int) int {
	for i, b := range p {
		switch {
		case b == '>' && s.run >= n:
			s.cdata(p[:i])
			s.mode = inText
			return i + 1
		case b == c:
			s.run++
		default:
			s.run = 0
		}
	}
	s.cdata(p)
	return len(p)
}

// cdata counts as text; that its terminator does too harms nothing.
func (s *scan) cdata(p []byte) {
	if s.mode == inCDATA {
		s.reply.text(p, len(s.ends))
	}
}

// malformed keeps the first reason.
func (s *scan) malformed(why string) {
	if s.bad == "" {
		s.bad = why
	}
}

// unfinished tells whether the document so far lacks its end.
func (s *scan) unfinished() bool {
	return s.mode != opaque && (s.mode != inText || len(s.ends) > 0 || s.roots == 0)
}

// result sums up. cut says that the device ended before the document did.
func (s *scan) result(cut bool) Result {
	r := Result{Size: s.size, SHA256: hex.EncodeToString(s.sum.Sum(nil)), Release: s.reply.release}
	r.RawSHA256, r.RawSize = r.SHA256, r.Size
	broken := s.bad != "" || !cut && s.size > 0 && s.unfinished()
	r.Errors = s.reply.allErrors()
	r.Outcome = outcome(cut, broken, s.reply.hasContent(), r.Errors)
	r.Flags = flags(cut, broken, s.utf8 && len(s.tail) == 0, r.Errors)
	return r
}

func flags(cut, broken, utf8 bool, errs []RPCError) []string {
	var all []string
	if cut {
		all = append(all, FlagPartial)
	}
	if !utf8 {
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
