package ledger

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
)

// shown is how many findings of one kind the text of a report has.
const shown = 20

// Print writes a report in words: what was checked, and all that is wrong.
func (r Report) Print(w io.Writer) error {
	fmt.Fprintf(w, "Ledger of collector %s, as of %s%s\n\n", r.Head.Collector, r.Head.Exported.UTC().Format("2006-01-02 15:04:05 UTC"), ofRun(r.Head.Run))
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, line := range []struct{ name, text string }{
		{"signatures", r.signatures()}, {"chain", r.chainText()}, {"sections", r.sectionsText()},
		{"documents", r.entriesText()}, {"bytes", r.bytesText()}, {"nothing else", r.unnamedText()},
	} {
		if line.text != "" {
			fmt.Fprintf(t, "%s\t%s\n", line.name, line.text)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if r.Manifests == 0 && r.Documents == 0 && r.OK() {
		_, err := io.WriteString(w, "\nThere is nothing to check yet.\n")
		return err
	}
	_, err := io.WriteString(w, "\n"+r.verdict())
	return err
}

func ofRun(run string) string {
	if run == "" {
		return ""
	}
	return ", run " + run + " alone"
}

// count returns how many findings are of these kinds.
func (r Report) count(kinds ...string) int {
	n := 0
	for _, f := range r.Findings {
		for _, k := range kinds {
			if f.Kind == k {
				n++
			}
		}
	}
	return n
}

// plural is a number of things: "1 manifest", "3 manifests".
func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return humanize.Comma(int64(n)) + " " + one + "s"
}

func (r Report) signatures() string {
	whose := "the key that was given"
	if !r.Own {
		whose = "the key that the export carries (who made it could have put it there: give the collector's own with --key)"
	}
	if len(r.Keys) > 1 {
		whose = strings.Replace(whose, "the key", "one of the keys", 1)
	}
	text := fmt.Sprintf("%s of %s signed by %s", humanize.Comma(int64(r.Signed)), plural(r.Manifests, "manifest"), whose)
	if len(r.Keys) > 0 {
		text += "; SHA-256 of it " + strings.Join(r.Keys, ", ")
	}
	if r.Unsigned > 0 {
		text += fmt.Sprintf("; %s stored before signatures were kept, and only their hashes are in the chain", plural(r.Unsigned, "manifest"))
	}
	return text
}

func (r Report) chainText() string {
	switch n := r.count(BadChain); {
	case r.Manifests == 0:
		return "no manifest is there: nothing was accounted for yet"
	case n > 0:
		return "broken, see below"
	case r.Head.Run != "":
		return "each manifest of this run that is followed by another of it is named by that one; verify all runs to check the whole chain"
	}
	return fmt.Sprintf("unbroken from the first manifest, of %s, to the newest, with the SHA-256 %s", r.First.UTC().Format(time.DateOnly), r.Newest)
}

func (r Report) sectionsText() string {
	text := plural(r.Runs, "run")
	if n := r.count(BadSection); n > 0 {
		text += ", sections are missing or out of order, see below"
	} else {
		text += ", no section of any is missing"
	}
	if n := len(r.UnderWay); n > 0 {
		text += fmt.Sprintf("; %s under way and without an end yet (%s)", plural(n, "run"), strings.Join(r.UnderWay, ", "))
	}
	if n := r.count(NoEnd); n > 0 {
		text += fmt.Sprintf("; %s without an end, see below", plural(n, "run"))
	} else if len(r.UnderWay) > 0 {
		text += "; all others have their end"
	} else {
		text += ", and each has its end"
	}
	return text
}

func (r Report) entriesText() string {
	if r.Head.Documents == DocumentsNone {
		return fmt.Sprintf("%s named as stored, %s without a document; the store was not looked at", plural(r.Entries, "document"), plural(r.Absent, "item"))
	}
	bad := r.count(Missing, BadBytes)
	text := fmt.Sprintf("%s that manifests call stored: ", plural(r.Entries, "document"))
	if bad == 0 {
		text += "each is in the store with the size and the SHA-256 that were signed"
	} else {
		text += fmt.Sprintf("%s missing or with other bytes, see below", plural(bad, "document"))
	}
	return text + fmt.Sprintf("; %s for which a manifest tells why there is no document", plural(r.Absent, "item"))
}

func (r Report) bytesText() string {
	amount := fmt.Sprintf("%s, %s", plural(r.Documents, "document"), humanize.IBytes(uint64(max(r.Bytes, 0))))
	switch r.Head.Documents {
	case DocumentsBytes:
		return amount + ": every SHA-256 was computed here, from the bytes in the export"
	case DocumentsHashes:
		return amount + ": every SHA-256 was computed by the cloud, from the bytes that it stores; to compute them yourself, ask for the bytes (--bytes)"
	}
	return ""
}

func (r Report) unnamedText() string {
	if r.Head.Documents == DocumentsNone {
		return ""
	}
	text := "no document is stored that manifests do not name or call withheld"
	if n := r.count(Unnamed, Contrary); n > 0 {
		text = fmt.Sprintf("%s stored that should not be, see below", plural(n, "document"))
	}
	if r.Pending > 0 {
		text += fmt.Sprintf("; %s of runs under way will be named by their next section", plural(r.Pending, "document"))
	}
	if r.Earlier > 0 {
		text += fmt.Sprintf("; %s came from a boot that ended before it could sign for them: a later boot accounts for the items, and nothing vouches for the bytes", plural(r.Earlier, "document"))
	}
	if r.Arrived > 0 {
		text += fmt.Sprintf("; %s that the collector gave up had arrived, with the signed SHA-256", plural(r.Arrived, "document"))
	}
	return text
}

// verdict is the last part of a report.
func (r Report) verdict() string {
	if r.OK() {
		return "Everything that was checked is in order.\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s wrong:\n", strings.Replace(plural(len(r.Findings), "thing"), "things", "things are", 1))
	if len(r.Findings) == 1 {
		b.Reset()
		b.WriteString("1 thing is wrong:\n")
	}
	told := map[string]int{}
	for _, f := range r.Findings {
		if told[f.Kind]++; told[f.Kind] <= shown {
			fmt.Fprintf(&b, "  %s: %s: %s\n", f.Kind, f.Where, f.Text)
		}
	}
	for _, f := range r.Findings {
		if more := told[f.Kind] - shown; more > 0 {
			fmt.Fprintf(&b, "  %s: and %s more (--json lists all)\n", f.Kind, humanize.Comma(int64(more)))
			told[f.Kind] = 0
		}
	}
	return b.String()
}
