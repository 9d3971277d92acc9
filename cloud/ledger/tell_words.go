package ledger

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"lwc/transport/wire"
)

// Print writes in words what left the site in one run.
func (s Summary) Print(w io.Writer) error {
	lines := []string{s.whenText(), s.devicesText(), s.leftText(), s.maskedText()}
	for _, st := range []wire.EntryStatus{wire.EntryWithheld, wire.EntryLost, wire.EntryRejected, wire.EntryFailed, wire.EntrySkipped} {
		lines = append(lines, s.stayedText(st)...)
	}
	if s.Left > 0 {
		lines = append(lines, s.kindsText())
	}
	_, err := fmt.Fprintf(w, "Run %s, %s\n  %s\n", s.Run, s.why(), strings.Join(lines, "\n  "))
	return err
}

func (s Summary) why() string {
	text := "asked for"
	if s.Schedule != "" {
		text = "by the schedule " + s.Schedule
		if !s.Window.IsZero() {
			text += ", window of " + stamp(s.Window)
		}
	}
	switch s.Mode {
	case wire.EgressDryRun:
		text += ", dry run"
	case wire.EgressHold:
		text += ", with items held for approval"
	}
	return text
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

func size(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }

func (s Summary) whenText() string {
	text := fmt.Sprintf("%s to %s; %s", stamp(s.Started), stamp(s.Finished), plural(s.Sections, "signed section"))
	if s.Boots > 1 {
		text += fmt.Sprintf(" over %d starts of the collector", s.Boots)
	}
	switch {
	case !s.Ended:
		text += "; it has no end yet"
	case s.Reason != "":
		text += "; cut off: " + s.Reason
	}
	return text
}

func (s Summary) devicesText() string {
	text := fmt.Sprintf("%s, %s", plural(s.Devices, "device"), plural(s.Items, "item"))
	if s.Failed > 0 {
		text += fmt.Sprintf("; %s could not be collected", plural(s.Failed, "device"))
	}
	return text
}

func (s Summary) leftText() string {
	if s.Left == 0 {
		return fmt.Sprintf("No document left the site. %s of headers were sent.", size(s.Sent))
	}
	text := fmt.Sprintf("%s left the site: %s as the devices sent them, %s after masking, %s on the wire",
		plural(s.Left, "document"), size(s.Raw), size(s.Bytes), size(s.Sent))
	if s.Same > 0 {
		text += fmt.Sprintf("; %s of them unchanged since the time before, of which only the header left", humanize.Comma(int64(s.Same)))
	}
	return text + "."
}

func (s Summary) maskedText() string {
	if len(s.Masked) == 0 {
		return "Masking replaced nothing in what left."
	}
	var parts []string
	total := 0
	for _, class := range slices.Sorted(maps.Keys(s.Masked)) {
		total += s.Masked[class]
		parts = append(parts, fmt.Sprintf("%s of %s", humanize.Comma(int64(s.Masked[class])), class))
	}
	return fmt.Sprintf("Masking replaced %s by pseudonyms: %s.", plural(total, "value"), strings.Join(parts, ", "))
}

// stayedWords say what a status means for the site.
var stayedWords = map[wire.EntryStatus]struct{ some, none string }{
	wire.EntryWithheld: {"withheld: collected, and the bytes stayed at the site", "Nothing was withheld."},
	wire.EntryLost:     {"lost: collected, and dropped before they could leave", "Nothing was lost."},
	wire.EntryRejected: {"refused by the cloud, and not stored", ""},
	wire.EntryFailed:   {"without an answer of the device", ""},
	wire.EntrySkipped:  {"not asked for", ""},
}

func (s Summary) stayedText(status wire.EntryStatus) (out []string) {
	words := stayedWords[status]
	items, bytes := 0, int64(0)
	for _, v := range s.Stayed {
		if v.Status == status {
			items, bytes = items+v.Items, bytes+v.Bytes
			out = append(out, fmt.Sprintf("  %s: %s", humanize.Comma(int64(v.Items)), orNone(v.Reason)))
		}
	}
	if items == 0 {
		if words.none != "" {
			out = append(out, words.none)
		}
		return out
	}
	head := plural(items, "item") + " " + words.some
	if bytes > 0 {
		head += " (" + size(bytes) + ")"
	}
	return append([]string{head + ":"}, out...)
}

// mostKinds is how many items are named, the largest first.
const mostKinds = 10

func (s Summary) kindsText() string {
	var parts []string
	for _, k := range s.Kinds[:min(len(s.Kinds), mostKinds)] {
		parts = append(parts, fmt.Sprintf("%s (%s, %s)", k.Item, plural(k.Documents, "document"), size(k.Bytes)))
	}
	text := "What left: " + strings.Join(parts, ", ")
	if more := len(s.Kinds) - mostKinds; more > 0 {
		text += fmt.Sprintf(" and %s", plural(more, "more item"))
	}
	return text + "."
}
