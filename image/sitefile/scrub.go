package sitefile

import (
	"bytes"
	"slices"
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
	entries, _ := scan(newLines(s))
	out := bytes.Clone(raw)
	var copies []string
	pos, at := 0, len(raw)-len(encode(s, enc)) // in the text, and in its bytes
	for _, e := range entries {
		token := strings.TrimSpace(e.value.text)
		if e.table != "" || e.key != "token" || !strings.HasPrefix(token, string(wire.EnrolToken)) {
			continue
		}
		inner := unquoted(s, e.value)
		at += len(encode(s[pos:inner.start], enc))
		pos = inner.start
		fill(out[at:at+len(encode(s[inner.start:inner.end], enc))], usedWord, enc)
		copies = append(copies, token, s[inner.start:inner.end])
	}
	copies = slices.Compact(copies)
	for _, c := range copies[:min(len(copies), maxCopied)] {
		wipe(out, encode(c, enc), enc)
	}
	return out, len(copies) > 0
}

// maxCopied is how many tokens are looked for elsewhere in the file. A file that is good
// has one, in two forms at most.
const maxCopied = 16

// wipe overwrites what is a copy.
func wipe(out, copied []byte, e encoding) {
	for from := 0; ; {
		i := bytes.Index(out[from:], copied)
		if i < 0 {
			return
		}
		fill(out[from+i:from+i+len(copied)], "", e)
		from = max(0, from+i-len(copied)) // the dashes may be part of another one
	}
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
