package fleet

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"lwc/transport/wire"
)

// maxFile bounds a fleet file: the largest fleet needs about a quarter of it.
const maxFile = 16 << 20

// File is a fleet file, read.
type File struct {
	Collector string // that the fleet is for; empty when the file does not say
	Spec      Spec
}

// ParseYAML reads a fleet file. The name stands in errors, src fetches the
// secrets that the file refers to. The error is Problems: everything that is
// wrong, by line. Nothing is returned with an error.
func ParseYAML(name string, text []byte, src Source) (File, error) {
	d := &decoder{name: name, text: text, source: src, at: map[string]position{}, marked: map[string]bool{}}
	if len(text) > maxFile {
		return File{}, Problems{{File: name, Text: fmt.Sprintf("%s has %d bytes, more than %d", name, len(text), maxFile)}}
	}
	f := d.file()
	if err := d.check(f.Spec); err != nil {
		f.Spec.Wipe()
		return File{}, err
	}
	return f, nil
}

// check adds what the rules say to what decoding found, each with its position.
// An entry that did not decode is not judged a second time.
func (d *decoder) check(s Spec) error {
	var found Problems
	if errors.As(s.Check(), &found) {
		found = slices.DeleteFunc(found, func(p Problem) bool { return d.blamed(d.asWritten(p.Path)) })
	}
	for _, p := range found {
		p.Path = d.asWritten(p.Path)
		d.report(d.locate(p.Path), p.Path, "%s", p.Text)
	}
	sortByLine(d.problems)
	return d.problems.orNil()
}

// file decodes the top level.
func (d *decoder) file() File {
	var f File
	body := d.parse()
	if body == nil {
		return f
	}
	d.mapping("", body, fields{
		"collector": func(p string, n ast.Node) {
			f.Collector = d.scalar(p, n)
			if err := wire.CheckCollectorID(f.Collector); err != nil && !d.blamed(p) {
				d.report(position{n.GetToken().Position.Line, n.GetToken().Position.Column}, p, "%v", err)
			}
		},
		"schedule":           func(p string, n ast.Node) { d.oneSchedule(p, n, &f.Spec) },
		"schedules":          func(p string, n ast.Node) { d.allSchedules(p, n, &f.Spec) },
		"egress":             func(p string, n ast.Node) { f.Spec.Egress = d.egress(p, n) },
		"limits":             func(p string, n ast.Node) { f.Spec.Limits = d.limits(p, n) },
		"masking":            func(p string, n ast.Node) { f.Spec.Masking = d.masking(p, n) },
		"allow_cli_fallback": func(p string, n ast.Node) { f.Spec.AllowCLI = d.truth(p, n) },
		"updates":            func(p string, n ast.Node) { f.Spec.Updates = d.updates(p, n) },
		"profiles":           func(p string, n ast.Node) { f.Spec.Profiles = named(d, p, n, d.texts) },
		"credentials":        func(p string, n ast.Node) { f.Spec.Credentials = listed(d, p, n, d.credential) },
		"bastions":           func(p string, n ast.Node) { f.Spec.Bastions = listed(d, p, n, d.bastion) },
		"devices":            func(p string, n ast.Node) { f.Spec.Devices = listed(d, p, n, d.device) },
	})
	return f
}

// parse returns the body of the one document, or nil after reporting why there
// is none.
func (d *decoder) parse() ast.Node {
	if !bytesAreText(d.text) {
		d.report(position{1, 1}, "", "this is not a text file in UTF-8")
		return nil
	}
	tree, err := parser.ParseBytes(d.text, 0)
	var located yaml.Error
	switch {
	case errors.As(err, &located) && located.GetToken() != nil:
		d.syntax(located)
		return nil
	case err != nil:
		d.report(position{1, 1}, "", "this is not YAML")
		return nil
	}
	var bodies []ast.Node
	for _, doc := range tree.Docs {
		if doc.Body != nil {
			bodies = append(bodies, doc.Body)
		}
	}
	switch len(bodies) {
	case 0:
		d.report(position{1, 1}, "", "the file is empty: it names at least devices and credentials")
		return nil
	case 1:
		return bodies[0]
	}
	d.report(d.positionOf(bodies[1]), "", "the file has more than one YAML document: keep one fleet in one file")
	return nil
}

// syntax reports what the YAML parser says. Its words may quote the text, so
// they are kept only where no secret can be in them.
func (d *decoder) syntax(e yaml.Error) {
	p := e.GetToken().Position
	at := position{p.Line, p.Column}
	if line := d.line(at.line); line != d.rawLine(at.line) {
		d.report(at, "", "this is not YAML at or near a secret: check quotes and indentation")
		return
	}
	d.report(at, "", "this is not YAML: %s", firstLine(e.GetMessage()))
}

func (d *decoder) schedule(path string, n ast.Node) (s wire.Schedule) {
	d.mapping(path, n, fields{
		"name":     func(p string, n ast.Node) { s.Name = d.scalar(p, n) },
		"days":     func(p string, n ast.Node) { s.Days = d.texts(p, n) },
		"start":    func(p string, n ast.Node) { s.Start = d.scalar(p, n) },
		"window":   func(p string, n ast.Node) { s.Window = d.scalar(p, n) },
		"timezone": func(p string, n ast.Node) { s.Timezone = d.scalar(p, n) },
		"collect":  func(p string, n ast.Node) { s.Collect = d.scalar(p, n) },
		"profiles": func(p string, n ast.Node) { s.Profiles = d.texts(p, n) },
	})
	return s
}

// oneSchedule reads the form for a fleet with one schedule. An empty one is none.
func (d *decoder) oneSchedule(path string, n ast.Node, s *Spec) {
	one := d.schedule(path, n)
	if d.both(path, n, s) || reflect.DeepEqual(one, wire.Schedule{}) {
		return
	}
	one.Name = cmp.Or(one.Name, wire.DefaultProfile)
	s.Schedules, d.single = []wire.Schedule{one}, true
}

func (d *decoder) allSchedules(path string, n ast.Node, s *Spec) {
	all := listed(d, path, n, d.schedule)
	if d.both(path, n, s) {
		return
	}
	for i := range all {
		all[i].Name = cmp.Or(all[i].Name, wire.DefaultProfile)
	}
	s.Schedules = all
}

// both reports a file that has schedule and schedules.
func (d *decoder) both(path string, n ast.Node, s *Spec) bool {
	if len(s.Schedules) == 0 {
		return false
	}
	d.wrong(path, n, "both schedule and schedules are given: put all of them into the list schedules")
	return true
}

// asWritten is the path of a problem as this file has it: the one schedule of
// "schedule" is the first of a list to the rules.
func (d *decoder) asWritten(path string) string {
	if rest, ok := strings.CutPrefix(path, "schedules[0]"); ok && d.single {
		return "schedule" + rest
	}
	return path
}

func (d *decoder) egress(path string, n ast.Node) (e wire.Egress) {
	d.mapping(path, n, fields{
		"mode": func(p string, n ast.Node) { e.Mode = d.scalar(p, n) },
		"hold": func(p string, n ast.Node) { e.Hold = d.texts(p, n) },
		"wait": func(p string, n ast.Node) { e.Wait = d.scalar(p, n) },
	})
	return e
}

func (d *decoder) limits(path string, n ast.Node) (l wire.CollectLimits) {
	d.mapping(path, n, fields{
		"concurrency":        func(p string, n ast.Node) { l.Concurrency = int(d.number(p, n, maxConcurrency)) },
		"max_document_bytes": func(p string, n ast.Node) { l.MaxDocumentBytes = int64(d.number(p, n, maxDocument)) },
		"per_bastion":        func(p string, n ast.Node) { l.PerBastion = int(d.number(p, n, maxConcurrency)) },
		"logins_per_second":  func(p string, n ast.Node) { l.LoginsPerSecond = d.decimal(p, n, maxLoginRate) },
		"max_cpu":            func(p string, n ast.Node) { l.MaxCPU = int(d.number(p, n, maxCPU)) },
		"budget_bytes":       func(p string, n ast.Node) { l.BudgetBytes = int64(d.number(p, n, maxBudget)) },
	})
	return l
}

func (d *decoder) masking(path string, n ast.Node) (m Masking) {
	d.mapping(path, n, fields{
		"classes": func(p string, n ast.Node) { m.Classes = named(d, p, n, d.truth) },
		"rules":   func(p string, n ast.Node) { m.Rules = listed(d, p, n, d.maskRule) },
	})
	return m
}

func (d *decoder) maskRule(path string, n ast.Node) (r wire.MaskRule) {
	d.mapping(path, n, fields{
		"class":   func(p string, n ast.Node) { r.Class = d.scalar(p, n) },
		"item":    func(p string, n ast.Node) { r.Item = d.scalar(p, n) },
		"path":    func(p string, n ast.Node) { r.Path = d.scalar(p, n) },
		"pattern": func(p string, n ast.Node) { r.Pattern = d.scalar(p, n) },
	})
	return r
}

func (d *decoder) bastion(path string, n ast.Node) (b Bastion) {
	d.mapping(path, n, fields{
		"id":                func(p string, n ast.Node) { b.ID = d.scalar(p, n) },
		"address":           func(p string, n ast.Node) { b.Address = d.scalar(p, n) },
		"port":              func(p string, n ast.Node) { b.Port = d.port(p, n) },
		"credential":        func(p string, n ast.Node) { b.Credential = d.scalar(p, n) },
		"host_keys":         func(p string, n ast.Node) { b.HostKeys = d.texts(p, n) },
		"trust_first":       func(p string, n ast.Node) { b.TrustFirst = d.truth(p, n) },
		"via":               func(p string, n ast.Node) { b.Via = d.texts(p, n) },
		"max_sessions":      func(p string, n ast.Node) { b.MaxSessions = int(d.number(p, n, maxConcurrency)) },
		"legacy_algorithms": func(p string, n ast.Node) { b.Legacy = d.truth(p, n) },
	})
	return b
}

func (d *decoder) device(path string, n ast.Node) (v Device) {
	d.mapping(path, n, fields{
		"id":                func(p string, n ast.Node) { v.ID = d.scalar(p, n) },
		"address":           func(p string, n ast.Node) { v.Address = d.scalar(p, n) },
		"port":              func(p string, n ast.Node) { v.Port = d.port(p, n) },
		"credential":        func(p string, n ast.Node) { v.Credential = d.scalar(p, n) },
		"bastions":          func(p string, n ast.Node) { v.Bastions = d.texts(p, n) },
		"host_keys":         func(p string, n ast.Node) { v.HostKeys = d.texts(p, n) },
		"trust_first":       func(p string, n ast.Node) { v.TrustFirst = d.truth(p, n) },
		"profile":           func(p string, n ast.Node) { v.Profile = d.scalar(p, n) },
		"legacy_algorithms": func(p string, n ast.Node) { v.Legacy = d.truth(p, n) },
		"pipeline":          func(p string, n ast.Node) { v.Pipeline = int(d.number(p, n, maxPipeline)) },
		"groups":            func(p string, n ast.Node) { v.Groups = d.texts(p, n) },
	})
	return v
}

func (d *decoder) port(path string, n ast.Node) uint16 { return uint16(d.number(path, n, 65535)) }

// bytesAreText keeps NUL and invalid UTF-8 from the parser.
func bytesAreText(b []byte) bool {
	return !bytes.ContainsRune(b, 0) && bytes.Equal(bytes.ToValidUTF8(b, nil), b)
}
