package sitefile

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// kind is what sort of value stands in the file.
type kind int

const (
	noValue kind = iota
	textValue
	numberValue
	boolValue
	listValue
)

// value is one value, with where it stands.
type value struct {
	kind       kind
	text       string
	number     int64
	truth      bool
	list       []value
	start, end int // in the text, quotes included
}

// entry is one "key = value".
type entry struct {
	table, key string
	start      int // of the key
	value      value
}

// scanner reads the part of TOML 1.0 that the file needs: tables with a plain name,
// plain keys, texts of all four forms, whole numbers, true and false, lists. What it
// takes, TOML takes with the same meaning; what it does not take, it explains. It
// goes on after an error, so that all are told at once.
type scanner struct {
	*lines
	pos      int
	table    string
	tables   map[string]int // where each begins
	entries  []entry
	problems Problems
}

// fault is an error at a place; it ends a statement.
type fault struct {
	at       int
	text, do string
}

// maxProblems is what a person corrects in one go; a file that has more is no lwc.toml.
const maxProblems = 20

// maxDepth bounds lists in lists; none is needed.
const maxDepth = 4

func scan(text *lines) ([]entry, Problems) {
	c := scanner{lines: text, tables: map[string]int{}}
	for c.pos < len(c.s) && len(c.problems) < maxProblems {
		if f := c.statement(); f != nil {
			m := c.mark(f.at)
			c.problems = append(c.problems, Problem{Kind: KindSyntax, Line: m.line, Column: m.column, Text: f.text, Do: f.do})
			c.recover(f.at)
		}
	}
	return c.entries, c.problems
}

// beginning is what a line looks like that begins a statement.
var beginning = regexp.MustCompile(`^[ \t]*(\[[ \t]*[A-Za-z_]+[ \t]*\]|[A-Za-z0-9_-]+[ \t]*=)`)

// recover goes on at the next line that begins a statement: what lies between
// belongs to what was wrong.
func (c *scanner) recover(at int) {
	c.pos = max(c.pos, at)
	for c.pos < len(c.s) {
		next := strings.IndexByte(c.s[c.pos:], '\n')
		if next < 0 {
			c.pos = len(c.s)
			return
		}
		c.pos += next + 1
		if beginning.MatchString(c.rest(c.pos)) {
			return
		}
	}
}

// statement reads one line, or more where its value goes on.
func (c *scanner) statement() *fault {
	c.blanks()
	switch {
	case c.pos == len(c.s):
		return nil
	case c.s[c.pos] == '[':
		if f := c.header(); f != nil {
			return f
		}
	case c.s[c.pos] != '\n' && c.s[c.pos] != '#' && c.s[c.pos] != '\r':
		if f := c.assignment(); f != nil {
			return f
		}
	}
	return c.endOfLine()
}

func (c *scanner) blanks() {
	for c.pos < len(c.s) && (c.s[c.pos] == ' ' || c.s[c.pos] == '\t') {
		c.pos++
	}
}

// endOfLine takes blanks, a comment and the end of the line.
func (c *scanner) endOfLine() *fault {
	c.blanks()
	c.comment()
	if c.pos < len(c.s) && c.s[c.pos] == '\r' {
		c.pos++
	}
	if c.pos == len(c.s) {
		return nil
	}
	if c.s[c.pos] != '\n' {
		return c.unexpected("there is more on this line after the value", "put each key on a line of its own, and # before a remark")
	}
	c.pos++
	return nil
}

func (c *scanner) comment() {
	if c.pos < len(c.s) && c.s[c.pos] == '#' {
		for c.pos < len(c.s) && c.s[c.pos] != '\n' {
			c.pos++
		}
	}
}

var bareKey = regexp.MustCompile(`^[A-Za-z0-9_-]+`)

// sectionMeant finds the name in a line that is not quite a section's, so that the
// keys under it are not reported, too.
var sectionMeant = regexp.MustCompile(`^\[[\[ \t"']*([A-Za-z0-9_-]+)`)

func (c *scanner) header() *fault {
	start := c.pos
	if m := sectionMeant.FindStringSubmatch(c.rest(start)); m != nil {
		c.table = m[1]
	}
	c.pos++
	if strings.HasPrefix(c.s[c.pos:], "[") {
		return &fault{start, "there are two brackets", "write [internal] or [external], with one"}
	}
	c.blanks()
	name := bareKey.FindString(c.rest(c.pos))
	if name == "" {
		return c.unexpected("this is no name of a section", "write [internal] or [external] on a line of its own")
	}
	c.pos += len(name)
	c.blanks()
	if !strings.HasPrefix(c.s[c.pos:], "]") {
		return c.unexpected("the name of the section does not end with a bracket", "write [internal] or [external] on a line of its own")
	}
	c.pos++
	if first, twice := c.tables[name]; twice {
		return &fault{start, fmt.Sprintf("the section [%s] stands here a second time, first on line %d", clip(name), c.mark(first).line), "put its keys together under one"}
	}
	c.tables[name] = start
	return nil
}

func (c *scanner) assignment() *fault {
	start := c.pos
	key := bareKey.FindString(c.rest(c.pos))
	if key == "" {
		return c.unexpected("a key is expected here", `write the line as key = "value"`)
	}
	c.pos += len(key)
	c.blanks()
	if strings.HasPrefix(c.s[c.pos:], ".") {
		return &fault{start, "there is a dot in the key", "write the section, like [internal], on a line of its own and the key under it"}
	}
	if !strings.HasPrefix(c.s[c.pos:], "=") {
		return c.noEquals(start, key)
	}
	c.pos++
	c.blanks()
	v, f := c.value(0)
	if f != nil {
		return f
	}
	c.entries = append(c.entries, entry{c.table, key, start, v})
	return nil
}

func (c *scanner) noEquals(start int, key string) *fault {
	if strings.HasPrefix(c.s[c.pos:], ":") {
		return &fault{c.pos, "there is a colon after the key", fmt.Sprintf(`write %s = "value"`, clip(key))}
	}
	return &fault{start, "this line has no = after its key", `write it as key = "value", or put # before it if it is a remark`}
}

// value reads a value; c.pos is at its first character.
func (c *scanner) value(depth int) (value, *fault) {
	start := c.pos
	rest := c.s[c.pos:]
	switch {
	case rest == "" || rest[0] == '\n' || rest[0] == '\r' || rest[0] == '#':
		return value{}, &fault{start, "there is no value after the =", `write one, a text in quotes: "like this"`}
	case strings.HasPrefix(rest, `"""`), strings.HasPrefix(rest, "'''"):
		return c.long(rest[:3])
	case rest[0] == '"', rest[0] == '\'':
		return c.short(rest[0])
	case rest[0] == '[':
		return c.listOf(depth)
	case rest[0] == '{':
		return value{}, &fault{start, "there is a { here, which no value of this file has", "write each key on a line of its own"}
	}
	return c.word()
}

var number = regexp.MustCompile(`^[+-]?(0|[1-9][0-9]*)$`)

// word reads true, false or a number.
func (c *scanner) word() (value, *fault) {
	start := c.pos
	for c.pos < len(c.s) && !strings.ContainsRune(" \t\r\n#,]", rune(c.s[c.pos])) {
		c.pos++
	}
	w := c.s[start:c.pos]
	v := value{start: start, end: c.pos}
	switch {
	case w == "true" || w == "false":
		v.kind, v.truth = boolValue, w == "true"
		return v, nil
	case number.MatchString(w):
		n, err := strconv.ParseInt(w, 10, 64)
		if err != nil {
			return v, &fault{start, "the number is too large", "correct it"}
		}
		v.kind, v.number = numberValue, n
		return v, nil
	}
	c.pos = start
	return v, c.unexpected("the value has no quotes", `put a text in straight quotes, "like this"; numbers, true and false stand without`)
}

func (c *scanner) listOf(depth int) (value, *fault) {
	v := value{kind: listValue, start: c.pos}
	if depth >= maxDepth {
		return v, &fault{c.pos, "there are too many brackets in one another", `write a list as ["one", "two"]`}
	}
	open := c.pos
	c.pos++
	for {
		c.gap()
		if c.pos == len(c.s) {
			return v, unclosed(open)
		}
		if c.s[c.pos] == ']' {
			c.pos++
			v.end = c.pos
			return v, nil
		}
		if c.beginsStatement() {
			return v, unclosed(open)
		}
		item, f := c.value(depth + 1)
		if f != nil {
			return v, f
		}
		v.list = append(v.list, item)
		if f := c.separator(open); f != nil {
			return v, f
		}
	}
}

func unclosed(open int) *fault {
	return &fault{open, "the list that begins here has no ] at its end", `write it as ["one", "two"]`}
}

// beginsStatement tells that a list was left open: the next key stands here.
func (c *scanner) beginsStatement() bool {
	return c.s[c.pos] != '[' && c.first(c.pos) && beginning.MatchString(c.rest(c.pos))
}

func (c *scanner) separator(open int) *fault {
	c.gap()
	switch {
	case c.pos == len(c.s):
		return unclosed(open)
	case c.s[c.pos] == ',':
		c.pos++
	case c.s[c.pos] != ']':
		if c.beginsStatement() || c.s[c.pos] == '[' {
			return unclosed(open)
		}
		return c.unexpected("a comma or the closing ] of the list is missing before this", `write it as ["one", "two"]`)
	}
	return nil
}

// gap takes blanks, comments and line ends inside a list.
func (c *scanner) gap() {
	for c.pos < len(c.s) {
		switch c.s[c.pos] {
		case ' ', '\t', '\n', '\r':
			c.pos++
		case '#':
			c.comment()
		default:
			return
		}
	}
}

// unexpected explains the character at the present place where it is one of those
// that word processors and web pages put in, or else says what was expected.
func (c *scanner) unexpected(text, do string) *fault {
	r, _ := utf8.DecodeRuneInString(c.s[c.pos:])
	switch r {
	case '\u201c', '\u201d', '\u201e', '\u201f', '\u2018', '\u2019', '\u00ab', '\u00bb':
		text, do = fmt.Sprintf("there is a typographic quote (U+%04X) here", r), `replace it by a straight one ("), in a plain editor`
	case '\u00a0', '\u2007', '\u202f', '\u200b', '\u2060', '\ufeff', '\u3000':
		text, do = fmt.Sprintf("there is an invisible character (U+%04X) here, a copy from a web page or a letter", r), "delete it and put in a plain blank"
	case '`', '\u00b4':
		text, do = fmt.Sprintf("there is an accent (U+%04X) here", r), `use straight quotes (")`
	}
	return &fault{c.pos, text, do}
}
