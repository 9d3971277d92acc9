package report

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var whole = Report{V: 1, Beat: 7, Version: "1.2.3", Ports: Blocked, Cause: "overlap", Detail: "10.1.0.0/24", Since: time.Unix(1e9, 0).UTC(),
	Internal: Port{"eth0", "52:54:00:00:00:01", "10.1.0.2/24", false}, External: Port{"eth1", "52:54:00:00:00:02", "192.0.2.2/24", true},
	Collector: "site-0001", Identity: "tpm", Cloud: "welcomed", Connected: true, Work: "1 run", Problem: "12:00 UTC nothing"}

func TestWriteAndRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lwcd.json")
	if _, err := Read(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before the first: %v", err)
	}
	for range 2 {
		if err := Write(path, whole); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := Read(path); err != nil || !reflect.DeepEqual(got, whole) {
		t.Errorf("%+v, %v", got, err)
	}
	files, err := os.ReadDir(filepath.Dir(path))
	if info, serr := os.Stat(path); err != nil || serr != nil || len(files) != 1 || info.Mode() != 0o644 {
		t.Errorf("%v, %v, %v", files, err, serr)
	}
	if err := Write(filepath.Join(path, "below"), whole); err == nil {
		t.Error("no folder, and no error")
	}
}

func TestDamagedReport(t *testing.T) {
	for _, text := range []string{"", "{", `{"v":2,"ports":"open"}`, `{"v":1,"ports":"ajar"}`, `{"v":1,"ports":"open","pad":"` + strings.Repeat("x", maxReport) + `"}`} {
		if _, err := parse([]byte(text)); err == nil {
			t.Errorf("%.40q is taken", text)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"v":1,"ports":"open","internal":{"link":"eth0"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if r, err := parse(text); err != nil && !reflect.DeepEqual(r, Report{}) {
			t.Error("an error, and a report")
		}
	})
}
