package api_test

import (
	"strings"
	"testing"

	"lwc/cloud/api/apitest"
	"lwc/cloud/api/apitype"
	"lwc/cloud/edp"
)

func TestProbe(t *testing.T) {
	cloud := apitest.Start(t)
	cloud.Fill()
	admin, user := as(t, cloud, edp.RoleAdmin), as(t, cloud, edp.RoleStandard)
	at := "/collectors/" + apitest.Collector
	user.call("POST", at+"/probe", apitype.ProbeRequest{}, nil, 403)
	admin.call("POST", at+"/probe", apitype.ProbeRequest{Devices: []string{"nope"}}, nil, 404)
	var job apitype.Job
	admin.call("POST", at+"/probe", apitype.ProbeRequest{Devices: []string{"edge-2", "edge-3"}}, &job, 200)
	if job.Kind != "probe" || job.Total != 2 || job.Run != "" || job.By != "test-admin" || cloud.Hub.Told()[len(cloud.Hub.Told())-1] != "job "+apitest.Collector {
		t.Fatalf("job %+v, hub %v", job, cloud.Hub.Told())
	}
	j, err := cloud.Store.Job(t.Context(), job.ID)
	if err != nil {
		t.Fatal(err)
	}
	cloud.Probe(j)
	user.call("GET", "/jobs/"+job.ID, nil, &job, 200)
	if job.State != "done" || len(job.Probes) != 2 || job.Probes[0].Device != "edge-2" || !job.Probes[0].OK || len(job.Probes[0].Excess) != 1 {
		t.Errorf("job: %+v", job)
	}
	if p := job.Probes[1]; p.OK || p.Headline() != "fails at auth" || p.Steps[1].Detail == "" {
		t.Errorf("edge-3: %+v", p)
	}
	var last apitype.Probe
	user.call("GET", at+"/devices/edge-3/probe", nil, &last, 200)
	if last.Job != job.ID || last.At.IsZero() || last.OK {
		t.Errorf("the last one: %+v", last)
	}
	user.call("GET", at+"/devices/nope/probe", nil, nil, 404)
}

// How a device was reached is shown, with what is weak on the way.
func TestDeviceAccess(t *testing.T) {
	cloud := apitest.Start(t)
	cloud.Fill()
	var list apitype.Devices
	as(t, cloud, edp.RoleStandard).call("GET", "/devices", nil, &list, 200)
	d := list.Devices[0]
	if d.Access == nil || d.Access.Mode != "netconf" || len(d.Access.Hops) != 2 {
		t.Fatalf("access %+v", d.Access)
	}
	if len(d.Weak) != 1 || d.Weak[0] != "jump-1: diffie-hellman-group1-sha1, ssh-rsa, aes128-cbc" {
		t.Errorf("weak: %q", d.Weak)
	}
}

func TestMaskingOfAFleet(t *testing.T) {
	cloud := apitest.Start(t)
	cloud.Enrol(apitest.Collector)
	admin := as(t, cloud, edp.RoleAdmin)
	admin.call("POST", "/collectors/"+apitest.Collector+"/masking/rotate", nil, nil, 404)
	body := `{"masking":{"classes":{"ip-addresses":true},"rules":[{"class":"site","path":"description"}]},"allow_cli_fallback":true,` +
		`"limits":{"logins_per_second":2.5,"max_cpu":70},` + strings.TrimPrefix(fleetBody, "{")
	admin.call("PUT", fleetPath, body, nil, 200)
	var f, g apitype.Fleet
	text := admin.call("GET", fleetPath, nil, &f, 200)
	if f.Masking.KeyVersion == "" || !f.Masking.Classes["ip-addresses"] || len(f.Masking.Rules) != 1 || !f.AllowCLI || f.Limits.MaxCPU != 70 {
		t.Errorf("fleet: %s", text)
	}
	admin.call("POST", "/collectors/"+apitest.Collector+"/masking/rotate", nil, nil, 200)
	admin.call("GET", fleetPath, nil, &g, 200)
	if g.Masking.KeyVersion == f.Masking.KeyVersion || g.Version != f.Version+1 {
		t.Errorf("after a new key: %+v, before: %+v", g, f)
	}
	as(t, cloud, edp.RoleStandard).call("POST", "/collectors/"+apitest.Collector+"/masking/rotate", nil, nil, 403)
	for old, want := range map[string]string{
		`"ip-addresses":true`: `body.masking.classes.ip-adresses`, `"path":"description"`: "body.masking.rules[0]", `"max_cpu":70`: "body.limits.max_cpu"} {
		bad := map[string]string{`"ip-addresses":true`: `"ip-adresses":true`, `"path":"description"`: `"item":"show-version"`, `"max_cpu":70`: `"max_cpu":170`}[old]
		if text := admin.call("PUT", fleetPath, strings.Replace(body, old, bad, 1), nil, 422); !strings.Contains(text, want) {
			t.Errorf("%s: %s", bad, text)
		}
	}
}

func TestMaskedDocument(t *testing.T) {
	cloud := apitest.Start(t)
	job := cloud.Fill()
	var docs apitype.Documents
	as(t, cloud, edp.RoleStandard).call("GET", "/documents?device=edge-1&item=show-chassis-alarms&run="+job.Run, nil, &docs, 200)
	d := docs.Documents[0]
	if d.RawSHA256 != apitest.RawSHA256 || d.RawSize != d.Size-7 || d.Masked["user-names"] != 3 {
		t.Errorf("document %+v", d)
	}
	if d.Altered() != "values were replaced by pseudonyms at the site: 3 of user-names" {
		t.Errorf("in words: %s", d.Altered())
	}
}
