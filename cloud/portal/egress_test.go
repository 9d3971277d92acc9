package portal_test

import (
	"compress/gzip"
	"html"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"lwc/cloud/api/apitest"
	"lwc/cloud/edp"
	"lwc/transport/wire"
)

// unpacked is what a gzipped body holds.
func unpacked(t *testing.T, body string) string {
	t.Helper()
	z, err := gzip.NewReader(strings.NewReader(body))
	must(t, err)
	b, err := io.ReadAll(z)
	must(t, err)
	return string(b)
}

func fleetOf(t *testing.T, c *apitest.Cloud) edp.Fleet {
	t.Helper()
	f, err := c.Store.GetFleet(t.Context(), apitest.Collector)
	must(t, err)
	return f
}

func TestScheduleForms(t *testing.T) {
	c := apitest.Start(t)
	c.Fill()
	v := user(t, c, edp.RoleAdmin)
	at := "/collectors/" + apitest.Collector
	weekly := url.Values{"name": {"weekly-full"}, "start": {"05:00"}, "window": {"3h"}, "day": {"sun"}, "collect": {"full"}, "profiles": {"tiny daily"}}
	if resp, body := v.post(at+"/schedule", weekly); resp.StatusCode != http.StatusSeeOther {
		t.Fatalf("%s %s", resp.Status, body)
	}
	f := fleetOf(t, c)
	if len(f.Schedules) != 2 || f.Schedules[1].Collect != "full" || !slices.Equal(f.Schedules[1].Days, []string{"sun"}) || len(f.Schedules[1].Profiles) != 2 {
		t.Fatalf("%+v", f.Schedules)
	}
	page := html.UnescapeString(v.page(at + "/access?schedule=weekly-full"))
	for _, want := range []string{"on sun at 05:00 UTC over 3h, the profile full, of devices with the profiles tiny, daily", "daily at 02:00 Europe/Berlin over 2h",
		"Change the schedule weekly-full", `value="sun" checked`, `<option selected>full`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for field, bad := range map[string]struct{ value, want string }{
		"start":    {"5 o'clock", "<b>Start</b>: \"5 o'clock\" is not a time of day"},
		"collect":  {"fill", `<b>Collect</b>: no profile "fill" is defined, did you mean "full"?`},
		"profiles": {"none-such", `<b>Of devices with the profiles</b>: no profile "none-such"`},
		"day":      {"sunday", "<b>Days</b>: \"sunday\" is not a day"},
	} {
		form := url.Values{}
		for k, val := range weekly {
			form[k] = val
		}
		form.Set(field, bad.value)
		if resp, body := v.post(at+"/schedule", form); resp.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(html.UnescapeString(body), bad.want) {
			t.Errorf("%s: %s, no %q", field, resp.Status, bad.want)
		}
	}
	if resp, _ := v.post(at+"/schedules/delete", url.Values{"name": {"daily"}}); resp.StatusCode != http.StatusSeeOther || len(fleetOf(t, c).Schedules) != 1 {
		t.Errorf("deleting: %s", resp.Status)
	}
}

func TestEgressForm(t *testing.T) {
	c := apitest.Start(t)
	c.Fill()
	v := user(t, c, edp.RoleAdmin)
	at := "/collectors/" + apitest.Collector
	if resp, body := v.post(at+"/egress", url.Values{"mode": {"hold"}, "hold": {""}}); resp.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(body, "<b>Items that are held</b>: name at least one item") {
		t.Errorf("nothing to hold: %s", resp.Status)
	}
	if resp, body := v.post(at+"/egress", url.Values{"mode": {"hold"}, "hold": {"show-arp-no-resolve\r\nshow-version"}, "wait": {"30m"}}); resp.StatusCode != http.StatusSeeOther {
		t.Fatalf("%s %s", resp.Status, body)
	}
	if e := fleetOf(t, c).Egress; e.Mode != wire.EgressHold || len(e.Hold) != 2 || e.Wait != "30m" {
		t.Errorf("%+v", e)
	}
	if page := v.page(at); !strings.Contains(page, "these wait 30m for an approval") {
		t.Error("the page of the collector does not tell what is held")
	}
	v.post(at+"/egress", url.Values{"mode": {"send"}, "hold": {"show-version"}, "wait": {"30m"}})
	if e := fleetOf(t, c).Egress; e.Mode != "" || len(e.Hold) != 0 || e.Wait != "" {
		t.Errorf("sending all again: %+v", e)
	}
}

// An admin ticks a document and lets it leave, and declines the rest.
func TestApprovalsInABrowser(t *testing.T) {
	c := apitest.Start(t)
	c.Fill()
	ids := c.Hold("edge-1", "edge-2", "edge-3")
	b := open(t)
	b.logIn(c)
	if s := b.text("#waiting"); !strings.Contains(s, "3 documents wait for an approval") {
		t.Errorf("the overview says %q", s)
	}
	b.do(click(`nav a[href="/approvals"]`), seen("#waiting"))
	b.picture("approvals")
	b.do(click(`input[value="`+ids[1]+`"]`), click("button[value=approve]"), seen(".note.good"))
	if s := b.text("#waiting caption"); !strings.HasPrefix(s, "2 documents wait") {
		t.Errorf("after one was approved: %q", s)
	}
	if s := b.text("#decided"); !strings.Contains(s, "edge-2") || !strings.Contains(s, "approved") || !strings.Contains(s, "ada") {
		t.Errorf("what was decided reads %q", s)
	}
	b.do(click("input[name=all]"), click("button[value=decline]"), seen("p.empty"))
	b.picture("approvals-decided")
	held, err := c.Store.Held(t.Context(), "")
	must(t, err)
	for _, h := range held {
		want := edp.HeldDeclined
		if h.ID == ids[1] {
			want = edp.HeldApproved
		}
		if h.State != want {
			t.Errorf("%s of %s is %s", h.Item, h.Device, h.State)
		}
	}
	if told := c.Hub.Told(); !slices.Contains(told, "held "+apitest.Collector) {
		t.Errorf("the hub was told %q", told)
	}
}

// Nobody decides on what was not seen: what is offered after the page was made still
// waits, and a choice that was overtaken changes nothing and says so.
func TestApprovalsThatWereOvertaken(t *testing.T) {
	c := apitest.Start(t)
	c.Fill()
	seen := c.Hold("edge-1", "edge-2")
	v := user(t, c, edp.RoleAdmin)
	var shown []string
	for _, field := range strings.Split(v.page("/approvals"), `name="shown" value="`)[1:] {
		id, _, _ := strings.Cut(field, `"`)
		shown = append(shown, id)
	}
	if len(shown) != len(seen) {
		t.Fatalf("shown are %q", shown)
	}
	late := c.Hold("edge-3")
	states := func() map[string]edp.HeldState {
		t.Helper()
		list, err := c.Store.Held(t.Context(), "")
		must(t, err)
		out := map[string]edp.HeldState{}
		for _, h := range list {
			out[h.ID] = h.State
		}
		return out
	}
	all := url.Values{"all": {"true"}, "decision": {"approve"}}
	if resp, body := v.post("/approvals", all); resp.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(body, "no document is chosen") {
		t.Errorf("all of nothing that was seen: %s", resp.Status)
	}
	all["shown"] = shown
	if resp, body := v.post("/approvals", all); resp.StatusCode != http.StatusSeeOther {
		t.Fatalf("%s %s", resp.Status, body)
	}
	if s := states(); s[seen[0]] != edp.HeldApproved || s[seen[1]] != edp.HeldApproved || s[late[0]] != edp.HeldWaiting {
		t.Errorf("%v", s)
	}
	for _, form := range []url.Values{
		{"id": {late[0], seen[0]}, "decision": {"decline"}}, {"id": {late[0], wire.NewID()}, "decision": {"approve"}}, {"id": {late[0]}, "decision": {"perhaps"}},
	} {
		resp, body := v.post("/approvals", form)
		if resp.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(body, "nothing was changed") && !strings.Contains(body, "no decision was made") || !strings.Contains(body, late[0]) {
			t.Errorf("%v: %s", form, resp.Status)
		}
		if s := states(); s[late[0]] != edp.HeldWaiting {
			t.Errorf("%v: it is %s", form, s[late[0]])
		}
	}
}

// A renewal is watched to its end, in the words of the collector.
func TestMachineInABrowser(t *testing.T) {
	c := apitest.Start(t)
	c.Fill()
	b := open(t)
	b.logIn(c)
	b.visit(c.URL+"/collectors/"+apitest.Collector+"/machine", "#renew-cert")
	b.picture("machine")
	b.do(click("#renew-cert"), seen("#progress"))
	jobs, err := c.Store.OpenJobs(t.Context(), apitest.Collector)
	must(t, err)
	if len(jobs) != 1 || jobs[0].Kind != wire.JobRenewCert {
		t.Fatalf("open jobs: %+v", jobs)
	}
	say := func(s wire.JobStatus) {
		s.V, s.ID, s.Collector = wire.Version, jobs[0].ID, apitest.Collector
		must(t, c.Store.SawJobStatus(t.Context(), s))
	}
	say(wire.JobStatus{State: wire.JobRunning, Detail: "asking for a certificate"})
	b.until(`document.querySelector("#progress").innerText.includes("asking for a certificate")`)
	say(wire.JobStatus{State: wire.JobDone, Detail: "the certificate is good until 2027-02-20"})
	b.until(`document.querySelector("#progress").innerText.includes("good until 2027-02-20") && !document.querySelector("#progress").hasAttribute("hx-get")`)
	b.picture("machine-done")
}

// The page of a collector tells of its health, and what to do.
func TestHealthInABrowser(t *testing.T) {
	c := apitest.Start(t)
	c.Fill()
	must(t, c.Store.SawHealth(t.Context(), wire.Health{V: wire.Version, Collector: apitest.Collector, Boot: apitest.Boot, Time: time.Now(), Uptime: 7200,
		RSS: 51 << 20, QueueBytes: 60 << 20, Budget: 64 << 20, NextRun: time.Date(2026, 11, 23, 1, 0, 0, 0, time.UTC),
		Ports:    wire.PortState{Mode: "enforce", State: "open"},
		Checks:   []wire.Check{{Name: "clock", OK: true, Detail: "within 1 s of the cloud"}, {Name: "swap", Detail: "swap is on: switch it off with swapoff -a"}},
		Errors:   []wire.Trouble{{At: time.Now(), Text: "the line to the cloud broke: no answer for 15 s"}},
		Counters: map[string]int64{"documents_rejected": 41}}))
	b := open(t)
	b.logIn(c)
	if s := b.text("#unwell"); !strings.Contains(s, "swap is on") {
		t.Errorf("the overview says %q", s)
	}
	b.visit(c.URL+"/collectors/"+apitest.Collector, "#health")
	b.picture("health")
	for selector, want := range map[string][]string{
		"#health":      {"beating", "60 MiB of 64 MiB", "2026-11-23 01:00:00"},
		"#health-need": {"The check of swap fails: swap is on: switch it off with swapoff -a.", "nearly full: 60 MiB of 64 MiB"},
		"#checks":      {"within 1 s of the cloud"},
		"#troubles":    {"no answer for 15 s"},
		"#counts":      {"documents that the cloud refused", "41"},
	} {
		for _, w := range want {
			if s := b.text(selector); !strings.Contains(s, w) {
				t.Errorf("%s lacks %q: %s", selector, w, s)
			}
		}
	}
}

// A schedule and a group are typed in as a person does.
func TestScheduleAndGroupInABrowser(t *testing.T) {
	c := apitest.Start(t)
	c.Fill()
	b := open(t)
	b.logIn(c)
	at := c.URL + "/collectors/" + apitest.Collector
	b.visit(at+"/access", "#schedule")
	b.do(keys("form[action$='/schedule'] input[name=name]", "weekly"), keys("form[action$='/schedule'] input[name=start]", "05:00"),
		click("input[name=day][value=sun]"), click("form[action$='/schedule'] button.primary"), seen(".note.good"))
	b.picture("schedules")
	if s := b.text("#schedules table"); !strings.Contains(s, "on sun at 05:00 UTC") {
		t.Errorf("the schedules read %q", s)
	}
	b.do(click("input[name=mode][value=dry-run]"), click("#egress button.primary"), seen("input[name=mode][value=dry-run][checked]"))
	if e := fleetOf(t, c).Egress; e.Mode != wire.EgressDryRun {
		t.Errorf("%+v", e)
	}
	b.visit(c.URL+"/devices?collector="+apitest.Collector+"&group=core", "#collect-group")
	b.picture("group")
	b.do(chromedp.Click(chromedp.CSS("#collect-group")), seen("#progress"))
	jobs, err := c.Store.OpenJobs(t.Context(), apitest.Collector)
	must(t, err)
	if len(jobs) != 1 || !slices.Equal(jobs[0].Devices, []string{"edge-1", "edge-2"}) {
		t.Errorf("open jobs: %+v", jobs)
	}
}
