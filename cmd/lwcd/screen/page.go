package screen

import "strings"

// page is a screen that is being filled.
type page struct{ lines []string }

// left is how many lines there is room for.
func (p *page) left() int { return Rows - len(p.lines) }

// put adds a line; what does not fit is cut.
func (p *page) put(line string) {
	line = strings.TrimRight(printable(line), " ")
	if len(line) > Columns {
		line = line[:Columns-3] + "..."
	}
	p.lines = append(p.lines, line)
}

// field adds a label and its words on most lines at the most.
func (p *page) field(label, words string, most int) {
	if words != "" {
		p.wrapped(label+strings.Repeat(" ", labelWidth-len(label)), words, most)
	}
}

// wrapped adds words behind a head, on most lines at the most. What is too long is
// cut in the middle: the cause of a failure stands at its end.
func (p *page) wrapped(head, words string, most int) {
	width := Columns - len(head)
	lines := wrap(printable(words), width)
	if over := len(lines) - most; over > 0 {
		first := lines[0]
		lines = append([]string{first[:min(len(first), width-4)] + " ..."}, lines[over+1:]...)
	}
	for _, line := range lines {
		p.put(head + line)
		head = strings.Repeat(" ", len(head))
	}
}

// whole is the page, no longer than the screen.
func (p *page) whole() []string { return p.lines[:min(len(p.lines), Rows)] }

// wrap breaks a text at its blanks, and a word that is too long anywhere.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		for len(word) > width {
			if line != "" {
				lines, line = append(lines, line), ""
			}
			lines, word = append(lines, word[:width]), word[width:]
		}
		switch {
		case line == "":
			line = word
		case len(line)+1+len(word) <= width:
			line += " " + word
		default:
			lines, line = append(lines, line), word
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// printable keeps what others said from doing anything to a terminal. The fonts of
// a console have ASCII for certain.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n' || r == '\r':
			return ' '
		case r == '\u2026': // the mark of a text that was cut
			return '~'
		case r < ' ' || r > '~':
			return '?'
		}
		return r
	}, s)
}
