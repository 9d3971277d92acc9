// Package lwc_test holds the rules of the house that no compiler checks: who
// may import whom, and that every exported name is explained.
package lwc_test

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// mayImport is the import table of docs/design.md. A folder stands for all
// below it, the longest match counts; cmd wires everything and is not listed.
var mayImport = map[string][]string{
	"collector":        {"junos", "transport/wire", "transport/secret"},
	"junos":            {},
	"junos/junostest":  {"junos"},
	"transport/secret": {},
	"transport/wire":   {"transport/secret"},
	"transport/device": {"transport/secret"},
	"transport/uplink": {"transport/wire", "transport/wss", "transport/secret", "transport/boxkey"},
	"transport/wss":    {},
	"transport/proxy":  {"transport/secret"},
	"transport/clock":  {},
	"netguard":         {"netguard/wall", "netguard/lease"},
	"netguard/wall":    {},
	"netguard/lease":   {},
	// What attacks the ports knows nothing of how they are kept.
	"netguard/netguardtest": {},
	"cloud":                 {"transport/wire", "transport/wss", "transport/secret", "junos", "cloud", "image/release", "image/sitefile"},
	"image":                 {"image", "image/release", "image/sitefile", "transport/wire", "transport/secret"},
	"image/boottest":        {"testdata"},
	// What a release is, and the file of a site: both ends read them.
	"image/release":    {"transport/wire"},
	"image/sitefile":   {"transport/wire", "transport/secret"},
	"transport/boxkey": {},
	// A TPM for tests, and what they need of the machine.
	"transport/boxkey/boxkeytest": {"testdata"},
	"transport/download":          {},
	"testdata":                    {},
}

// testsMayImport is what test files may use on top of the table; a row's own
// tests may meet its real peer.
var (
	testsMayImport   = []string{"testdata", "junos/junostest", "netguard/netguardtest", "transport/boxkey/boxkeytest", "image/boottest", "image/verity/veritytest"}
	peersInTestsOnly = map[string][]string{
		"netguard":         {"transport/proxy"},
		"transport/uplink": {"cloud", "transport/proxy"},
		"collector":        {"transport/device", "transport/uplink"},
		"cloud":            {"transport/uplink"},
	}
)

type goPackage struct {
	ImportPath, Dir                             string
	Imports, TestImports, XTestImports, GoFiles []string
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Imports,TestImports,XTestImports,GoFiles", "./...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []goPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := dec.Decode(&p); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// rowOf returns the row of the table that a folder belongs to.
func rowOf(folder string) (row string, known bool) {
	for r := range mayImport {
		if (folder == r || strings.HasPrefix(folder, r+"/")) && len(r) > len(row) {
			row, known = r, true
		}
	}
	return row, known
}

func TestImportTable(t *testing.T) {
	for _, p := range packages(t) {
		folder := strings.TrimPrefix(p.ImportPath, "lwc/")
		if folder == "lwc" || strings.HasPrefix(folder, "cmd/") {
			continue
		}
		row, ok := rowOf(folder)
		if !ok {
			t.Errorf("%s is in no row of the import table", folder)
			continue
		}
		checkImports(t, folder, row, p.Imports, mayImport[row])
		withTests := slices.Concat(mayImport[row], testsMayImport, peersInTestsOnly[row])
		checkImports(t, folder, row, append(p.TestImports, p.XTestImports...), withTests)
	}
}

func checkImports(t *testing.T, folder, row string, imports, allowed []string) {
	t.Helper()
	for _, imp := range imports {
		ours, ok := strings.CutPrefix(imp, "lwc/")
		if !ok || ours == folder {
			continue
		}
		other, known := rowOf(ours)
		if !known || (!slices.Contains(allowed, other) && !(row == other && strings.HasPrefix(ours, folder+"/"))) {
			t.Errorf("%s imports %s: the table allows %v", folder, ours, allowed)
		}
	}
}

// TestEveryExportedNameHasAComment reads all Go files but tests.
func TestEveryExportedNameHasAComment(t *testing.T) {
	for _, file := range goFiles(t) {
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			for _, name := range uncommented(d) {
				t.Errorf("%s: %s has no comment", fset.Position(d.Pos()), name)
			}
		}
	}
}

func uncommented(d ast.Decl) []string {
	var names []string
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && receiverExported(d) && d.Doc == nil {
			names = append(names, d.Name.Name)
		}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			names = append(names, uncommentedSpec(s, d.Doc != nil)...)
		}
	}
	return names
}

func receiverExported(d *ast.FuncDecl) bool {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return true
	}
	typ := d.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	if index, ok := typ.(*ast.IndexExpr); ok {
		typ = index.X
	}
	id, ok := typ.(*ast.Ident)
	return !ok || id.IsExported()
}

func uncommentedSpec(s ast.Spec, group bool) []string {
	switch s := s.(type) {
	case *ast.TypeSpec:
		if s.Name.IsExported() && s.Doc == nil && s.Comment == nil && !group {
			return []string{s.Name.Name}
		}
	case *ast.ValueSpec:
		if s.Doc != nil || s.Comment != nil || group {
			return nil
		}
		for _, n := range s.Names {
			if n.IsExported() {
				return []string{n.Name}
			}
		}
	}
	return nil
}

func TestEveryPackageIsExplained(t *testing.T) {
	for _, p := range packages(t) {
		if len(p.GoFiles) == 0 {
			continue
		}
		explained := slices.ContainsFunc(p.GoFiles, func(name string) bool {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.PackageClauseOnly)
			return err == nil && f.Doc != nil
		})
		if !explained {
			t.Errorf("package %s has no comment", p.ImportPath)
		}
	}
}

// maxFileLines keeps a file readable in one sitting; tables and tests excepted.
const maxFileLines = 400

func TestFilesStayShort(t *testing.T) {
	for _, file := range goFiles(t) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(b, []byte("\n")); n > maxFileLines {
			t.Errorf("%s has %d lines, more than %d", file, n, maxFileLines)
		}
	}
}

// maxFuncLines is the ceiling for one function outside tables.
const maxFuncLines = 60

func TestFunctionsStayShort(t *testing.T) {
	for _, file := range goFiles(t) {
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := fset.Position(fn.End()).Line - fset.Position(fn.Pos()).Line; n > maxFuncLines {
				t.Errorf("%s: %s has %d lines, more than %d", fset.Position(fn.Pos()), fn.Name.Name, n, maxFuncLines)
			}
		}
	}
}

func goFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != "." {
			return filepath.SkipDir
		}
		if !d.IsDir() && strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// plainDials are the ways to make a connection that no port made.
var plainDials = []string{"net.Dial", "net.DialTimeout", "net.DialTCP", "net.DialUDP", "net.Dialer", "net.Listen", "net.ListenConfig",
	"net.DefaultResolver", "net.LookupHost", "net.LookupIP", "net.LookupAddr", "tls.Dial", "tls.Dialer",
	"http.DefaultClient", "http.DefaultTransport", "http.Get", "http.Post", "http.ProxyFromEnvironment"}

// Everything that lwcd opens goes through netguard: no package that it is made of
// names a way past it, and none starts a program but lwcd itself.
func TestLwcdDialsThroughItsPortsOnly(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{.ImportPath}}", "./cmd/lwcd").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range strings.Fields(string(out)) {
		folder, ours := strings.CutPrefix(p, "lwc/")
		if !ours || folder == "netguard" {
			continue
		}
		for name, file := range selectorsIn(t, folder) {
			if slices.Contains(plainDials, name) {
				t.Errorf("%s uses %s: a connection of lwcd is made by a port of netguard", file, name)
			}
			if strings.HasPrefix(name, "exec.") && folder != "cmd/lwcd" {
				t.Errorf("%s uses %s: lwcd starts no program but itself", file, name)
			}
		}
	}
}

// selectorsIn returns what a folder's files, but for tests, take from other
// packages ("net.Dial"), each with a file that does.
func selectorsIn(t *testing.T, folder string) map[string]string {
	t.Helper()
	found := map[string]string{}
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s has no Go files (%v)", folder, err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok {
					found[x.Name+"."+s.Sel.Name] = file
				}
			}
			return true
		})
	}
	return found
}
