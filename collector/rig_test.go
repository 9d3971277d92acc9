package collector

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lwc/transport/secret"
	"lwc/transport/wire"
)

const (
	testCollector = "site-0001"
	testBoot      = "01J00000000000000000000000"
)

// recorder is an Uplink that keeps what it is given and, unless told otherwise,
// answers like a cloud that has stored it.
type recorder struct {
	hold bool          // receipts wait until release
	full chan struct{} // nil: there is memory; else what needs some waits for an element

	mu        sync.Mutex
	docs      []wire.Header
	bodies    map[string][]byte
	manifests []wire.Manifest
	states    []wire.State
	jobs      []wire.JobStatus
	events    []wire.Event
	waiting   []func()
	code      map[string]wire.Receipt // by item: another answer than stored
	manifest  wire.Receipt            // another answer than complete
	accept    func(wire.Manifest) bool
	silent    int      // so many manifests have no answer until release
	dropped   []string // runs whose held documents were dropped
	seats     int      // of lanes that are open
	streams   int      // that are neither committed nor aborted
	aborted   int      // streams
	approve   []string // items that came with hold
	budget    int64
	wrong     []string // what a visit did that a lane does not bear
}

// answered notes a document and answers for it.
func (r *recorder) answered(h wire.Header, plain []byte, done func(wire.Delivery)) {
	r.mu.Lock()
	r.docs = append(r.docs, h)
	if r.bodies == nil {
		r.bodies = map[string][]byte{}
	}
	r.bodies[h.ID] = plain
	rc, ok := r.code[h.Item]
	if !ok {
		rc = wire.Receipt{Status: wire.Stored}
	}
	rc.ID = h.ID
	answer := func() { done(wire.Delivery{Receipt: rc, Sent: h.Size / 10}) }
	if r.hold {
		r.waiting = append(r.waiting, answer)
		r.mu.Unlock()
		return
	}
	r.mu.Unlock()
	answer()
}

func (r *recorder) release() {
	r.mu.Lock()
	w := r.waiting
	r.waiting = nil
	r.mu.Unlock()
	for _, answer := range w {
		answer()
	}
}

func (r *recorder) PublishRun(_ context.Context, m wire.Manifest, done func(wire.Receipt)) (string, error) {
	r.mu.Lock()
	r.manifests = append(r.manifests, m)
	n, rc, silent := len(r.manifests), r.manifest, r.silent > 0
	r.silent--
	if r.accept != nil && !r.accept(m) {
		rc = wire.Receipt{Status: wire.Rejected, Code: "chain"}
	}
	r.mu.Unlock()
	if rc.Status == "" {
		rc.Status = wire.Complete
	}
	if !silent {
		done(rc)
	} else {
		r.mu.Lock()
		r.waiting = append(r.waiting, func() { done(rc) })
		r.mu.Unlock()
	}
	return fmt.Sprintf("hash-%d", n), nil
}

func (r *recorder) droppedHeld() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.dropped)
}

func (r *recorder) SendState(s wire.State) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.states = append(r.states, s)
}

func (r *recorder) SendJobStatus(s wire.JobStatus) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.jobs = append(r.jobs, s)
}

func (r *recorder) SendEvent(e wire.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func (r *recorder) lastState() wire.State {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.states) == 0 {
		return wire.State{}
	}
	return r.states[len(r.states)-1]
}

func (r *recorder) lastJob(id string) wire.JobStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range slices.Backward(r.jobs) {
		if s.ID == id {
			return s
		}
	}
	return wire.JobStatus{}
}

func (r *recorder) eventKinds() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, e := range r.events {
		out = append(out, e.Kind)
	}
	return out
}

// rig is a Collector at work between a site and a recorder.
type rig struct {
	t    *testing.T
	key  wire.BootKey
	site *site
	up   *recorder
	c    *Collector
	stop func()
}

func newRig(t *testing.T, change func(*Config)) *rig {
	t.Helper()
	key, err := wire.NewBootKey()
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, key: key, up: &recorder{},
		site: &site{password: "right", latency: 100 * time.Millisecond, behave: map[string]behaviour{}, deep: map[string]int{}}}
	conf := Config{Collector: testCollector, Boot: testBoot, BootKey: key, Dialer: r.site, Uplink: r.up,
		Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&conf)
	}
	r.c = New(conf)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.c.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(func() {
		r.stop()
		r.site.tasks.Wait()
		if used, _, _ := r.up.Budget(); used != 0 || len(r.up.wrong) > 0 {
			t.Errorf("%d bytes of seats and streams left; wrong: %v", used, r.up.wrong)
		}
	})
	return r
}

// seal makes a credential as the cloud does.
func (r *rig) seal(id, version, password string) wire.Credential {
	r.t.Helper()
	plain, err := wire.CredentialSecret{Password: secret.FromString(password)}.Marshal()
	if err != nil {
		r.t.Fatal(err)
	}
	sealed, err := wire.SealTo(r.key.Public(), wire.CredentialInfo(testCollector, testBoot, id, version), plain)
	if err != nil {
		r.t.Fatal(err)
	}
	return wire.Credential{Kind: wire.KindPassword, Username: "lwc", Version: version, Sealed: sealed}
}

const testKey = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// desired is a good configuration of n devices with a profile of two items, and
// no pacing to speak of.
func (r *rig) desired(version uint64, n int) wire.Desired {
	d := wire.Desired{V: wire.Version, Collector: testCollector, Boot: testBoot, Version: version,
		Limits:      wire.CollectLimits{LoginsPerSecond: 1000},
		Profiles:    map[string][]string{"two": {"show-version", "show-system-uptime"}},
		Credentials: map[string]wire.Credential{"lab": r.seal("lab", "1", "right")}}
	for i := range n {
		d.Devices = append(d.Devices, wire.Device{ID: fmt.Sprintf("edge-%02d", i+1), Address: fmt.Sprintf("192.0.2.%d", i+1),
			Credential: "lab", HostKeys: []string{testKey}, Profile: "two"})
	}
	return d
}

// apply hands over a configuration and waits until it is applied.
func (r *rig) apply(d wire.Desired) wire.State {
	r.t.Helper()
	r.c.Desired(d, wire.ConfigRef{Version: d.Version, SHA256: "x"})
	synctest.Wait()
	s := r.up.lastState()
	if s.Status != wire.ConfigApplied || s.Config.Version != d.Version {
		r.t.Fatalf("state %+v", s)
	}
	return s
}

// collect asks for a run and waits until it has ended.
func (r *rig) collect(devices ...string) (wire.JobStatus, wire.Manifest) {
	r.t.Helper()
	id := wire.NewID()
	r.c.Job(wire.Job{V: 1, ID: id, Collector: testCollector, Boot: testBoot, Kind: wire.JobCollect, Run: wire.NewID(), Devices: devices})
	for range 24 * 60 {
		time.Sleep(time.Second)
		synctest.Wait()
		if s := r.up.lastJob(id); s.State == wire.JobDone || s.State == wire.JobFailed || s.State == wire.JobRefused {
			r.up.mu.Lock()
			defer r.up.mu.Unlock()
			runs := whole(r.up.manifests)
			if len(runs) == 0 {
				return s, wire.Manifest{}
			}
			return s, runs[len(runs)-1]
		}
	}
	r.t.Fatalf("the job did not end: %+v", r.up.lastJob(id))
	return wire.JobStatus{}, wire.Manifest{}
}

func result(t *testing.T, m wire.Manifest, device string) wire.DeviceResult {
	t.Helper()
	for _, d := range m.Devices {
		if d.Device == device {
			return d
		}
	}
	t.Fatalf("the manifest has no %s: %+v", device, m.Devices)
	return wire.DeviceResult{}
}

func entriesOf(m wire.Manifest, device string) []wire.ManifestEntry {
	var out []wire.ManifestEntry
	for _, e := range m.Documents {
		if e.Device == device {
			out = append(out, e)
		}
	}
	return out
}

func timeout(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), d)
}

// sleep lets time pass, and all that is due by then happen.
func (r *rig) sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// runs returns the manifests of the runs that have ended, their sections joined.
func (r *recorder) runs() []wire.Manifest {
	r.mu.Lock()
	defer r.mu.Unlock()
	return whole(r.manifests)
}

// sections returns the manifests so far.
func (r *recorder) sections() []wire.Manifest {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.manifests)
}

// whole joins the sections of each run that has ended; the first one's words stand
// for all. A section that was sent twice counts once.
func whole(sections []wire.Manifest) []wire.Manifest {
	var out []wire.Manifest
	open, ended := map[string]*wire.Manifest{}, map[string]int{}
	for _, s := range sections {
		m := open[s.Run]
		if s.Section <= ended[s.Run] {
			continue
		}
		if m == nil {
			m = &wire.Manifest{}
			*m = s
			m.Devices, m.Documents = slices.Clone(s.Devices), slices.Clone(s.Documents)
			open[s.Run] = m
		} else if s.Section > m.Section {
			m.Section, m.Last, m.Finished, m.Reason = s.Section, s.Last, s.Finished, s.Reason
			m.Devices, m.Documents = append(m.Devices, s.Devices...), append(m.Documents, s.Documents...)
		}
		if s.Last {
			delete(open, s.Run)
			ended[s.Run] = s.Section
			sortAccounts(m)
			out = append(out, *m)
		}
	}
	return out
}

func wiped(f *fleet) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.creds["lab"].auth.Password.Empty()
}
