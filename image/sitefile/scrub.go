package sitefile

import (
	"bytes"
	"strings"

	"lwc/transport/wire"
)

// usedWord is how a token begins that was used; dashes fill the rest of its room.
const usedWord = "used"

// Scrub returns the bytes of a file with its token overwritten, in the same length,
// encoding and place, and whether there was one. Copies of the token elsewhere in the
// file, in a remark for example, go too. What Parse cannot read is left as it is.
func Scrub(raw []byte) ([]byte, bool) {
	s, enc, p := decode(raw)
	if p != nil {
		return raw, false
	}
	entries, _ := scan(s)
	out, found := bytes.Clone(raw), false
	for _, e := range entries {
		token := strings.TrimSpace(e.value.text)
		if e.table != "" || e.key != "token" || !strings.HasPrefix(token, string(wire.EnrolToken)) {
			continue
		}
		found = true
		inner := unquoted(s, e.value)
		at := len(raw) - len(encode(s[inner.start:], enc))
		fill(out[at:at+len(encode(s[inner.start:inner.end], enc))], usedWord, enc)
		for _, copied := range []string{token, s[inner.start:inner.end]} {
			for i := bytes.Index(out, encode(copied, enc)); i >= 0; i = bytes.Index(out, encode(copied, enc)) {
				fill(out[i:i+len(encode(copied, enc))], "", enc)
			}
		}
	}
	return out, found
}

// unquoted is the place of a text without its quotes.
func unquoted(s string, v value) value {
	quotes := 1
	if strings.HasPrefix(s[v.start:v.end], `"""`) || strings.HasPrefix(s[v.start:v.end], "'''") {
		quotes = 3
	}
	return value{start: v.start + quotes, end: v.end - quotes}
}

// fill overwrites b with a word and dashes after it.
func fill(b []byte, word string, e encoding) {
	width := len(encode("-", e))
	copy(b, encode(word+strings.Repeat("-", len(b)/width-len(word)), e))
}
