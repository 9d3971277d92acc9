package junos

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/beevik/etree"
)

// Identity is what a device says of itself.
type Identity struct {
	HostName string   // of the first routing engine that names one
	Model    string   // product-model, "mx960"
	Version  string   // Junos release, "23.4R2-S7.4"
	Serials  []string // chassis first, then the parts in the order of the reply; at most 256
}

const (
	maxIdentity = 1 << 20 // a DOM costs about seven times the text: of more, only the beginning is read
	maxSerials  = 256
	maxFact     = 128 // bytes of one name, model, version or serial
)

// Merge returns i with what it lacks taken from o. Serials of i come first.
func (i Identity) Merge(o Identity) Identity {
	i.HostName = first(i.HostName, o.HostName)
	i.Model = first(i.Model, o.Model)
	i.Version = first(i.Version, o.Version)
	all := slices.Clone(i.Serials)
	for _, s := range o.Serials {
		all = addSerial(all, s)
	}
	i.Serials = all
	return i
}

// ParseIdentity reads the facts in the reply to show-version (host name, model,
// version) or show-chassis-hardware-extensive (serials). Replies to other items
// hold none: the Identity is empty and the error nil. Replies of several routing
// engines, members or nodes give the first of them, and the serials of all.
// Invalid text is repaired; of a document over 1 MiB the first MiB is read.
func ParseIdentity(item string, doc []byte) (Identity, error) {
	var read func(*etree.Element) Identity
	switch item {
	case "show-version":
		read = versionFacts
	case "show-chassis-hardware-extensive":
		read = inventoryFacts
	default:
		return Identity{}, nil
	}
	root, err := parseSmall(clip(doc, maxIdentity))
	if err != nil {
		return Identity{}, fmt.Errorf("reading identity from %s: %w", item, err)
	}
	return read(root), nil
}

// clip cuts a document to its first max bytes, ended after a tag.
func clip(doc []byte, max int) []byte {
	if len(doc) <= max {
		return doc
	}
	return doc[:bytes.LastIndexByte(doc[:max], '>')+1]
}

// parseSmall makes a tree of a small document; the given element holds its
// roots. Invalid UTF-8 and control characters become U+FFFD, and a document
// that ends early gives what it has.
func parseSmall(doc []byte) (*etree.Element, error) {
	d := etree.NewDocument()
	d.ReadSettings.Permissive = true
	err := d.ReadFromBytes(bytes.Map(printable, doc))
	if err != nil && len(d.ChildElements()) == 0 {
		return nil, fmt.Errorf("parsing XML: %w", err)
	}
	if len(d.ChildElements()) == 0 {
		return nil, fmt.Errorf("parsing XML: no element in %d bytes", len(doc))
	}
	return &d.Element, nil
}

func printable(r rune) rune {
	if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF {
		return utf8.RuneError
	}
	return r
}

// walk calls visit for each element under e in document order, e included. It
// does not descend where visit returns false.
func walk(e *etree.Element, visit func(*etree.Element) bool) {
	if !visit(e) {
		return
	}
	for _, c := range e.ChildElements() {
		walk(c, visit)
	}
}

// elements returns the outermost elements of that local name.
func elements(e *etree.Element, name string) []*etree.Element {
	var found []*etree.Element
	walk(e, func(c *etree.Element) bool {
		if c.Tag == name {
			found = append(found, c)
		}
		return c.Tag != name
	})
	return found
}

// childText returns the text of the first child of that local name that has any.
func childText(e *etree.Element, name string) string {
	for _, c := range e.ChildElements() {
		if t := clipText(c.Text(), maxFact); c.Tag == name && t != "" {
			return t
		}
	}
	return ""
}

// clipText trims white space and keeps at most max bytes of whole characters.
func clipText(t string, max int) string {
	t = strings.TrimSpace(t)
	return strings.ToValidUTF8(t[:min(len(t), max)], "")
}

func versionFacts(root *etree.Element) Identity {
	var id Identity
	for _, e := range elements(root, "software-information") {
		id = id.Merge(Identity{
			HostName: childText(e, "host-name"),
			Model:    first(childText(e, "product-model"), childText(e, "product-name")),
			Version:  softwareVersion(e),
		})
	}
	return id
}

var (
	// A number of a kernel or a host system is no release: "[3.14.61-rt58]".
	releasePattern = regexp.MustCompile(`(?:^|[\s\[:])(\d{1,2}\.\d[A-Z-][\w.+-]*)`)
	junosComment   = regexp.MustCompile(`(?i)^junos\b`)
)

// softwareVersion finds the release where the different generations of Junos
// put it: an element of its own, the package junos-version, the package junos,
// or any other package whose comment begins with JUNOS.
func softwareVersion(e *etree.Element) string {
	if v := childText(e, "junos-version"); v != "" {
		return v
	}
	packages := e.SelectElements("package-information")
	for _, want := range []string{"junos-version", "junos", "junos version"} {
		for _, p := range packages {
			if strings.EqualFold(childText(p, "name"), want) {
				if v := releaseIn(childText(p, "comment")); v != "" {
					return v
				}
			}
		}
	}
	for _, p := range packages {
		if c := childText(p, "comment"); junosComment.MatchString(c) {
			if v := releaseIn(c); v != "" {
				return v
			}
		}
	}
	return ""
}

func releaseIn(comment string) string {
	if m := releasePattern.FindStringSubmatch(comment); m != nil {
		return m[1]
	}
	return ""
}

// inventoryFacts lists the serials of every chassis before those of the parts.
func inventoryFacts(root *etree.Element) Identity {
	var id Identity
	chassis := elements(root, "chassis")
	for _, c := range chassis {
		id.Serials = addSerial(id.Serials, childText(c, "serial-number"))
	}
	for _, c := range chassis {
		walk(c, func(e *etree.Element) bool {
			id.Serials = addSerial(id.Serials, childText(e, "serial-number"))
			return true
		})
	}
	return id
}

// addSerial leaves out what is no serial ("BUILTIN" marks a part without one).
func addSerial(all []string, s string) []string {
	if s == "" || strings.EqualFold(s, "BUILTIN") || len(all) >= maxSerials || slices.Contains(all, s) {
		return all
	}
	return append(all, s)
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
