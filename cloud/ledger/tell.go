package ledger

import (
	"cmp"
	"encoding/json"
	"io"
	"slices"
	"time"

	"lwc/transport/wire"
)

// Summary is what the manifests of one run say left the site.
type Summary struct {
	Run      string         `json:"run"`
	Schedule string         `json:"schedule,omitempty"`
	Window   time.Time      `json:"window,omitzero"`
	Job      string         `json:"job,omitempty"`
	Mode     string         `json:"mode"`
	Started  time.Time      `json:"started"`
	Finished time.Time      `json:"finished"` // of the newest section
	Ended    bool           `json:"ended"`
	Reason   string         `json:"reason,omitempty"` // why it was cut off
	Sections int            `json:"sections"`
	Boots    int            `json:"boots"`
	Devices  int            `json:"devices"`
	Failed   int            `json:"devices_failed"`
	Items    int            `json:"items"`     // asked for or skipped
	Left     int            `json:"left"`      // documents that left, wholly or as unchanged
	Same     int            `json:"unchanged"` // of these, told without their bytes
	Raw      int64          `json:"raw_bytes"` // of these, as the devices sent them
	Bytes    int64          `json:"bytes"`     // after masking
	Sent     int64          `json:"sent"`      // on the wire: compressed, with headers
	Masked   map[string]int `json:"masked"`    // values replaced in documents that left, by class
	Kinds    []Kind         `json:"items_left"`
	Stayed   []Stayed       `json:"stayed"`
}

// Kind is how much of one item left.
type Kind struct {
	Item      string `json:"item"`
	Documents int    `json:"documents"`
	Bytes     int64  `json:"bytes"`
}

// Stayed are items that did not leave, for one reason.
type Stayed struct {
	Status wire.EntryStatus `json:"status"` // withheld, lost, failed, rejected or skipped
	Reason string           `json:"reason"`
	Items  int              `json:"items"`
	Bytes  int64            `json:"bytes"` // that were collected
}

// Tell reads an export and sums up its runs, the oldest first. It checks nothing:
// that is for Verify.
func Tell(r io.Reader) (Head, []Summary, error) {
	t := &teller{runs: map[string]*tally{}}
	if err := read(r, t); err != nil {
		return Head{}, nil, err
	}
	out := make([]Summary, 0, len(t.order))
	for _, run := range t.order {
		out = append(out, t.runs[run].sum())
	}
	slices.SortStableFunc(out, func(a, b Summary) int { return a.Started.Compare(b.Started) })
	return t.of, out, nil
}

type teller struct {
	of    Head
	runs  map[string]*tally
	order []string // of runs, as they come
}

func (t *teller) head(h Head) error                 { t.of = h; return nil }
func (t *teller) record(Record) error               { return nil }
func (t *teller) bytes(string, string, int64) error { return nil }
func (t *teller) manifest(_ int, m Manifest) error {
	var c wire.Manifest
	if err := json.Unmarshal(m.Plain, &c); err != nil {
		return nil // Verify tells of it
	}
	x := t.runs[c.Run]
	if x == nil {
		x = &tally{Summary: Summary{Run: c.Run, Started: c.Started, Masked: map[string]int{}}, boots: map[string]bool{},
			ok: map[string]bool{}, entries: map[place]wire.ManifestEntry{}}
		t.runs[c.Run], t.order = x, append(t.order, c.Run)
	}
	x.add(c)
	return nil
}

// tally is a run that is being summed up. What a later boot says of an item or a
// device stands in place of what an earlier one said; the bytes of both left.
type tally struct {
	Summary
	boots   map[string]bool
	ok      map[string]bool // devices
	entries map[place]wire.ManifestEntry
}

func (x *tally) add(c wire.Manifest) {
	x.Schedule, x.Job = cmp.Or(c.Schedule, x.Schedule), cmp.Or(c.Job, x.Job)
	x.Mode, x.Reason = cmp.Or(c.Mode, x.Mode), c.Reason
	if !c.Window.IsZero() {
		x.Window = c.Window
	}
	x.Started, x.Finished = earliest(x.Started, c.Started), c.Finished
	x.Ended = c.Last || c.Section == 0
	x.Sections++
	x.boots[c.Boot] = true
	for _, d := range c.Devices {
		x.ok[d.Device] = x.ok[d.Device] || d.OK
	}
	for _, e := range c.Documents {
		x.Sent += e.Sent
		at := place{c.Run, e.Device, e.Item}
		if old, was := x.entries[at]; !was || !left(old.Status) {
			x.entries[at] = e
		}
	}
}

func left(s wire.EntryStatus) bool { return s == wire.EntryStored || s == wire.EntryDuplicate }

// sum counts the last word on each item.
func (x *tally) sum() Summary {
	s := x.Summary
	s.Mode, s.Boots, s.Devices, s.Items = cmp.Or(s.Mode, wire.EgressSend), len(x.boots), len(x.ok), len(x.entries)
	for _, ok := range x.ok {
		if !ok {
			s.Failed++
		}
	}
	kinds, stayed := map[string]Kind{}, map[Stayed]Stayed{}
	for _, e := range x.entries {
		if !left(e.Status) {
			key := Stayed{Status: e.Status, Reason: e.Reason}
			v := stayed[key]
			stayed[key] = Stayed{e.Status, e.Reason, v.Items + 1, v.Bytes + e.Size}
			continue
		}
		k := kinds[e.Item]
		kinds[e.Item] = Kind{e.Item, k.Documents + 1, k.Bytes + e.Size}
		s.count(e)
	}
	for _, k := range kinds {
		s.Kinds = append(s.Kinds, k)
	}
	for _, v := range stayed {
		s.Stayed = append(s.Stayed, v)
	}
	slices.SortFunc(s.Kinds, func(a, b Kind) int { return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Item, b.Item)) })
	slices.SortFunc(s.Stayed, func(a, b Stayed) int {
		return cmp.Or(cmp.Compare(a.Status, b.Status), cmp.Compare(b.Items, a.Items), cmp.Compare(a.Reason, b.Reason))
	})
	return s
}

// count adds a document that left.
func (s *Summary) count(e wire.ManifestEntry) {
	s.Left++
	if e.Unchanged {
		s.Same++
	}
	s.Bytes += e.Size
	if e.RawSHA256 != "" {
		s.Raw += e.RawSize
	} else {
		s.Raw += e.Size
	}
	for class, n := range e.Masked {
		s.Masked[class] += n
	}
}
