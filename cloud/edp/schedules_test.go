package edp_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"testing"

	"github.com/pressly/goose/v3"

	"lwc/cloud/edp"
)

// A database from before schedules had names has one, which becomes daily.
func TestTheOneScheduleOfBefore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "edp.db")
	db, err := sql.Open("sqlite", path)
	ok(t, err)
	p := must[*goose.Provider](t)(goose.NewProvider(goose.DialectSQLite3, db, os.DirFS("migrations/sqlite")))
	must[[]*goose.MigrationResult](t)(p.UpTo(t.Context(), 4))
	_, err = db.ExecContext(t.Context(), `INSERT INTO collectors (id, state, created_at, config_version, schedule) VALUES
		('`+site+`', 'active', 1, 3, '{"start":"02:00","window":"2h","timezone":"Europe/Berlin"}'), ('`+other+`', 'active', 1, 1, '{}')`)
	ok(t, err)
	ok(t, db.Close())
	s := openAt(t, path)
	f := must[edp.Fleet](t)(s.GetFleet(t.Context(), site))
	if len(f.Schedules) != 1 || f.Schedules[0].Name != "daily" || f.Schedules[0].Window != "2h" || f.Schedules[0].Timezone != "Europe/Berlin" || f.Version != 3 {
		t.Errorf("%+v", f)
	}
	if f := must[edp.Fleet](t)(s.GetFleet(t.Context(), other)); len(f.Schedules) != 0 || f.Egress.Mode != "" {
		t.Errorf("a collector without a schedule: %+v", f)
	}
}
