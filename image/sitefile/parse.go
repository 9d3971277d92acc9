package sitefile

import (
	"fmt"
	"slices"
	"strings"
)

// Parse reads and checks the file of a new box: its token is there and was not used.
// The name is that of the file, for messages. The error is [Problems]; the file is
// nil then.
func Parse(name string, text []byte) (*File, error) { return parse(name, text, true) }

// ParseSettings is Parse for a box that has enrolled, and for what it kept: the
// token may be missing, or used.
func ParseSettings(name string, text []byte) (*File, error) { return parse(name, text, false) }

// Draft reads a file that is not whole yet. The error is of what stands at no value: a
// line that cannot be read, a key that is none. Doubts are about values; they may be
// replaced by better ones, and what is missing is none.
func Draft(name string, raw []byte) (f *File, doubts Problems, err error) {
	c, err := assigned(name, raw)
	if err != nil {
		return nil, nil, err
	}
	if len(c.problems) > 0 {
		return nil, nil, c.problems.bounded()
	}
	c.check(false)
	doubts = slices.DeleteFunc(c.problems, func(p Problem) bool { return p.Kind == KindMissing })
	return c.file, doubts.sorted(), nil
}

// assigned puts each value where it belongs, and does not look at what it means.
func assigned(name string, raw []byte) (*checker, error) {
	s, _, p := decode(raw)
	if p == nil {
		p = notOurs(name, s)
	}
	if p != nil {
		return nil, Problems{*p}
	}
	text := newLines(s)
	entries, problems := scan(text)
	c := checker{lines: text, excused: map[string]bool{}, told: map[string]bool{}, file: &File{at: map[string]mark{}}, problems: problems, broken: len(problems) > 0}
	c.assign(entries)
	return &c, nil
}

func parse(name string, raw []byte, fresh bool) (*File, error) {
	c, err := assigned(name, raw)
	if err != nil {
		return nil, err
	}
	c.check(fresh)
	if len(c.problems) > 0 {
		return nil, c.problems.bounded()
	}
	return c.file, nil
}

// bounded are the first problems of a file, and how many more there are.
func (p Problems) bounded() Problems {
	found := p.sorted()
	if more := len(found) - maxProblems; more > 0 {
		found = append(found[:maxProblems], Problem{Kind: KindMore, Text: fmt.Sprintf("and %d more problems", more), Do: "correct these first"})
	}
	return found
}

// notOurs knows files that are something else altogether, whose lines would only
// give a list of riddles.
func notOurs(name, s string) *Problem {
	const fetch = "get lwc.toml from the cloud's portal, or by lwc-cloud enrol-token --file lwc.toml"
	begin := strings.TrimSpace(s)
	lower := strings.ToLower(begin[:min(len(begin), 64)])
	switch {
	case begin == "":
		return &Problem{Kind: KindUnreadable, Text: "the file is empty", Do: "copy it again, and eject the volume before it is unplugged"}
	case strings.HasPrefix(lower, "<!doctype"), strings.HasPrefix(lower, "<html"), strings.HasPrefix(lower, "<?xml"):
		return &Problem{Kind: KindOtherFile, Line: 1, Column: 1, Text: "the file is a web page, as of a log-in or an error", Do: "download it again in a browser that is logged in"}
	case strings.HasPrefix(lower, `{\rtf`):
		return &Problem{Kind: KindOtherFile, Line: 1, Column: 1, Text: "the file is a document of a word processor", Do: "save it as plain text"}
	case strings.HasPrefix(lower, "#cloud-config"):
		return &Problem{Kind: KindOtherFile, Line: 1, Column: 1, Text: name + " is a cloud-config, which this box does not use", Do: "put the text of lwc.toml in its place, or add lwc.toml to the volume"}
	case strings.HasPrefix(lower, "-----begin"):
		return &Problem{Kind: KindOtherFile, Line: 1, Column: 1, Text: "the file is a certificate or a key", Do: fetch}
	case strings.HasPrefix(lower, "{"):
		return &Problem{Kind: KindOtherFile, Line: 1, Column: 1, Text: "the file is JSON, not TOML", Do: fetch}
	case strings.HasPrefix(lower, "lwce1_"):
		return &Problem{Kind: KindOtherFile, Line: 1, Column: 1, Text: "the file is the token alone", Do: `write it as token = "..." into a whole lwc.toml: ` + fetch}
	}
	return nil
}

// checker makes the file out of its entries.
type checker struct {
	*lines
	file     *File
	places   map[string]value
	problems Problems
	excused  map[string]bool // keys that are there, in a form that cannot be used
	told     map[string]bool // sections that are none, and were reported
	broken   bool            // a part could not be read, so that what is missing may be there
}

// add reports a problem of a key, at its value when it has one.
func (c *checker) add(kind Kind, key, text, do string) {
	v, ok := c.places[key]
	if !ok {
		c.problems = append(c.problems, Problem{Kind: kind, Key: key, Text: text, Do: do})
		return
	}
	c.addAt(kind, v.start, key, text, do)
}

func (c *checker) addAt(kind Kind, pos int, key, text, do string) {
	m := c.mark(pos)
	c.problems = append(c.problems, Problem{Kind: kind, Line: m.line, Column: m.column, Key: key, Text: text, Do: do})
}

// missing reports a key that has to be there: at its place when it is there and
// empty, and not at all when it may be in a part that could not be read.
func (c *checker) missing(key, do string) {
	if _, there := c.places[key]; there {
		c.add(KindMissing, key, "is to be filled in", do)
	} else if !c.broken && !c.excused[key] {
		c.add(KindMissing, key, "is missing", do)
	}
}

// assign puts each value where it belongs.
func (c *checker) assign(entries []entry) {
	c.places = map[string]value{}
	for _, e := range entries {
		if _, known := schema[e.table]; !known {
			c.strangeTable(e)
			continue
		}
		k, known := schema[e.table][e.key]
		full := fullKey(e.table, e.key)
		switch first, twice := c.places[full]; {
		case !known:
			c.strangeKey(e)
		case twice:
			c.addAt(KindTwice, e.start, full, fmt.Sprintf("stands here a second time, first on line %d", c.mark(first.start).line), "keep one of the two")
		case !k.fits(e.value):
			c.excused[full] = true
			c.addAt(KindType, e.value.start, full, "the value is "+e.value.kind.words(), "write "+k.kind.example())
		case len(e.value.list) > maxItems:
			c.excused[full] = true
			c.addAt(KindNetwork, e.value.start, full, fmt.Sprintf("has %d entries", len(e.value.list)), fmt.Sprintf("give %d at most", maxItems))
		default:
			c.places[full] = e.value
			c.file.at[full] = c.mark(e.value.start)
			k.set(c.file, e.value)
		}
	}
}

// maxItems bounds a list, as netguard bounds its own.
const maxItems = 64

func fullKey(table, key string) string {
	if table == "" {
		return key
	}
	return table + "." + key
}

// strangeTable reports a section that is none, once.
func (c *checker) strangeTable(e entry) {
	text, do := "["+clip(e.table)+"] is not a section of this file", "use [internal] and [external]"
	if c.told[text] {
		return
	}
	c.told[text] = true
	for name := range schema {
		if name != "" && near(name, e.table) {
			do = "write it as [" + name + "]"
		}
	}
	c.addAt(KindUnknownKey, e.start, "", text, do)
	c.broken = true
}

// strangeKey reports a key that is not one here: because of its section, of a
// slip of the hand, or because it is one of lwcd.toml.
func (c *checker) strangeKey(e entry) {
	full := clip(fullKey(e.table, e.key))
	if do, ok := elsewhere[e.key]; ok {
		c.addAt(KindUnknownKey, e.start, full, "is not a key of this file", do)
		return
	}
	for _, table := range []string{"", "internal", "external"} {
		if _, ok := schema[table][e.key]; ok {
			c.addAt(KindMisplaced, e.start, full, "does not belong here", "move the line "+whereTo(e.key, table))
			for _, there := range []string{"", "internal", "external"} {
				c.excused[fullKey(there, e.key)] = true
			}
			return
		}
	}
	do := "correct its name, or remove the line"
	for _, name := range sortedKeys(schema[e.table]) {
		if near(name, e.key) {
			do = "write it as " + name
			c.excused[fullKey(e.table, name)] = true
		}
	}
	c.addAt(KindUnknownKey, e.start, full, "is not a key of this file", do)
}

func whereTo(key, table string) string {
	_, inside := schema["internal"][key]
	_, outside := schema["external"][key]
	switch {
	case table == "":
		return "to the top of the file, before [internal] and [external]"
	case inside && outside:
		return "under [internal] or [external]"
	}
	return "under [" + table + "]"
}
