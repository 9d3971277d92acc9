package fleet

import (
	"fmt"
	"strings"
)

// Problem is one thing that is wrong with a fleet, in words for its author.
type Problem struct {
	Path   string // of the entry, as devices[3].port; empty when it has none
	Text   string // what is wrong and what to do
	File   string // the rest says where it stands; Line 0: not from a file
	Line   int    // from 1
	Column int    // from 1
	Source string // the line itself, secrets blanked
}

// String returns "file:line:column: path: text" and, below it, the line with a
// caret under the column.
func (p Problem) String() string {
	var b strings.Builder
	if p.Line > 0 {
		fmt.Fprintf(&b, "%s:%d:%d: ", p.File, p.Line, p.Column)
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Text)
	if p.Line > 0 && strings.TrimSpace(p.Source) != "" {
		fmt.Fprintf(&b, "\n    %s\n    %s^", p.Source, pad(p.Source, p.Column))
	}
	return b.String()
}

// pad keeps tabs, so that the caret stands below its column in any terminal.
func pad(line string, column int) string {
	var b strings.Builder
	for i, r := range []rune(line) {
		if i >= column-1 {
			break
		}
		if r != '\t' {
			r = ' '
		}
		b.WriteRune(r)
	}
	return b.String()
}

// Problems is an error that lists all that is wrong.
type Problems []Problem

// maxShown is how many problems an error text lists.
const maxShown = 100

// Error implements error: each problem, up to a number that can be read.
func (ps Problems) Error() string {
	lines := make([]string, 0, min(len(ps), maxShown)+1)
	for _, p := range ps[:min(len(ps), maxShown)] {
		lines = append(lines, p.String())
	}
	if more := len(ps) - maxShown; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(lines, "\n")
}

// orNil keeps an empty list from becoming an error that is not nil.
func (ps Problems) orNil() error {
	if len(ps) == 0 {
		return nil
	}
	return ps
}
