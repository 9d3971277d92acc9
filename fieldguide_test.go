package lwc_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"lwc/cloud/edp"
	"lwc/cmd/lwcd/screen"
	"lwc/image/provision"
	"lwc/image/sitefile"
	"lwc/image/sums"
	"lwc/transport/uplink"
)

// The field guide is what an engineer has in hand in front of a screen, so it has to
// know everything that the screen says.
const fieldGuide = "docs/field-guide.md"

// guide returns the text of the field guide with white space made even.
func guide(t *testing.T) (text, even string) {
	t.Helper()
	b, err := os.ReadFile(fieldGuide)
	if err != nil {
		t.Fatal(err)
	}
	return string(b), evenly(string(b))
}

func evenly(s string) string { return strings.Join(strings.Fields(s), " ") }

// firstCells are the words of the first cells of the tables below a heading.
func firstCells(t *testing.T, text, heading string) []string {
	t.Helper()
	_, part, ok := strings.Cut(text, "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("%s has no chapter %q", fieldGuide, heading)
	}
	part, _, _ = strings.Cut(part, "\n## ")
	var out []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\|").FindAllStringSubmatch(part, -1) {
		out = append(out, m[1])
	}
	return slices.Compact(out)
}

// same compares the words of a chapter with those of the code, the order included.
func same(t *testing.T, what string, guide, code []string) {
	t.Helper()
	for _, w := range code {
		if !slices.Contains(guide, w) {
			t.Errorf("%s: %q is missing in %s", what, w, fieldGuide)
		}
	}
	for _, w := range guide {
		if !slices.Contains(code, w) {
			t.Errorf("%s: %s has %q, which the code does not say", what, fieldGuide, w)
		}
	}
	if !slices.Equal(guide, code) && !t.Failed() {
		t.Errorf("%s: the order is %q, in the code %q", what, guide, code)
	}
}

func TestFieldGuideHasEveryState(t *testing.T) {
	text, even := guide(t)
	var words []string
	for _, k := range screen.Kinds() {
		words = append(words, k.Name)
		for _, s := range []string{k.State, k.Do} {
			if !strings.Contains(even, evenly(s)) {
				t.Errorf("%s: %q is missing in %s", k.Name, s, fieldGuide)
			}
		}
	}
	same(t, "states of the screen", firstCells(t, text, "What the screen says"), words)
	for _, label := range screen.Labels() {
		if !strings.Contains(text, "| **"+label+"** |") {
			t.Errorf("the line %q of the screen is not explained", label)
		}
	}
}

// The screens in the guide and in the README are those that the code draws.
func TestFieldGuideShowsRealScreens(t *testing.T) {
	files, err := filepath.Glob("cmd/lwcd/screen/testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no screens: %v", err)
	}
	for _, page := range []string{fieldGuide, "README.md"} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		shown := 0
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(text), "```\n"+strings.TrimRight(string(b), "\n")+"\n```") {
				shown++
			}
		}
		if blocks := strings.Count(string(text), "```\nLWC COLLECTOR"); shown != blocks || shown == 0 {
			t.Errorf("%s shows %d screens, %d of them are as the code draws them", page, blocks, shown)
		}
	}
}

func TestFieldGuideHasEveryKindOfProblem(t *testing.T) {
	text, _ := guide(t)
	words := func(kinds []sitefile.Kind) (out []string) {
		for _, k := range kinds {
			out = append(out, string(k))
		}
		return out
	}
	same(t, "problems of the file", firstCells(t, text, "What can be wrong with lwc.toml"), words(sitefile.Kinds()))
	same(t, "problems of the volume", firstCells(t, text, "What can be wrong with the volume"), words(provision.Kinds()))
}

// Each message about lwc.toml and its volume stands in the guide, with … for what
// changes: the texts are read out of the code.
func TestFieldGuideHasEveryMessage(t *testing.T) {
	_, even := guide(t)
	n := 0
	for _, folder := range []string{"image/sitefile", "image/provision"} {
		for at, text := range messages(t, folder) {
			n++
			if !strings.Contains(even, text) {
				t.Errorf("%s: %q is missing in %s", at, text, fieldGuide)
			}
		}
	}
	if n < 60 {
		t.Errorf("only %d messages were found in the code", n)
	}
}

// The table of malformed files and the guide tell the same.
func TestFieldGuideKnowsTheMalformedFiles(t *testing.T) {
	text, _ := guide(t)
	files, err := filepath.Glob("image/sitefile/testdata/malformed/*.toml")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d malformed files, %v", len(files), err)
	}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		_, err = sitefile.Parse(sitefile.Name, raw)
		problems, _ := err.(sitefile.Problems)
		if len(problems) == 0 {
			t.Errorf("%s is good", f)
		}
		for _, p := range problems {
			if !explained(text, p) {
				t.Errorf("%s: no row of %s is for [%s] %q", f, fieldGuide, p.Kind, p.Text)
			}
		}
	}
}

// explained says whether a row of the problem's kind has its text.
func explained(text string, p sitefile.Problem) bool {
	for _, row := range regexp.MustCompile("(?m)^\\| `"+string(p.Kind)+"` \\| (.*?) \\| ").FindAllStringSubmatch(text, -1) {
		for part := range strings.SplitSeq(row[1], "<br>") {
			pattern := strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSpace(part)), "…", ".*")
			if regexp.MustCompile("^" + pattern + "$").MatchString(p.Text) {
				return true
			}
		}
	}
	return false
}

// What the cloud answers to a token is shown as it is.
func TestFieldGuideHasEveryRefusal(t *testing.T) {
	_, even := guide(t)
	for _, err := range []error{edp.ErrTokenUnknown, edp.ErrTokenExpired, edp.ErrTokenUsed, edp.ErrTokenBound, edp.ErrIDTaken, edp.ErrRevoked, uplink.ErrWrongCA, uplink.ErrClock} {
		if !strings.Contains(even, err.Error()) {
			t.Errorf("%q is missing in %s", err, fieldGuide)
		}
	}
}

// What may be wrong with a download has its row.
func TestFieldGuideHasWhatIsWrongWithADownload(t *testing.T) {
	text, _ := guide(t)
	_, chapter, _ := strings.Cut(text, "\n## Check the image\n")
	chapter, _, _ = strings.Cut(chapter, "\n## ")
	rows := 0
	for _, err := range []error{sums.ErrDiffers, sums.ErrSignature, sums.ErrUnsigned, sums.ErrNoList} {
		what, _, _ := strings.Cut(err.Error(), ":")
		if rows++; !strings.Contains(chapter, "\n| `"+what+"` | ") {
			t.Errorf("%q has no row in %s", what, fieldGuide)
		}
	}
	if got := strings.Count(chapter, "\n| `"); got != rows {
		t.Errorf("%s has %d rows, the code says %d things", fieldGuide, got, rows)
	}
}

// What an engineer may see before the box's own screen stands in a chapter of its own:
// the words that the boots of the image wait for, and those of the boot menu.
func TestFieldGuideHasWhatComesBeforeTheScreen(t *testing.T) {
	text, _ := guide(t)
	_, chapter, _ := strings.Cut(text, "\n## Nothing, or another screen\n")
	chapter, _, _ = strings.Cut(chapter, "\n## ")
	if rows := strings.Count(chapter, "\n| ") - 1; rows < 7 {
		t.Errorf("the chapter has %d rows", rows)
	}
	boots := source(t, "image/seal/secureboot_test.go")
	for _, named := range []string{"refused +=", "enrolled +=", `WaitFor\(ctx,`} {
		found := regexp.MustCompile(named + " regexp.MustCompile\\(`([^`]+)`\\)").FindStringSubmatch(boots)
		if found == nil {
			t.Fatalf("the boots wait for no %s", named)
		}
		if !regexp.MustCompile(found[1]).MatchString(chapter) {
			t.Errorf("no row has what the boots wait for: %s", found[1])
		}
	}
	for file, pattern := range map[string]string{
		"image/mkosi/mkosi.uki-profiles/factory-reset.conf": `(?m)^ *TITLE=(.+)$`,
		"image/build/stage.go":                              `PRETTY_NAME="([^"%]+?) *%`,
	} {
		found := regexp.MustCompile(pattern).FindStringSubmatch(source(t, file))
		if found == nil || !strings.Contains(chapter, "`"+found[1]) {
			t.Errorf("the boot menu says %q by %s, which no row has", found, file)
		}
	}
	if !strings.Contains(source(t, "image/mkosi/mkosi.conf"), "panic=10\n") || !strings.Contains(chapter, "a restart ten seconds later") {
		t.Error("the guide and the kernel's command line differ on when a panic restarts the box")
	}
}

func source(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// messages returns the fixed words of all problems that a package tells, by where
// they stand: arguments of the checker's add and addAt, fields Text and texts of
// faults, what the functions named bad… and proxyURL return.
func messages(t *testing.T, folder string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, file := range goFiles(t) {
		if filepath.Dir(file) != folder {
			continue
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			for _, e := range told(n) {
				for at, text := range words(e) {
					out[fset.Position(at).String()] = text
				}
			}
			return true
		})
	}
	return out
}

// told returns the expressions of a node that people read as what is wrong.
func told(n ast.Node) []ast.Expr {
	switch n := n.(type) {
	case *ast.CallExpr:
		s, ok := n.Fun.(*ast.SelectorExpr)
		if !ok {
			return nil
		}
		switch args := len(n.Args); s.Sel.Name {
		case "add", "addAt", "addItem":
			return n.Args[args-2 : args-1]
		case "unexpected":
			return n.Args[:1]
		}
	case *ast.CompositeLit:
		if id, ok := n.Type.(*ast.Ident); ok && id.Name == "fault" && len(n.Elts) == 3 {
			return n.Elts[1:2]
		}
	case *ast.KeyValueExpr:
		if id, ok := n.Key.(*ast.Ident); ok && id.Name == "Text" {
			return []ast.Expr{n.Value}
		}
	case *ast.AssignStmt: // text, do := "…", "…"
		if id, ok := n.Lhs[0].(*ast.Ident); ok && id.Name == "text" && len(n.Lhs) == 2 && len(n.Rhs) == 2 {
			return n.Rhs[:1]
		}
	case *ast.FuncDecl:
		if strings.HasPrefix(n.Name.Name, "bad") && n.Name.Name != "badVolume" || n.Name.Name == "proxyURL" {
			return returned(n)
		}
	}
	return nil
}

// returned lists the texts that a function returns.
func returned(f *ast.FuncDecl) (out []ast.Expr) {
	ast.Inspect(f.Body, func(n ast.Node) bool {
		if r, ok := n.(*ast.ReturnStmt); ok {
			out = append(out, r.Results...)
		}
		return true
	})
	return out
}

// words are the fixed parts of a text that say something.
func words(e ast.Expr) map[token.Pos]string {
	out := map[token.Pos]string{}
	verbs := regexp.MustCompile(`%[+#]?[0-9.]*[a-zA-Z]`)
	ast.Inspect(e, func(n ast.Node) bool {
		lit, ok := n.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return true
		}
		text, err := strconv.Unquote(lit.Value)
		if err != nil {
			return true
		}
		for i, part := range verbs.Split(text, -1) {
			if part = evenly(part); len(part) >= 8 && strings.Contains(part, " ") {
				out[lit.Pos()+token.Pos(i)] = part
			}
		}
		return true
	})
	return out
}
