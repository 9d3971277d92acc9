package lwc_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// docs/protocol.md is the contract for other implementations: a table of it names
// every field of every message, and no other.
func TestProtocolPageNamesEveryField(t *testing.T) {
	page := protocolPage(t)
	w := wireTypes(t)
	types := map[string]yaml.MapSlice{}
	for _, m := range asyncMessages() {
		if m.of != "" {
			w.schemas(types, m.of)
		}
	}
	w.schemas(types, "Bootstrap")
	row := regexp.MustCompile("(?m)^\\| `([a-z0-9_]+)`")
	for _, name := range slices.Sorted(maps.Keys(types)) {
		_, rest, found := strings.Cut(page, "\n**"+name+".**")
		if !found {
			t.Errorf("docs/protocol.md does not describe %s", name)
			continue
		}
		section, _, _ := strings.Cut(rest, "\n**")
		var told []string
		for _, m := range row.FindAllStringSubmatch(section, -1) {
			told = append(told, m[1])
		}
		if want := jsonNames(w.structs[name]); !slices.Equal(slices.Sorted(slices.Values(told)), slices.Sorted(slices.Values(want))) {
			t.Errorf("docs/protocol.md: the fields of %s are %q, the page has %q", name, want, told)
		}
	}
}

// And it names every word of the closed sets.
func TestProtocolPageNamesEveryWord(t *testing.T) {
	_, sets, found := strings.Cut(protocolPage(t), "\nClosed sets. ")
	if !found {
		t.Fatal("docs/protocol.md has no closed sets")
	}
	for name, words := range wireTypes(t).values {
		if name == "Kind" || name == "Direction" || name == "TokenSort" {
			continue // topics, and the prefixes of tokens, are told where they are used
		}
		want := name + ": `" + strings.Join(words, "`, `") + "`."
		if !strings.Contains(sets, want) {
			t.Errorf("docs/protocol.md lacks among its closed sets: %s", want)
		}
	}
}

func protocolPage(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("docs", "protocol.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

// jsonNames are the fields of a struct as they stand in JSON.
func jsonNames(body *ast.StructType) []string {
	var names []string
	for _, f := range body.Fields.List {
		name, _, _ := strings.Cut(reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("json"), ",")
		names = append(names, name)
	}
	return names
}

// constants are the untyped ones that stand in messages.
var constants = []struct{ files, prefix string }{
	{"transport/wire/*.go", "Event"}, {"transport/wire/*.go", "Flag"}, {"transport/wire/*.go", "Egress"},
	{"cloud/ingest/*.go", "Code"}, {"cloud/control/*.go", "Event"}, {"cloud/edp/*.go", "Event"},
}

// And every flag, kind of an event and code of a receipt.
func TestProtocolPageNamesEveryConstant(t *testing.T) {
	page := protocolPage(t)
	for _, c := range constants {
		for name, text := range stringConstants(t, c.files, c.prefix) {
			if !strings.Contains(page, "`"+text+"`") {
				t.Errorf("docs/protocol.md does not tell of %q (%s in %s)", text, name, c.files)
			}
		}
	}
}

func stringConstants(t *testing.T, files, prefix string) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(files)
	if err != nil || len(paths) == 0 {
		t.Fatalf("no files %s: %v", files, err)
	}
	found := map[string]string{}
	for _, path := range paths {
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			s, ok := n.(*ast.ValueSpec)
			if !ok || s.Type != nil || len(s.Values) != 1 || !strings.HasPrefix(s.Names[0].Name, prefix) {
				return true
			}
			if lit, ok := s.Values[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
				found[s.Names[0].Name] = strings.Trim(lit.Value, `"`)
			}
			return true
		})
	}
	return found
}
