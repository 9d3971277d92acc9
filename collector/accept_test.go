package collector

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lwc/transport/wire"
)

// One bad entry of every sort beside good ones: each is named, and nothing else
// stops.
func TestBadEntriesAreLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		d := r.desired(1, 2)
		other, err := wire.NewBootKey()
		if err != nil {
			t.Fatal(err)
		}
		sealed, _ := wire.SealTo(other.Public(), wire.CredentialInfo(testCollector, testBoot, "stale", "1"), []byte("{}"))
		d.Credentials["stale"] = wire.Credential{Kind: wire.KindPassword, Username: "u", Version: "1", Sealed: sealed}
		d.Credentials["moved"] = d.Credentials["lab"] // sealed for another id
		d.Credentials["anonymous"] = wire.Credential{Kind: wire.KindPassword, Sealed: d.Credentials["lab"].Sealed}
		odd := r.seal("odd", "1", "x")
		odd.Kind = "token"
		d.Credentials["odd"] = odd
		d.Credentials["nokey"] = r.seal("nokey", "1", "x")
		nokey := d.Credentials["nokey"]
		nokey.Kind = wire.KindPrivateKey
		d.Credentials["nokey"] = nokey
		d.Profiles["two"] = append(d.Profiles["two"], "show-moon-phase", "show-moon-phase", "show-version")
		d.Profiles["none"] = []string{"show-nothing"}
		d.Bastions = map[string]wire.Bastion{
			"jump":    {Address: "jump.example.net", Credential: "lab", HostKeys: []string{testKey}},
			"stale":   {Address: "192.0.2.200", Credential: "stale", HostKeys: []string{testKey}},
			"beyond":  {Address: "192.0.2.201", Credential: "lab", HostKeys: []string{testKey}, Via: []string{"jump"}},
			"lost":    {Address: "192.0.2.202", Credential: "lab", HostKeys: []string{testKey}, Via: []string{"nowhere"}},
			"unknown": {Address: "192.0.2.203", Credential: "lab"},
		}
		good := func(id string, change func(*wire.Device)) {
			dev := wire.Device{ID: id, Address: "192.0.2.9", Credential: "lab", HostKeys: []string{testKey}, Profile: "two"}
			change(&dev)
			d.Devices = append(d.Devices, dev)
		}
		good("behind", func(d *wire.Device) { d.Bastions = []string{"beyond"} })
		good("twice", func(*wire.Device) {})
		good("twice", func(d *wire.Device) { d.Address = "192.0.2.10" })
		good("", func(*wire.Device) {})
		good(strings.Repeat("i", 256), func(*wire.Device) {})
		good("addr", func(d *wire.Device) { d.Address = "10.0.0.300" })
		good("addr2", func(d *wire.Device) { d.Address = "edge 1; rm -rf /" })
		good("any", func(d *wire.Device) { d.Address = "0.0.0.0" })
		good("nocred", func(d *wire.Device) { d.Credential = "missing" })
		good("stalecred", func(d *wire.Device) { d.Credential = "stale" })
		good("nobastion", func(d *wire.Device) { d.Bastions = []string{"missing"} })
		good("badbastion", func(d *wire.Device) { d.Bastions = []string{"stale"} })
		good("loop", func(d *wire.Device) { d.Bastions = []string{"jump", "jump"} })
		good("noprofile", func(d *wire.Device) { d.Profile = "missing" })
		good("emptyprofile", func(d *wire.Device) { d.Profile = "none" })
		good("nohostkey", func(d *wire.Device) { d.HostKeys = nil })
		good("badhostkey", func(d *wire.Device) { d.HostKeys = []string{"ssh-ed25519 not*base64"} })
		good("badpin", func(d *wire.Device) { d.HostKeys = []string{"SHA256:tooshort"} })
		good("trusting", func(d *wire.Device) { d.HostKeys, d.TrustFirst = nil, true })
		good("builtin", func(d *wire.Device) { d.Profile = "minimal" })
		d.Schedules = []wire.Schedule{{Start: "soon"}}
		d.Limits.Concurrency = -1

		s := r.apply(d)
		got := map[string]string{}
		for _, e := range s.Items {
			got[e.Path] = e.Error
		}
		want := map[string]string{
			"schedules/daily":                     "time of day",
			"limits/concurrency":                  "between",
			"profiles/two/show-moon-phase":        "does not know",
			"profiles/none/show-nothing":          "does not know",
			"credentials/stale":                   "not sealed to this boot",
			"credentials/moved":                   "not sealed to this boot",
			"credentials/anonymous":               "user name",
			"credentials/odd":                     "kind",
			"credentials/nokey":                   "holds no private-key",
			"bastions/stale":                      `credential "stale" cannot be used`,
			"bastions/lost":                       `"nowhere"`,
			"bastions/unknown":                    "no host key",
			"devices/twice":                       "2 entries",
			"devices/#6":                          "no id",
			"devices/addr":                        "10.0.0.300",
			"devices/addr2":                       "neither an IP address nor a host name",
			"devices/any":                         "one host",
			"devices/nocred":                      `"missing" is not in the configuration`,
			"devices/stalecred":                   "cannot be used: see credentials/stale",
			"devices/nobastion":                   `"missing" is not in the configuration`,
			"devices/badbastion":                  "see bastions/stale",
			"devices/loop":                        "loop",
			"devices/noprofile":                   `"missing"`,
			"devices/emptyprofile":                "no item",
			"devices/nohostkey":                   "host_keys",
			"devices/badhostkey":                  "damaged",
			"devices/badpin":                      "fingerprint",
			"devices/" + strings.Repeat("i", 256): "256 bytes",
		}
		for path, words := range want {
			if !strings.Contains(got[path], words) {
				t.Errorf("%.60s: %q, want words %q", path, got[path], words)
			}
			delete(got, path)
		}
		for path, e := range got {
			t.Errorf("unexpected: %s: %s", path, e)
		}
		if kinds := r.up.eventKinds(); !slices.Equal(kinds, []string{wire.EventUnknownItem}) ||
			!strings.Contains(r.up.events[0].Text, "show-moon-phase, show-nothing") {
			t.Errorf("events %+v", r.up.events)
		}

		job, m := r.collect()
		if job.State != wire.JobDone {
			t.Fatalf("job %+v", job)
		}
		var ok []string
		for _, d := range m.Devices {
			if d.OK {
				ok = append(ok, d.Device)
			} else if d.Kind != kindBadConfig || d.Error == "" {
				t.Errorf("%+v", d)
			}
		}
		if !slices.Equal(ok, []string{"behind", "builtin", "edge-01", "edge-02", "trusting"}) {
			t.Errorf("collected %v", ok)
		}
		// The unknown item is accounted for at every device that asks for it.
		es := entriesOf(m, "edge-01")
		if len(es) != 3 || es[2].Item != "show-moon-phase" || es[2].Status != wire.EntryFailed {
			t.Errorf("edge-01: %+v", es)
		}
		if es := entriesOf(m, "nocred"); len(es) != 3 || es[0].Status != wire.EntryFailed || !strings.Contains(es[0].Reason, "missing") {
			t.Errorf("nocred: %+v", es)
		}
		for _, dial := range r.site.log() {
			if dial.device == "behind" && (len(dial.target.Via) != 2 || dial.target.Via[0].Name != "jump") {
				t.Errorf("way to behind: %+v", dial.target.Via)
			}
		}
	})
}

func TestManyBadEntriesFitIntoAState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		d := r.desired(1, 0)
		for i := range 5000 {
			d.Devices = append(d.Devices, wire.Device{ID: fmt.Sprintf("%d%s", i, strings.Repeat("<&", 120)), Address: strings.Repeat(`"`, 400)})
		}
		s := r.apply(d)
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		told := len(s.Items) - 1
		if last := s.Items[told]; told < 10 || !strings.Contains(last.Error, fmt.Sprintf("%d more", 5000-told)) {
			t.Errorf("%d items, the last %+v", told, last)
		}
		if n := len(b) * 4 / 3; n > wire.MaxFrame-2048 {
			t.Errorf("a state of %d bytes", n)
		}
	})
}

func TestNewerConfigurationReplacesAndWipes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.site.latency = 10 * time.Second
		d := r.desired(1, 2)
		d.Limits.Concurrency = 1
		r.apply(d)
		old := r.c.current()
		job := wire.Job{ID: wire.NewID(), Kind: wire.JobCollect, Run: wire.NewID()}
		r.c.Job(job)
		r.sleep(2 * time.Second) // the first device is in its session, and has its slot

		r.site.mu.Lock()
		r.site.password = "new"
		r.site.mu.Unlock()
		d = r.desired(2, 2)
		d.Credentials["lab"] = r.seal("lab", "2", "new")
		r.apply(d)
		if wiped(old) {
			t.Error("wiped while a session uses it")
		}
		r.sleep(time.Minute)
		if !wiped(old) {
			t.Error("not wiped after the last session that used it")
		}
		if !slices.Equal(r.site.tried(), []string{"right", "new"}) {
			t.Errorf("passwords used: %v", r.site.tried())
		}
		if s := r.up.lastJob(job.ID); s.State != wire.JobDone {
			t.Errorf("job %+v", s)
		}
		r.c.Desired(r.desired(1, 1), wire.ConfigRef{Version: 1}) // an old one comes late
		synctest.Wait()
		if got := r.c.Status().Config.Version; got != 2 {
			t.Errorf("version %d in use", got)
		}
	})
}

func TestNotBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		d := r.desired(1, 1)
		d.NotBefore = time.Now().Add(time.Hour)
		r.c.Desired(d, wire.ConfigRef{Version: 1})
		r.sleep(59 * time.Minute)
		if s := r.up.lastState(); s.Status != wire.ConfigReceived {
			t.Errorf("before its time: %+v", s)
		}
		r.sleep(2 * time.Minute)
		if s := r.up.lastState(); s.Status != wire.ConfigApplied {
			t.Errorf("after its time: %+v", s)
		}
	})
}
