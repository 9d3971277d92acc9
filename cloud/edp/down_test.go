package edp_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	"lwc/cloud/edp"
	"lwc/transport/wire"
)

// A database may go back to the tables of the release before, and forth again. What
// those have no room for is gone, and nothing points to it.
func TestDownAndUpAgain(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "edp.db")
	s, err := edp.Open(ctx, path)
	ok(t, err)
	enrol(t, s, site)
	ok(t, s.SawHello(ctx, wire.Hello{Collector: site, Boot: "boot-1", Conn: 4}))
	f := smallFleet(site, "edge-1")
	f.Schedules = []wire.Schedule{{Name: "nightly", Start: "02:00", Window: "2h"}, {Name: "weekly", Start: "04:00", Days: []string{"sun"}}}
	must[[]edp.Change](t)(s.PutFleet(ctx, f))
	first, second := wire.NewID(), wire.NewID()
	kept := doc(site, first, "edge-1", "show-version")
	put(t, s, kept)
	put(t, s, unchanged(kept, second))
	parts := inParts(t, second, noise(300<<10))
	putParts(t, s, parts...)
	if st := finish(t, s, parts[0].Header.ID); st != edp.PutStored {
		t.Fatal(st)
	}
	put(t, s, held(second, "edge-1", "held"))
	must[[]string](t)(s.PutManifest(ctx, section(first, "boot-1", 1, true, "edge-1"), edp.SignedManifest{Hash: "h"}))
	ok(t, s.Close())
	db, err := sql.Open("sqlite", path)
	ok(t, err)
	defer db.Close()
	ok(t, edp.MigrateDown(ctx, db, 4))
	var latest, dangling, last int
	ok(t, db.QueryRowContext(ctx, `SELECT COUNT(*), COUNT(*) FILTER (WHERE document NOT IN (SELECT id FROM documents)),
		(SELECT last_complete > 0 FROM devices WHERE id = 'edge-1') FROM latest_documents`).Scan(&latest, &dangling, &last))
	if latest != 1 || dangling != 0 || last != 1 {
		t.Errorf("%d newest documents, %d point to nothing, last complete: %d", latest, dangling, last)
	}
	ok(t, db.Close())
	s = openAt(t, path)
	if d := must[edp.Document](t)(s.Document(ctx, kept.ID)); string(d.Body) != string(kept.Body) {
		t.Errorf("its body is %q", d.Body)
	}
	if got := must[edp.Fleet](t)(s.GetFleet(ctx, site)); len(got.Schedules) != 1 || got.Schedules[0].Start != "02:00" {
		t.Errorf("the schedules: %+v", got.Schedules)
	}
	if done := must[map[string]map[string]wire.Done](t)(s.Done(ctx, site)); len(done[""]) != 1 {
		t.Errorf("done: %+v", done)
	}
	if got := put(t, s, unchanged(kept, wire.NewID())); got[0] != edp.PutStored {
		t.Errorf("unchanged since: %v", got)
	}
	ok(t, s.SawHello(ctx, wire.Hello{Collector: site, Boot: "boot-1", Conn: 5}))
}
