package screen

import (
	"fmt"
	"slices"
	"strings"

	"lwc/cmd/lwcd/report"
	"lwc/image/provision"
	"lwc/image/sitefile"
)

// The size of the screen: that of the smallest terminal there is. The last column
// stays free, so that no terminal wraps by itself.
const (
	Rows    = 25
	Columns = 79
)

// View is all that is known of the box.
type View struct {
	Image      string // version; empty: not the appliance
	Trial      bool   // this version has not proved itself yet
	Hardware   string
	SecureBoot string
	Cards      []Card           // those that are in no port
	Provision  provision.Status // the zero one: nothing is known
	Report     *report.Report   // nil: lwcd has not said anything
	Silent     bool             // it has stopped saying anything
}

// Card is a network card.
type Card struct{ Name, MAC, Driver string }

// Labels are the words before the lines of the screen, in their order.
func Labels() []string {
	return []string{"State", "Box", "Identity", "Settings", "Internal", "External", "Card", "Cloud", "Work", "Last error", "What to do"}
}

// labelWidth is the room of the longest label, and two blanks.
const labelWidth = 12

// What a line may take of the screen.
const (
	maxCards   = 6
	maxWork    = 4
	maxError   = 4
	maxDetail  = 4
	maxCloud   = 3
	maxAdvice  = 4
	maxProblem = 8
)

// Lines is the screen. It has the same lines while nothing changes: no clock.
func (v View) Lines() []string {
	p := &page{}
	p.put(v.title())
	p.put(strings.Repeat("-", Columns))
	k := v.Kind()
	p.field("State", k.State, 1)
	p.put("")
	v.box(p)
	v.ports(p)
	v.cloud(p)
	if v.Report != nil {
		p.field("Last error", v.Report.Problem, maxError)
	}
	p.put("")
	if !k.Good() {
		p.field("What to do", k.Do, maxAdvice)
	}
	v.problems(p)
	return p.whole()
}

func (v View) title() string {
	version := "version " + named(v.Image, "unknown")
	if v.Trial {
		version += " (on trial)"
	}
	const name = "LWC COLLECTOR"
	return name + strings.Repeat(" ", max(1, Columns-len(name)-len(version))) + version
}

func (v View) box(p *page) {
	words := []string{named(v.Hardware, "unknown machine")}
	if v.SecureBoot != "" {
		words = append(words, "Secure Boot "+v.SecureBoot)
	}
	p.field("Box", strings.Join(words, ", "), 1)
	if r := v.Report; r != nil && r.Collector != "" {
		where := map[string]string{"tpm": ", key in the TPM", "file": ", key in a file (no TPM)"}[r.Identity]
		p.field("Identity", r.Collector+where, 1)
	} else {
		p.field("Identity", "none", 1)
	}
	settings := map[provision.State]string{provision.Waiting: "none", provision.Refused: "refused",
		provision.Ready: "good", provision.Enrolled: "good, enrolled"}[v.Provision.State]
	if v.Provision.Source != "" {
		settings += ", " + v.Provision.Source
	}
	p.field("Settings", named(settings, "not known yet"), 1)
}

// ports shows the two ports, or, where they are not open, the cards to choose from.
func (v View) ports(p *page) {
	r := v.Report
	if r != nil && r.Internal.Link != "" {
		p.field("Internal", portWords(r.Internal), 1)
		p.field("External", portWords(r.External), 1)
	}
	if r != nil && r.Ports != report.Open && r.Cause != report.NoConfiguration {
		p.field("", r.Detail, maxDetail)
	}
	if r != nil && r.Ports == report.Open {
		return
	}
	for i, c := range v.Cards {
		if i == maxCards {
			p.field("", fmt.Sprintf("and %d more", len(v.Cards)-i), 1)
			break
		}
		p.field("Card", strings.TrimSpace(fmt.Sprintf("%-10s %s  %s", c.Name, c.MAC, c.Driver)), 1)
	}
}

func portWords(r report.Port) string {
	out := fmt.Sprintf("%-10s %s  %s", r.Link, r.MAC, named(r.Address, "no address"))
	if r.DHCP {
		out += " (DHCP)"
	}
	return out
}

func (v View) cloud(p *page) {
	r := v.Report
	if r == nil || r.Ports != report.Open {
		return
	}
	p.field("Cloud", named(r.Cloud, "not connected"), maxCloud)
	p.field("Work", r.Work, maxWork)
}

// problems are those of lwc.toml and of the volumes it may come on.
func (v View) problems(p *page) {
	list := v.Provision.Problems
	for i, one := range list {
		if i > 0 && p.left() < 4 { // a line for what is left out, three for this one
			p.put(fmt.Sprintf("and %d more problems", len(list)-i))
			return
		}
		p.wrapped("! ", one.String(), min(maxProblem, max(1, p.left()-1)))
	}
}

func (v View) lacks(kind sitefile.Kind) bool {
	return slices.ContainsFunc(v.Provision.Problems, func(p sitefile.Problem) bool { return p.Kind == kind })
}

func named(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
