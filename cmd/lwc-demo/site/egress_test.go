package site

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lwc/cloud/api/apitype"
	"lwc/cloud/ledger"
	"lwc/cloud/pki"
	"lwc/testdata/need"
	"lwc/transport/wire"
)

// What is held in these tests, and what stands in every body of it and in no other.
const (
	heldItem = "show-system-commit"
	heldMark = "<commit-information"
)

// leaving is a site whose frames are all seen on their way.
type leaving struct {
	*Site
	t      *testing.T
	opened *contract // opens what is sealed to the cloud
	*tap
}

func watched(t *testing.T, cfg Config) (context.Context, *leaving) {
	t.Helper()
	cfg.Mosquitto = need.Program(t, "mosquitto")
	ctx, s := running(t, cfg)
	keys, err := pki.Open(filepath.Join(s.CloudData(), "pki"))
	must(t, err)
	return ctx, &leaving{s, t, &contract{key: keys.IngestKey()}, tapped(ctx, t, s, keys)}
}

// let applies the site's fleet with what may leave, and waits until the collector
// goes by it.
func (l *leaving) let(ctx context.Context, e wire.Egress) {
	l.t.Helper()
	file, err := l.FleetFile()
	must(l.t, err)
	text, err := json.Marshal(e)
	must(l.t, err)
	fleet, err := os.ReadFile(file)
	must(l.t, err)
	must(l.t, os.WriteFile(file, append(append(fleet, "\negress: "...), text...), 0o600))
	_, err = l.Cloud(ctx, "apply", "-f", file)
	must(l.t, err)
	must(l.t, l.WaitApplied(ctx))
}

// begin asks for a collection and returns its run.
func (l *leaving) begin(ctx context.Context) string {
	l.t.Helper()
	before := len(runs(ctx, l.t, l.Site))
	_, err := l.Cloud(ctx, "collect", "--collector", Collector)
	must(l.t, err)
	var all []runState
	must(l.t, l.lwcd.waitFor(ctx, "the run to begin", func() bool {
		all = runs(ctx, l.t, l.Site)
		return len(all) > before
	}))
	return all[0].ID
}

// waitHeld waits until so many documents of a run wait for an approval.
func (l *leaving) waitHeld(ctx context.Context, run string, n int) (list []apitype.Held) {
	l.t.Helper()
	must(l.t, l.lwcd.waitFor(ctx, "documents to be offered", func() bool {
		asJSON(ctx, l.t, l.Site, &list, "held", "list", "--json")
		list = slices.DeleteFunc(list, func(h apitype.Held) bool { return h.Run != run || h.State != "waiting" })
		return len(list) >= n
	}))
	if len(list) != n {
		l.t.Errorf("%d documents wait, want %d: %+v", len(list), n, list)
	}
	return list
}

func (l *leaving) waitEnd(ctx context.Context, run string) {
	l.t.Helper()
	must(l.t, l.lwcd.waitFor(ctx, "the run to be complete", func() bool {
		return slices.ContainsFunc(runs(ctx, l.t, l.Site), func(r runState) bool { return r.ID == run && r.State == "complete" })
	}))
}

// left are the frames of documents that were seen, and the bodies with a mark in
// them.
func (l *leaving) left(mark string) (frames, marked int) {
	l.t.Helper()
	for _, m := range l.messages() {
		if !strings.HasSuffix(m.topic, "/up/fact") {
			continue
		}
		frames++
		h, body, err := wire.ParseFrame(m.payload)
		must(l.t, err)
		if len(body) == 0 || h.Size == 0 {
			continue
		}
		plain, err := l.opened.plain(h, body)
		must(l.t, err)
		marked += bytes.Count(plain, []byte(mark))
	}
	return frames, marked
}

// kept are the documents of a run that the store has, by device, of the held item.
func (l *leaving) kept(ctx context.Context, run string) map[string]storedDocument {
	l.t.Helper()
	out := map[string]storedDocument{}
	for _, d := range stored(ctx, l.t, l.Site) {
		if d.Run == run && d.Item == heldItem {
			out[d.Device] = d
		}
	}
	return out
}

// told sums up a run as ledger show tells of it, in numbers and in words.
func (l *leaving) told(ctx context.Context, run string) (ledger.Summary, string) {
	l.t.Helper()
	var all []ledger.Summary
	asJSON(ctx, l.t, l.Site, &all, "ledger", "show", "--run", run, "--json")
	words, err := l.Cloud(ctx, "ledger", "show", "--run", run)
	must(l.t, err)
	if len(all) != 1 {
		l.t.Fatalf("%d runs are told of: %s", len(all), words)
	}
	return all[0], words
}

// verify has the ledger checked against the bytes, with the box's own certificate:
// of the running cloud, and of an export without one.
func (l *leaving) verify(ctx context.Context) {
	l.t.Helper()
	cert, file := filepath.Join(l.StateDir(), "cert.pem"), l.path("ledger-"+wire.NewID()+".tar.gz")
	_, err := l.Cloud(ctx, "ledger", "export", "--bytes", "--out", file)
	must(l.t, err)
	for _, from := range [][]string{{}, {"--bytes"}, {"--file", file}} {
		out, err := l.Cloud(ctx, append([]string{"ledger", "verify", "--key", cert}, from...)...)
		if err != nil || !strings.Contains(out, "Everything that was checked is in order.") {
			l.t.Errorf("ledger verify %v: %v\n%s", from, err, out)
		}
	}
}

// stayed are the reasons for which held items did not leave.
func stayed(s ledger.Summary) map[string]int {
	out := map[string]int{}
	for _, x := range s.Stayed {
		if x.Status == wire.EntryWithheld {
			out[x.Reason] += x.Items
		}
	}
	return out
}

// What is held leaves when an admin approves it, and in no other case: neither a
// frame nor the store has its bytes, and the ledger names it with the reason.
func TestHeldLeavesOnlyWhenApproved(t *testing.T) {
	const devices = 4
	ctx, l := watched(t, Config{Devices: devices})
	l.let(ctx, wire.Egress{Mode: wire.EgressHold, Hold: []string{heldItem}, Wait: "1m"})
	run := l.begin(ctx)
	held := l.waitHeld(ctx, run, devices)
	for _, h := range held {
		if h.Item != heldItem || h.Size == 0 || len(h.SHA256) != 64 {
			t.Errorf("%+v", h)
		}
	}
	if _, marked := l.left(heldMark); marked != 0 || len(l.kept(ctx, run)) != 0 {
		t.Fatalf("%d bodies left, %d are stored, before anybody approved", marked, len(l.kept(ctx, run)))
	}
	yes, no := held[0], held[1]
	_, err := l.Cloud(ctx, "held", "approve", yes.ID)
	must(t, err)
	_, err = l.Cloud(ctx, "held", "decline", no.ID)
	must(t, err)
	l.waitEnd(ctx, run)
	docs := l.kept(ctx, run)
	d := docs[yes.Device]
	if len(docs) != 1 || d.ID != yes.ID || d.SHA256 != yes.SHA256 {
		t.Errorf("stored %+v, approved %+v", docs, yes)
	}
	raw := l.downloads(ctx, t)(yes.ID)
	if wire.Digest([]byte(raw)) != yes.SHA256 || !sent(t, l.Site)[place{yes.Device, heldItem}][d.sentAs()] {
		t.Errorf("%d bytes are stored that were not offered, or not sent by the device", len(raw))
	}
	if _, marked := l.left(heldMark); marked == 0 || marked != strings.Count(raw, heldMark) {
		t.Errorf("%d bodies left, and one was approved", marked)
	}
	want := map[string]int{"an admin declined it": 1, "nobody approved it in time": devices - 2}
	told, words := l.told(ctx, run)
	if got := stayed(told); !maps.Equal(got, want) || told.Mode != wire.EgressHold {
		t.Errorf("the ledger says %v: %s", got, words)
	}
	l.verify(ctx)
	l.checkNothingWaits(ctx, no.ID)
}

// checkNothingWaits: what was decided, or was given up, is offered no more.
func (l *leaving) checkNothingWaits(ctx context.Context, declined string) {
	l.t.Helper()
	var list []apitype.Held
	must(l.t, l.lwcd.waitFor(ctx, "held documents to be settled", func() bool {
		asJSON(ctx, l.t, l.Site, &list, "held", "list", "--json")
		return len(list) == 0
	}))
	_, err := l.Cloud(ctx, "held", "approve", declined)
	var exit *ExitError
	if !errors.As(err, &exit) || exit.Code != 1 {
		l.t.Errorf("approving what was dropped: %v", err)
	}
}

// Bodies that wait are gone with the process that held them: the next boot collects
// them again, offers them, and the run comes to its end.
func TestKilledWhileDocumentsAreHeld(t *testing.T) {
	const devices = 4
	ctx, l := watched(t, Config{Devices: devices})
	l.let(ctx, wire.Egress{Mode: wire.EgressHold, Hold: []string{heldItem}, Wait: "1h"})
	run := l.begin(ctx)
	was := map[string]bool{}
	for _, h := range l.waitHeld(ctx, run, devices) {
		was[h.ID] = true
	}
	l.KillCollector()
	must(l.t, l.StartCollector(ctx))
	must(l.t, l.WaitApplied(ctx))
	var again []apitype.Held
	must(l.t, l.lwcd.waitFor(ctx, "documents of the new boot to be offered", func() bool {
		asJSON(ctx, l.t, l.Site, &again, "held", "list", "--json")
		return len(again) == devices && !slices.ContainsFunc(again, func(h apitype.Held) bool { return was[h.ID] })
	}))
	_, err := l.Cloud(ctx, "held", "approve", "--all")
	must(l.t, err)
	l.waitEnd(ctx, run)
	for device, d := range l.kept(ctx, run) {
		if !slices.ContainsFunc(again, func(h apitype.Held) bool { return h.ID == d.ID && h.SHA256 == d.SHA256 }) {
			l.t.Errorf("%s: stored %+v was not offered", device, d)
		}
	}
	if n := len(l.kept(ctx, run)); n != devices {
		l.t.Errorf("%d documents are stored, and %d were approved", n, devices)
	}
	l.verify(ctx)
}

// A dry run sends accounts and nothing else; what may leave afterwards does.
func TestDryRunSendsAccountsAlone(t *testing.T) {
	const devices = 4
	ctx, l := watched(t, Config{Devices: devices})
	l.let(ctx, wire.Egress{Mode: wire.EgressDryRun})
	run := l.begin(ctx)
	l.waitEnd(ctx, run)
	if frames, _ := l.left(heldMark); frames != 0 || len(stored(ctx, t, l.Site)) != 0 {
		t.Fatalf("%d frames of documents left, %d documents are stored", frames, len(stored(ctx, t, l.Site)))
	}
	told, words := l.told(ctx, run)
	if told.Left != 0 || told.Bytes != 0 || told.Mode != wire.EgressDryRun || !strings.Contains(words, "No document left the site") ||
		!strings.Contains(words, "dry run") {
		t.Errorf("the ledger says %+v: %s", told, words)
	}
	n := 0
	for _, items := range stayed(told) {
		n += items
	}
	if n == 0 || n != told.Items {
		t.Errorf("%d of %d items are withheld: %s", n, told.Items, words)
	}
	l.verify(ctx)
	l.let(ctx, wire.Egress{})
	collect(ctx, t, l.Site)
	again := runs(ctx, t, l.Site)[0]
	if got := l.kept(ctx, again.ID); len(got) != devices || again.State != "complete" || again.Stored == 0 || again.Stored+again.Skipped != again.Expected {
		t.Errorf("after the dry run %d documents are stored of %d devices: %+v", len(got), devices, again)
	}
	want, download := 0, l.downloads(ctx, t)
	for _, d := range l.kept(ctx, again.ID) {
		want += strings.Count(download(d.ID), heldMark)
	}
	if _, marked := l.left(heldMark); marked < devices || marked != want {
		t.Errorf("%d of %d bodies left after the dry run", marked, want)
	}
	l.verify(ctx)
}
