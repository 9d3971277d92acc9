package sitefile

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// short reads "text" or 'text', which end on their line.
func (c *scanner) short(q byte) (value, *fault) {
	start := c.pos
	c.pos++
	var b strings.Builder
	for c.pos < len(c.s) && c.s[c.pos] != '\n' {
		switch ch := c.s[c.pos]; {
		case ch == q:
			c.pos++
			return value{kind: textValue, text: b.String(), start: start, end: c.pos}, nil
		case ch == '\\' && q == '"':
			if f := c.escape(&b); f != nil {
				return value{}, f
			}
		case ch == '\r' && strings.HasPrefix(c.s[c.pos:], "\r\n"):
			return value{}, openQuote(start)
		default:
			b.WriteByte(ch)
			c.pos++
		}
	}
	return value{}, openQuote(start)
}

func openQuote(start int) *fault {
	return &fault{start, "the quote that begins here is not closed on its line", `write the text on one line, with a straight quote (") at both ends`}
}

// long reads a text in three quotes, which may have several lines. A line end right
// after the opening quotes is not part of it; returns before line feeds are left out.
func (c *scanner) long(q string) (value, *fault) {
	start := c.pos
	c.pos += 3
	for _, end := range []string{"\r\n", "\n"} {
		if strings.HasPrefix(c.s[c.pos:], end) {
			c.pos += len(end)
			break
		}
	}
	var b strings.Builder
	for c.pos < len(c.s) {
		switch rest := c.s[c.pos:]; {
		case strings.HasPrefix(rest, q):
			for range c.extraQuotes(q) {
				b.WriteByte(q[0])
			}
			c.pos += 3
			return value{kind: textValue, text: b.String(), start: start, end: c.pos}, nil
		case rest[0] == '\\' && q == `"""`:
			if f := c.escape(&b); f != nil {
				return value{}, f
			}
		case strings.HasPrefix(rest, "\r\n"):
			c.pos++
		default:
			b.WriteByte(rest[0])
			c.pos++
		}
	}
	return value{}, &fault{start, "the three quotes that begin here are not closed", "put three quotes after the last line of the text"}
}

// extraQuotes takes up to two quotes that belong to the text, because more than
// three end it (TOML 1.0, "String").
func (c *scanner) extraQuotes(q string) int {
	n := 0
	for n < 2 && c.pos+3 < len(c.s) && c.s[c.pos+3] == q[0] {
		n++
		c.pos++
	}
	return n
}

// escapes are the short ones of TOML 1.0.
const escapes = "b\bt\tn\nf\fr\r\"\"\\\\"

// escape reads a backslash and what follows it.
func (c *scanner) escape(b *strings.Builder) *fault {
	at := c.pos
	bad := &fault{at, "there is a backslash that means nothing here", `write it twice (\\)`}
	if at+1 >= len(c.s) {
		return bad
	}
	ch := c.s[at+1]
	if ch == 'u' || ch == 'U' {
		return c.codePoint(b, map[byte]int{'u': 4, 'U': 8}[ch])
	}
	for i := 0; i < len(escapes); i += 2 {
		if ch == escapes[i] {
			b.WriteByte(escapes[i+1])
			c.pos += 2
			return nil
		}
	}
	return bad
}

func (c *scanner) codePoint(b *strings.Builder, digits int) *fault {
	at := c.pos
	bad := &fault{at, fmt.Sprintf(`there is a \%c here without the %d digits of a character`, c.s[at+1], digits), `write a backslash twice (\\), or the digits`}
	if at+2+digits > len(c.s) {
		return bad
	}
	n, err := strconv.ParseUint(c.s[at+2:at+2+digits], 16, 32)
	if err != nil || n > utf8.MaxRune || !utf8.ValidRune(rune(n)) {
		return bad
	}
	b.WriteRune(rune(n))
	c.pos += 2 + digits
	return nil
}

// clip is a short piece of the file that a message may repeat. Longer ones may be
// part of a token, and are not repeated.
func clip(s string) string {
	const most = 48
	if len(s) > most || strings.Contains(s, "lwce1") {
		return "..."
	}
	return s
}
