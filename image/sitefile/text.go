package sitefile

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// encoding is how the characters of a file stand in its bytes.
type encoding int

const (
	plainUTF8 encoding = iota
	markedUTF8
	utf16Little
	utf16Big
)

// The marks at the beginning of a file (Unicode 16.0, section 23.8). Windows' Notepad
// writes the first as "UTF-8 with BOM", the second as "UTF-16 LE" or "Unicode".
const (
	markUTF8   = "\xef\xbb\xbf"
	markLittle = "\xff\xfe"
	markBig    = "\xfe\xff"
)

const resave = "open it in an editor and save it as UTF-8"

// decode returns the text of a file without its mark, valid UTF-8 throughout. What
// is no text is one problem about the whole file, since lines mean nothing there.
func decode(raw []byte) (string, encoding, *Problem) {
	if p := notText(raw); p != nil {
		return "", plainUTF8, p
	}
	s := string(raw)
	switch {
	case strings.HasPrefix(s, markUTF8):
		return checked(s[len(markUTF8):], markedUTF8)
	case strings.HasPrefix(s, markLittle):
		return decode16(raw[2:], utf16Little)
	case strings.HasPrefix(s, markBig):
		return decode16(raw[2:], utf16Big)
	}
	return checked(s, plainUTF8)
}

func notText(raw []byte) *Problem {
	switch {
	case len(raw) > MaxSize:
		return &Problem{Kind: KindUnreadable, Text: fmt.Sprintf("the file has more than %d bytes, so it is none for a box", MaxSize), Do: newFile}
	case len(bytes.Trim(raw, "\x00")) == 0 && len(raw) > 0:
		return &Problem{Kind: KindUnreadable, Text: "the file is nothing but zero bytes, as if the copy had been cut off", Do: "copy it again, and eject the volume before it is unplugged"}
	case bytes.HasPrefix(raw, []byte("PK\x03\x04")), bytes.HasPrefix(raw, []byte("\x1f\x8b")), bytes.HasPrefix(raw, []byte("\x28\xb5\x2f\xfd")):
		return &Problem{Kind: KindUnreadable, Text: "the file is an archive, not a text", Do: "unpack it, and copy the lwc.toml that is in it"}
	}
	return nil
}

// decode16 reads UTF-16 (RFC 2781).
func decode16(raw []byte, e encoding) (string, encoding, *Problem) {
	if len(raw)%2 != 0 {
		return "", e, &Problem{Kind: KindUnreadable, Text: "the file is UTF-16 and ends in half a character, as if it had been cut off", Do: "copy it again"}
	}
	units := make([]uint16, len(raw)/2)
	for i := range units {
		units[i] = order(e, raw[2*i], raw[2*i+1])
	}
	return checked(string(utf16.Decode(units)), e)
}

func order(e encoding, first, second byte) uint16 {
	if e == utf16Big {
		first, second = second, first
	}
	return uint16(first) | uint16(second)<<8
}

// encode is the inverse of decode, without the mark.
func encode(s string, e encoding) []byte {
	if e != utf16Little && e != utf16Big {
		return []byte(s)
	}
	var out []byte
	for _, u := range utf16.Encode([]rune(s)) {
		if e == utf16Big {
			out = append(out, byte(u>>8), byte(u))
		} else {
			out = append(out, byte(u), byte(u>>8))
		}
	}
	return out
}

// checked refuses what no text has, at its place.
func checked(s string, e encoding) (string, encoding, *Problem) {
	for i, r := range s {
		var text, do string
		switch {
		case r == 0 && e < utf16Little:
			text, do = "there is a zero byte here, as in a damaged file or in UTF-16 without its mark", "copy it again, or "+resave
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"):
			text, do = fmt.Sprintf("the byte 0x%02X is no UTF-8, as in a damaged file or in one of another encoding", s[i]), resave
		case r == utf8.RuneError && e >= utf16Little:
			text, do = "there is half a character here, as in a damaged file", "copy it again"
		case r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0x7f:
			text, do = fmt.Sprintf("there is a control character (U+%04X) here", r), "remove it, or copy the file again"
		default:
			continue
		}
		m := markAt(s, i)
		return "", e, &Problem{Kind: KindUnreadable, Line: m.line, Column: m.column, Text: text, Do: do}
	}
	return oldLineEnds(s), e, nil
}

// oldLineEnds makes line feeds of the returns that stand alone, with which old
// systems end a line. Places stay where they are.
func oldLineEnds(s string) string {
	if !strings.Contains(s, "\r") {
		return s
	}
	b := []byte(s)
	for i, c := range b {
		if c == '\r' && (i+1 == len(b) || b[i+1] != '\n') {
			b[i] = '\n'
		}
	}
	return string(b)
}

// markAt is the place of a byte of a text.
func markAt(s string, i int) mark {
	before := s[:min(i, len(s))]
	line := 1 + strings.Count(before, "\n")
	if !strings.Contains(before, "\n") {
		line += strings.Count(before, "\r")
		before = before[strings.LastIndexByte(before, '\r')+1:]
	}
	return mark{line, 1 + utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])}
}
