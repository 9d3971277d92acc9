package api_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"lwc/cloud/api/apitest"
	"lwc/cloud/api/apitype"
	"lwc/cloud/edp"
	"lwc/cloud/ledger"
	"lwc/transport/wire"
)

func TestHeld(t *testing.T) {
	cloud := apitest.Start(t)
	cloud.Fill()
	ids := cloud.Hold("edge-1", "edge-2", "edge-3")
	admin, reader := as(t, cloud, edp.RoleAdmin), as(t, cloud, edp.RoleStandard)
	var list apitype.HeldList
	reader.call("GET", "/held", nil, &list, 200)
	if len(list.Held) != 3 || list.Held[0].State != "waiting" || list.Held[0].Size != 48213 || list.Held[0].Device != "edge-1" {
		t.Fatalf("%+v", list)
	}
	reader.call("POST", "/held/approve", apitype.Decision{IDs: ids[:1]}, nil, 403)
	admin.call("POST", "/held/approve", apitype.Decision{IDs: ids[:2]}, nil, 200)
	admin.call("POST", "/held/decline", apitype.Decision{IDs: ids[2:]}, &list, 200)
	for i, want := range []string{"approved", "approved", "declined"} {
		at := slices.IndexFunc(list.Held, func(h apitype.Held) bool { return h.ID == ids[i] })
		if at < 0 || list.Held[at].State != want || !strings.HasPrefix(list.Held[at].By, "test-admin") {
			t.Errorf("document %d: %+v", i, list.Held)
		}
	}
	if text := admin.call("POST", "/held/decline", apitype.Decision{IDs: ids[:1]}, nil, 409); !strings.Contains(text, "it was approved by") {
		t.Errorf("deciding otherwise: %s", text)
	}
	admin.call("POST", "/held/approve", apitype.Decision{IDs: []string{wire.NewID()}}, nil, 404)
	if told := cloud.Hub.Told(); !slices.Contains(told, "held "+apitest.Collector) {
		t.Errorf("the hub was told %q", told)
	}
}

func TestMachineJobs(t *testing.T) {
	cloud := apitest.Start(t)
	cloud.Fill()
	admin := as(t, cloud, edp.RoleAdmin)
	path := "/collectors/" + apitest.Collector + "/jobs"
	var job apitype.Job
	admin.call("POST", path, apitype.MachineJob{Kind: "update", Release: "1.4.2", Source: "https://example.com/lwcd"}, &job, 200)
	if job.Kind != "update" || job.Release != "1.4.2" || job.Source == "" || job.State != "queued" {
		t.Errorf("%+v", job)
	}
	must(t, cloud.Store.SawJobStatus(t.Context(), wire.JobStatus{V: wire.Version, ID: job.ID, Collector: apitest.Collector, State: wire.JobRunning, Detail: "downloading 1.4.2"}))
	admin.call("GET", "/jobs/"+job.ID, nil, &job, 200)
	if job.State != "running" || job.Detail != "downloading 1.4.2" {
		t.Errorf("%+v", job)
	}
	for want, r := range map[string]apitype.MachineJob{
		"is not a source":         {Kind: "update", Source: "http://example.com/x"},
		"only an update has":      {Kind: "restart", Release: "1.4.2"},
		"expected value to be on": {Kind: "collect"},
	} {
		if text := admin.call("POST", path, r, nil, 422); !strings.Contains(text, want) {
			t.Errorf("%+v: no %q in %s", r, want, text)
		}
	}
	as(t, cloud, edp.RoleStandard).call("POST", path, apitype.MachineJob{Kind: "restart"}, nil, 403)
}

func TestGroups(t *testing.T) {
	cloud := apitest.Start(t)
	cloud.Fill()
	admin := as(t, cloud, edp.RoleAdmin)
	var job apitype.Job
	admin.call("POST", "/collectors/"+apitest.Collector+"/collect", apitype.CollectRequest{Groups: []string{"west"}, Devices: []string{"edge-3"}}, &job, 200)
	if job.Total != 2 {
		t.Errorf("a group and a device: %+v", job)
	}
	if text := admin.call("POST", "/collectors/"+apitest.Collector+"/probe", apitype.ProbeRequest{Groups: []string{"east"}}, nil, 404); !strings.Contains(text, "groups: core, west") {
		t.Errorf("a group that is none: %s", text)
	}
}

// The ledger of a cloud verifies with the key of its collector, and what is put
// into the store besides does not.
func TestLedger(t *testing.T) {
	cloud := apitest.Start(t)
	job := cloud.Fill()
	reader := as(t, cloud, edp.RoleStandard)
	block, _ := pem.Decode(cloud.KeyPEM())
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	must(t, err)
	get := func(query string) ledger.Report {
		t.Helper()
		r, err := ledger.Verify(bytes.NewReader([]byte(reader.call("GET", "/collectors/"+apitest.Collector+"/ledger"+query, nil, nil, 200))), key)
		must(t, err)
		return r
	}
	for _, query := range []string{"", "?documents=bytes", "?run=" + job.Run} {
		if r := get(query); !r.OK() || r.Signed != 1 || r.Entries != 4 || r.Documents != 4 {
			t.Errorf("%s: %+v", query, r)
		}
	}
	body := []byte("<rpc-reply/>")
	_, err = cloud.Store.PutDocuments(t.Context(), []edp.Document{{ID: wire.NewID(), Collector: apitest.Collector, Boot: wire.NewID(), Run: job.Run,
		Device: "edge-1", Item: "show-interfaces", Outcome: "ok", SHA256: wire.Digest(body), Size: int64(len(body)), Body: body}})
	must(t, err)
	if r := get(""); len(r.Findings) != 1 || r.Findings[0].Kind != ledger.Unnamed {
		t.Errorf("a document that was put in: %+v", r.Findings)
	}
	reader.call("GET", "/collectors/"+apitest.Collector+"/ledger?run="+wire.NewID(), nil, nil, http.StatusNotFound)
	reader.call("GET", "/collectors/nobody-here/ledger", nil, nil, http.StatusNotFound)
}

// A ledger that is exported while its site goes on verifies: nothing that came
// meanwhile looks as if it were missing, put in or without an end.
func TestLedgerOfALiveSite(t *testing.T) {
	cloud := apitest.Start(t)
	cloud.Fill()
	reader := as(t, cloud, edp.RoleStandard)
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
				liveRun(t, cloud, n)
			}
		}
	}()
	defer func() { close(stop); <-ended }()
	seen := 0
	for range 30 {
		out := reader.call("GET", "/collectors/"+apitest.Collector+"/ledger", nil, nil, 200)
		r, err := ledger.Verify(strings.NewReader(out))
		must(t, err)
		if !r.OK() {
			t.Fatalf("%+v", r.Findings)
		}
		seen = r.Runs
	}
	if seen < 3 {
		t.Errorf("%d runs came meanwhile: the test shows nothing", seen)
	}
}

// liveRun stores a run of one document and accounts for it.
func liveRun(t *testing.T, cloud *apitest.Cloud, n int) {
	run, body := wire.NewID(), fmt.Appendf(nil, "<rpc-reply>%d</rpc-reply>", n)
	d := edp.Document{ID: wire.NewID(), Collector: apitest.Collector, Boot: apitest.Boot, Run: run, Device: "edge-1", Item: "show-version",
		Outcome: "ok", SHA256: wire.Digest(body), Size: int64(len(body)), Body: body, CollectedAt: time.Now()}
	if _, err := cloud.Store.PutDocuments(t.Context(), []edp.Document{d}); err != nil {
		t.Error(err)
		return
	}
	cloud.Account(wire.Manifest{V: wire.Version, Collector: d.Collector, Boot: d.Boot, Run: run, Started: time.Now(), Finished: time.Now(), Section: 1, Last: true,
		Devices:   []wire.DeviceResult{{Device: d.Device, OK: true}},
		Documents: []wire.ManifestEntry{{ID: d.ID, Device: d.Device, Item: d.Item, Status: wire.EntryStored, Outcome: d.Outcome, SHA256: d.SHA256, Size: d.Size}}})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
