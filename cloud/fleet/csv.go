package fleet

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// CSVColumns are the columns of a device import. The header line names those
// that are used, in any order; id, address and credential must be there.
// bastions, host_keys and groups hold several values, separated by '|'.
func CSVColumns() []string {
	return []string{"id", "address", "port", "credential", "bastions", "host_keys", "trust_first", "profile", "legacy_algorithms", "pipeline", "groups"}
}

// maxCSV bounds an import.
const maxCSV = 8 << 20

// ParseCSV reads devices and checks them against the credentials, bastions and
// profiles of the fleet that they join. The error is Problems: everything that
// is wrong, by line; no device is returned with it.
func ParseCSV(name string, text []byte, into Spec) ([]Device, error) {
	im := &importer{name: name, check: checker{names: into.names()}, lineOf: map[string]int{}}
	if len(text) > maxCSV {
		im.report(0, 0, "", "%s has %d bytes, more than %d", name, len(text), maxCSV)
		return nil, im.problems
	}
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	if !bytesAreText(text) {
		im.report(1, 1, "", "this is not a text file in UTF-8: save it as CSV UTF-8")
		return nil, im.problems
	}
	im.lines = strings.Split(string(text), "\n")
	devices := im.read(text)
	sortByLine(im.problems)
	if err := im.problems.orNil(); err != nil {
		return nil, err
	}
	return devices, nil
}

type importer struct {
	name     string
	lines    []string
	columns  []string
	check    checker
	lineOf   map[string]int // of a device id
	problems Problems
}

func (im *importer) report(line, column int, path, format string, args ...any) {
	source := ""
	if line >= 1 && line <= len(im.lines) {
		source = strings.TrimRight(im.lines[line-1], "\r")
	}
	im.problems = append(im.problems, Problem{Path: path, Text: fmt.Sprintf(format, args...),
		File: im.name, Line: line, Column: column, Source: source})
}

func (im *importer) read(text []byte) []Device {
	r := csv.NewReader(bytes.NewReader(text))
	r.FieldsPerRecord, r.TrimLeadingSpace, r.Comma = -1, true, separator(im.lines[0])
	header, err := r.Read()
	if err != nil {
		im.readError(err, "the file is empty: begin with a header line, as id,address,credential,trust_first")
		return nil
	}
	if !im.header(header) {
		return nil
	}
	var devices []Device
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			im.readError(err, "")
			return nil
		}
		devices = append(devices, im.device(r, record))
	}
	if len(devices) == 0 {
		im.report(1, 1, "", "there is no device below the header line")
	}
	if len(devices) > maxDevices {
		im.report(1, 1, "", "%d devices, more than %d", len(devices), maxDevices)
	}
	return devices
}

// separator tells CSV as most of the world writes it from the form with
// semicolons that spreadsheets write in countries with a decimal comma.
func separator(header string) rune {
	if strings.Contains(header, ";") && !strings.Contains(header, ",") {
		return ';'
	}
	return ','
}

func (im *importer) readError(err error, whenEmpty string) {
	var pe *csv.ParseError
	switch {
	case errors.As(err, &pe):
		im.report(pe.Line, pe.Column, "", "this is not CSV: %v", pe.Err)
	case errors.Is(err, io.EOF):
		im.report(1, 1, "", "%s", whenEmpty)
	default:
		im.report(1, 1, "", "this is not CSV")
	}
}

func (im *importer) header(names []string) bool {
	for i, n := range names {
		n = strings.ToLower(strings.TrimSpace(n))
		switch {
		case !slices.Contains(CSVColumns(), n):
			im.report(1, 1, "", "column %d: %.60q is not known%s (known: %s)", i+1, n, Suggest(n, CSVColumns()), strings.Join(CSVColumns(), ", "))
		case slices.Contains(im.columns, n):
			im.report(1, 1, "", "column %d: %q stands twice", i+1, n)
		}
		im.columns = append(im.columns, n)
	}
	for _, must := range []string{"id", "address", "credential"} {
		if !slices.Contains(im.columns, must) {
			im.report(1, 1, "", "the column %q is missing from the header line", must)
		}
	}
	return len(im.problems) == 0
}

// device reads one record and judges it.
func (im *importer) device(r *csv.Reader, record []string) Device {
	line, _ := r.FieldPos(0)
	var d Device
	for i, value := range record {
		at, column := r.FieldPos(i)
		if i >= len(im.columns) {
			im.report(at, column, "", "more fields than the header line has columns (%d)", len(im.columns))
			break
		}
		if err := setColumn(&d, im.columns[i], strings.TrimSpace(value)); err != nil {
			im.report(at, column, im.columns[i], "%v", err)
		}
	}
	if first, dup := im.lineOf[d.ID]; dup && d.ID != "" {
		im.report(line, 1, "id", "the id %q stands in line %d already", d.ID, first)
	}
	im.lineOf[d.ID] = line
	im.judge(r, len(record), d)
	return d
}

// judge applies the rules of a device and puts what they find on its column.
func (im *importer) judge(r *csv.Reader, fields int, d Device) {
	im.check.problems = nil
	im.check.requiredID("", d.ID)
	im.check.device("", d)
	for _, p := range im.check.problems {
		path := strings.TrimPrefix(p.Path, ".")
		name, _, _ := strings.Cut(path, "[")
		at, column := r.FieldPos(0)
		if i := slices.Index(im.columns, name); i >= 0 && i < fields {
			at, column = r.FieldPos(i)
		}
		im.report(at, column, path, "%s", p.Text)
	}
}

func setColumn(d *Device, column, value string) error {
	switch column {
	case "id":
		d.ID = value
	case "address":
		d.Address = value
	case "credential":
		d.Credential = value
	case "profile":
		d.Profile = value
	case "bastions":
		d.Bastions = several(value)
	case "host_keys":
		d.HostKeys = several(value)
	case "groups":
		d.Groups = several(value)
	case "port":
		return setPort(d, value)
	case "trust_first":
		return setTruth(&d.TrustFirst, value)
	case "legacy_algorithms":
		return setTruth(&d.Legacy, value)
	case "pipeline":
		return setPipeline(d, value)
	}
	return nil
}

func setPipeline(d *Device, value string) error {
	if value == "" {
		return nil
	}
	n, err := strconv.ParseUint(value, 10, 16)
	if err != nil {
		return fmt.Errorf("%.20q is not a number of requests: give one from 1 to %d, or nothing", value, maxPipeline)
	}
	d.Pipeline = int(n)
	return nil
}

func setPort(d *Device, value string) error {
	if value == "" {
		return nil
	}
	n, err := strconv.ParseUint(value, 10, 16)
	if err != nil {
		return fmt.Errorf("%.20q is not a port: give a number from 1 to 65535, or nothing", value)
	}
	d.Port = uint16(n)
	return nil
}

func setTruth(to *bool, value string) error {
	switch strings.ToLower(value) {
	case "", "false", "no", "0":
		*to = false
	case "true", "yes", "1":
		*to = true
	default:
		return fmt.Errorf("%.20q is neither true nor false", value)
	}
	return nil
}

// several splits a field that holds more than one value.
func several(value string) []string {
	var out []string
	for v := range strings.SplitSeq(value, "|") {
		if v = strings.TrimSpace(v); v != "" {
			out = append(out, v)
		}
	}
	return out
}
