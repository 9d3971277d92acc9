package chaos

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func sum(b string) string {
	h := sha256.Sum256([]byte(b))
	return hex.EncodeToString(h[:])
}

func text(device, item string) string { return "<" + device + "/" + item + ">" }

// good is a case with nothing wrong: a run by schedule in two boots, the first of
// which was killed after its first section, and a run on demand.
func good() Case {
	c := Case{Cut: map[string]bool{"cut": true}, Faulty: map[string]bool{"cut": true, "dead": true}}
	c.Wants = func(m Manifest) map[string][]string {
		items := []string{"a", "b"}
		if m.Job != "" {
			return map[string][]string{"d1": items}
		}
		return map[string][]string{"d1": items, "d2": items, "d3": items, "cut": items, "dead": items}
	}
	answer := func(at int, device, item string) {
		c.Answers = append(c.Answers, Answer{Time: noon.Add(time.Duration(at) * time.Second), Device: device, Item: item, SHA256: sum(text(device, item))})
	}
	doc := func(run, boot, device, item string) Entry {
		body := text(device, item)
		d := Document{ID: run + device + item, Run: run, Device: device, Item: item, Boot: boot, Outcome: "ok", SHA256: sum(body), Size: int64(len(body)), Found: sum(body), Length: int64(len(body))}
		c.Documents = append(c.Documents, d)
		return Entry{ID: d.ID, Device: device, Item: item, Status: "stored", Outcome: "ok", SHA256: d.SHA256, Size: d.Size}
	}
	for i, device := range []string{"d1", "d2", "d2", "d3", "cut", "d1"} {
		answer(i*10, device, "a")
		answer(i*10+1, device, "b")
	}
	s := Manifest{Run: "R", Schedule: "daily", Window: noon, Started: noon}
	one, two := s, s
	one.Boot, one.Section, one.Entries = "B1", 1, []Entry{doc("R", "B1", "d1", "a"), doc("R", "B1", "d1", "b")}
	doc("R", "B1", "d2", "a") // stored before the kill, and in no manifest of that boot
	again := Entry{ID: "other", Device: "d2", Item: "a", Status: "duplicate", SHA256: sum(text("d2", "a"))}
	half := doc("R", "B2", "cut", "a")
	c.Documents[len(c.Documents)-1].Outcome, c.Documents[len(c.Documents)-1].SHA256, c.Documents[len(c.Documents)-1].Found = "partial", sum("<"), sum("<")
	half.SHA256, half.Outcome = sum("<"), "partial"
	fail := func(device, item string) Entry {
		return Entry{Device: device, Item: item, Status: "failed", Reason: "closed: it hung up"}
	}
	two.Boot, two.Section, two.Last = "B2", 1, true
	two.Entries = []Entry{again, doc("R", "B2", "d2", "b"), doc("R", "B2", "d3", "a"), doc("R", "B2", "d3", "b"), half, fail("cut", "b"), fail("dead", "a"), fail("dead", "b")}
	job := Manifest{Run: "J", Job: "job", Boot: "B2", Section: 1, Last: true, Started: noon, Entries: []Entry{doc("J", "B2", "d1", "a"), doc("J", "B2", "d1", "b")}}
	for i, m := range []Manifest{one, two, job} {
		m.Hash = fmt.Sprint("h", i)
		m.Found = m.Hash
		if i > 0 {
			m.Previous = fmt.Sprint("h", i-1)
		}
		c.Manifests = append(c.Manifests, m)
	}
	c.Due = []Due{{Schedule: "daily", Window: noon, Wants: map[string][]string{"d3": {"a"}}}}
	c.Runs = []Run{{ID: "R", State: "complete"}, {ID: "J", Job: "job", JobState: "done", State: "complete"}}
	c.Boots = []Boot{{ID: "B1", Start: noon, End: noon.Add(15 * time.Second)}, {ID: "B2", Start: noon.Add(16 * time.Second), End: noon.Add(time.Hour), Whole: true}}
	return c
}

func TestGoodCaseIsGood(t *testing.T) {
	if found := Losses(good().Judge()); len(found) > 0 {
		t.Errorf("findings: %v", found)
	}
}

// row finds a document of the case, to be spoilt.
func row(c *Case, id string) *Document {
	i := slices.IndexFunc(c.Documents, func(d Document) bool { return d.ID == id })
	return &c.Documents[i]
}

// Every kind of loss is seen, and called by its name.
func TestJudgeFindsEveryLoss(t *testing.T) {
	for name, c := range map[string]struct {
		want  Kind
		spoil func(*Case)
	}{
		"document gone": {Untrue, func(c *Case) {
			c.Documents = slices.DeleteFunc(c.Documents, func(d Document) bool { return d.ID == "Rd3a" })
		}},
		"duplicate of nothing": {Untrue, func(c *Case) {
			c.Documents = slices.DeleteFunc(c.Documents, func(d Document) bool { return d.ID == "Rd2a" })
		}},
		"other document": {Untrue, func(c *Case) { row(c, "Rd3a").ID = "X" }},
		"entry gone":     {Unnamed, func(c *Case) { c.Manifests[1].Entries = slices.Delete(c.Manifests[1].Entries, 2, 3) }},
		"entry and document gone": {Missing, func(c *Case) {
			c.Manifests[1].Entries = slices.Delete(c.Manifests[1].Entries, 2, 3)
			c.Documents = slices.DeleteFunc(c.Documents, func(d Document) bool { return d.ID == "Rd3a" })
		}},
		"failed item gone": {Missing, func(c *Case) { c.Manifests[1].Entries = slices.Delete(c.Manifests[1].Entries, 6, 7) }},
		"sent and not told": {Missing, func(c *Case) {
			c.Answers = append(c.Answers, Answer{Time: noon.Add(time.Minute), Device: "d3", Item: "a"})
		}},
		"stored twice": {Twice, func(c *Case) { d := *row(c, "Rd3a"); d.ID = "again"; c.Documents = append(c.Documents, d) }},
		"named twice": {Twice, func(c *Case) {
			c.Manifests[1].Entries = append(c.Manifests[1].Entries, c.Manifests[1].Entries[2])
		}},
		"bytes of another": {Wrong, func(c *Case) { row(c, "Rd3a").Found = sum("x") }},
		"cut short":        {Wrong, func(c *Case) { row(c, "Rd3a").Length-- }},
		"never sent": {Wrong, func(c *Case) {
			c.Answers = slices.DeleteFunc(c.Answers, func(a Answer) bool { return a.Device == "d3" })
		}},
		"half of a good one": {Wrong, func(c *Case) {
			d := row(c, "Rd3a")
			d.SHA256, d.Found, d.Outcome = sum("<"), sum("<"), "partial"
			c.Manifests[1].Entries[2].SHA256 = d.SHA256
		}},
		"manifest of other bytes": {Wrong, func(c *Case) { c.Manifests[1].Entries[2].SHA256 = sum("x") }},
		"masked from other bytes": {Wrong, func(c *Case) {
			row(c, "Rd3a").RawSHA256 = sum("x")
			c.Manifests[1].Entries[2].RawSHA256 = sum("x")
		}},
		"no reason": {Unnamed, func(c *Case) { c.Manifests[1].Entries[5].Reason = "" }},
		"no status": {Untrue, func(c *Case) { c.Manifests[1].Entries[5].Status = "fine" }},
		"dry run that is not": {Untrue, func(c *Case) {
			c.Manifests[1].Mode = "dry-run"
			e := &c.Manifests[1].Entries[2]
			e.Status, e.Reason = "withheld", "dry run"
		}},
		"run without an end": {Broken, func(c *Case) { c.Manifests[1].Last = false }},
		"job refused without words": {Broken, func(c *Case) {
			c.Manifests[2].Last, c.Runs[1].JobState = false, "refused"
		}},
		"run without account": {Broken, func(c *Case) { c.Runs = append(c.Runs, Run{ID: "Z", State: "running"}) }},
		"collected before the window": {Missing, func(c *Case) {
			c.Documents = slices.DeleteFunc(c.Documents, func(d Document) bool { return d.Run == "R" && d.Device == "d1" })
			c.Manifests[0].Entries = nil
			c.Manifests[2].Devices = []Result{{Device: "d1", OK: true}}
			c.Manifests[2].Started = noon.Add(-time.Minute)
		}},
		"stored by the last boot, and not named": {Unnamed, func(c *Case) {
			c.Manifests[0].Entries, c.Manifests[2].Devices = nil, []Result{{Device: "d1", OK: true}}
			row(c, "Rd1a").Boot = "B2"
		}},
		"stored by a boot that was killed, and not named": {Unnamed, func(c *Case) { c.Manifests[0].Entries = nil }},
		"window that never began": {Missing, func(c *Case) {
			c.Due = []Due{{Schedule: "daily", Window: noon.Add(time.Hour), Wants: map[string][]string{"d1": {"a"}}}}
		}},
		"run of nobody":     {Unnamed, func(c *Case) { c.Wants = func(Manifest) map[string][]string { return nil } }},
		"section left out":  {Broken, func(c *Case) { c.Manifests[1].Section = 2 }},
		"hole in the chain": {Broken, func(c *Case) { c.Manifests[1].Previous = "h9" }},
		"fork":              {Broken, func(c *Case) { c.Manifests[2].Previous = "h0" }},
		"second chain":      {Broken, func(c *Case) { c.Manifests[2].Previous = "" }},
		"manifest changed":  {Wrong, func(c *Case) { c.Manifests[2].Found = "x" }},
	} {
		t.Run(name, func(t *testing.T) {
			bad := good()
			c.spoil(&bad)
			found := Losses(bad.Judge())
			if !slices.ContainsFunc(found, func(f Finding) bool { return f.Kind == c.want }) {
				t.Errorf("want %s, found %v", c.want, found)
			}
		})
	}
}

// What is allowed is told as a note.
func TestJudgeAllows(t *testing.T) {
	for name, spoil := range map[string]func(*Case){
		"a run cut off": func(c *Case) {
			m := &c.Manifests[1]
			m.Reason, m.Entries = "the window is over", m.Entries[4:]
			c.Boots[1].Whole = false
		},
		"collected on demand in the window": func(c *Case) {
			c.Documents = slices.DeleteFunc(c.Documents, func(d Document) bool { return d.Run == "R" && d.Device == "d1" })
			c.Manifests[0].Entries = nil
			c.Manifests[2].Devices = []Result{{Device: "d1", OK: true}}
		},
		"collected by another schedule in the window": func(c *Case) {
			c.Documents = slices.DeleteFunc(c.Documents, func(d Document) bool { return d.Run == "R" && d.Device == "d1" })
			c.Manifests[0].Entries = nil
			c.Manifests[2].Devices = []Result{{Device: "d1", OK: true}}
			c.Manifests[2].Schedule = "other"
			c.Due = append(c.Due, Due{Schedule: "third", Window: noon, Wants: map[string][]string{"d1": {"a", "b"}}})
		},
		"tried by another schedule in the window": func(c *Case) {
			c.Manifests[1].Entries = c.Manifests[1].Entries[:6] // dead is left out
			m := &c.Manifests[2]
			m.Devices = []Result{{Device: "dead"}}
			for _, item := range []string{"a", "b"} {
				m.Entries = append(m.Entries, Entry{Device: "dead", Item: item, Status: "failed", Reason: "connect: nobody answers"})
			}
		},
		"stored by a boot that was killed, and collected by another run": func(c *Case) {
			c.Manifests[0].Entries, c.Manifests[2].Devices = nil, []Result{{Device: "d1", OK: true}}
		},
		"a job that was too late for the next boot": func(c *Case) {
			m := &c.Manifests[2]
			m.Last, m.Entries = false, m.Entries[:1]
			c.Runs[1].JobState, c.Runs[1].JobError = "refused", "it has expired"
			c.Boots[1].Whole = false
		},
		"asked aside, or in another way": func(c *Case) {
			c.Aside = map[string]bool{"who": true}
			c.Answers = append(c.Answers, Answer{Time: noon.Add(time.Minute), Device: "d3", Item: "who"},
				Answer{Time: noon.Add(time.Minute), Device: "d3", Item: "a", RPC: "other"})
			c.Manifests[1].Entries[2].Status, c.Manifests[1].Entries[2].Reason = "lost", "the budget was full"
		},
		"named as lost, and stored": func(c *Case) {
			e := &c.Manifests[1].Entries[2]
			e.Status, e.Reason = "lost", "the budget was full"
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := good()
			spoil(&c)
			found := c.Judge()
			if losses := Losses(found); len(losses) > 0 || len(found) == 0 {
				t.Errorf("losses %v of %v", losses, found)
			}
		})
	}
}

// The store is read as its schema says: whole bodies, bodies in parts, and those
// that are equal to another's.
func TestStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "edp.db")
	db, err := sql.Open("sqlite", path)
	must(t, err)
	zip, err := zstd.NewWriter(nil)
	must(t, err)
	long := strings.Repeat("0123456789", 5000)
	packed, manifest := zip.EncodeAll([]byte(long), nil), `{"run":"R","boot":"B","section":1,"documents":[{"id":"1","status":"stored"}]}`
	exec := func(query string, args ...any) {
		_, err := db.Exec(query, args...)
		must(t, err)
	}
	exec(`CREATE TABLE documents (id, run, device, item, boot, outcome, sha256, raw_sha256, size, body, enc, parts, same_as)`)
	exec(`CREATE TABLE parts (document, part, body)`)
	exec(`CREATE TABLE manifests (hash, raw, received_at)`)
	exec(`CREATE TABLE runs (id, job, state)`)
	exec(`CREATE TABLE jobs (id, state, error, devices)`)
	add := func(id string, body []byte, enc string, parts int, same string) {
		exec(`INSERT INTO documents VALUES (?,'R','d',?,'B','ok',?,'',?,?,?,?,?)`, id, "i"+id, sum(long), len(long), body, enc, parts, same)
	}
	add("1", nil, "", 0, "2")
	add("2", packed, "", 0, "")
	add("3", nil, "zstd", 2, "")
	add("4", nil, "identity", 1, "")
	add("5", nil, "", 0, "9")
	for i, p := range [][]byte{packed[:20], packed[20:]} {
		exec(`INSERT INTO parts VALUES ('3',?,?)`, i, p)
	}
	exec(`INSERT INTO parts VALUES ('4',0,?)`, []byte(long))
	exec(`INSERT INTO manifests VALUES (?,?,1)`, sum(manifest), zip.EncodeAll([]byte(manifest), nil))
	exec(`INSERT INTO runs VALUES ('R','J','running')`)
	exec(`INSERT INTO jobs VALUES ('J','refused','it is too late','["d"]')`)
	must(t, db.Close())
	var c Case
	must(t, c.Store(context.Background(), path))
	for _, d := range c.Documents {
		if good := d.Found == sum(long) && d.Length == int64(len(long)); good != (d.ID != "5") {
			t.Errorf("document %s: %d bytes, %s", d.ID, d.Length, d.Found)
		}
	}
	if len(c.Documents) != 5 || len(c.Manifests) != 1 || c.Manifests[0].Found != c.Manifests[0].Hash || len(c.Manifests[0].Entries) != 1 {
		t.Errorf("%d documents, manifests %+v", len(c.Documents), c.Manifests)
	}
	if len(c.Runs) != 1 || !reflect.DeepEqual(c.Runs[0], Run{"R", "J", "running", "refused", "it is too late", []string{"d"}}) {
		t.Errorf("runs %+v", c.Runs)
	}
}

func TestSent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sent")
	line, err := json.Marshal(Answer{Time: noon, Device: "d", Item: "i", SHA256: "x", Bytes: 3})
	must(t, err)
	must(t, os.WriteFile(path, append(append(line, '\n'), line...), 0o600))
	all, err := Sent(path)
	if err != nil || len(all) != 2 || all[1].Device != "d" || !all[0].Time.Equal(noon) {
		t.Errorf("%+v, %v", all, err)
	}
	must(t, os.WriteFile(path, []byte("{"), 0o600))
	if _, err := Sent(path); err == nil {
		t.Error("a torn line is read")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
