package junos

import (
	"bytes"
	"strconv"
	"unicode/utf8"
)

// What a byte of text is. Those that a text has tell whether it can hold
// anything to mask.
const (
	isBlack uint8 = 1 << iota // no white space
	isSpace
	isSign  // stands in what a mask looks for without white space
	isColon // the same, and stands in addresses
	isJoint // in an address
	isStop  // ends plain text
)

// textClass is what each byte is.
var textClass = func() (class [256]uint8) {
	for c := range class {
		class[c] = isBlack
	}
	for c := range 0x20 {
		class[c] = isStop
	}
	for _, c := range " \t\r\n" {
		class[c] = isSpace
	}
	for _, c := range "$=\"'#/@" {
		class[c] |= isSign
	}
	class[':'] |= isColon
	class['.'] |= isJoint
	class['-'] |= isJoint
	class['<'], class['&'] = isStop, isStop
	return class
}()

// shortText is how much of a text may have to be looked at again, since more of it
// comes, so that most text is masked where it is.
const shortText = 256

// spaceClass marks white space.
var spaceClass = [256]bool{' ': true, '\t': true, '\r': true, '\n': true}

// stepText takes the text at b[i] up to the next byte that is none.
func (s *scan) stepText(b []byte, i int, last bool) int {
	j, seen := i, uint8(0)
	for j < len(b) {
		c := textClass[b[j]]
		if c == isStop {
			break
		}
		seen |= c
		j++
	}
	switch {
	case j == i:
		return s.stepReference(b, i, last)
	case j == len(b) && !last && j-i < shortText && s.mask != nil && s.mask.idle():
		return i
	}
	if len(s.ends) == 0 && seen != isSpace {
		s.outside()
	}
	switch {
	case s.mask == nil:
		s.digestText(b[i:j])
	case s.mask.idle() && textEnds(b, j) && !s.mask.interesting(b[i:j], seen):
		s.digestText(b[i:j])
	default:
		s.mask.text(b, i, j)
	}
	return j
}

// textEnds tells whether a text certainly ends before b[j]: at a '<' that is no
// text itself and begins no CDATA.
func textEnds(b []byte, j int) bool {
	return j+1 < len(b) && b[j] == '<' && (nameClass[b[j+1]] || b[j+1] == '/' || b[j+1] == '?')
}

// literal takes b[i:j] as text as it stands, without references.
func (s *scan) literal(b []byte, i, j int) {
	if i == j {
		return
	}
	if len(s.ends) == 0 && len(bytes.TrimSpace(b[i:j])) > 0 {
		s.outside()
	}
	if s.mask == nil {
		s.digestText(b[i:j])
		return
	}
	s.mask.text(b, i, j)
}

// outside tells of text where none may stand.
func (s *scan) outside() {
	s.malformed("text outside the root element")
}

// digestText tells the digest of text as it is handed on.
func (s *scan) digestText(p []byte) {
	if !s.lost {
		s.reply.text(p, len(s.ends))
	}
}

// endText ends a text before src[i]: what the mask held of it goes out.
func (s *scan) endText(i int) {
	if s.mask != nil && s.mask.busy {
		s.mask.endText(i)
	}
}

// maxReference is the longest reference that is looked for.
const maxReference = 33

// stepReference takes the reference or control character at b[i].
func (s *scan) stepReference(b []byte, i int, last bool) int {
	if b[i] != '&' {
		return s.broken(b, i, i+1, "a control character")
	}
	j := i + 1
	for j < len(b) && j-i < maxReference && referenceClass[b[j]] {
		j++
	}
	switch {
	case j == len(b) && !last && j-i < maxReference:
		return i
	case j == len(b) || b[j] != ';' || j == i+1:
		return s.broken(b, i, i+1, "a bare ampersand")
	}
	j++
	if len(s.ends) == 0 {
		s.outside()
	}
	if s.mask == nil {
		s.digestText(b[i:j])
	} else {
		s.mask.reference(b, i, j)
	}
	return j
}

// referenceClass marks what stands between '&' and ';'.
var referenceClass = func() (class [256]bool) {
	for c := range class {
		class[c] = c == '#' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
	}
	return class
}()

// decodeReference appends the character that a reference, "&lt;" or "&#60;",
// stands for. One that XML does not know stands for itself.
func decodeReference(b, ref []byte) []byte {
	switch name := string(ref[1 : len(ref)-1]); name {
	case "lt":
		return append(b, '<')
	case "gt":
		return append(b, '>')
	case "amp":
		return append(b, '&')
	case "apos":
		return append(b, '\'')
	case "quot":
		return append(b, '"')
	default:
		if r, ok := numericReference(name); ok {
			return utf8.AppendRune(b, r)
		}
	}
	return append(b, ref...)
}

// numericReference reads "#60" and "#x3c".
func numericReference(name string) (rune, bool) {
	if len(name) < 2 || name[0] != '#' {
		return 0, false
	}
	digits, base := name[1:], 10
	if digits[0] == 'x' || digits[0] == 'X' {
		digits, base = digits[1:], 16
	}
	n, err := strconv.ParseUint(digits, base, 31)
	return rune(n), err == nil
}
