package api_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"lwc/cloud/api/apitest"
	"lwc/cloud/api/apitype"
	"lwc/cloud/edp"
	"lwc/cloud/rollout"
	"lwc/cloud/shelf/shelftest"
	"lwc/image/release"
)

// upload sends a bundle and wants a status.
func (c *caller) upload(bundle []byte, want int) string {
	c.t.Helper()
	resp, text := c.do("POST", apitype.Prefix+"/releases", "application/x-tar", string(bundle))
	if resp.StatusCode != want {
		c.t.Fatalf("status %d, want %d: %s", resp.StatusCode, want, text)
	}
	return text
}

func TestReleases(t *testing.T) {
	cloud := apitest.Start(t)
	cloud.Fill()
	cloud.Box(apitest.Collector, "1.0.0")
	admin, reader := as(t, cloud, edp.RoleAdmin), as(t, cloud, edp.RoleStandard)
	bundle := shelftest.Bundle(t, "1.1.0", shelftest.Key(1), func(m *release.Manifest) { m.Security, m.Notes = true, "closes a hole" })
	if text := admin.upload(bundle, 409); !strings.Contains(text, "release-keys") {
		t.Errorf("without keys: %s", text)
	}
	shelftest.Trust(t, cloud.ReleaseKeys, shelftest.Key(1))
	reader.upload(bundle, 403)
	admin.upload(bundle[:200_000], 422)
	if text := admin.upload(shelftest.Bundle(t, "1.1.0", shelftest.Key(7), nil), 422); !strings.Contains(text, "not signed by a key") {
		t.Errorf("another key: %s", text)
	}
	if text := admin.upload(bundle, 200); !strings.Contains(text, `"version":"1.1.0"`) {
		t.Errorf("added: %s", text)
	}
	var r apitype.Release
	reader.call("GET", "/releases/1.1.0", nil, &r, 200)
	if !r.Security || r.Notes == "" || len(r.Files) != 3 || r.Bytes < 300_000 || !strings.HasPrefix(r.PublishedBy, "test-admin") {
		t.Errorf("%+v", r)
	}
	if told := cloud.Hub.Told(); !slices.Contains(told, "look") {
		t.Errorf("told: %q", told)
	}
	reader.call("GET", "/releases/9.9.9", nil, nil, 404)
	reader.call("POST", "/releases/1.1.0/approve", apitype.ReleaseDecision{}, nil, 403)
	admin.call("POST", "/releases/1.1.0/approve", apitype.ReleaseDecision{Collectors: []string{"site-nobody-01"}}, nil, 404)
	admin.call("POST", "/releases/1.1.0/approve", apitype.ReleaseDecision{Collectors: []string{apitest.Collector}}, &r, 200)
	if len(r.Approvals) != 1 || r.Approvals[0].Collector != apitest.Collector {
		t.Errorf("%+v", r.Approvals)
	}
	r = apitype.Release{}
	admin.call("POST", "/releases/1.1.0/approve", apitype.ReleaseDecision{Collectors: []string{apitest.Collector}, Undo: true}, &r, 200)
	if len(r.Approvals) != 0 {
		t.Errorf("undone: %+v", r.Approvals)
	}
	reader.call("POST", "/releases/1.1.0/withdraw", apitype.ReleaseWithdrawal{Reason: "x"}, nil, 403)
	admin.call("POST", "/releases/1.1.0/withdraw", apitype.ReleaseWithdrawal{}, nil, 422)
	admin.call("POST", "/releases/1.1.0/withdraw", apitype.ReleaseWithdrawal{Reason: "slow"}, &r, 200)
	admin.call("POST", "/releases/1.1.0/approve", apitype.ReleaseDecision{}, nil, 409)
	if r.State != "withdrawn" || r.Reason != "slow" {
		t.Errorf("%+v", r)
	}
}

// A release that is held back goes on when an admin says so, and why.
func TestResumeARelease(t *testing.T) {
	cloud := apitest.Start(t)
	cloud.Fill()
	cloud.Box(apitest.Collector, "1.0.0")
	cloud.Publish("1.1.0", nil)
	admin, reader := as(t, cloud, edp.RoleAdmin), as(t, cloud, edp.RoleStandard)
	resume := apitype.ReleaseResumption{Reason: "a bad batch of disks", Hold: "00000000"}
	if text := admin.call("POST", "/releases/1.1.0/resume", resume, nil, 409); !strings.Contains(text, "it is not held back") {
		t.Errorf("%s", text)
	}
	cloud.FailUpdates("1.1.0")
	var r apitype.Release
	reader.call("GET", "/releases/1.1.0", nil, &r, 200)
	if !r.Halted || r.HaltedWhy != "it failed on 3 boxes" {
		t.Errorf("%+v", r)
	}
	if text := admin.call("POST", "/collectors/"+apitest.Collector+"/jobs", apitype.MachineJob{Kind: "update"}, nil, 409); !strings.Contains(text, "1.1.0 is held back") {
		t.Errorf("by hand: %s", text)
	}
	reader.call("POST", "/releases/1.1.0/resume", resume, nil, 403)
	admin.call("POST", "/releases/9.9.9/resume", resume, nil, 404)
	admin.call("POST", "/releases/1.1.0/resume", apitype.ReleaseResumption{Hold: r.Hold}, nil, 422)
	admin.call("POST", "/releases/1.1.0/resume", apitype.ReleaseResumption{Reason: resume.Reason}, nil, 422)
	if text := admin.call("POST", "/releases/1.1.0/resume", resume, nil, 409); !strings.Contains(text, "has changed: it failed on 3 boxes (hold "+r.Hold+")") {
		t.Errorf("another hold than the one that was seen: %s", text)
	}
	resume.Hold, r = r.Hold, apitype.Release{}
	admin.call("POST", "/releases/1.1.0/resume", resume, &r, 200)
	if r.Halted || r.Hold != "" || r.Failed != 3 || r.ResumedReason != resume.Reason || !strings.HasPrefix(r.ResumedBy, "test-admin") || r.ResumedAt.IsZero() {
		t.Errorf("%+v", r)
	}
	var events apitype.Events
	reader.call("GET", "/events", nil, &events, 200)
	if e := events.Events[0]; e.Kind != edp.EventReleaseResumed || e.Collector != "" || !strings.Contains(e.Text, resume.Reason) {
		t.Errorf("%+v", e)
	}
	if told := cloud.Hub.Told(); told[len(told)-1] != "look" {
		t.Errorf("told: %q", told)
	}
}

// Updates by hand: what is published, for the box as it is, one at a time.
func TestUpdateByHand(t *testing.T) {
	cloud := apitest.Start(t)
	cloud.Fill()
	cloud.Box(apitest.Collector, "1.0.0")
	cloud.Publish("1.1.0", nil)
	cloud.Publish("2.0.0", func(m *release.Manifest) { m.Floor = "1.1.0" })
	cloud.Publish("0.9.0", nil)
	admin := as(t, cloud, edp.RoleAdmin)
	path := "/collectors/" + apitest.Collector + "/jobs"
	for want, r := range map[string]apitype.MachineJob{
		"no release 3.0.0 is here":  {Kind: "update", Release: "3.0.0"},
		"no box goes back":          {Kind: "update", Release: "0.9.0"},
		"needs 1.1.0 at least":      {Kind: "update", Release: "2.0.0"},
		"no release 1.0.0x is here": {Kind: "update", Release: "1.0.0x"},
	} {
		if text := admin.call("POST", path, r, nil, 409); !strings.Contains(text, want) {
			t.Errorf("%+v: %s", r, text)
		}
	}
	for want, r := range map[string]apitype.MachineJob{
		"more than 7 days ahead":      {Kind: "update", RebootAt: time.Now().Add(8 * 24 * time.Hour)},
		"only an update is started l": {Kind: "restart", RebootAt: time.Now().Add(time.Hour)},
	} {
		if text := admin.call("POST", path, r, nil, 422); !strings.Contains(text, want) {
			t.Errorf("%+v: %s", r, text)
		}
	}
	var job apitype.Job
	at := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	admin.call("POST", path, apitype.MachineJob{Kind: "update", RebootAt: at}, &job, 200)
	if job.Release != "1.1.0" || !job.RebootAt.Equal(at) { // the newest that it can go to
		t.Errorf("%+v", job)
	}
	if text := admin.call("POST", path, apitype.MachineJob{Kind: "update"}, nil, 409); !strings.Contains(text, job.ID+" is under way") {
		t.Errorf("a second one: %s", text)
	}
	admin.call("POST", path, apitype.MachineJob{Kind: "factory-reset"}, &job, 200)
	as(t, cloud, edp.RoleStandard).call("POST", path, apitype.MachineJob{Kind: "factory-reset"}, nil, 403)
}

func TestUpdatePolicies(t *testing.T) {
	cloud := apitest.Start(t)
	cloud.Fill()
	cloud.Box(apitest.Collector, "1.0.0")
	cloud.Publish("1.1.0", nil)
	admin, reader := as(t, cloud, edp.RoleAdmin), as(t, cloud, edp.RoleStandard)
	var list apitype.Appliances
	reader.call("GET", "/boxes", nil, &list, 200)
	if len(list.Boxes) != 1 || list.Boxes[0].Box.Image != "1.0.0" || list.Boxes[0].Wanted != "1.1.0" || !strings.Contains(list.Boxes[0].Why, "put off") || list.Policy.DeferDays != 7 {
		t.Errorf("%+v", list)
	}
	reader.call("PUT", "/update-policy", rollout.Policy{Mode: "automatic"}, nil, 403)
	if text := admin.call("PUT", "/update-policy", rollout.Policy{Mode: "window"}, nil, 422); !strings.Contains(text, "the window is missing") {
		t.Errorf("%s", text)
	}
	var p apitype.UpdatePolicy
	admin.call("PUT", "/update-policy", rollout.Policy{Mode: "automatic"}, &p, 200)
	if p.When != "as soon as there is a release" {
		t.Errorf("%+v", p)
	}
	own := "/collectors/" + apitest.Collector + "/update-policy"
	if text := admin.call("PUT", own, rollout.Policy{Mode: "never"}, nil, 422); !strings.Contains(text, "updates.mode") {
		t.Errorf("%s", text)
	}
	var mine apitype.UpdatePolicy
	if reader.call("GET", own, nil, &mine, 200); !mine.Inherited || mine.When != p.When || mine.Collector != apitest.Collector {
		t.Errorf("none of its own: %+v", mine)
	}
	reader.call("GET", "/collectors/nobody/update-policy", nil, nil, 404)
	admin.call("PUT", own, rollout.Policy{Mode: "approval"}, nil, 200)
	mine = apitype.UpdatePolicy{}
	if reader.call("GET", own, nil, &mine, 200); mine.Inherited || mine.When != "after an approval" {
		t.Errorf("its own: %+v", mine)
	}
	if reader.call("GET", "/update-policy", nil, &mine, 200); mine.When != p.When {
		t.Errorf("the default: %+v", mine)
	}
	var told apitype.Events
	reader.call("GET", "/events", nil, &told, 200)
	if e := told.Events; e[0].Kind != edp.EventPolicyChanged || e[0].Collector != apitest.Collector || e[1].Kind != edp.EventPolicyChanged || e[1].Collector != "" || !strings.Contains(e[0].Text, "by test-admin") {
		t.Errorf("told: %+v", e[:2])
	}
	reader.call("GET", "/boxes", nil, &list, 200)
	if b := list.Boxes[0]; !b.OwnPolicy || !strings.Contains(b.Why, "waits for an approval") {
		t.Errorf("%+v", b)
	}
	var f apitype.Fleet
	reader.call("GET", "/collectors/"+apitest.Collector+"/fleet", nil, &f, 200)
	if f.Updates.Mode != "approval" || len(f.Devices) != 3 {
		t.Errorf("%+v", f.Updates)
	}
	admin.call("PUT", own, rollout.Policy{}, nil, 200)
	admin.call("PUT", "/update-policy", rollout.Policy{}, &p, 200)
	if p.Policy.DeferDays != 7 {
		t.Errorf("%+v", p)
	}
}

// A bundle that a reader sends is not read, and nothing of it is kept.
func TestAnUploadOfNobody(t *testing.T) {
	cloud := apitest.Start(t)
	shelftest.Trust(t, cloud.ReleaseKeys, shelftest.Key(1))
	nobody := as(t, cloud, edp.RoleAdmin)
	nobody.bearer = ""
	nobody.upload(bytes.Repeat([]byte{0}, 1000), 401)
	list, err := cloud.Store.Releases(t.Context())
	must(t, err)
	if len(list) != 0 {
		t.Errorf("%+v", list)
	}
}
