package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"lwc/cloud/edp"
	"lwc/junos/junostest"
	"lwc/transport/wire"
)

// A dry run leaves accounts and no documents; what is held leaves when it is
// approved, and not when it is declined.
func TestEgress(t *testing.T) {
	const item = "show-version"
	cl := startCloudEnd(t)
	fleet := startFleet(t, junostest.Config{Devices: 2, Seed: 9}, nil)
	s := listenAsSystemd(t, "2000000")
	p := newProcess(t)
	p.start()
	s.await("READY=1", "waiting for an enrolment token")
	p.giveToken(cl.token(nil))
	s.await("enrolled as "+theCollector, "no configuration yet")
	cl.egress = wire.Egress{Mode: wire.EgressDryRun}
	cl.putFleet(fleet, p.dir)
	s.await("configuration 1 with 2 devices")
	dry := cl.collect()
	awaitRun(t, cl, dry)
	if docs, held := cl.stored(dry.Run), cl.held(); len(docs) != 0 || len(held) != 0 {
		t.Errorf("%d documents and %d held left a dry run", len(docs), len(held))
	}
	for _, e := range cl.entries(dry.Run, 2*daily(t)) {
		if e.Status != wire.EntryWithheld || e.Sent != 0 || e.SHA256 == "" || !strings.Contains(e.Reason, wire.EgressDryRun) {
			t.Errorf("%+v", e)
		}
	}

	cl.egress = wire.Egress{Mode: wire.EgressHold, Hold: []string{item}}
	cl.putFleet(fleet, p.dir)
	s.await("configuration 2 with 2 devices")
	job := cl.collect()
	until(t, "the held documents to be offered", time.Minute, func() bool { return len(cl.held()) == 2 })
	held := cl.held()
	cl.decide(held[0].ID, true)
	cl.decide(held[1].ID, false)
	awaitRun(t, cl, job)
	docs := cl.stored(job.Run)
	if docs[held[0].Device+"/"+item].ID != held[0].ID {
		t.Errorf("what was approved is not stored: %+v", docs)
	}
	for _, e := range cl.entries(job.Run, 2*daily(t)) {
		_, stored := docs[e.Device+"/"+e.Item]
		declined := e.ID == held[1].ID
		if declined != (e.Status == wire.EntryWithheld) || declined != strings.Contains(e.Reason, "declined") ||
			stored != (e.Status == wire.EntryStored) || declined && e.Sent > 2000 {
			t.Errorf("stored %v: %+v", stored, e)
		}
	}
}

func (c *cloudEnd) held() []edp.Held {
	c.t.Helper()
	return must[[]edp.Held](c.t)(c.store.Held(c.t.Context(), theCollector))
}

func (c *cloudEnd) decide(id string, approve bool) {
	c.t.Helper()
	must[[]string](c.t)(c.store.DecideHeld(c.t.Context(), []string{id}, approve, "test"))
	c.hub.HeldDecided(theCollector)
}

// stored returns the documents of a run by device and item.
func (c *cloudEnd) stored(run string) map[string]edp.Document {
	c.t.Helper()
	out := map[string]edp.Document{}
	for _, d := range must[[]edp.Document](c.t)(c.store.Documents(c.t.Context(), edp.DocumentFilter{Collector: theCollector, Run: run, Limit: 1000})) {
		out[d.Device+"/"+d.Item] = d
	}
	return out
}

// entries returns what the manifests of a run account for.
func (c *cloudEnd) entries(run string, want int) []wire.ManifestEntry {
	c.t.Helper()
	var out []wire.ManifestEntry
	err := c.store.EachManifest(c.t.Context(), theCollector, run, func(s edp.SignedManifest) error {
		var m wire.Manifest
		if err := json.Unmarshal(s.Plain, &m); err != nil {
			return err
		}
		out = append(out, m.Documents...)
		return nil
	})
	if err != nil || len(out) != want {
		c.t.Fatalf("%d entries, want %d: %v", len(out), want, err)
	}
	return out
}
