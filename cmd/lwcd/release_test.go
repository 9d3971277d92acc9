package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lwc/cloud/edp"
	"lwc/cloud/shelf"
	"lwc/cmd/lwcd/halves"
	releases "lwc/image/release"
	"lwc/testdata/script"
	"lwc/transport/wire"
)

// onTheCloudsShelf publishes release 1.2.0, and returns the keys that sign it.
func (c *cloudEnd) onTheCloudsShelf() (keys []byte) {
	c.t.Helper()
	folder, m, keys := onShelf(c.t, "1.2.0")
	dir := c.t.TempDir()
	file := filepath.Join(dir, "release-keys.pem")
	if err := shelf.AddKeys(file, keys); err != nil {
		c.t.Fatal(err)
	}
	s := must[*shelf.Shelf](c.t)(shelf.Open(c.t.Context(), shelf.Config{Dir: filepath.Join(dir, "releases"), Keys: file, Store: c.store}))
	var bundle bytes.Buffer
	if err := releases.WriteBundle(c.t.Context(), &bundle, folder, m); err != nil {
		c.t.Fatal(err)
	}
	must[edp.Release](c.t)(s.Add(c.t.Context(), &bundle, "test"))
	c.mux.Handle(shelf.Pattern, s.Handler())
	return keys
}

// An update through all of lwcd and the real cloud: the updater wants files, the half
// downloads them by its certificate, the job stays open over the restart of the
// machine, and the result of the new boot ends it.
func TestReleaseFromTheCloud(t *testing.T) {
	cl := startCloudEnd(t)
	s := listenAsSystemd(t, "2000000")
	p := newProcess(t)
	spool, keys := filepath.Join(p.dir, "spool"), filepath.Join(p.dir, "keys")
	updater := script.Write(t, p.dir, "updater", `#!/bin/sh
read -r order
[ -e `+p.dir+`/restarted ] && { echo '{"state":"failed","text":"rolled back to 1.1.0: because"}'; exit; }
case "$order" in
*'"files":"`+spool+`"'*) ls `+spool+` > `+p.dir+`/found; echo '{"state":"waiting","text":"installed"}' ;;
*) echo '{"state":"fetch"}' ;;
esac
`)
	conf := must[[]byte](t)(os.ReadFile(p.conf))
	conf = fmt.Appendf(conf, "[update]\nprogram = %q\nspool = %q\nkeys = %q\n", updater, spool, keys)
	for path, text := range map[string][]byte{p.conf: conf, keys: cl.onTheCloudsShelf()} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(spool, 0o700); err != nil || os.Chmod(spool, 0o777) != nil { // the half is another user
		t.Fatal(err)
	}
	p.start()
	p.giveToken(cl.token(nil))
	s.await("enrolled as " + theCollector)
	at := time.Now().Add(10 * time.Hour)
	j := must[edp.Job](t)(cl.store.CreateJob(t.Context(), edp.NewJob{Collector: theCollector, Kind: wire.JobUpdate, By: "test", TTL: 20 * time.Hour, Release: "1.2.0", RebootAt: at}))
	cl.hub.JobCreated(theCollector)
	until(t, "the release to be installed", 30*time.Second, func() bool {
		j = must[edp.Job](t)(cl.store.Job(t.Context(), j.ID))
		return j.State == wire.JobRunning && j.Detail == "installed"
	})
	found := must[[]byte](t)(os.ReadFile(filepath.Join(p.dir, "found")))
	if list := strings.Fields(string(found)); len(list) != 4 || list[3] != releases.ManifestName {
		t.Errorf("%q", list)
	}
	p.stop(15)
	if err := os.WriteFile(filepath.Join(p.dir, "restarted"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p.start()
	if j = cl.ended(j, wire.JobFailed); !strings.Contains(j.Error, "rolled back to 1.1.0: because") {
		t.Errorf("%+v", j)
	}
}

// fetching answers as a supervisor whose updater wants files, and notes that it was asked
// with them.
type fetching struct {
	halves.Machine
	asked []bool
}

func (f *fetching) Update(_ context.Context, u halves.Update) (halves.Progress, error) {
	f.asked = append(f.asked, u.Files)
	return halves.Progress{Ended: true, Fetch: !u.Files, OK: u.Files, Text: "installed"}, nil
}

// A release that is loaded when its window has closed is not handed over; what was
// loaded is there for the next one.
func TestWindowClosesWhileLoading(t *testing.T) {
	folder, _, keys := onShelf(t, "1.2.0")
	up := &fetching{}
	e := errands{supervisor: up, fetch: shelfFor(t, folder, keys)}
	j := wire.Job{ID: wire.NewID(), Release: "1.2.0", RebootBefore: time.Now().Add(-time.Second)}
	if _, err := e.Update(t.Context(), j, func(string) {}); !errors.Is(err, errWindow) || len(up.asked) != 1 {
		t.Errorf("%v, %v", err, up.asked)
	}
	if list, err := os.ReadDir(e.fetch.spool); err != nil || len(list) != 4 {
		t.Errorf("%v, %v", list, err)
	}
	j.RebootBefore = time.Now().Add(time.Hour)
	if text, err := e.Update(t.Context(), j, func(string) {}); err != nil || text != "installed" || !up.asked[2] {
		t.Errorf("%q, %v, %v", text, err, up.asked)
	}
}
