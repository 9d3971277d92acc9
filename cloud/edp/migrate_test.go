package edp

import (
	"context"
	"database/sql"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pressly/goose/v3"

	"lwc/transport/wire"
)

// A database of the version before parts, sections and unchanged documents goes
// on with all that it holds.
func TestOldDatabasesMigrate(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "edp.db")
	body := []byte("<rpc-reply>old</rpc-reply>")
	makeOld(t, ctx, path, body)
	s, err := Open(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	d, err := s.Document(ctx, "01JOLDDOC00000000000000000")
	if err != nil || string(d.Body) != string(body) {
		t.Errorf("the document: %q, %v", d.Body, err)
	}
	done, err := s.Done(ctx, "site-a-001")
	if err != nil || !done[""]["edge-1"].At.Equal(time.UnixMilli(1_700_000_000_000)) || done[""]["edge-1"].Seconds != 3.5 {
		t.Errorf("done: %+v, %v", done, err)
	}
	f, err := s.GetFleet(ctx, "site-a-001")
	if err != nil || len(f.Schedules) != 1 || f.Schedules[0].Start != "02:00" {
		t.Errorf("the schedules: %+v, %v", f.Schedules, err)
	}
	var got []SignedManifest
	err = s.EachManifest(ctx, "site-a-001", "", func(m SignedManifest) error { got = append(got, m); return nil })
	if err != nil || len(got) != 1 || string(got[0].Plain) != `{"old":1}` || !got[0].Last || len(got[0].Envelope.Signatures) > 0 {
		t.Errorf("the manifests: %+v, %v", got, err)
	}
	j, err := s.CallOffJob(ctx, "old-job", "ada")
	if err != nil || !strings.Contains(j.Error, "had been sent at 2023-11-14") { // nobody knows, so that it may be
		t.Errorf("a job that waited: %+v, %v", j, err)
	}
	if err := s.SawHello(ctx, wire.Hello{Collector: "site-a-001", Boot: "boot-1", Conn: 6}); err != nil {
		t.Errorf("the boot of before: %v", err)
	}
	again := d
	again.ID, again.Run, again.Unchanged, again.Body = wire.NewID(), wire.NewID(), true, nil
	if st, err := s.PutDocuments(ctx, []Document{again}); err != nil || st[0] != PutStored {
		t.Errorf("unchanged since the old version: %v, %v", st, err)
	}
}

func makeOld(t *testing.T, ctx context.Context, path string, body []byte) {
	t.Helper()
	db, err := sql.Open("sqlite", dsn(path, "synchronous(FULL)", ""))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	dir, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		t.Fatal(err)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(ctx, 4); err != nil {
		t.Fatal(err)
	}
	helper, err := Open(ctx, filepath.Join(t.TempDir(), "enc.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer helper.Close()
	for _, q := range []struct {
		text string
		args []any
	}{
		{`INSERT INTO collectors (id, state, created_at, boot, conn, schedule) VALUES ('site-a-001', 'active', 1, 'boot-1', 5, '{"start":"02:00","window":"2h"}')`, nil},
		{`INSERT INTO devices (collector, id, body, last_complete, seconds) VALUES ('site-a-001', 'edge-1', '{"id":"edge-1"}', 1700000000000000, 3.5)`, nil},
		{`INSERT INTO runs (id, collector, job, kind, state, boot, started_at) VALUES ('r', 'site-a-001', '', 'schedule', 'complete', 'boot-1', 1)`, nil},
		{`INSERT INTO jobs (id, collector, kind, run, devices, asked_by, state, created_at, expires_at) VALUES ('old-job', 'site-a-001', 'restart', '', '[]', 'ada', 'queued', 1700000000000000, 1700003600000000)`, nil},
		{`INSERT INTO manifests (collector, hash, run, boot, previous, received_at, raw) VALUES ('site-a-001', 'h', 'r', 'boot-1', '', 1, $1)`,
			[]any{helper.enc.EncodeAll([]byte(`{"old":1}`), nil)}},
		{`INSERT INTO documents (collector, id, run, device, item, boot, outcome, flags, sha256, size, collected_at, received_at, body)
			VALUES ('site-a-001', '01JOLDDOC00000000000000000', 'r', 'edge-1', 'show-version', 'boot-1', 'ok', '[]', $1, $2, 1, 1, $3)`,
			[]any{wire.Digest(body), len(body), helper.enc.EncodeAll(body, nil)}},
	} {
		if _, err := db.ExecContext(ctx, q.text, q.args...); err != nil {
			t.Fatal(err)
		}
	}
}
