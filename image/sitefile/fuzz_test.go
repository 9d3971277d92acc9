package sitefile

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

func seed(f *testing.F) {
	files, err := filepath.Glob("testdata/malformed/*.toml")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range append(files, "testdata/good.toml") {
		if b := read(f, path); len(b) < 4<<10 {
			f.Add(b)
		}
	}
	for _, text := range hostile(2 << 10) {
		f.Add([]byte(text))
	}
	for _, raw := range inForms(string(Template(whole()))) {
		f.Add(raw)
	}
}

// FuzzParse: whatever the text is, it is either a file whose settings read back the
// same, or a list of problems that can be shown; and scrubbing keeps its length.
func FuzzParse(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		file, err := Parse(Name, raw)
		if _, doubts, wrong := Draft(Name, raw); err == nil && (wrong != nil || len(doubts) > 0) {
			t.Errorf("a good file as a draft: %v, %v", doubts, wrong)
		}
		if (file == nil) == (err == nil) {
			t.Fatalf("file is %v, error %v", file, err)
		}
		scrubbed, _ := Scrub(raw)
		if len(scrubbed) != len(raw) {
			t.Errorf("scrubbed has %d bytes, the file %d", len(scrubbed), len(raw))
		}
		if err != nil {
			checkShape(t, err)
			return
		}
		again, err := ParseSettings(Name, file.Settings())
		if err != nil || !bytes.Equal(again.Settings(), file.Settings()) || !bytes.Equal(again.Daemon(), file.Daemon()) {
			t.Errorf("%v: settings are\n%s", err, file.Settings())
		}
		var daemon map[string]any
		if _, err := toml.Decode(string(file.Daemon()), &daemon); err != nil {
			t.Errorf("%v in\n%s", err, file.Daemon())
		}
		if used, err := ParseSettings(Name, scrubbed); err != nil || !used.TokenUsed {
			t.Errorf("the scrubbed file is %+v (%v)", used, err)
		}
	})
}

func checkShape(t *testing.T, err error) {
	var found Problems
	if !errors.As(err, &found) || len(found) == 0 || len(found) > maxProblems+1 {
		t.Fatalf("error is %v", err)
	}
	for _, p := range found {
		if p.Kind == "" || p.Text == "" || p.Do == "" || p.Line < 0 || p.Line == 0 && p.Column != 0 {
			t.Errorf("the problem is not whole: %+v", p)
		}
	}
}

// FuzzScan holds the scanner against a whole TOML parser: what it takes, that one
// takes, with the same values.
func FuzzScan(f *testing.F) {
	seed(f)
	for _, s := range []string{"a = \"\"\"\nx\"\"\"\"\"\n", "a = '''x\r\ny'''", "a = [ [\"x\"], [] , ]#", "a = -0\nb=+3", "a = \"\\U0001F600\\t\"", "[t]#\n[u]\nx=true"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, _, p := decode(raw)
		if p != nil {
			return
		}
		entries, problems := scan(newLines(s))
		if len(problems) > 0 {
			return
		}
		seen := map[string]bool{}
		for _, e := range entries {
			if key := e.table + "\x00" + e.key; seen[key] || e.table == "" && hasTable(entries, e.key) {
				return // told by the checks on what was scanned
			} else {
				seen[key] = true
			}
		}
		var other map[string]any
		if _, err := toml.Decode(s, &other); err != nil {
			t.Fatalf("taken, and toml says %v:\n%q", err, s)
		}
		for _, e := range entries {
			table := other
			if e.table != "" {
				table = other[e.table].(map[string]any)
			}
			if !same(e.value, table[e.key]) {
				t.Errorf("%s is %+v, toml says %v:\n%q", e.key, e.value, table[e.key], s)
			}
		}
	})
}

func hasTable(entries []entry, name string) bool {
	for _, e := range entries {
		if e.table == name {
			return true
		}
	}
	return false
}

func same(v value, other any) bool {
	switch o := other.(type) {
	case string:
		// TOML leaves open which line end stands in a text.
		return v.kind == textValue && v.text == strings.ReplaceAll(o, "\r\n", "\n")
	case int64:
		return v.kind == numberValue && v.number == o
	case bool:
		return v.kind == boolValue && v.truth == o
	case []any:
		if v.kind != listValue || len(v.list) != len(o) {
			return false
		}
		for i := range o {
			if !same(v.list[i], o[i]) {
				return false
			}
		}
		return true
	}
	return false
}
