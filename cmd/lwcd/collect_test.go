package main

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lwc/cmd/lwcd/dial"
	"lwc/collector"
	"lwc/junos"
	"lwc/junos/junostest"
	"lwc/transport/device"
	"lwc/transport/secret"
	"lwc/transport/wire"
)

// cloud records what a collector publishes, and answers as if it stored it.
type cloud struct {
	mu       sync.Mutex
	docs     map[string]wire.Header // by id
	bodies   map[string][]byte
	events   []wire.Event
	state    wire.State
	job      wire.JobStatus
	probes   map[string]wire.Probe // by device
	runs     map[string]wire.Manifest
	manifest chan wire.Manifest // whole
}

func newCloud() *cloud {
	return &cloud{docs: map[string]wire.Header{}, bodies: map[string][]byte{}, probes: map[string]wire.Probe{}, runs: map[string]wire.Manifest{}, manifest: make(chan wire.Manifest, 10)}
}

// wayIn is a lane and a stream of the cloud: it keeps what comes.
type wayIn struct {
	c    *cloud
	head wire.Header
	body bytes.Buffer
}

func (c *cloud) Lane(_ context.Context, run, device string, _ func() func()) (collector.Lane, error) {
	return &wayIn{c: c, head: wire.Header{Run: run, Device: device}}, nil
}

func (w *wayIn) Add(_ context.Context, h wire.Header, plain []byte, _ bool, done func(wire.Delivery)) error {
	h.Run, h.Device = w.head.Run, w.head.Device
	w.c.mu.Lock()
	w.c.docs[h.ID], w.c.bodies[h.ID] = h, bytes.Clone(plain)
	w.c.mu.Unlock()
	go done(wire.Delivery{Receipt: wire.Receipt{ID: h.ID, Status: wire.Stored}, Sent: h.Size})
	return nil
}

func (w *wayIn) Stream(context.Context, wire.Header, bool) (collector.Stream, error) {
	return &wayIn{c: w.c, head: w.head}, nil
}

func (w *wayIn) Write(p []byte) (int, error) { return w.body.Write(p) }
func (w *wayIn) Commit(last wire.Header, done func(wire.Delivery)) error {
	return w.Add(context.Background(), last, w.body.Bytes(), false, done)
}
func (w *wayIn) Abort() {}
func (w *wayIn) Close() {}

func (c *cloud) DropHeld(string)                  {}
func (c *cloud) SetBudget(int64)                  {}
func (c *cloud) Budget() (used, held, size int64) { return 0, 0, 0 }

// PublishRun joins the sections of a run.
func (c *cloud) PublishRun(_ context.Context, m wire.Manifest, done func(wire.Receipt)) (string, error) {
	c.mu.Lock()
	before := c.runs[m.Run]
	m.Devices, m.Documents = append(before.Devices, m.Devices...), append(before.Documents, m.Documents...)
	c.runs[m.Run] = m
	c.mu.Unlock()
	if m.Last {
		c.manifest <- m
	}
	done(wire.Receipt{Status: wire.Complete})
	return "hash", nil
}

func (c *cloud) SendState(s wire.State) { c.mu.Lock(); defer c.mu.Unlock(); c.state = s }
func (c *cloud) SendJobStatus(s wire.JobStatus) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.job = s
	if s.Probe != nil {
		c.probes[s.Probe.Device] = *s.Probe
	}
}
func (c *cloud) SendEvent(e wire.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events = append(c.events, e)
}

const (
	theCollector = "site-0001"
	theBoot      = "01J00000000000000000000000"
)

// desiredOf writes the configuration of a simulated fleet.
func desiredOf(t *testing.T, f *junostest.Fleet, key wire.BootKey) wire.Desired {
	t.Helper()
	d := wire.Desired{V: wire.Version, Collector: theCollector, Boot: theBoot, Version: 1,
		Credentials: map[string]wire.Credential{}, Bastions: map[string]wire.Bastion{}}
	credential := func(id, user, password string) {
		plain, err := wire.CredentialSecret{Password: secret.FromString(password)}.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := wire.SealTo(key.Public(), wire.CredentialInfo(theCollector, theBoot, id, "1"), plain)
		if err != nil {
			t.Fatal(err)
		}
		d.Credentials[id] = wire.Credential{Kind: wire.KindPassword, Username: user, Version: "1", Sealed: sealed}
	}
	for _, b := range f.Bastions() {
		credential(b.Name, b.User, b.Password)
		d.Bastions[b.Name] = wire.Bastion{Address: b.Addr.Addr().String(), Port: b.Addr.Port(), Credential: b.Name, HostKeys: []string{b.HostKey}}
	}
	for _, dev := range f.Devices() {
		id := "lab"
		if dev.Fault() != junostest.NoFault {
			id = "own-" + dev.Name
		}
		credential(id, dev.User, dev.Password)
		out := wire.Device{ID: dev.Name, Address: dev.Addr.Addr().String(), Port: dev.Addr.Port(), Credential: id, HostKeys: []string{dev.HostKey}}
		if dev.Behind != "" {
			out.Bastions = []string{dev.Behind}
		}
		d.Devices = append(d.Devices, out)
	}
	return d
}

// The real path to the devices: collector, SSH through bastions, NETCONF; six
// devices are broken, each in its own way, and everything else arrives byte for
// byte.
func TestCollectFromSimulatedFleet(t *testing.T) {
	broken := map[string]junostest.Fault{"01": junostest.NoNETCONF, "02": junostest.Garbage, "03": junostest.Stall,
		"04": junostest.Unreachable, "05": junostest.RefuseAuth, "06": junostest.Truncate}
	fleet := startFleet(t, junostest.Config{Devices: 18, Bastions: 2, Behind: 6, Seed: 8}, broken)
	key, err := wire.NewBootKey()
	if err != nil {
		t.Fatal(err)
	}
	cl := newCloud()
	logs := &bytes.Buffer{}
	c := collector.New(collector.Config{Collector: theCollector, Boot: theBoot, BootKey: key, Uplink: cl,
		Dialer: dial.New(&device.Dialer{Net: new(net.Dialer).DialContext, Timeouts: device.Timeouts{Retry: 10 * time.Millisecond}}),
		Logger: slog.New(slog.NewJSONHandler(logs, nil)), Session: junos.Options{StallTimeout: 500 * time.Millisecond}})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	c.Desired(desiredOf(t, fleet, key), wire.ConfigRef{Version: 1})
	run := wire.NewID()
	c.Job(wire.Job{ID: wire.NewID(), Kind: wire.JobCollect, Run: run})
	var m wire.Manifest
	select {
	case m = <-cl.manifest:
	case <-time.After(2 * time.Minute):
		t.Fatal("the run did not end")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if m.Run != run || len(m.Devices) != 18 || len(m.Documents) != 18*daily(t) {
		t.Fatalf("manifest with %d devices, %d documents", len(m.Devices), len(m.Documents))
	}
	checkResults(t, m, broken)
	checkBytes(t, m, cl, fleet, broken)
	for _, d := range fleet.Devices() {
		if strings.Contains(logs.String(), d.Password) {
			t.Error("a password is in the log")
		}
	}
}

// startFleet starts a fleet with faults by the last two digits of the name.
func startFleet(t *testing.T, conf junostest.Config, broken map[string]junostest.Fault) *junostest.Fleet {
	t.Helper()
	plan, err := junostest.NewFleet(conf)
	if err != nil {
		t.Fatal(err)
	}
	conf.Faults = map[string]junostest.Fault{}
	for _, d := range plan.Devices() {
		conf.Faults[d.Name] = broken[d.Name[len(d.Name)-2:]]
	}
	f, err := junostest.NewFleet(conf)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func checkResults(t *testing.T, m wire.Manifest, broken map[string]junostest.Fault) {
	t.Helper()
	want := map[junostest.Fault]string{junostest.NoNETCONF: "subsystem", junostest.Garbage: "hello", junostest.Stall: "rpc-timeout",
		junostest.Unreachable: "refused", junostest.RefuseAuth: "auth", junostest.Truncate: "closed"}
	for _, d := range m.Devices {
		fault := broken[d.Device[len(d.Device)-2:]]
		switch {
		case fault == junostest.NoFault && (!d.OK || d.Documents != daily(t) || d.Error != ""):
			t.Errorf("%+v", d)
		case fault != junostest.NoFault && (d.OK || d.Kind != want[fault] || d.Error == ""):
			t.Errorf("%s: %+v", fault, d)
		}
		t.Logf("%s %s ok=%v %s/%s docs=%d %.1fs %s", d.Device, fault, d.OK, d.Phase, d.Kind, d.Documents, d.Seconds, d.Error)
	}
}

func checkBytes(t *testing.T, m wire.Manifest, cl *cloud, fleet *junostest.Fleet, broken map[string]junostest.Fault) {
	t.Helper()
	sent := map[string][]string{}
	for _, s := range fleet.Sent() {
		k := s.Device + "/" + s.Item
		sent[k] = append(sent[k], s.SHA256)
	}
	stored := 0
	for _, e := range m.Documents {
		if broken[e.Device[len(e.Device)-2:]] != junostest.NoFault {
			if e.Status != wire.EntryFailed && e.Outcome != "partial" {
				t.Errorf("%+v", e)
			}
			if e.Status == wire.EntryFailed && e.Reason == "" {
				t.Errorf("no reason: %+v", e)
			}
			continue
		}
		stored++
		if wire.Digest(cl.bodies[e.ID]) != e.SHA256 || !slices.Contains(sent[e.Device+"/"+e.Item], asSent(e)) {
			t.Errorf("%s %s is not what the device sent", e.Device, e.Item)
		}
	}
	if stored != 12*daily(t) {
		t.Errorf("%d documents of good devices", stored)
	}
}

// asSent is the digest of a document as the device sent it.
func asSent(e wire.ManifestEntry) string {
	if e.RawSHA256 != "" {
		return e.RawSHA256
	}
	return e.SHA256
}

// daily is how many items a device is asked for when nothing else is said.
func daily(t *testing.T) int {
	t.Helper()
	items, ok := junos.Profile(wire.DefaultProfile)
	if !ok {
		t.Fatal("there is no default profile")
	}
	return len(items)
}
