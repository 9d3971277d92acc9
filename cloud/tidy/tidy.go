// Package tidy bounds what a collector tells before it is stored: a collector
// repeats what devices say of themselves, and either may be anybody's by now.
// Texts lose what a terminal would act on, and all that is longer than any
// honest one is cut short.
package tidy

import (
	"maps"
	"slices"
	"strings"
	"unicode"

	"lwc/transport/wire"
)

// MaxText bounds a text that operators get to read, in bytes.
const MaxText = 1000

// MaxName bounds a name, in bytes.
const MaxName = 255

// MaxWord bounds a word of a closed set, in bytes: an unknown one is of a newer
// collector, or is none.
const MaxWord = 40

const (
	maxHops    = 32
	maxSteps   = 64 + 16*maxHops // of a probe
	maxList    = 256             // permissions
	maxClasses = 128             // of masking: those there are, and 100 rules
	maxLacks   = 32              // of what a kernel cannot do
)

// Text returns s without what cannot be printed, cut to at most n bytes.
func Text(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}

func words(of ...*string) {
	for _, s := range of {
		*s = Text(*s, MaxWord)
	}
}

func names(of ...*string) {
	for _, s := range of {
		*s = Text(*s, MaxName)
	}
}

// Ports bounds what a collector says of its ports.
func Ports(p *wire.PortState) {
	words(&p.Mode, &p.State)
	names(&p.Internal, &p.External)
	p.Detail = Text(p.Detail, MaxText)
	p.Degraded = list(first(p.Degraded, maxLacks))
}

// Box bounds what a collector says of its machine.
func Box(b *wire.Box) {
	words(&b.Image, &b.Identity, &b.SecureBoot, &b.CommandLine)
	names(&b.Hardware)
}

// Event bounds an event.
func Event(e *wire.Event) {
	words(&e.Kind)
	names(&e.Device)
	e.Text = Text(e.Text, MaxText)
	if v := e.Violation; v != nil {
		words(&v.Kind, &v.Port)
		v.Detail = Text(v.Detail, MaxText)
	}
}

// Probe bounds a diagnosis.
func Probe(p *wire.Probe) {
	names(&p.Device, &p.Class)
	p.Steps = first(p.Steps, maxSteps)
	for i := range p.Steps {
		s := &p.Steps[i]
		names(&s.Stage, &s.Hop, &s.Kind)
		s.Detail = Text(s.Detail, MaxText)
	}
	p.Permissions, p.Excess = list(p.Permissions), list(p.Excess)
	access(p.Access)
}

// Result bounds how a device ended.
func Result(r *wire.DeviceResult) {
	names(&r.Device, &r.Phase, &r.Kind)
	r.Error, r.HostKey = Text(r.Error, MaxText), Text(r.HostKey, MaxText)
	access(r.Access)
}

// Manifest bounds the account of a run, entry by entry. Its hash is that of what
// the collector signed.
func Manifest(m *wire.Manifest) {
	names(&m.Schedule, &m.Mode)
	m.Reason = Text(m.Reason, MaxText)
	for i := range m.Devices {
		Result(&m.Devices[i])
	}
	for i := range m.Documents {
		e := &m.Documents[i]
		names(&e.Device, &e.Item, &e.Outcome)
		e.Reason, e.Masked = Text(e.Reason, MaxText), counts(e.Masked)
	}
}

// Health bounds what a heartbeat tells in words.
func Health(h *wire.Health) {
	Ports(&h.Ports)
	names(&h.LastRun)
	h.Checks, h.Errors = first(h.Checks, maxList), first(h.Errors, maxList)
	for i := range h.Checks {
		names(&h.Checks[i].Name)
		h.Checks[i].Detail = Text(h.Checks[i].Detail, MaxText)
	}
	for i := range h.Errors {
		h.Errors[i].Text = Text(h.Errors[i].Text, MaxText)
	}
}

// counts drops what is no count, and the names after the first maxClasses.
func counts(of map[string]int) map[string]int {
	if of == nil {
		return nil
	}
	out := map[string]int{}
	for _, class := range slices.Sorted(maps.Keys(of)) {
		if n := of[class]; n > 0 && len(out) < maxClasses {
			out[Text(class, MaxName)] = n
		}
	}
	return out
}

func first[T any](of []T, n int) []T { return of[:min(len(of), n)] }

func list(of []string) []string {
	of = first(of, maxList)
	for i := range of {
		of[i] = Text(of[i], MaxText)
	}
	return of
}

func access(a *wire.Access) {
	if a == nil {
		return
	}
	names(&a.Mode)
	a.Hops = first(a.Hops, maxHops)
	for i := range a.Hops {
		h := &a.Hops[i]
		names(&h.Name, &h.KeyExchange, &h.HostKey, &h.Cipher, &h.MAC)
	}
}
