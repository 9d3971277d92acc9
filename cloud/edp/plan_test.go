package edp

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// No way to ask for documents may read all of them: there are 16,000 a day from
// 1,000 devices. Each is served by the index that fits it best.
func TestDocumentsByIndex(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "edp.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const (
		byTime     = "SCAN d USING INDEX documents_newest"
		byTimeOf   = "SEARCH d USING INDEX documents_newest_of (collector=?)"
		ofDevice   = "SEARCH d USING INDEX documents_place (collector=? AND device=?)"
		ofPlace    = "SEARCH d USING INDEX documents_place (collector=? AND device=? AND item=?)"
		ofRun      = "SEARCH d USING INDEX sqlite_autoindex_documents_3 (collector=? AND run=?)"
		ofRunPlace = "SEARCH d USING INDEX sqlite_autoindex_documents_3 (collector=? AND run=? AND device=? AND item=?)"
		allLatest  = "SCAN l"
		latestOf   = "SEARCH l USING PRIMARY KEY (collector=? AND device=?)"
	)
	for _, c := range []struct {
		filter DocumentFilter
		first  string // step of the plan
	}{
		{DocumentFilter{}, byTime},
		{DocumentFilter{Item: "i"}, byTime},
		{DocumentFilter{Collector: "c"}, byTimeOf},
		{DocumentFilter{Collector: "c", Item: "i"}, byTimeOf},
		{DocumentFilter{Device: "d"}, ofDevice},
		{DocumentFilter{Collector: "c", Device: "d", Item: "i"}, ofPlace},
		{DocumentFilter{Run: "r"}, ofRun},
		{DocumentFilter{Collector: "c", Run: "r"}, ofRun},
		{DocumentFilter{Run: "r", Device: "d", Item: "i"}, ofRunPlace},
		{DocumentFilter{Latest: true}, allLatest},
		{DocumentFilter{Latest: true, Device: "d"}, latestOf},
		{DocumentFilter{Latest: true, Collector: "c", Device: "d"}, latestOf},
	} {
		steps := plan(t, s, c.filter)
		first := slices.IndexFunc(steps, func(s string) bool { return strings.Contains(s, " d") || strings.Contains(s, " l") })
		if first < 0 || steps[first] != c.first {
			t.Errorf("%+v: got %q, want %q first", c.filter, steps, c.first)
		}
	}
}

// plan returns the steps that SQLite takes.
func plan(t *testing.T, s *Store, f DocumentFilter) []string {
	t.Helper()
	f.Limit = 10
	query, args := f.query()
	return explain(t, s, query, args...)
}

func explain(t *testing.T, s *Store, query string, args ...any) []string {
	t.Helper()
	detail := func(r row) (text string, err error) {
		var id, parent, unused int
		return text, r.Scan(&id, &parent, &unused, &text)
	}
	steps, err := all(t.Context(), s.read, detail, `EXPLAIN QUERY PLAN `+query, args...)
	if err != nil {
		t.Fatal(err)
	}
	return steps
}

// What is asked with each frame, section and look at a collector, and each page of a
// long list, reads its own rows and no others.
func TestQueriesByIndex(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "edp.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	after := Document{ID: "i", Device: "d", Item: "i"}
	type asked struct {
		query string
		args  []any
		plan  string
	}
	of := func(plan string) func(string, []any) asked {
		return func(query string, args []any) asked { return asked{query, args, plan} }
	}
	for name, c := range map[string]asked{
		"base":      of("SEARCH documents USING INDEX documents_place (collector=? AND device=? AND item=?)")(baseQuery, []any{"c", "d", "i", "s", 1}),
		"id":        of("SEARCH documents USING COVERING INDEX sqlite_autoindex_documents_1 (id=?)")(idQuery, []any{"i"}),
		"sections":  of("USE TEMP B-TREE FOR count(DISTINCT)|SEARCH manifests USING COVERING INDEX manifests_sections (run=? AND boot=?)")(sectionsQuery, []any{"r", "b"}),
		"decided":   of("SEARCH held USING INDEX held_collector (collector=? AND state=?)|USE TEMP B-TREE FOR ORDER BY")(decidedQuery, []any{"c", "a", "b", "boot"}),
		"held":      of("SEARCH held USING INDEX held_collector (collector=?)|USE TEMP B-TREE FOR ORDER BY")(heldQuery("c")),
		"of a run":  of("SEARCH d USING INDEX sqlite_autoindex_documents_3 (collector=? AND run=? AND (device,item)>(?,?))")(pageQuery("c", "r", after)),
		"of all":    of("SEARCH d USING INDEX sqlite_autoindex_documents_2 (collector=? AND id>?)")(pageQuery("c", "", after)),
		"run chain": of("SEARCH manifests USING INDEX manifests_run (run=?)")(linkQuery("c", "r")),
	} {
		if got := strings.Join(explain(t, s, c.query, c.args...), "|"); got != c.plan {
			t.Errorf("%s: %s\nwant %s", name, got, c.plan)
		}
	}
}
