package portal_test

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"lwc/cloud/api/apitest"
	"lwc/cloud/edp"
	"lwc/cloud/rollout"
	"lwc/image/release"
	"lwc/transport/wire"
)

// An admin sees who runs what, changes the policy, approves a release for one box,
// and withdraws it.
func TestUpdatesInABrowser(t *testing.T) {
	c := apitest.Start(t)
	c.Fill()
	c.Box(apitest.Collector, "1.0.0")
	c.Publish("1.1.0", func(m *release.Manifest) { m.Security, m.Notes = true, "It closes a hole.\nOf others." })
	b := open(t)
	b.logIn(c)
	b.do(click(`a[href="/updates"]`), seen("#boxes table"))
	if s := b.text("#boxes"); !strings.Contains(s, apitest.Collector) || !strings.Contains(s, "1.0.0") || !strings.Contains(s, "1.1.0") {
		t.Errorf("the boxes: %s", s)
	}
	b.picture("updates")
	b.do(chromedp.SetValue(chromedp.CSS("#default select[name=mode]"), "window"), chromedp.SetValue(chromedp.CSS("#default input[name=start]"), "noon"), click("#default button.primary"), seen("#problems"))
	if s := b.text("#problems"); !strings.Contains(s, `"noon" is not a time of day`) {
		t.Errorf("the problems: %s", s)
	}
	b.picture("updates-wrong")
	must(t, c.Store.SetUpdatePolicy(t.Context(), rollout.Policy{Mode: rollout.Automatic}, "ada")) // its form has no window
	b.visit(c.URL+"/updates", "#default select")
	b.do(chromedp.SetValue(chromedp.CSS("#default select[name=mode]"), "approval"), click("#default button.primary"), seen(".note.good"))
	if p, err := c.Store.UpdatePolicy(t.Context()); err != nil || p.Mode != rollout.Approval || !p.Window.IsZero() {
		t.Errorf("%+v, %v", p, err)
	}
	b.visit(c.URL+"/", "#updates")
	if s := b.text("#updates"); !strings.Contains(s, "1 box waits for somebody") {
		t.Errorf("the overview: %s", s)
	}
	b.do(click("#updates a"), seen("#boxes"), chromedp.Click(`//a[text()="1.1.0"]`), seen("#pending"))
	b.picture("release")
	b.do(click("#pending input[name=collector]"), click("#approve"), seen("#approvals"))
	r, err := c.Store.Release(t.Context(), "1.1.0")
	if err != nil || len(r.Approvals) != 1 || r.Approvals[0].Collector != apitest.Collector || r.Approvals[0].By != "ada" {
		t.Errorf("%+v, %v", r.Approvals, err)
	}
	b.do(click("#approvals .unapprove"), seen("#pending"))
	if r, err = c.Store.Release(t.Context(), "1.1.0"); err != nil || len(r.Approvals) != 0 {
		t.Errorf("taken back: %+v, %v", r.Approvals, err)
	}
	b.picture("release-unapproved")
	b.do(chromedp.Click(`//a[text()="Withdraw"]`), keys("input[name=reason]", "it is slow"), click("button.danger"), seen("#withdrawn"))
	if s := b.text("#withdrawn"); !strings.Contains(s, "it is slow") {
		t.Errorf("withdrawn: %s", s)
	}
	b.picture("release-withdrawn")
}

// An admin lets a release go on that is held back: after a look at why, and with a reason.
func TestResumeInABrowser(t *testing.T) {
	c := apitest.Start(t)
	c.Fill()
	c.Box(apitest.Collector, "1.0.0")
	c.Publish("1.1.0", nil)
	c.FailUpdates("1.1.0")
	b := open(t)
	b.logIn(c)
	b.visit(c.URL+"/updates", "#boxes table")
	if s := b.text("#boxes"); !strings.Contains(s, "1.1.0 is held back: it failed on 3 boxes") {
		t.Errorf("the boxes: %s", s)
	}
	b.picture("updates-halted")
	b.visit(c.URL+"/releases/1.1.0", "#halted")
	if s := b.text("#halted"); !strings.Contains(s, "It is held back: it failed on 3 boxes.") {
		t.Errorf("held back: %s", s)
	}
	b.picture("release-halted")
	if s := b.text("main"); !strings.Contains(s, "site-bad-02") || !strings.Contains(s, "it did not start") {
		t.Errorf("the boxes that it failed on: %s", s)
	}
	b.do(chromedp.Click(`//a[text()="Let it go on"]`), seen("#resume"))
	b.picture("release-resume")
	b.do(keys("input[name=reason]", "a bad batch of disks"), click("#resume"), seen("#resumed"))
	if s := b.text("#resumed"); !strings.Contains(s, "ada let it go on") || !strings.Contains(s, "a bad batch of disks") {
		t.Errorf("resumed: %s", s)
	}
	b.picture("release-resumed")
	b.visit(c.URL+"/events", "table")
	if s := b.text("table"); !strings.Contains(s, "release-resumed") {
		t.Errorf("events: %s", s)
	}
}

// What admins can do with a release is on its page for them, and for nobody else.
func TestButtonsOfAdmins(t *testing.T) {
	c := apitest.Start(t)
	c.Fill()
	c.Box(apitest.Collector, "1.0.0")
	c.Publish("1.1.0", nil)
	c.FailUpdates("1.1.0")
	must(t, c.Store.ApproveRelease(t.Context(), "1.1.0", []string{apitest.Collector}, true, "ada"))
	for _, role := range []edp.Role{edp.RoleAdmin, edp.RoleStandard} {
		_, body := user(t, c, role).get("/releases/1.1.0")
		for _, button := range []string{"/resume", "/withdraw", "/unapprove"} {
			if strings.Contains(body, button) != (role == edp.RoleAdmin) {
				t.Errorf("%s for %s: %v", button, role, strings.Contains(body, button))
			}
		}
	}
}

// Who lets a release go on decides about what the page showed, and not about what has
// gone wrong since.
func TestResumeWhatWasSeen(t *testing.T) {
	c := apitest.Start(t)
	c.Fill()
	c.Box(apitest.Collector, "1.0.0")
	c.Publish("1.1.0", nil)
	c.FailUpdates("1.1.0")
	v := user(t, c, edp.RoleAdmin)
	_, body := v.get("/updates/1.1.0/resume")
	found := regexp.MustCompile(`name="hold" value="([0-9a-f]{8})"`).FindStringSubmatch(body)
	if found == nil {
		t.Fatalf("the form:\n%s", body)
	}
	form := url.Values{"reason": {"one bad disk"}, "hold": {"00000000"}}
	resp, body := v.post("/updates/1.1.0/resume", form)
	if resp.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(body, "has changed: it failed on 3 boxes (hold "+found[1]+").") || !strings.Contains(body, found[0]) {
		t.Errorf("an old page: %s\n%s", resp.Status, body)
	}
	resumed := func() bool {
		r, err := c.Store.Release(t.Context(), "1.1.0")
		must(t, err)
		return !r.ResumedAt.IsZero()
	}
	if resumed() {
		t.Error("it goes on by the old page")
	}
	form.Set("hold", found[1])
	if v.post("/updates/1.1.0/resume", form); !resumed() {
		t.Error("it does not go on")
	}
}

// The box of a collector is shown; an update is asked for by hand, for a time, and is
// refused where it cannot be; a factory reset needs the id.
func TestTheBoxInABrowser(t *testing.T) {
	c := apitest.Start(t)
	c.Fill()
	c.Box(apitest.Collector, "1.0.0")
	b := open(t)
	b.logIn(c)
	at := c.URL + "/collectors/" + apitest.Collector
	b.visit(at, "#box")
	if s := b.text("#box"); !strings.Contains(s, "in the TPM") || !strings.Contains(s, "only signed systems") || !strings.Contains(s, "Example Works Box 2") {
		t.Errorf("the box: %s", s)
	}
	b.picture("collector-box")
	b.visit(at+"/machine", "#update")
	b.do(click("#update"), seen(".note.bad"))
	if s := b.text(".note.bad"); !strings.Contains(s, "o release is published") {
		t.Errorf("without a release: %s", s)
	}
	c.Publish("1.1.0", nil)
	b.visit(at+"/machine", "#update")
	b.picture("machine")
	b.do(click("#update"), seen("#progress"))
	if s := b.text("#progress"); !strings.Contains(s, "1.1.0") {
		t.Errorf("the job: %s", s)
	}
	b.picture("job-update")
	b.visit(at+"/machine", "#factory-reset")
	b.do(click("#factory-reset"), keys("input[name=confirm]", "another"), click("button.danger"), seen("#problems"))
	b.picture("reset")
	b.do(keys("input[name=confirm]", apitest.Collector), click("button.danger"), seen("#progress"))
	jobs, err := c.Store.OpenJobs(t.Context(), apitest.Collector)
	must(t, err)
	if !slices.ContainsFunc(jobs, func(j edp.Job) bool { return j.Kind == wire.JobFactoryReset && j.By == "ada" }) {
		t.Errorf("%+v", jobs)
	}
}

// What waits for a box stands on its page, and is called off there or on the page of the
// job, by admins; a second reset is refused while one waits.
func TestCallOffInABrowser(t *testing.T) {
	c := apitest.Start(t)
	c.Fill()
	c.Box(apitest.Collector, "1.0.0")
	job := func(kind wire.JobKind) string {
		j, err := c.Store.CreateJob(t.Context(), edp.NewJob{Collector: apitest.Collector, Kind: kind, By: "bob"})
		must(t, err)
		return j.ID
	}
	reset, restart := job(wire.JobFactoryReset), job(wire.JobRestart)
	_, err := c.Store.SendingJob(t.Context(), restart)
	must(t, err)
	b := open(t)
	b.logIn(c)
	at := c.URL + "/collectors/" + apitest.Collector
	b.visit(at+"/reset", "#reset")
	b.do(keys("input[name=confirm]", apitest.Collector), click("#reset"), seen(".note.bad"))
	if s := b.text(".note.bad"); !strings.Contains(s, reset+" waits for the box until") {
		t.Errorf("a second reset: %s", s)
	}
	b.visit(at+"/machine", "#jobs")
	if s := b.text("#jobs"); !strings.Contains(s, "Factory reset") || !strings.Contains(s, "by bob") || !strings.Contains(s, "no answer yet") {
		t.Errorf("the jobs: %s", s)
	}
	b.picture("machine-jobs")
	b.do(chromedp.Click(`form[action$="`+reset+`/call-off"] button`), seen("#progress .note.bad"))
	if s := b.text("#progress"); !strings.Contains(s, "called-off") || !strings.Contains(s, "it was called off by ada") || strings.Contains(s, "had been sent") {
		t.Errorf("called off: %s", s)
	}
	b.visit(c.URL+"/jobs/"+restart, "#call-off")
	b.picture("job-call-off")
	b.do(click("#call-off"), seen("#progress .note.bad"))
	if s := b.text("#progress"); !strings.Contains(s, "but it had been sent at ") {
		t.Errorf("what was sent: %s", s)
	}
	b.visit(at+"/machine", "#jobs .empty")
	v := user(t, c, edp.RoleStandard)
	if _, body := v.get("/jobs/" + job(wire.JobRestart)); strings.Contains(body, "call-off") {
		t.Error("a standard user is offered what is refused")
	}
	if resp, body := user(t, c, edp.RoleAdmin).post("/jobs/"+reset+"/call-off", nil); resp.StatusCode != http.StatusConflict || !strings.Contains(body, "it was called off by ada") {
		t.Errorf("once more: %s\n%s", resp.Status, body)
	}
}

// What has never connected is not counted with the systems of somebody's own.
func TestABoxThatHasNeverConnected(t *testing.T) {
	c := apitest.Start(t)
	must(t, c.Store.Enrolled(t.Context(), edp.Enrolment{Collector: "site-0009", SPKI: "c2l0ZS0wMDA5", Serial: "09", NotAfter: time.Now().Add(time.Hour)}))
	_, body := user(t, c, edp.RoleAdmin).get("/updates")
	if !strings.Contains(body, "site-0009") || !strings.Contains(body, "not known yet: it has never connected") || strings.Contains(body, "somebody&#39;s own") || strings.Contains(body, "somebody's own") {
		t.Errorf("%s", body)
	}
}

// The policy of one box is part of its fleet.
func TestTheOwnPolicyOfABox(t *testing.T) {
	c := apitest.Start(t)
	c.Fill()
	v := user(t, c, edp.RoleAdmin)
	at := "/collectors/" + apitest.Collector + "/updates"
	resp, body := v.post(at, url.Values{"mode": {"window"}, "start": {"22:00"}, "length": {"5m"}, "timezone": {"Europe/Berlin"}, "day": {"sat", "sun"}, "defer_days": {"x"}})
	if resp.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(body, "not a length of time") || !strings.Contains(body, "not a number of days") || !strings.Contains(body, `value="22:00"`) {
		t.Errorf("%s\n%s", resp.Status, body)
	}
	v.post(at, url.Values{"mode": {"window"}, "start": {"22:00"}, "length": {"2h"}, "timezone": {"Europe/Berlin"}, "day": {"sat", "sun"}, "defer_days": {"3"}})
	f, err := c.Store.GetFleet(t.Context(), apitest.Collector)
	must(t, err)
	if got := f.Updates.String(); got != "on sat, sun at 22:00 Europe/Berlin within 2h, 3 days after it was published (what closes a hole: at once)" {
		t.Errorf("%s", got)
	}
	v.post(at, url.Values{"mode": {""}, "start": {"22:00"}})
	if f, err = c.Store.GetFleet(t.Context(), apitest.Collector); err != nil || !f.Updates.IsZero() {
		t.Errorf("%+v, %v", f.Updates, err)
	}
	if !slices.Contains(c.Hub.Told(), "look") {
		t.Error("the planner was not told")
	}
}
