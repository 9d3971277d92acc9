package portal_test

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"lwc/cloud/api/apitest"
	"lwc/cloud/edp"
	"lwc/cloud/fleet"
	"lwc/transport/wire"
)

// An admin tests a connection; every user sees what came of it.
func TestProbePages(t *testing.T) {
	c := apitest.Start(t)
	c.Fill()
	v := user(t, c, edp.RoleAdmin)
	at := "/collectors/" + apitest.Collector + "/devices/"
	resp, _ := v.post(at+"edge-1/probe", nil)
	job := resp.Header.Get("Location")
	if resp.StatusCode != http.StatusSeeOther || !strings.HasPrefix(job, "/jobs/") {
		t.Fatalf("testing: %s, to %s", resp.Status, job)
	}
	open, err := c.Store.OpenJobs(t.Context(), apitest.Collector)
	must(t, err)
	if len(open) != 1 || open[0].Kind != wire.JobProbe || len(open[0].Devices) != 1 || open[0].Devices[0] != "edge-1" {
		t.Fatalf("jobs %+v", open)
	}
	c.Probe(open[0])
	standard := user(t, c, edp.RoleStandard)
	page := html.UnescapeString(standard.page(job))
	for _, want := range []string{"Connection test", "can be collected", "over-privileged", "50 ms", "super-user", "change the configuration (configure)",
		"/login-class?collector=" + apitest.Collector + "&device=edge-1&profile=tiny"} {
		if !strings.Contains(page, want) {
			t.Errorf("the job lacks %q", want)
		}
	}
	page = html.UnescapeString(standard.page(at + "edge-1"))
	for _, want := range []string{"Weak algorithms on the way", "jump-1: diffie-hellman-group1-sha1", "NETCONF, port 830", "mlkem768x25519-sha256", "can do more than collecting needs"} {
		if !strings.Contains(page, want) {
			t.Errorf("the device lacks %q", want)
		}
	}
	if page := standard.page(at + "edge-3"); !strings.Contains(page, "fails at auth") || strings.Contains(page, "Weak algorithms") {
		t.Error("edge-3 is not told of")
	}
	if page := standard.page(at + "edge-2"); strings.Contains(page, "can do more") {
		t.Error("edge-2 was not tested, and is told of")
	}
	must(t, c.Store.AddEvent(t.Context(), wire.Event{Collector: apitest.Collector, Boot: open[0].ID, Time: time.Now(), Kind: wire.EventOverPrivileged, Device: "edge-2", Text: "too much"}))
	if page := standard.page(at + "edge-2"); !strings.Contains(page, "can do more than collecting needs") || !strings.Contains(page, "too much") {
		t.Error("what a collection found out is not told")
	}
	if resp, _ := v.post(at+"nope/probe", nil); resp.StatusCode != http.StatusNotFound {
		t.Errorf("testing a device that is not there: %s", resp.Status)
	}
}

func TestLoginClassPage(t *testing.T) {
	c := apitest.Start(t)
	c.Fill()
	v := user(t, c, edp.RoleStandard)
	page := html.UnescapeString(v.page("/login-class?profile=tiny&collector=" + apitest.Collector + "&name=watch"))
	if !strings.Contains(page, "set system login class watch permissions view") || !strings.Contains(page, "the 2 items") {
		t.Errorf("the class of a profile of one's own:\n%s", page)
	}
	for _, path := range []string{"/login-class?profile=tiny", "/login-class?profile=nope", "/login-class?collector=nobody-0001"} {
		if resp, _ := v.get(path); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", path, resp.Status)
		}
	}
	if page := v.page("/catalogue"); strings.Count(page, "<tr>") < 41 || !strings.Contains(page, "show chassis hardware extensive") {
		t.Error("the catalogue is not listed")
	}
}

// A run tells what was skipped and why, and a masked document what was replaced.
func TestSkippedAndMaskedPages(t *testing.T) {
	c := apitest.Start(t)
	first := c.Fill()
	job, err := c.Store.CreateJob(t.Context(), edp.NewJob{Collector: apitest.Collector, Kind: wire.JobCollect, Devices: []string{"edge-1"}})
	must(t, err)
	m := wire.Manifest{Collector: apitest.Collector, Run: job.Run, Started: job.Created, Devices: []wire.DeviceResult{{Device: "edge-1", OK: true}}}
	for _, item := range []string{"show-version", "show-chassis-alarms"} {
		m.Documents = append(m.Documents, wire.ManifestEntry{Device: "edge-1", Item: item, Status: wire.EntrySkipped, Reason: "not asked: a routing engine is busy"})
	}
	_, err = c.Store.PutManifest(t.Context(), m, edp.SignedManifest{Hash: "0123"})
	must(t, err)
	v := user(t, c, edp.RoleStandard)
	page := html.UnescapeString(v.page("/runs/" + job.Run))
	for _, want := range []string{"What has no document", "not asked: a routing engine is busy", "0 of 2 documents stored, 2 skipped", ">complete<"} {
		if !strings.Contains(page, want) {
			t.Errorf("the run lacks %q", want)
		}
	}
	docs, err := c.Store.Documents(t.Context(), edp.DocumentFilter{Run: first.Run, Device: "edge-1", Item: "show-chassis-alarms"})
	must(t, err)
	page = html.UnescapeString(v.page("/documents/" + docs[0].ID))
	for _, want := range []string{"but that values were replaced by pseudonyms at the site: 3 of user-names", apitest.RawSHA256} {
		if !strings.Contains(page, want) {
			t.Errorf("the document lacks %q", want)
		}
	}
}

func TestMaskingAndLimitsForms(t *testing.T) {
	c := apitest.Start(t)
	c.Fill()
	v := user(t, c, edp.RoleAdmin)
	at := "/collectors/" + apitest.Collector
	before, err := c.Store.GetFleet(t.Context(), apitest.Collector)
	must(t, err)
	save := func(path string, form url.Values) edp.Fleet {
		t.Helper()
		if resp, body := v.post(at+path, form); resp.StatusCode != http.StatusSeeOther {
			t.Fatalf("%s: %s %s", path, resp.Status, body)
		}
		f, err := c.Store.GetFleet(t.Context(), apitest.Collector)
		must(t, err)
		return f
	}
	if f := save("/masking", url.Values{"class": {"user-names", "snmp-communities", "secrets"}}); f.Version != before.Version {
		t.Error("saving what is so changed something")
	}
	f := save("/masking", url.Values{"class": {"snmp-communities", "secrets", "mac-addresses"}})
	if c := f.Masking.Classes; c["user-names"] || !c["mac-addresses"] || len(c) != 2 || f.Masking.Version != before.Masking.Version {
		t.Errorf("masking %+v", f.Masking)
	}
	if f = save("/masking/rotate", nil); f.Masking.Version == before.Masking.Version {
		t.Error("the key is the old one")
	}
	f = save("/limits", url.Values{"concurrency": {"32"}, "logins_per_second": {"2.5"}, "max_cpu": {"70"}, "allow_cli_fallback": {"true"}})
	if f.Limits != (wire.CollectLimits{Concurrency: 32, LoginsPerSecond: 2.5, MaxCPU: 70}) || !f.AllowCLI {
		t.Errorf("limits %+v", f)
	}
	for field, value := range map[string]string{"max_cpu": "170", "logins_per_second": "many", "per_bastion": "-1"} {
		resp, body := v.post(at+"/limits", url.Values{field: {value}})
		if resp.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(body, `<span class="wrong">`) {
			t.Errorf("%s=%s: %s", field, value, resp.Status)
		}
		if !strings.Contains(body, `name="`+field+`"`) || !strings.Contains(body, `value="`+value+`"`) || strings.Contains(body, `value="32"`) {
			t.Errorf("%s=%s: the form does not show what was typed", field, value)
		}
	}
	if page := v.page(at + "/access"); !strings.Contains(page, `name="logins_per_second" inputmode="decimal" value="2.5"`) || !strings.Contains(page, `value="32"`) {
		t.Error("the form does not show what is stored")
	}
	resp, body := v.post(at+"/schedule", url.Values{"start": {"25:99"}, "window": {"7h"}})
	if resp.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(body, `value="25:99"`) || !strings.Contains(body, `value="7h"`) {
		t.Errorf("the schedule: %s, or not what was typed", resp.Status)
	}
}

// A test that did not get as far as the rights takes nothing back, what devices
// say is text and never markup, and of many tests the urgent ones are shown.
func TestProbePagesOfHostileDevices(t *testing.T) {
	c := apitest.Start(t)
	c.Fill()
	v := user(t, c, edp.RoleStandard)
	must(t, c.Store.AddEvent(t.Context(), wire.Event{Collector: apitest.Collector, Time: time.Now().Add(-time.Minute), Kind: wire.EventOverPrivileged, Device: "edge-2"}))
	job, err := c.Store.CreateJob(t.Context(), edp.NewJob{Collector: apitest.Collector, Kind: wire.JobProbe, Devices: []string{"edge-2"}})
	must(t, err)
	const evil = `"><script>alert(1)</script>`
	p := wire.Probe{Device: "edge-2", Class: evil, Permissions: []string{evil}, Access: &wire.Access{Mode: evil, Hops: []wire.Hop{{Name: evil, Cipher: evil}}},
		Steps: []wire.ProbeStep{{Stage: "connect", Kind: "passed-over"}, {Stage: evil, Hop: evil, Kind: evil, Detail: evil}}}
	must(t, c.Store.SawJobStatus(t.Context(), wire.JobStatus{ID: job.ID, Collector: apitest.Collector, State: wire.JobRunning, Probe: &p}))
	for _, path := range []string{"/jobs/" + job.ID, "/collectors/" + apitest.Collector + "/devices/edge-2"} {
		page := v.page(path)
		if strings.Contains(page, "<script>alert") || !strings.Contains(page, "&lt;script&gt;alert") || !strings.Contains(page, `<span class="badge">passed-over`) {
			t.Errorf("%s: a device wrote markup, or nothing", path)
		}
		if strings.Contains(path, "devices") && !strings.Contains(page, `id="excess"`) {
			t.Error("a test that failed before it asked for the rights takes the warning back")
		}
	}
}

func TestProbesOfManyDevices(t *testing.T) {
	c := apitest.Start(t)
	c.Fill()
	_, err := c.Keeper.Revise(t.Context(), apitest.Collector, "ada", func(s *fleet.Spec) error {
		for i := range 120 {
			d := s.Devices[0]
			d.ID = fmt.Sprintf("many-%03d", i)
			s.Devices = append(s.Devices, d)
		}
		return nil
	})
	must(t, err)
	job, err := c.Store.CreateJob(t.Context(), edp.NewJob{Collector: apitest.Collector, Kind: wire.JobProbe})
	must(t, err)
	for _, id := range job.Devices {
		p := wire.Probe{Device: id, OK: id != "many-119"}
		must(t, c.Store.SawJobStatus(t.Context(), wire.JobStatus{ID: job.ID, Collector: apitest.Collector, State: wire.JobRunning, Probe: &p}))
	}
	page := user(t, c, edp.RoleStandard).page("/jobs/" + job.ID)
	if n := strings.Count(page, `class="card probe"`); n != 100 || !strings.Contains(page, "many-119") || !strings.Contains(page, fmt.Sprint(len(job.Devices)-100, " more")) {
		t.Errorf("%d of %d tests are shown", n, len(job.Devices))
	}
}

// The button leads to the stages, in a browser, without a reload.
func TestProbeInABrowser(t *testing.T) {
	c := apitest.Start(t)
	c.Fill()
	b := open(t)
	b.logIn(c)
	b.visit(c.URL+"/collectors/"+apitest.Collector+"/devices/edge-3", "#probe")
	b.picture("device-probe")
	b.do(click("#probe"), seen("#progress"))
	jobs, err := c.Store.OpenJobs(t.Context(), apitest.Collector)
	must(t, err)
	c.Probe(jobs[0])
	b.until(`document.querySelectorAll("#progress table.steps tbody tr").length === 2 && !document.querySelector("#progress").hasAttribute("hx-get")`)
	b.picture("probe")
	if s := b.text("#progress"); !strings.Contains(s, "fails at auth") || !strings.Contains(s, "check the credential lab") || !strings.Contains(s, "70 ms") {
		t.Errorf("the test reads: %s", s)
	}
	for name, path := range map[string]string{"catalogue": "/catalogue", "login-class": "/login-class?profile=security", "device-access": "/collectors/" + apitest.Collector + "/devices/edge-1"} {
		b.visit(c.URL+path, "h1")
		b.picture(name)
	}
}
