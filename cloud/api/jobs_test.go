package api_test

import (
	"strings"
	"testing"

	"lwc/cloud/api/apitest"
	"lwc/cloud/api/apitype"
	"lwc/cloud/edp"
)

// What waits is listed, and called off by an admin; where it is too late that is said,
// and a second factory reset is refused.
func TestJobsThatWait(t *testing.T) {
	cloud := apitest.Start(t)
	cloud.Fill()
	admin, reader := as(t, cloud, edp.RoleAdmin), as(t, cloud, edp.RoleStandard)
	path := "/collectors/" + apitest.Collector + "/jobs"
	var reset, again apitype.Job
	admin.call("POST", path, apitype.MachineJob{Kind: "factory-reset"}, &reset, 200)
	if text := admin.call("POST", path, apitype.MachineJob{Kind: "factory-reset"}, nil, 409); !strings.Contains(text, reset.ID+" waits for the box until") {
		t.Errorf("a second reset: %s", text)
	}
	var list apitype.Jobs
	reader.call("GET", "/jobs?collector="+apitest.Collector, nil, &list, 200)
	if len(list.Jobs) != 1 || list.Jobs[0].ID != reset.ID || !list.Jobs[0].Waits() || list.Jobs[0].Standing() != "waits" || !strings.HasPrefix(list.Jobs[0].By, "test-admin") {
		t.Errorf("what waits: %+v", list.Jobs)
	}
	reader.call("POST", "/jobs/"+reset.ID+"/call-off", nil, nil, 403)
	admin.call("POST", "/jobs/nope/call-off", nil, nil, 404)
	admin.call("POST", "/jobs/"+reset.ID+"/call-off", nil, &again, 200)
	if again.State != "called-off" || !strings.HasPrefix(again.Error, "it was called off by test-admin") || again.Waits() {
		t.Errorf("called off: %+v", again)
	}
	if text := admin.call("POST", "/jobs/"+reset.ID+"/call-off", nil, nil, 409); !strings.Contains(text, "it was called off by test-admin") {
		t.Errorf("once more: %s", text)
	}
	list = apitype.Jobs{}
	if reader.call("GET", "/jobs", nil, &list, 200); len(list.Jobs) != 0 {
		t.Errorf("what waits then: %+v", list.Jobs)
	}
	if reader.call("GET", "/jobs?all=true&limit=1", nil, &list, 200); len(list.Jobs) != 1 || list.Jobs[0].ID != reset.ID {
		t.Errorf("the newest of all: %+v", list.Jobs)
	}
	var events apitype.Events
	reader.call("GET", "/events", nil, &events, 200)
	if e := events.Events; e[0].Kind != edp.EventJobCalledOff || e[1].Kind != edp.EventFactoryReset || !strings.Contains(e[1].Text, "asked for by test-admin") {
		t.Errorf("told: %+v", e[:2])
	}
	admin.call("POST", path, apitype.MachineJob{Kind: "factory-reset"}, nil, 200)
}
