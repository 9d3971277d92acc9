package lwc_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// wireSource is what the source of transport/wire says of its types.
type wireSource struct {
	t       *testing.T
	structs map[string]*ast.StructType
	docs    map[string]string   // of types
	named   map[string]ast.Expr // types that are another one
	values  map[string][]string // of named strings
}

func wireTypes(t *testing.T) *wireSource {
	t.Helper()
	w := &wireSource{t, map[string]*ast.StructType{}, map[string]string{}, map[string]ast.Expr{}, map[string][]string{}}
	files, err := filepath.Glob(filepath.Join("transport", "wire", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if g, ok := d.(*ast.GenDecl); ok {
				w.declared(g)
			}
		}
	}
	return w
}

func (w *wireSource) declared(g *ast.GenDecl) {
	for _, spec := range g.Specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			w.docs[s.Name.Name] = sentence(g.Doc)
			if body, ok := s.Type.(*ast.StructType); ok {
				w.structs[s.Name.Name] = body
			} else {
				w.named[s.Name.Name] = s.Type
			}
		case *ast.ValueSpec:
			w.constant(g, s)
		}
	}
}

func (w *wireSource) constant(g *ast.GenDecl, s *ast.ValueSpec) {
	of, ok := s.Type.(*ast.Ident)
	if g.Tok != token.CONST || !ok || len(s.Values) != 1 {
		return
	}
	if lit, ok := s.Values[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
		if text, err := strconv.Unquote(lit.Value); err == nil {
			w.values[of.Name] = append(w.values[of.Name], text)
		}
	}
}

// sentence makes one line of a comment.
func sentence(c *ast.CommentGroup) string {
	if c == nil {
		return ""
	}
	return strings.Join(strings.Fields(c.Text()), " ")
}

// schemas are those of a type and of all that it refers to.
func (w *wireSource) schemas(into map[string]yaml.MapSlice, name string) {
	if _, ok := into[name]; ok {
		return
	}
	body, ok := w.structs[name]
	if !ok {
		w.t.Fatalf("%s is no type of transport/wire", name)
	}
	into[name] = nil // so that a type may refer to itself
	var properties yaml.MapSlice
	var required []string
	for _, f := range body.Fields.List {
		key, options, _ := strings.Cut(reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("json"), ",")
		optional := strings.Contains(options, "omit")
		if !optional {
			required = append(required, key)
		}
		s := w.schema(into, f.Type, !optional)
		text := sentence(f.Doc)
		if text == "" {
			text = sentence(f.Comment)
		}
		if text != "" && s[0].Key != "$ref" {
			s = append(yaml.MapSlice{{Key: "description", Value: text}}, s...)
		}
		properties = append(properties, yaml.MapItem{Key: key, Value: s})
	}
	out := yaml.MapSlice{{Key: "type", Value: "object"}, {Key: "description", Value: w.docs[name]}}
	if len(required) > 0 {
		out = append(out, yaml.MapItem{Key: "required", Value: required})
	}
	into[name] = append(out, yaml.MapItem{Key: "properties", Value: properties})
}

// schema is that of a Go type as encoding/json writes it. An empty list or map that
// is not left out is null.
func (w *wireSource) schema(into map[string]yaml.MapSlice, of ast.Expr, nullable bool) yaml.MapSlice {
	kind := func(name string, more ...yaml.MapItem) yaml.MapSlice {
		var typ any = name
		if nullable {
			typ = []string{name, "null"}
		}
		return append(yaml.MapSlice{{Key: "type", Value: typ}}, more...)
	}
	switch x := of.(type) {
	case *ast.StarExpr:
		return w.schema(into, x.X, false)
	case *ast.SelectorExpr:
		if x.Sel.Name == "Time" {
			return yaml.MapSlice{{Key: "type", Value: "string"}, {Key: "format", Value: "date-time"}}
		}
	case *ast.ArrayType:
		if id, ok := x.Elt.(*ast.Ident); ok && id.Name == "byte" {
			return kind("string", yaml.MapItem{Key: "contentEncoding", Value: "base64"})
		}
		return kind("array", yaml.MapItem{Key: "items", Value: w.schema(into, x.Elt, false)})
	case *ast.MapType:
		return kind("object", yaml.MapItem{Key: "additionalProperties", Value: w.schema(into, x.Value, false)})
	case *ast.Ident:
		return w.basic(into, x.Name)
	}
	w.t.Fatalf("no schema for %T", of)
	return nil
}

func (w *wireSource) basic(into map[string]yaml.MapSlice, name string) yaml.MapSlice {
	switch name {
	case "string", "error":
		return yaml.MapSlice{{Key: "type", Value: "string"}}
	case "bool":
		return yaml.MapSlice{{Key: "type", Value: "boolean"}}
	case "int", "int64", "int32":
		return yaml.MapSlice{{Key: "type", Value: "integer"}}
	case "uint64", "uint32", "uint16", "uint":
		return yaml.MapSlice{{Key: "type", Value: "integer"}, {Key: "minimum", Value: 0}}
	case "float64":
		return yaml.MapSlice{{Key: "type", Value: "number"}}
	}
	if of, ok := w.named[name]; ok {
		s := w.schema(into, of, false)
		if values := w.values[name]; len(values) > 0 {
			values = slices.Clone(values)
			s = append(s, yaml.MapItem{Key: "enum", Value: values})
		}
		return s
	}
	w.schemas(into, name)
	return yaml.MapSlice{{Key: "$ref", Value: "#/components/schemas/" + name}}
}
