package edp_test

import (
	"bytes"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lwc/cloud/edp"
	"lwc/transport/wire"
)

func TestADocumentComesBackByteForByte(t *testing.T) {
	s, job := collecting(t, "edge-1")
	for name, body := range map[string][]byte{
		"show-version":       []byte("<rpc-reply>\r\n\x00\xff\xfe not UTF-8 </rpc-reply>\n"),
		"show-system-uptime": {},
		"show-interfaces":    bytes.Repeat([]byte("<name>ge-0/0/0</name>"), 100_000),
	} {
		d := doc(site, job.Run, "edge-1", name)
		d.Body, d.SHA256, d.Flags = body, wire.Digest(body), []string{wire.FlagMalformed}
		if got := put(t, s, d); got[0] != edp.PutStored {
			t.Fatal(got)
		}
		got := must[edp.Document](t)(s.Document(t.Context(), d.ID))
		if !bytes.Equal(got.Body, body) || got.Size != int64(len(body)) || !slices.Equal(got.Flags, d.Flags) {
			t.Errorf("%s: %d bytes came back as %d", name, len(body), len(got.Body))
		}
	}
}

func TestPutDocuments(t *testing.T) {
	s, job := collecting(t, "edge-1")
	first := doc(site, job.Run, "edge-1", "show-version")
	put(t, s, first)
	samePlace := doc(site, job.Run, "edge-1", "show-version")
	sameID := doc(site, job.Run, "edge-1", "show-system-uptime")
	sameID.ID = first.ID
	foreignID := doc(other, wire.NewID(), "edge-9", "show-version")
	foreignID.ID = first.ID
	noID := doc(site, job.Run, "edge-1", "show-system-uptime")
	noID.ID = "no ULID"
	for _, c := range []struct {
		name string
		doc  edp.Document
		want edp.PutStatus
	}{
		{"again", first, edp.PutDuplicate},
		{"the same place under another id", samePlace, edp.PutDuplicate},
		{"the same id at another place", sameID, edp.PutDuplicate},
		{"an id of another collector", foreignID, edp.PutRefused},
		{"a run of another collector", doc(other, job.Run, "edge-1", "show-version"), edp.PutRefused},
		{"an unknown collector", doc("nobody-here", wire.NewID(), "edge-1", "show-version"), edp.PutRefused},
		{"no id", noID, edp.PutRefused},
		{"new", doc(site, job.Run, "edge-1", "show-system-uptime"), edp.PutStored},
		{"an item nobody asked for", doc(site, job.Run, "edge-1", "show-system-alarms"), edp.PutStored},
	} {
		if got := put(t, s, c.doc); got[0] != c.want {
			t.Errorf("%s: %s, want %s", c.name, got[0], c.want)
		}
	}
	r := run(t, s, job.Run)
	if r.Expected != 3 || r.Stored != 3 || r.State != edp.RunRunning {
		t.Errorf("run: %+v", r)
	}
	if n := len(must[[]edp.Document](t)(s.Documents(t.Context(), edp.DocumentFilter{Collector: other}))); n != 0 {
		t.Errorf("another collector has %d documents", n)
	}
}

func TestDuplicatesInOneBatch(t *testing.T) {
	s, job := collecting(t, "edge-1")
	d := doc(site, job.Run, "edge-1", "show-version")
	got := put(t, s, d, d, doc(site, job.Run, "edge-1", "show-version"))
	if !slices.Equal(got, []edp.PutStatus{edp.PutStored, edp.PutDuplicate, edp.PutDuplicate}) {
		t.Fatal(got)
	}
}

// Many writers send the same documents, as collectors do after a reconnect.
func TestConcurrentDuplicatesAreStoredOnce(t *testing.T) {
	s, job := collecting(t, "edge-1", "edge-2")
	var docs []edp.Document
	for _, dev := range []string{"edge-1", "edge-2"} {
		for _, item := range twoItems["small"] {
			docs = append(docs, doc(site, job.Run, dev, item))
		}
	}
	var mu sync.Mutex
	count := map[edp.PutStatus]int{}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			got, err := s.PutDocuments(t.Context(), docs)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, st := range got {
				count[st]++
			}
		})
	}
	wg.Wait()
	if count[edp.PutStored] != len(docs) || count[edp.PutDuplicate] != 15*len(docs) {
		t.Fatal(count)
	}
	if r := run(t, s, job.Run); r.Stored != len(docs) || r.Expected != len(docs) {
		t.Fatalf("%+v", r)
	}
}

func TestDocumentFilters(t *testing.T) {
	s, job := collecting(t, "edge-1", "edge-2")
	second := must[edp.Job](t)(s.CreateJob(t.Context(), edp.NewJob{Collector: site, Kind: wire.JobCollect}))
	old := doc(site, job.Run, "edge-1", "show-version")
	old.CollectedAt = time.Now().Add(-time.Hour)
	newer := doc(site, second.Run, "edge-1", "show-version")
	put(t, s, newer, old, doc(site, job.Run, "edge-1", "show-system-uptime"), doc(site, job.Run, "edge-2", "show-version"))
	for _, c := range []struct {
		name string
		f    edp.DocumentFilter
		want int
	}{
		{"all", edp.DocumentFilter{}, 4},
		{"one device", edp.DocumentFilter{Device: "edge-1"}, 3},
		{"one item", edp.DocumentFilter{Device: "edge-1", Item: "show-version"}, 2},
		{"one run", edp.DocumentFilter{Run: job.Run}, 3},
		{"latest", edp.DocumentFilter{Latest: true}, 3},
		{"limit", edp.DocumentFilter{Limit: 2}, 2},
		{"another collector", edp.DocumentFilter{Collector: other}, 0},
	} {
		got := must[[]edp.Document](t)(s.Documents(t.Context(), c.f))
		if len(got) != c.want {
			t.Errorf("%s: %d documents, want %d", c.name, len(got), c.want)
		}
		for _, d := range got {
			if d.Body != nil {
				t.Errorf("%s: a list carries bodies", c.name)
			}
		}
	}
	latest := must[[]edp.Document](t)(s.Documents(t.Context(), edp.DocumentFilter{Device: "edge-1", Item: "show-version", Latest: true}))
	if len(latest) != 1 || latest[0].ID != newer.ID {
		t.Errorf("the latest is %+v, want %s", latest, newer.ID)
	}
}

func TestADamagedDocumentIsNamed(t *testing.T) {
	s, job := collecting(t, "edge-1")
	d := doc(site, job.Run, "edge-1", "show-version")
	d.SHA256 = strings.Repeat("0", 64)
	put(t, s, d)
	if _, err := s.Document(t.Context(), d.ID); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Fatal(err)
	}
}
