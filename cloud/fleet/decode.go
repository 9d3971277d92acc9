package fleet

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// decoder turns the syntax tree of a fleet file into values. It reads text as
// it stands (a password 0123 stays 0123), refuses what it does not know, and
// goes on after an error, so that one reading finds all.
type decoder struct {
	name     string
	text     []byte
	lines    []string // of text, split on first use
	source   Source
	at       map[string]position // of every entry, by path
	problems Problems
	single   bool            // the file has one schedule, as schedule and not in a list
	marked   map[string]bool // paths of problems, and of all around them
}

type position struct{ line, column int }

// fields decodes the values of a mapping, by key.
type fields map[string]func(path string, n ast.Node)

func (d *decoder) report(at position, path, format string, args ...any) {
	d.mark(path)
	d.problems = append(d.problems, Problem{
		Path: path, Text: fmt.Sprintf(format, args...),
		File: d.name, Line: at.line, Column: at.column, Source: d.line(at.line),
	})
}

func (d *decoder) wrong(path string, n ast.Node, format string, args ...any) {
	d.report(d.positionOf(n), path, format, args...)
}

func (d *decoder) positionOf(n ast.Node) position {
	if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 && !m.IsFlowStyle {
		return d.positionOf(m.Values[0].Key)
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return position{t.Position.Line, t.Position.Column}
	}
	return position{1, 1}
}

// blamed tells whether path, or something in it, was reported already.
func (d *decoder) blamed(path string) bool { return d.marked[path] }

func (d *decoder) mark(path string) {
	for ; path != "" && !d.marked[path]; path = around(path) {
		d.marked[path] = true
	}
}

// around returns the path of the entry that holds path.
func around(path string) string { return path[:max(strings.LastIndexAny(path, ".["), 0)] }

// locate finds where path stands: itself, or the nearest entry around it.
func (d *decoder) locate(path string) position {
	for path != "" {
		if at, ok := d.at[path]; ok {
			return at
		}
		path = around(path)
	}
	return position{1, 1}
}

// mapping hands each value of a mapping to its field, and reports keys that no
// field is known for.
func (d *decoder) mapping(path string, n ast.Node, fs fields) {
	d.pairs(path, n, func(p, key string, value *ast.MappingValueNode) {
		if decode, ok := fs[key]; ok {
			decode(p, value.Value)
			return
		}
		known := slices.Sorted(maps.Keys(fs))
		hint := Suggest(key, known)
		if hint == "" {
			hint = ": known here are " + strings.Join(known, ", ")
		}
		d.report(d.positionOf(value.Key), p, "unknown key %.60q%s", key, hint)
	})
}

// pairs walks a mapping. A missing value is an empty one.
func (d *decoder) pairs(path string, n ast.Node, visit func(path, key string, value *ast.MappingValueNode)) {
	var values []*ast.MappingValueNode
	switch m := n.(type) {
	case *ast.MappingNode:
		values = m.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{m}
	case *ast.NullNode:
		return
	default:
		d.wrong(path, n, "%s where a mapping (key: value) is wanted", describe(n))
		return
	}
	for _, v := range values {
		key, ok := plain(v.Key)
		if !ok {
			d.wrong(path, v.Key, "%s where a key is wanted", describe(v.Key))
			continue
		}
		p := strings.TrimPrefix(path+"."+key, ".")
		d.at[p] = d.positionOf(v.Key)
		visit(p, key, v)
	}
}

// named decodes a mapping from ids to entries.
func named[T any](d *decoder, path string, n ast.Node, decode func(string, ast.Node) T) map[string]T {
	out := map[string]T{}
	d.pairs(path, n, func(p, key string, v *ast.MappingValueNode) { out[key] = decode(p, v.Value) })
	return out
}

// listed decodes a sequence.
func listed[T any](d *decoder, path string, n ast.Node, decode func(string, ast.Node) T) []T {
	if _, empty := n.(*ast.NullNode); empty {
		return nil
	}
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		d.wrong(path, n, "%s where a list is wanted: begin each entry with \"- \"", describe(n))
		return nil
	}
	out := make([]T, 0, len(seq.Values))
	for i, v := range seq.Values {
		p := fmt.Sprintf("%s[%d]", path, i)
		d.at[p] = d.positionOf(v)
		out = append(out, decode(p, v))
	}
	return out
}

func (d *decoder) texts(path string, n ast.Node) []string { return listed(d, path, n, d.scalar) }

// scalar reads a scalar as the characters that stand there.
func (d *decoder) scalar(path string, n ast.Node) string {
	s, ok := plain(n)
	if !ok {
		d.wrong(path, n, "%s where a text is wanted", describe(n))
	}
	return s
}

// number reads an integer from 0 to limit.
func (d *decoder) number(path string, n ast.Node, limit uint64) uint64 {
	s, _ := plain(n)
	v, err := strconv.ParseUint(s, 10, 64)
	if err != nil || v > limit {
		d.wrong(path, n, "%s where a whole number from 0 to %d is wanted", describe(n), limit)
		return 0
	}
	return v
}

// decimal reads a number that may have a fraction, from 0 to limit.
func (d *decoder) decimal(path string, n ast.Node, limit float64) float64 {
	s, _ := plain(n)
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || !(v >= 0 && v <= limit) {
		d.wrong(path, n, "%s where a number from 0 to %g is wanted", describe(n), limit)
		return 0
	}
	return v
}

func (d *decoder) truth(path string, n ast.Node) bool {
	b, ok := n.(*ast.BoolNode)
	if !ok {
		d.wrong(path, n, "%s where true or false is wanted", describe(n))
		return false
	}
	return b.Value
}

// plain returns the text of a scalar, without YAML 1.1's readings of it: 0123
// and 1_000 are what they look like.
func plain(n ast.Node) (string, bool) {
	switch v := n.(type) {
	case *ast.StringNode:
		return v.Value, true
	case *ast.LiteralNode:
		return v.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return v.GetToken().Value, true
	}
	return "", false
}

// describe names a node for an error, without its text.
func describe(n ast.Node) string {
	switch v := n.(type) {
	case *ast.NullNode:
		return "nothing"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode:
		return "an anchor, alias or merge key (not supported: write it out)"
	case *ast.TagNode:
		return "a tag (not supported)"
	case *ast.BoolNode:
		return "true or false"
	case *ast.IntegerNode:
		return "the number " + shorten(v.GetToken())
	}
	return "a text"
}

func shorten(t *token.Token) string {
	if len(t.Value) > 24 {
		return t.Value[:24] + "…"
	}
	return t.Value
}
