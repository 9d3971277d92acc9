package sitefile

import (
	"fmt"
	"strings"
	"testing"
)

// hostile are texts of about so many bytes that are slow to read for who looks at a line
// anew for each of its items, or at the text anew for each of its lines.
func hostile(size int) map[string]string {
	fill := func(begin, unit, end string) string {
		return begin + strings.Repeat(unit, (size-len(begin)-len(end))/len(unit)) + end
	}
	count := func(unit string) string {
		var b strings.Builder
		for i := 0; b.Len() < size-len(unit)-8; i++ {
			fmt.Fprintf(&b, unit, i)
		}
		return b.String()
	}
	return map[string]string{
		"a long list":                   fill("a = [", "1,", "]"),
		"a long list of texts":          fill("[internal]\nports = [", `"1",`, "]"),
		"a long list on its own line":   fill("a = [\n   ", "1,", "]"),
		"lists in a list":               fill("a = [\n", "[[]],", "]"),
		"a list of many lines":          fill("a = [\n", "1,\n", "]"),
		"a list of blanks":              fill("a = [", "        1,", "]"),
		"a list of empty lines":         fill("a = [", "\n", "]"),
		"a list of remarks":             fill("a = [", "#\n", "]"),
		"an open list":                  fill("a = [\n", "1,\n", ""),
		"many lists":                    fill("", "a=[1]\n", ""),
		"many open lists":               fill("", "a=[\n", ""),
		"one key many times":            fill("", "a=1\n", ""),
		"many keys":                     count("k%d=1\n"),
		"keys of another section":       fill("", "mac=1\n", ""),
		"many sections":                 count("[t%d]\n"),
		"many sections with a key":      count("[t%d]\na=1\n"),
		"one section many times":        fill("", "[a]\n", ""),
		"a long word":                   fill("a = ", "x", ""),
		"a long key":                    fill("", "k", " = 1"),
		"a long name of a section":      fill("[", "t", "]"),
		"many tokens":                   fill("", "token='lwce1_a'\n", ""),
		"many different tokens":         count("token='lwce1_%d'\n"),
		"a token and its copies":        fill("token='lwce1_a'\n#", "lwce1_a", "\n"),
		"nothing that is read":          fill("", "!\n", ""),
		"open quotes":                   fill("", "a=\"\n", ""),
		"a long text":                   fill(`a = """`, `\n`, `"""`),
		"addresses that are none":       fill("[internal]\naddresses = [", `"1.2.3",`, "]"),
		"returns in place of new lines": fill("", "a=1\r", ""),
	}
}

// What is looked at more than once is bounded by the length of the text, whatever it is.
func TestReadingIsLinear(t *testing.T) {
	for name, raw := range hostile(MaxSize) {
		t.Run(name, func(t *testing.T) {
			s, _, p := decode([]byte(raw))
			if p != nil || len(s) < MaxSize/2 || len(s) > MaxSize {
				t.Fatalf("%d bytes: %v", len(s), p)
			}
			c, err := assigned(Name, []byte(raw))
			if err != nil {
				t.Fatal(err)
			}
			c.check(true)
			if most := 8 * len(s); c.looked > most {
				t.Errorf("%d bytes of %d were looked at once more, %d are bearable", c.looked, len(s), most)
			}
		})
	}
}

// Nobody is told of ten thousand problems, of a draft neither.
func TestDraftTellsOfTheFirstProblems(t *testing.T) {
	_, _, err := Draft(Name, []byte(hostile(MaxSize)["many keys"]))
	checkShape(t, err)
}

// The place of each byte is the one that counting from the beginning gives.
func TestMark(t *testing.T) {
	for _, s := range []string{"", "\n", "a", "a\nb", "ä\n\nöü\nx\n", "\r\na\r\n"} {
		l := newLines(s)
		for i := range len(s) + 2 {
			before := s[:min(i, len(s))]
			want := mark{1 + strings.Count(before, "\n"), 1 + len([]rune(before[strings.LastIndexByte(before, '\n')+1:]))}
			if got := l.mark(i); got != want {
				t.Errorf("%q at %d: %+v, want %+v", s, i, got, want)
			}
		}
	}
}
