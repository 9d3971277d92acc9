package main

import (
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"lwc/cloud/edp"
	"lwc/transport/wire"
)

// Nothing is concluded from the silence of a box before the hub has noted that nobody
// listened: a factory reset that was under way when the cloud went down is not over.
func TestSilenceIsJudgedAfterAStart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cloud")
	startServe(t, dir).terminate()
	path := filepath.Join(dir, "edp.db")
	const id = "site-a-001"
	store, ctx := must(edp.Open(t.Context(), path)), t.Context()
	t.Cleanup(func() { store.Close() })
	err := errors.Join(store.Enrolled(ctx, edp.Enrolment{Collector: id, SPKI: "key", NotAfter: time.Now().Add(time.Hour)}),
		store.SawHello(ctx, wire.Hello{Collector: id, Boot: "boot-1", Conn: 1}))
	j := must(store.CreateJob(ctx, edp.NewJob{Collector: id, Kind: wire.JobFactoryReset}))
	err = errors.Join(err, store.SawJobStatus(ctx, wire.JobStatus{ID: j.ID, Collector: id, State: wire.JobRunning}),
		store.SawBye(ctx, id, "boot-1", true))
	db := must(sql.Open("sqlite", path))
	defer db.Close()
	for _, old := range []string{`UPDATE collectors SET last_seen = 1`, `UPDATE settings SET value = '1' WHERE name = 'listening-since'`} {
		_, e := db.ExecContext(ctx, old)
		err = errors.Join(err, e)
	}
	if err != nil {
		t.Fatal(err)
	}
	p := startServe(t, dir)
	p.get("/login", "")
	if code := p.terminate(); code != 0 { // the first sweep is over by then
		t.Fatalf("exit code %d: %s", code, p.stderr.String())
	}
	if got := must(store.Job(ctx, j.ID)); got.State != wire.JobRunning {
		t.Errorf("the reset is %s: %s", got.State, got.Detail)
	}
}
