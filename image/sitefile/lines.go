package sitefile

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// lines is a text that is read line by line. What reads it must not look at a line anew
// for each of its items, nor at the text anew for each of its lines: the file comes from
// anybody, and the box reads it before it does anything else.
type lines struct {
	s      string
	starts []int // of each line
	// looked is how many bytes were looked at besides those that are read one after the
	// other; a test bounds it.
	looked int
}

func newLines(s string) *lines {
	l := &lines{s: s, starts: []int{0}}
	for i := range len(s) {
		if s[i] == '\n' {
			l.starts = append(l.starts, i+1)
		}
	}
	return l
}

// rest is what is left of the line at pos, without its end.
func (l *lines) rest(pos int) string {
	line, _, _ := strings.Cut(l.s[pos:], "\n")
	l.looked += len(line)
	return line
}

// first tells whether nothing but blanks stands before pos on its line.
func (l *lines) first(pos int) bool {
	for ; pos > 0 && (l.s[pos-1] == ' ' || l.s[pos-1] == '\t'); pos-- {
		l.looked++
	}
	return pos == 0 || l.s[pos-1] == '\n'
}

// mark is the place of a byte.
func (l *lines) mark(pos int) mark {
	pos = min(pos, len(l.s))
	n, found := slices.BinarySearch(l.starts, pos)
	if !found {
		n-- // the line that begins before it
	}
	before := l.s[l.starts[n]:pos]
	l.looked += len(before)
	return mark{n + 1, 1 + utf8.RuneCountInString(before)}
}
