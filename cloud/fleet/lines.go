package fleet

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"lwc/transport/secret"
)

var (
	// anyKey finds the keys in a line.
	anyKey = regexp.MustCompile(`([A-Za-z0-9_-]+)["']?\s*:`)
	// secretName is what a key of a secret has in it, mistyped ones too.
	secretName = regexp.MustCompile(`(?i)pas|psw|pwd|word|phrase|secret|priv`)
)

// secretFrom returns where the value of a secret begins in a line, or -1. The
// value of a key that ends with _env or _file is a pointer to a secret.
func secretFrom(line string) int {
	for _, at := range anyKey.FindAllStringSubmatchIndex(line, -1) {
		key := strings.ToLower(line[at[2]:at[3]])
		pointer := strings.HasSuffix(key, "_env") || strings.HasSuffix(key, "_file")
		if secretName.MatchString(key) && !pointer {
			return at[1]
		}
	}
	return -1
}

// line returns line n for an error, with secrets blanked and cut to what a
// terminal shows.
func (d *decoder) line(n int) string {
	raw := d.rawLine(n)
	if from := secretFrom(raw); from >= 0 {
		return raw[:from] + " " + secret.Redacted
	}
	if d.insideSecret(n) {
		return secret.Redacted
	}
	const width = 160
	if utf8.RuneCountInString(raw) > width {
		return string([]rune(raw)[:width]) + "…"
	}
	return raw
}

func (d *decoder) rawLine(n int) string {
	if d.lines == nil {
		d.lines = strings.Split(string(d.text), "\n")
	}
	if n < 1 || n > len(d.lines) {
		return ""
	}
	return strings.TrimRight(d.lines[n-1], "\r")
}

// insideSecret tells whether line n may belong to the value of a secret that
// began above it: a block scalar, or a quoted text of several lines.
func (d *decoder) insideSecret(n int) bool {
	indent := indentOf(d.rawLine(n))
	for i := n - 1; i >= 1; i-- {
		above := d.rawLine(i)
		if strings.TrimSpace(above) == "" {
			continue
		}
		if secretFrom(above) >= 0 {
			return indentOf(above) < indent || !strings.Contains(d.rawLine(n), ":")
		}
		if indentOf(above) < indent && strings.Contains(above, ":") {
			return false
		}
	}
	return false
}

func indentOf(line string) int { return len(line) - len(strings.TrimLeft(line, " \t-")) }

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

func sortByLine(ps Problems) {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}
