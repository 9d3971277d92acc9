package chaos

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Kind is a kind of finding.
type Kind string

// The kinds of a Finding. All but the last three are losses.
const (
	Missing   Kind = "missing"   // called for, and neither stored nor named
	Twice     Kind = "twice"     // stored or named more than once
	Wrong     Kind = "wrong"     // bytes that are not those that the device sent, or not those that the manifest names
	Unnamed   Kind = "unnamed"   // stored, and in no manifest; or named without a reason
	Broken    Kind = "broken"    // a chain of manifests with a hole or a fork, a run without an end
	Untrue    Kind = "untrue"    // a manifest says stored of what is not
	Left      Kind = "left"      // allowed: stored, and in no manifest, by a boot that died before it could sign
	Unended   Kind = "unended"   // allowed: no manifest ends a run, its job says why
	Note      Kind = "note"      // allowed, and told for who looks into a failure
	statusOne      = "stored"    // the entry's own document is stored
	statusTwo      = "duplicate" // an earlier boot's document is stored
	partial        = "partial"   // outcome of a document that the device did not end
	failed         = "failed"    // states of a job
	refused        = "refused"
)

// Finding is one thing that the judge saw.
type Finding struct {
	Kind              Kind
	Run, Device, Item string
	Words             string
}

// String implements fmt.Stringer.
func (f Finding) String() string {
	return fmt.Sprintf("%s: run %s %s %s: %s", f.Kind, f.Run, cmp.Or(f.Device, "-"), cmp.Or(f.Item, "-"), f.Words)
}

// Case is all that is known.
type Case struct {
	Answers   []Answer
	Documents []Document
	Manifests []Manifest // in the order in which the store took them
	Runs      []Run
	Boots     []Boot
	// Cut tells of a device that its documents may end early, or be spoiled on the
	// way: its fault cuts connections. Faulty tells of one that it has any fault.
	Cut, Faulty map[string]bool
	// Aside are items that a visit may ask for by itself, for what it has to know of
	// the device.
	Aside map[string]bool
	// Wants says what a run has to account for: the items of each device. It is given
	// the first manifest of the run. Nil items: the run is not known.
	Wants func(Manifest) map[string][]string
	// Due are the windows in which a run had to begin.
	Due []Due
}

// Due is a window of a schedule, and what was to be collected in it.
type Due struct {
	Schedule string
	Window   time.Time // its start
	Wants    map[string][]string
}

// place is where a document belongs.
type place struct{ run, device, item string }

// judge is the case under way.
type judge struct {
	Case
	rows     map[place][]Document
	entries  map[place][]named
	runs     map[string][]Manifest
	sent     map[[2]string]map[string]bool // device and item: hashes
	findings []Finding
}

// named is an entry and the manifest that it stands in.
type named struct {
	Entry
	in *Manifest
}

// Judge returns all findings; the site is good if none is a loss.
func (c Case) Judge() []Finding {
	j := &judge{Case: c, rows: map[place][]Document{}, entries: map[place][]named{}, runs: map[string][]Manifest{},
		sent: map[[2]string]map[string]bool{}}
	j.index()
	j.chain()
	for _, run := range sortedKeys(j.runs) {
		j.sections(run)
		j.coverage(run)
	}
	j.ends()
	j.begun()
	for _, at := range j.places() {
		j.stored(at)
		j.namedOnce(at)
	}
	j.heard()
	return j.findings
}

// Losses are the findings that are not allowed.
func Losses(all []Finding) []Finding {
	return slices.DeleteFunc(slices.Clone(all), func(f Finding) bool { return f.Kind == Note || f.Kind == Left || f.Kind == Unended })
}

// Count is how many findings are of a kind.
func Count(all []Finding, k Kind) (n int) {
	for _, f := range all {
		if f.Kind == k {
			n++
		}
	}
	return n
}

func (j *judge) find(k Kind, at place, words string, args ...any) {
	j.findings = append(j.findings, Finding{k, at.run, at.device, at.item, fmt.Sprintf(words, args...)})
}

func (j *judge) index() {
	for _, a := range j.Answers {
		at := [2]string{a.Device, a.Item}
		if j.sent[at] == nil {
			j.sent[at] = map[string]bool{}
		}
		j.sent[at][a.SHA256] = true
	}
	for _, d := range j.Documents {
		at := place{d.Run, d.Device, d.Item}
		j.rows[at] = append(j.rows[at], d)
	}
	for i := range j.Manifests {
		m := &j.Manifests[i]
		j.runs[m.Run] = append(j.runs[m.Run], *m)
		for _, e := range m.Entries {
			at := place{m.Run, e.Device, e.Item}
			j.entries[at] = append(j.entries[at], named{e, m})
		}
	}
}

// places are all places that have a document or an entry, in order.
func (j *judge) places() []place {
	all := map[place]bool{}
	for at := range j.rows {
		all[at] = true
	}
	for at := range j.entries {
		all[at] = true
	}
	out := make([]place, 0, len(all))
	for at := range all {
		out = append(out, at)
	}
	slices.SortFunc(out, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.run, b.run), cmp.Compare(a.device, b.device), cmp.Compare(a.item, b.item))
	})
	return out
}

// stored checks the rows of a place: one at most, named, with the bytes of the device.
func (j *judge) stored(at place) {
	rows := j.rows[at]
	if len(rows) > 1 {
		j.find(Twice, at, "%d documents are stored", len(rows))
	}
	for _, d := range rows {
		if d.Found != d.SHA256 || d.Length != d.Size {
			j.find(Wrong, at, "document %s has %d bytes that hash to %s, the store says %d and %s", d.ID, d.Length, d.Found, d.Size, d.SHA256)
		}
		told := cmp.Or(d.RawSHA256, d.SHA256)
		if cut := d.Outcome == partial && j.Cut[at.device]; !cut && !j.sent[[2]string{at.device, at.item}][told] {
			j.find(Wrong, at, "document %s is of bytes that hash to %s, which the device never sent", d.ID, told)
		}
	}
	if len(rows) == 0 || len(j.entries[at]) > 0 {
		return
	}
	if why := j.cutOff(at.run); why != "" {
		j.find(Left, at, "stored, and its visit is in no manifest: %s", why)
		return
	}
	if j.diedWith(rows[0]) {
		j.find(Left, at, "stored by boot %s, which was killed, and another run accounts for the device", rows[0].Boot)
		return
	}
	j.find(Unnamed, at, "stored, and in no manifest")
}

// cutOff is the reason for which a run was ended before its time; empty: it was not.
func (j *judge) cutOff(run string) string {
	for _, m := range j.runs[run] {
		if m.Last && m.Reason != "" {
			return m.Reason
		}
	}
	for _, r := range j.Runs { // a job that could not go on in the next boot says so itself
		if r.ID == run && r.Job != "" && (r.JobState == failed || r.JobState == refused) {
			return r.JobError
		}
	}
	return ""
}

// namedOnce checks the entries of a place against its rows.
func (j *judge) namedOnce(at place) {
	perBoot := map[string]int{}
	accounted := false
	for _, e := range j.entries[at] {
		if perBoot[e.in.Boot]++; perBoot[e.in.Boot] == 2 {
			j.find(Twice, at, "boot %s names it more than once", e.in.Boot)
		}
		accounted = accounted || e.Status == statusOne || e.Status == statusTwo
		j.entry(at, e)
	}
	if len(j.rows[at]) > 0 && len(j.entries[at]) > 0 && !accounted {
		last := j.entries[at][len(j.entries[at])-1]
		if last.in.Mode == "dry-run" {
			j.find(Untrue, at, "stored in a dry run")
			return
		}
		j.find(Note, at, "stored, and named as %s: %s", last.Status, last.Reason)
	}
}

func (j *judge) entry(at place, e named) {
	rows := j.rows[at]
	switch e.Status {
	case statusOne:
		if !slices.ContainsFunc(rows, func(d Document) bool { return d.ID == e.ID }) {
			j.find(Untrue, at, "boot %s says that %s is stored, the store has %s", e.in.Boot, e.ID, ids(rows))
			return
		}
		for _, d := range rows {
			if d.ID == e.ID && (d.SHA256 != e.SHA256 || d.Size != e.Size || d.RawSHA256 != e.RawSHA256) {
				j.find(Wrong, at, "the manifest has %d bytes %s (%s), the store %d bytes %s (%s)", e.Size, e.SHA256, e.RawSHA256, d.Size, d.SHA256, d.RawSHA256)
			}
		}
	case statusTwo:
		if len(rows) == 0 {
			j.find(Untrue, at, "boot %s says that it is stored already, and it is not", e.in.Boot)
		}
	case "failed", "skipped", "lost", "withheld", "rejected":
		if e.Reason == "" {
			j.find(Unnamed, at, "boot %s names it as %s without a reason", e.in.Boot, e.Status)
		}
	default:
		j.find(Untrue, at, "boot %s names it as %q, which is no status", e.in.Boot, e.Status)
	}
}

func ids(rows []Document) string {
	if len(rows) == 0 {
		return "nothing"
	}
	return rows[0].ID
}
