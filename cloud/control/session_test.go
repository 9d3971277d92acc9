package control

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"lwc/cloud/edp"
	"lwc/cloud/tidy"
	"lwc/transport/wire"
)

// The whole way: hello, welcome, configuration, job, documents, receipts,
// manifest.
func TestRunFromHelloToComplete(t *testing.T) {
	c := startCloud(t, setup{})
	b := c.enrol(t, alpha)
	c.fleet(t, alpha, "edge-1", "edge-2")
	b.connect()
	w := b.hello()
	if w.Config.Version == 0 || w.Limits.HeartbeatSeconds != 30 || w.Limits.MaxFrame != wire.MaxFrame || len(w.IngestKey) != 0 {
		t.Errorf("welcome %+v", w)
	}
	d := b.desired()
	if len(d.Devices) != 2 || d.Version != w.Config.Version {
		t.Fatalf("desired %+v", d)
	}
	checkSealed(t, b, d)
	b.applied()
	job := c.collect(t, alpha, time.Hour)
	j := b.job()
	if j.ID != job.ID || j.Run != job.Run || !slices.Equal(slices.Sorted(slices.Values(j.Devices)), []string{"edge-1", "edge-2"}) {
		t.Fatalf("job %+v, created %+v", j, job)
	}
	b.status(j, wire.JobAccepted, nil)
	collectAll(t, c, b, j)
	run, err := c.store.Run(t.Context(), job.Run)
	if err != nil || run.State != edp.RunComplete || run.Stored != 4 {
		t.Errorf("run %+v, %v", run, err)
	}
	w = b.hello()
	if len(w.OpenRuns) != 0 || w.LastManifest == "" {
		t.Errorf("the next welcome knows nothing of the run: %+v", w)
	}
}

func checkSealed(t *testing.T, b *box, d wire.Desired) {
	t.Helper()
	cred := d.Credentials["site"]
	plain, err := b.bootKey.Open(wire.CredentialInfo(alpha, b.boot, "site", cred.Version), cred.Sealed)
	if err != nil {
		t.Fatal(err)
	}
	s, err := wire.ParseCredential(plain)
	if err != nil || string(s.Password.Reveal()) != "canary-password" {
		t.Errorf("the credential did not come through: %v", err)
	}
}

// collectAll sends all documents of a job and its manifest.
func collectAll(t *testing.T, c *cloud, b *box, j wire.Job) {
	t.Helper()
	m := wire.Manifest{Run: j.Run, Job: j.ID, Started: time.Now().UTC(), Finished: time.Now().UTC()}
	var ids []string
	for _, dev := range j.Devices {
		for _, item := range []string{"show-version", "show-system-uptime"} {
			h, body := b.fact(j.Run, dev, item), reply(dev)
			b.send(h, body, wire.Packing{SealTo: b.sealTo})
			ids = append(ids, h.ID)
			m.Documents = append(m.Documents, wire.ManifestEntry{ID: h.ID, Device: dev, Item: item,
				Status: wire.EntryStored, Outcome: "ok", SHA256: wire.Digest(body), Size: int64(len(body))})
		}
		r := wire.DeviceResult{Device: dev, OK: true, Documents: 2, Seconds: 0.5}
		m.Devices = append(m.Devices, r)
		b.status(j, wire.JobRunning, &r)
	}
	for id, r := range b.receipts(ids) {
		if r.Status != wire.Stored {
			t.Errorf("document %s: %+v", id, r)
		}
	}
	h := b.manifest(m, b.key)
	if r := b.receipt(h.ID); r.Status != wire.Complete {
		t.Errorf("manifest: %+v", r)
	}
	b.status(j, wire.JobDone, nil)
	eventually(t, "the job is done", func() bool {
		got, err := c.store.Job(t.Context(), j.ID)
		return err == nil && got.State == wire.JobDone
	})
	rows, err := c.store.Devices(t.Context(), b.id)
	if err != nil || len(rows) == 0 {
		t.Fatalf("devices %v, %v", rows, err)
	}
	for _, r := range rows {
		if r.HostName != r.Device.ID || r.Model != "mx204" || r.State != edp.DeviceOK {
			t.Errorf("device %+v", r)
		}
	}
}

func TestHelloOfAnotherKeyGetsNoWelcome(t *testing.T) {
	c := startCloud(t, setup{})
	b := c.enrol(t, alpha)
	other := c.enrol(t, beta)
	b.connect()
	b.signed(wire.KindHello, b.newHello(), other.key)
	h := b.newHello()
	h.Collector = beta
	b.signed(wire.KindHello, h, b.key)
	h = b.newHello()
	h.BootKey = h.BootKey[1:]
	b.signed(wire.KindHello, h, b.key)
	h = b.newHello()
	h.Nonce = nil
	b.signed(wire.KindHello, h, b.key)
	eventually(t, "an event tells", func() bool { return c.hasEvent(t, alpha, EventRefused) })
	if c.hub.Online(alpha) || c.registered(t, alpha).Online {
		t.Error("it counts as online")
	}
	b.hello() // the good one is answered, and no other was
	b.none(wire.KindWelcome)
	if n := strings.Count(c.log.String(), "trouble with a collector's message"); n != 1 {
		t.Errorf("%d log lines of one sort of trouble", n)
	}
}

func TestUnknownCollectorIsForgotten(t *testing.T) {
	c := startCloud(t, setup{})
	b := c.enrol(t, alpha)
	b.connect()
	for range 3 {
		c.hub.receive("lwc/v1/collector-gamma/up/hello", []byte("{}"))
	}
	eventually(t, "it is forgotten", func() bool {
		c.hub.mu.Lock()
		defer c.hub.mu.Unlock()
		return c.hub.lines["collector-gamma"] == nil
	})
}

func TestNewVersionIsSentWhileConnected(t *testing.T) {
	c := startCloud(t, setup{})
	b := c.enrol(t, alpha)
	b.connect()
	if w := b.hello(); w.Config.Version != 0 {
		t.Errorf("a version without a fleet: %+v", w)
	}
	c.fleet(t, alpha, "edge-1")
	first := b.desired()
	b.applied()
	eventually(t, "the state is recorded", func() bool {
		r := c.registered(t, alpha)
		return r.Applied.Version == first.Version && r.AppliedStatus == wire.ConfigApplied
	})
	c.fleet(t, alpha, "edge-1") // nothing changed
	c.fleet(t, alpha, "edge-1", "edge-2")
	second := b.desired()
	if second.Version <= first.Version || len(second.Devices) != 2 {
		t.Errorf("after version %d came %d with %d devices", first.Version, second.Version, len(second.Devices))
	}
}

// A collector that comes back with the wanted version gets nothing; after a
// restart it gets everything, sealed to its new key.
func TestConfigurationFollowsTheBoot(t *testing.T) {
	c := startCloud(t, setup{})
	b := c.enrol(t, alpha)
	c.fleet(t, alpha, "edge-1")
	b.connect()
	b.hello()
	b.desired()
	b.applied()
	eventually(t, "the state is recorded", func() bool { return c.registered(t, alpha).Applied.Version == b.held.Version })
	b.cut()
	b.connect()
	b.hello()
	b.hello() // whatever the first one led to was sent before this welcome
	b.none(wire.KindDesired)
	b.cut()
	b.reboot()
	b.connect()
	b.hello()
	checkSealed(t, b, b.desired())
}

func TestByeAndSilence(t *testing.T) {
	c := startCloud(t, setup{heartbeat: time.Second})
	b := c.enrol(t, alpha)
	b.connect()
	b.hello()
	eventually(t, "online", func() bool { return c.hub.Online(alpha) && c.registered(t, alpha).Online })
	b.plain(wire.KindBye, wire.Bye{V: wire.Version, Collector: alpha, Boot: b.boot, Conn: b.conn - 1})
	b.hello()
	if strings.Contains(c.log.String(), "collector offline") {
		t.Error("a bye of an older connection ended the newer")
	}
	b.plain(wire.KindBye, wire.Bye{V: wire.Version, Collector: alpha, Boot: b.boot, Conn: b.conn, Clean: true})
	eventually(t, "offline after bye", func() bool { return !c.hub.Online(alpha) && !c.registered(t, alpha).Online })
	b.hello()
	eventually(t, "online again", func() bool { return c.hub.Online(alpha) })
	start := time.Now()
	eventually(t, "offline by silence", func() bool { return !c.hub.Online(alpha) && !c.registered(t, alpha).Online })
	if time.Since(start) < 2*time.Second {
		t.Errorf("offline after %v of silence", time.Since(start))
	}
	eventually(t, "the worker ends", func() bool {
		c.hub.mu.Lock()
		defer c.hub.mu.Unlock()
		return !c.hub.lines[alpha].running
	})
	b.plain(wire.KindHealth, wire.Health{V: wire.Version, Collector: alpha, Boot: b.boot, Config: b.held, RSS: 42})
	eventually(t, "a heartbeat brings it back", func() bool {
		r := c.registered(t, alpha)
		return c.hub.Online(alpha) && r.Online && r.Health != nil && r.Health.RSS == 42
	})
}

func TestHeartbeatOfAnUnknownBootIsAskedForHello(t *testing.T) {
	c := startCloud(t, setup{})
	b := c.enrol(t, alpha)
	b.connect()
	b.plain(wire.KindHealth, wire.Health{V: wire.Version, Collector: alpha, Boot: b.boot})
	var n wire.Need
	b.verify(wire.KindNeed, b.next(wire.KindNeed), &n)
	if n.Resync != "hello" || n.Boot != b.boot {
		t.Errorf("need %+v", n)
	}
}

// Of two machines with one identity the one that started later is served, and an
// alert tells of the other.
func TestTheNewerOfTwoClonesWins(t *testing.T) {
	c := startCloud(t, setup{})
	b := c.enrol(t, alpha)
	first := *b
	b.connect()
	b.hello()
	b.cut()
	b.reboot()
	b.connect()
	b.hello()
	if c.hasEvent(t, alpha, EventClone) {
		t.Error("a reboot is no clone")
	}
	b.cut()
	first.conn = 1
	first.connect()
	first.signed(wire.KindHello, first.newHello(), first.key)
	eventually(t, "an event tells", func() bool { return c.hasEvent(t, alpha, EventClone) })
	b.connect()
	if w := b.hello(); w.Boot != b.boot {
		t.Errorf("the newer boot has the welcome %+v", w)
	}
	if e, err := c.store.Collector(t.Context(), alpha); err != nil || e.Boot != b.boot {
		t.Errorf("the registry has boot %s, %v", e.Boot, err)
	}
}

func TestRevokedCollectorIsOut(t *testing.T) {
	c := startCloud(t, setup{})
	b := c.enrol(t, alpha)
	b.connect()
	b.hello()
	eventually(t, "online", func() bool { return c.hub.Online(alpha) })
	if err := c.store.Revoke(t.Context(), alpha, "ada"); err != nil {
		t.Fatal(err)
	}
	c.hub.Revoked(alpha)
	eventually(t, "its connection ends", func() bool { return !b.client.IsConnectionOpen() })
	b.connect() // this listener does not ask the registry
	b.client.Publish("lwc/v1/"+alpha+"/up/health", 1, false, "{}")
	eventually(t, "it is kicked", func() bool { return !b.client.IsConnectionOpen() })
	if c.hub.Online(alpha) {
		t.Error("it counts as online")
	}
}

func TestEventsAreKeptAndBounded(t *testing.T) {
	c := startCloud(t, setup{})
	b := c.enrol(t, alpha)
	b.connect()
	b.hello()
	e := wire.Event{V: wire.Version, Collector: alpha, Boot: b.boot, Time: time.Now().UTC(),
		Kind: wire.EventHostKeyChanged, Device: "edge-1", Text: "line one\nline two\x1b[31m" + strings.Repeat("x", 5000)}
	b.plain(wire.KindEvent, e)
	eventually(t, "the event is kept", func() bool { return c.hasEvent(t, alpha, wire.EventHostKeyChanged) })
	for _, got := range c.events(t, alpha) {
		if len(got.Text) > tidy.MaxText || strings.ContainsAny(got.Text, "\n\x1b") {
			t.Errorf("text of %d bytes: %q", len(got.Text), got.Text[:20])
		}
	}
	for range 2 * maxEvents {
		b.plain(wire.KindEvent, e)
	}
	b.hello()
	es, err := c.store.Events(t.Context(), alpha, 10*maxEvents)
	if err != nil || len(es) > maxEvents+1 {
		t.Errorf("%d events, %v", len(es), err)
	}
}

// Times that cannot be, of a clock that was never set or of a collector that lies,
// do not stand in the lists, and do not spoil them.
func TestTimesThatCannotBe(t *testing.T) {
	c := startCloud(t, setup{})
	b := c.enrol(t, alpha)
	b.connect()
	b.hello()
	h := b.newHello()
	h.Ports = wire.PortState{Mode: "enforce", State: strings.Repeat("x\n", 100), Since: time.Now().Add(48 * time.Hour)}
	b.signed(wire.KindHello, h, b.key)
	b.next(wire.KindWelcome)
	if p := c.registered(t, alpha).Ports; !p.Since.IsZero() || len(p.State) > tidy.MaxWord || strings.Contains(p.State, "\n") {
		t.Errorf("a hello says %+v", p)
	}
	began, honest := time.Now(), time.Now().UTC().Add(-48*time.Hour).Truncate(time.Second)
	times := []string{"0000-01-01T00:00:00+23:59", "1970-01-01T00:00:10Z", "9999-12-31T23:59:59-23:59", honest.Format(time.RFC3339)}
	for _, at := range times {
		b.publish(wire.KindEvent, fmt.Appendf(nil, `{"v":1,"collector":%q,"boot":%q,"time":%q,"kind":%q,"text":"-","violation":{"kind":"sysctl","detail":"-","at":%[3]q}}`,
			alpha, b.boot, at, wire.EventPortViolation))
		b.publish(wire.KindHealth, fmt.Appendf(nil, `{"v":1,"collector":%q,"boot":%q,"time":%q,"ports":{"mode":"enforce","state":"open","since":%[3]q,"detail":%[3]q}}`,
			alpha, b.boot, at))
		eventually(t, "the heartbeat is kept", func() bool { return c.registered(t, alpha).Ports.Detail == at })
		since := c.registered(t, alpha).Ports.Since
		if is := at == times[3]; since.IsZero() == is || is && !since.Equal(honest) {
			t.Errorf("%s: open since %s", at, since)
		}
	}
	events := c.events(t, alpha)
	if len(events) != len(times) {
		t.Fatalf("%d events", len(events))
	}
	for i, e := range events { // the newest first
		for _, got := range []time.Time{e.Time, e.Violation.At} {
			if is := i == 0; is != got.Equal(honest) || !is && got.Before(began.Add(-time.Minute)) {
				t.Errorf("event %d is of %s", i, got)
			}
		}
	}
}

func TestRestartOfTheCloudKeepsTheSession(t *testing.T) {
	dir := t.TempDir()
	c := startCloud(t, setup{dir: dir})
	b := c.enrol(t, alpha)
	c.fleet(t, alpha, "edge-1")
	b.connect()
	b.hello()
	b.desired()
	b.applied()
	eventually(t, "the state is recorded", func() bool { return c.registered(t, alpha).Applied.Version == b.held.Version })
	c.stop()
	c = startCloud(t, setup{dir: dir})
	eventually(t, "nobody counts as online", func() bool { return !c.registered(t, alpha).Online })
	b.cloud = c
	b.connect()
	// A heartbeat is enough: boot and boot key are in the store.
	b.plain(wire.KindHealth, wire.Health{V: wire.Version, Collector: alpha, Boot: b.boot, Config: b.held})
	eventually(t, "online", func() bool { return c.hub.Online(alpha) })
	c.fleet(t, alpha, "edge-1", "edge-2")
	if d := b.desired(); len(d.Devices) != 2 {
		t.Errorf("desired %+v", d)
	}
	b.none(wire.KindNeed)
}

func TestNewRefusesAnIncompleteConfig(t *testing.T) {
	if _, err := New(Config{}); err == nil {
		t.Error("an empty config was taken")
	}
}
