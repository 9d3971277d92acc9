package collector

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lwc/junos"
	"lwc/transport/wire"
)

func authorization(class string, permissions ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<authorization-information xmlns="http://xml.juniper.net/junos/22.4R3/junos-jmgd"><user>lwc</user><class>%s</class>`, class)
	for _, p := range permissions {
		fmt.Fprintf(&b, "<permission>%s</permission>", p)
	}
	return b.String() + "</authorization-information>"
}

func answering(rights string) func(string, int) (string, bool) {
	return func(rpc string, _ int) (string, bool) {
		if rpc == "get-authorization-information" {
			return rights, false
		}
		return versionReply("22.4R3"), false
	}
}

// probe asks for a probe and returns what was told, by device, and the last status.
func (r *rig) probe(devices ...string) (map[string]wire.Probe, wire.JobStatus) {
	r.t.Helper()
	id := wire.NewID()
	r.c.Job(wire.Job{V: 1, ID: id, Collector: testCollector, Boot: testBoot, Kind: wire.JobProbe, Devices: devices})
	for range 600 {
		r.sleep(time.Second)
		if s := r.up.lastJob(id); s.State != wire.JobRunning && s.State != wire.JobAccepted {
			break
		}
	}
	out := map[string]wire.Probe{}
	r.up.mu.Lock()
	defer r.up.mu.Unlock()
	for _, s := range r.up.jobs {
		if s.ID == id && s.Probe != nil {
			out[s.Probe.Device] = *s.Probe
		}
	}
	return out, r.up.jobs[len(r.up.jobs)-1]
}

func stages(p wire.Probe) string {
	var out []string
	for _, s := range p.Steps {
		word := s.Stage
		if !s.OK {
			word += "!" + s.Kind
		}
		out = append(out, word)
	}
	return strings.Join(out, " ")
}

func TestProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		looking := authorization("lwc", "view")
		dying := func(rpc string, _ int) (string, bool) { return "<x/>", true }
		for id, b := range map[string]behaviour{
			"edge-01": {reply: answering(looking), access: &wire.Access{Mode: "netconf", Port: 830}},
			"edge-02": {reply: answering(authorization("super-user", "all"))},
			"edge-03": {dial: func(int) error { return &dialError{phase: "connect", kind: "refused", hop: "edge-03"} }},
			"edge-04": {dial: func(int) error { return &dialError{phase: "auth", kind: "auth", hop: "edge-04"} }},
			"edge-05": {reply: answering(fmt.Sprintf(rpcError, "permission denied"))},
			"edge-06": {reply: dying},
			"edge-07": {reply: func(rpc string, _ int) (string, bool) { return looking, false }},
		} {
			r.site.behave[id] = b
		}
		d := r.desired(1, 8)
		d.Devices[3].Credential = "own"
		d.Credentials["own"] = r.seal("own", "1", "right")
		d.Devices[7].Address = "not an address"
		r.apply2(d)
		got, last := r.probe("edge-01", "edge-02", "edge-03", "edge-04", "edge-05", "edge-06", "edge-07", "edge-08", "gone")
		if last.State != wire.JobDone || last.Done != 9 || last.Total != 9 {
			t.Fatalf("job %+v", last)
		}
		for id, want := range map[string]string{
			"edge-01": "auth hello permission privilege parse",
			"edge-02": "auth hello permission privilege!over-privileged parse",
			"edge-03": "connect!refused",
			"edge-04": "auth!auth",
			"edge-05": "auth hello permission!denied parse",
			"edge-06": "auth hello permission!closed parse!closed",
			"edge-07": "auth hello permission privilege parse!malformed",
			"edge-08": "config!bad-configuration",
			"gone":    "config!unknown-device",
		} {
			if s := stages(got[id]); s != want {
				t.Errorf("%s: %s, want %s", id, s, want)
			}
			if ok := id == "edge-01" || id == "edge-02"; got[id].OK != ok {
				t.Errorf("%s: %+v", id, got[id])
			}
			for _, s := range got[id].Steps {
				if !s.OK && s.Detail == "" {
					t.Errorf("%s: no words for %s", id, s.Stage)
				}
			}
		}
		if p := got["edge-02"]; p.Class != "super-user" || !slices.Equal(p.Permissions, []string{"all"}) || len(p.Excess) == 0 {
			t.Errorf("%+v", p)
		}
		if hello := got["edge-01"].Steps[1]; hello.Detail != "NETCONF 1.0 framing, session 7" {
			t.Errorf("%+v", hello)
		}
		if p := got["edge-01"]; p.Access == nil || len(p.Excess) != 0 {
			t.Errorf("%+v", p)
		}
		if len(r.up.docs) != 0 || len(r.up.runs()) != 0 {
			t.Error("a probe leaves documents")
		}
		if kinds := r.up.eventKinds(); !slices.Contains(kinds, wire.EventOverPrivileged) {
			t.Errorf("events %v", kinds)
		}
		if c := r.c.Status().Counters; c["sessions"] != 0 || c["memory_bytes"] != 0 {
			t.Errorf("counters %v", c)
		}
		for _, q := range r.site.questions() {
			if !strings.HasSuffix(q, "get-authorization-information") && !strings.HasSuffix(q, "get-software-information") {
				t.Errorf("asked %s", q)
			}
		}
	})
}

// Rights that are too few are found without asking for what is refused, and the
// rest is collected in spite of them.
func TestProbeNamesWhatIsDenied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		denying := func(expression string) behaviour {
			rights := authorization("ops", "view")
			return behaviour{reply: answering(strings.Replace(rights, "</auth", "<deny-command>"+expression+"</deny-command></auth", 1))}
		}
		r.site.behave["edge-01"] = denying("uptime")
		r.site.behave["edge-02"] = denying("^show")
		r.site.behave["edge-03"] = denying("^show [^v]")
		r.site.behave["edge-04"] = denying("^show (version")
		d := r.desired(1, 4)
		d.Devices[2].Profile = "minimal"
		r.apply(d)
		got, _ := r.probe("edge-01", "edge-02", "edge-03", "edge-04")
		items, _ := junos.Profile("minimal")
		for id, want := range map[string]struct {
			ok    bool
			words []string
		}{
			"edge-01": {true, []string{"1 of the 2 commands of its profile: show system uptime.", "The others can be", `with --item for each item of the profile "two"`}},
			"edge-02": {false, []string{": show version, show system uptime. Nothing can be collected."}},
			"edge-03": {true, []string{fmt.Sprintf(" and %d more. ", len(items)-1-maxNamed), "class that `lwc-cloud login-class --profile minimal` prints"}},
			"edge-04": {true, nil},
		} {
			p, stagesWanted := got[id], "auth hello permission!denied privilege parse"
			if want.words == nil {
				stagesWanted = "auth hello permission privilege parse"
			}
			if s := stages(p); s != stagesWanted || p.OK != want.ok {
				t.Fatalf("%s: %s, %v", id, s, p.OK)
			}
			for _, w := range want.words {
				if detail := p.Steps[2].Detail; !strings.Contains(detail, w) {
					t.Errorf("%s: %q lacks %q", id, detail, w)
				}
			}
		}
	})
}

// apply2 is apply of a configuration with bad entries.
func (r *rig) apply2(d wire.Desired) {
	r.t.Helper()
	r.c.Desired(d, wire.ConfigRef{Version: d.Version})
	synctest.Wait()
}

// A log-in that was refused is tried once by a probe, since a person asked; what
// works again is collected again.
func TestProbeTriesARefusedLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		d := r.desired(1, 1)
		d.Schedules = []wire.Schedule{{Start: "02:00", Window: "1h"}}
		r.site.password = "another"
		r.apply(d)
		r.sleep(24 * time.Hour)
		if got, _ := r.probe("edge-01"); stages(got["edge-01"]) != "auth!auth" || len(r.site.tried()) != 2 {
			t.Fatalf("%s, %d log-ins", stages(got["edge-01"]), len(r.site.tried()))
		}
		r.site.password = "right"
		r.site.behave["edge-01"] = behaviour{reply: answering(authorization("lwc", "view"))}
		if got, _ := r.probe("edge-01"); !got["edge-01"].OK {
			t.Fatalf("%+v", got)
		}
		r.sleep(24 * time.Hour)
		if m := r.up.runs(); !m[len(m)-1].Devices[0].OK {
			t.Errorf("%+v", m[len(m)-1])
		}
	})
}

// A device that says nothing does not hold a probe for ever, and a probe does not
// disturb a collection: the site panics at a second session.
func TestProbeIsBoundedAndAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.site.behave["edge-01"] = behaviour{slow: time.Hour}
		r.site.behave["edge-02"] = behaviour{reply: answering(authorization("lwc", "view")), slow: 5 * time.Second}
		r.apply(r.desired(1, 2))
		r.c.Job(wire.Job{ID: wire.NewID(), Kind: wire.JobCollect, Run: wire.NewID(), Devices: []string{"edge-02"}})
		synctest.Wait()
		began := time.Now()
		got, last := r.probe("edge-01", "edge-02")
		if last.State != wire.JobDone || time.Since(began) > probeTime+30*time.Second {
			t.Errorf("after %v: %+v", time.Since(began), last)
		}
		if s := stages(got["edge-01"]); s != "collect!deadline" || !got["edge-02"].OK {
			t.Errorf("%s; %+v", s, got["edge-02"])
		}
	})
}

// The account is looked at once a boot by collections too.
func TestAccountIsCheckedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.site.behave["edge-01"] = behaviour{reply: answering(authorization("super-user", "all"))}
		r.apply(r.desired(1, 1))
		for range 3 {
			if _, m := r.collect(); !result(t, m, "edge-01").OK || len(m.Documents) != 2 {
				t.Errorf("%+v", m)
			}
		}
		n := 0
		for _, q := range r.site.questions() {
			if q == "edge-01 get-authorization-information" {
				n++
			}
		}
		if kinds := r.up.eventKinds(); n != 1 || !slices.Equal(kinds, []string{wire.EventOverPrivileged}) {
			t.Errorf("asked %d times, events %v", n, kinds)
		}
		if text := r.up.events[0].Text; !strings.Contains(text, `"lab"`) || !strings.Contains(text, "all: ") {
			t.Errorf("event %q", text)
		}
	})
}
