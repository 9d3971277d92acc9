package api_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"lwc/cloud/api/apitest"
	"lwc/cloud/api/apitype"
	"lwc/cloud/edp"
	"lwc/cloud/fleet"
	"lwc/transport/wire"
)

// caller sends requests with one token.
type caller struct {
	t      *testing.T
	cloud  *apitest.Cloud
	client *http.Client
	bearer string
}

func as(t *testing.T, c *apitest.Cloud, role edp.Role) *caller {
	return &caller{t, c, c.Client(), c.Bearer(role)}
}

// do sends a request and returns the answer.
func (c *caller) do(method, path, contentType, body string) (*http.Response, string) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.cloud.URL+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if c.bearer != "" {
		req.Header.Set("Authorization", c.bearer)
	}
	resp, err := c.client.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp, string(b)
}

// call sends JSON and wants a status; out gets the answer.
func (c *caller) call(method, path string, in, out any, want int) string {
	c.t.Helper()
	body := ""
	switch v := in.(type) {
	case nil:
	case string:
		body = v
	default:
		b, err := json.Marshal(in)
		if err != nil {
			c.t.Fatal(err)
		}
		body = string(b)
	}
	resp, text := c.do(method, apitype.Prefix+path, "application/json", body)
	if resp.StatusCode != want {
		c.t.Fatalf("%s %s: status %d, want %d: %s", method, path, resp.StatusCode, want, text)
	}
	if out != nil {
		if err := json.Unmarshal([]byte(text), out); err != nil {
			c.t.Fatal(err)
		}
	}
	return text
}

const fleetPath = "/collectors/" + apitest.Collector + "/fleet"

const fleetBody = `{"credentials":[{"id":"lab","username":"lwc","password":"` + apitest.Canary + `"}],
"devices":[{"id":"a","address":"192.0.2.1","credential":"lab","host_keys":null,"trust_first":true}]}`

func TestPutFleetIsIdempotent(t *testing.T) {
	cloud := apitest.Start(t)
	cloud.Enrol(apitest.Collector)
	admin := as(t, cloud, edp.RoleAdmin)
	var ch apitype.Changes
	admin.call("PUT", fleetPath+"?dry_run=true", fleetBody, &ch, 200)
	if len(ch.Changes) != 2 || !ch.DryRun || ch.Version != 0 || len(cloud.Hub.Told()) != 0 {
		t.Fatalf("dry run: %+v, hub %v", ch, cloud.Hub.Told())
	}
	admin.call("PUT", fleetPath, fleetBody, &ch, 200)
	first := stored(t, cloud)
	if len(ch.Changes) != 2 || ch.Version != 1 || len(cloud.Hub.Told()) != 1 {
		t.Fatalf("first: %+v, hub %v", ch, cloud.Hub.Told())
	}
	ch = apitype.Changes{}
	admin.call("PUT", fleetPath, fleetBody, &ch, 200)
	if again := stored(t, cloud); len(ch.Changes) != 0 || ch.Version != 1 || !bytes.Equal(again.Cipher, first.Cipher) || again.Version != first.Version || len(cloud.Hub.Told()) != 1 {
		t.Fatalf("second: %+v, hub %v", ch, cloud.Hub.Told())
	}
	admin.call("PUT", fleetPath, strings.Replace(fleetBody, apitest.Canary, "other", 1), &ch, 200)
	if len(ch.Changes) != 1 || ch.Changes[0].Detail != "secret" || stored(t, cloud).Version == first.Version {
		t.Fatalf("another password: %+v", ch)
	}
	admin.call("PUT", fleetPath, strings.Replace(fleetBody, `,"password":"`+apitest.Canary+`"`, "", 1), &ch, 200)
	if len(ch.Changes) != 0 {
		t.Fatalf("a secret that is left out was not kept: %+v", ch)
	}
}

func stored(t *testing.T, c *apitest.Cloud) edp.Credential {
	t.Helper()
	f, err := c.Store.GetFleet(t.Context(), apitest.Collector)
	if err != nil || len(f.Credentials) != 1 {
		t.Fatalf("%v %+v", err, f)
	}
	if bytes.Contains(f.Credentials[0].Cipher, []byte(apitest.Canary)) {
		t.Fatal("the secret is stored in clear")
	}
	return f.Credentials[0]
}

func TestBadFleetsChangeNothing(t *testing.T) {
	cloud := apitest.Start(t)
	cloud.Fill()
	admin := as(t, cloud, edp.RoleAdmin)
	for name, c := range map[string]struct{ old, new, want string }{
		"unknown credential":   {`"credential":"lab"`, `"credential":"lap"`, `body.devices[0].credential`},
		"unknown key":          {`"address"`, `"adress"`, "unexpected property"},
		"no host key":          {`"trust_first":true`, `"trust_first":false`, "no host key"},
		"secret of wrong type": {`"` + apitest.Canary + `"`, `["` + apitest.Canary + `"]`, "body.credentials[0].password"},
		"not JSON":             {`{"credentials"`, apitest.Canary + `{"credentials"`, "invalid character"},
	} {
		t.Run(name, func(t *testing.T) {
			before, _ := cloud.Store.GetFleet(t.Context(), apitest.Collector)
			status := 422
			if name == "not JSON" {
				status = 400
			}
			text := admin.call("PUT", fleetPath, strings.Replace(fleetBody, c.old, c.new, 1), nil, status)
			if !strings.Contains(text, c.want) {
				t.Errorf("answer %s does not say %q", text, c.want)
			}
			if strings.Contains(text, apitest.Canary) {
				t.Errorf("the answer repeats the secret: %s", text)
			}
			if after, _ := cloud.Store.GetFleet(t.Context(), apitest.Collector); after.Version != before.Version {
				t.Error("something was changed")
			}
		})
	}
}

func TestDevices(t *testing.T) {
	cloud := apitest.Start(t)
	cloud.Fill()
	admin := as(t, cloud, edp.RoleAdmin)
	base := "/collectors/" + apitest.Collector + "/devices"
	add := apitype.DeviceList{Devices: []fleet.Device{{Device: wire.Device{ID: "edge-4", Address: "192.0.2.4", Credential: "lab", TrustFirst: true}}}}
	admin.call("POST", base, add, nil, 200)
	if text := admin.call("POST", base, add, nil, 422); !strings.Contains(text, "is taken") {
		t.Errorf("a taken id: %s", text)
	}
	admin.call("POST", base+"?replace=true", add, nil, 200)
	resp, text := admin.do("POST", apitype.Prefix+base+"/import", "text/csv", "id,address,credential,trust_first\nedge-5,192.0.2.5,lab,1\nedge-6,nowhere at all,lab,1\n")
	if resp.StatusCode != 422 || !strings.Contains(text, "line 3 column 8") {
		t.Errorf("a bad line: %d %s", resp.StatusCode, text)
	}
	resp, text = admin.do("POST", apitype.Prefix+base+"/import", "text/csv", "id,address,credential,trust_first\nedge-5,192.0.2.5,lab,1\n")
	if resp.StatusCode != 200 || !strings.Contains(text, "edge-5") {
		t.Errorf("an import: %d %s", resp.StatusCode, text)
	}
	admin.call("DELETE", base+"/edge-4", nil, nil, 200)
	admin.call("DELETE", base+"/edge-4", nil, nil, 404)
	var list apitype.Devices
	admin.call("GET", "/devices?collector="+apitest.Collector, nil, &list, 200)
	var ids []string
	for _, d := range list.Devices {
		ids = append(ids, d.ID)
	}
	if strings.Join(ids, " ") != "edge-1 edge-2 edge-3 edge-5" {
		t.Errorf("devices: %v", ids)
	}
	if d := list.Devices[2]; d.State != "failed" || d.Phase != "auth" || d.Error == "" {
		t.Errorf("edge-3: %+v", d)
	}
	if d := list.Devices[0]; d.State != "ok" || d.Model != "mx240" || d.Serial == "" || d.Documents != 2 {
		t.Errorf("edge-1: %+v", d)
	}
}

func TestCollectAndRuns(t *testing.T) {
	cloud := apitest.Start(t)
	cloud.Fill()
	admin := as(t, cloud, edp.RoleAdmin)
	var job apitype.Job
	admin.call("POST", "/collectors/"+apitest.Collector+"/collect", apitype.CollectRequest{Devices: []string{"edge-1"}}, &job, 200)
	if job.Total != 1 || job.By != "test-admin" || job.Run == "" || cloud.Hub.Told()[len(cloud.Hub.Told())-1] != "job "+apitest.Collector {
		t.Fatalf("job %+v, hub %v", job, cloud.Hub.Told())
	}
	admin.call("POST", "/collectors/"+apitest.Collector+"/collect", apitype.CollectRequest{Devices: []string{"nope"}}, nil, 404)
	admin.call("POST", "/collectors/unknown-000/collect", apitype.CollectRequest{}, nil, 404)
	j, err := cloud.Store.Job(t.Context(), job.ID)
	if err != nil {
		t.Fatal(err)
	}
	cloud.Work(j)
	admin.call("GET", "/jobs/"+job.ID, nil, &job, 200)
	if job.State != "done" || len(job.Results) != 1 || !job.Results[0].OK {
		t.Errorf("job: %+v", job)
	}
	var run apitype.Run
	admin.call("GET", "/runs/"+job.Run, nil, &run, 200)
	if run.State != "complete" || run.Stored != 2 || len(run.Manifests) != 1 {
		t.Errorf("run: %+v", run)
	}
	admin.call("GET", "/runs/nope", nil, nil, 404)
}

func TestRawDocument(t *testing.T) {
	cloud := apitest.Start(t)
	job := cloud.Fill()
	user := as(t, cloud, edp.RoleStandard)
	var docs apitype.Documents
	user.call("GET", "/documents?device=edge-1&item=show-version&run="+job.Run, nil, &docs, 200)
	if len(docs.Documents) != 1 {
		t.Fatalf("documents: %+v", docs)
	}
	d := docs.Documents[0]
	resp, body := user.do("GET", apitype.Prefix+"/documents/"+d.ID+"/raw", "", "")
	if body != apitest.Reply || wire.Digest([]byte(body)) != d.SHA256 {
		t.Errorf("the bytes differ: %q", body)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/xml", "X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox",
		"Content-Disposition": `attachment; filename="edge-1_show-version_`, "Repr-Digest": "sha-256=:",
	} {
		if got := resp.Header.Get(name); !strings.Contains(got, want) {
			t.Errorf("%s is %q, want %q in it", name, got, want)
		}
	}
}

func TestWhoMay(t *testing.T) {
	cloud := apitest.Start(t)
	cloud.Fill()
	nobody := &caller{t, cloud, cloud.Client(), ""}
	for _, bearer := range []string{"", "Bearer x", "Bearer x.y", "Basic eDp5", "Bearer " + strings.Repeat("a", 100) + ".AAAA", "Bearer 0123456789abcdef.AAAAAAAAAAAAAAAAAAAAAA"} {
		nobody.bearer = bearer
		resp, text := nobody.do("GET", apitype.Prefix+"/devices", "", "")
		if resp.StatusCode != 401 || resp.Header.Get("WWW-Authenticate") == "" || resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("with %q: %d %s", bearer, resp.StatusCode, text)
		}
	}
	user := as(t, cloud, edp.RoleStandard)
	nobody.bearer = ""
	for _, o := range operations(t, nobody) {
		if resp, text := nobody.do(o.method, o.path, "application/json", "{}"); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("nobody: %s %s: %d %s", o.method, o.path, resp.StatusCode, text)
		}
		resp, text := user.do(o.method, o.path, "application/json", "{}")
		if o.method == http.MethodGet && !strings.HasSuffix(o.path, "/users") && !strings.HasSuffix(o.path, "-tokens") {
			if resp.StatusCode == http.StatusForbidden {
				t.Errorf("a standard user may not read %s: %s", o.path, text)
			}
		} else if resp.StatusCode != http.StatusForbidden || !strings.Contains(text, "needs the role admin") {
			t.Errorf("a standard user: %s %s: %d %s", o.method, o.path, resp.StatusCode, text)
		}
	}
}

type operation struct{ method, path string }

// operations are all that the API describes, of the collector that apitest has.
func operations(t *testing.T, c *caller) (out []operation) {
	t.Helper()
	_, text := c.do(http.MethodGet, "/api/openapi.json", "", "")
	var doc struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	must(t, json.Unmarshal([]byte(text), &doc))
	param := regexp.MustCompile(`\{[^}]*\}`)
	for path, ops := range doc.Paths {
		path = param.ReplaceAllString(strings.ReplaceAll(path, "{collector}", apitest.Collector), "x")
		for method := range ops {
			out = append(out, operation{strings.ToUpper(method), path})
		}
	}
	if len(out) < 30 {
		t.Fatalf("%d operations are described", len(out))
	}
	return out
}

func TestUsersAndTokens(t *testing.T) {
	cloud := apitest.Start(t)
	admin := as(t, cloud, edp.RoleAdmin)
	admin.call("POST", "/users", apitype.NewUser{Name: "ann", Role: "standard", Password: "a long password"}, nil, 200)
	admin.call("POST", "/users", apitype.NewUser{Name: "ann", Role: "standard", Password: "a long password"}, nil, 409)
	admin.call("PUT", "/users/ann/password", apitype.NewPassword{Password: "another password"}, nil, 204)
	if text := admin.call("PUT", "/users/ann/password", apitype.NewPassword{Password: "short"}, nil, 422); strings.Contains(text, "short") {
		t.Errorf("the password is repeated: %s", text)
	}
	admin.call("DELETE", "/users/ann", nil, nil, 204)
	admin.call("DELETE", "/users/ann", nil, nil, 404)
	var tok apitype.APIToken
	admin.call("POST", "/api-tokens", apitype.APITokenRequest{Name: "ci", Role: "standard"}, &tok, 200)
	if text := admin.call("GET", "/api-tokens", nil, nil, 200); strings.Contains(text, tok.Token) || !strings.Contains(text, tok.ID) {
		t.Errorf("tokens: %s", text)
	}
	admin.call("DELETE", "/api-tokens/"+tok.ID, nil, nil, 204)
	var e apitype.EnrolToken
	admin.call("POST", "/enrol-tokens", apitype.EnrolTokenRequest{Collector: "site-paris-02"}, &e, 200)
	if !strings.HasPrefix(e.Token, string(wire.EnrolToken)) || e.Uses != 1 {
		t.Errorf("enrolment token: %+v", e)
	}
	admin.call("POST", "/enrol-tokens", apitype.EnrolTokenRequest{Collector: "Bad+Id"}, nil, 422)
	admin.call("POST", "/enrol-tokens", apitype.EnrolTokenRequest{Label: "two\nlines"}, nil, 422)
	cloud.Enrol(apitest.Collector)
	admin.call("POST", "/collectors/"+apitest.Collector+"/revoke", nil, nil, 200)
	if got := cloud.Hub.Told(); got[len(got)-1] != "revoked "+apitest.Collector {
		t.Errorf("hub: %v", got)
	}
}

// Who made what, and what for, without the token itself; for admins alone.
func TestOpenEnrolTokens(t *testing.T) {
	cloud := apitest.Start(t)
	admin := as(t, cloud, edp.RoleAdmin)
	var made apitype.EnrolToken
	admin.call("POST", "/enrol-tokens", apitype.EnrolTokenRequest{Uses: 2, Label: "Paris, rack 3", TTLSeconds: 3600}, &made, 200)
	var open apitype.OpenEnrolTokens
	text := admin.call("GET", "/enrol-tokens", nil, &open, 200)
	if len(open.Tokens) != 1 || open.URL != cloud.URL || strings.Contains(text, made.Token) || strings.Contains(text, "lwce1_") {
		t.Fatalf("open: %s", text)
	}
	if o := open.Tokens[0]; o.ID != made.ID || o.By == "" || o.Label != "Paris, rack 3" || o.UsesLeft != 2 || o.Collector != "" || o.Expires.Sub(o.Created) != time.Hour || time.Since(o.Created) > time.Minute {
		t.Errorf("open: %+v", o)
	}
	as(t, cloud, edp.RoleStandard).call("GET", "/enrol-tokens", nil, nil, 403)
	admin.call("DELETE", "/enrol-tokens/"+made.ID, nil, nil, 204)
	if text := admin.call("GET", "/enrol-tokens", nil, &open, 200); !strings.Contains(text, `"tokens":[]`) {
		t.Errorf("none is open: %s", text)
	}
}

func TestDescription(t *testing.T) {
	cloud := apitest.Start(t)
	nobody := &caller{t, cloud, cloud.Client(), ""}
	_, text := nobody.do("GET", "/api/openapi.json", "", "")
	var doc struct {
		OpenAPI string                    `json:"openapi"`
		Paths   map[string]map[string]any `json:"paths"`
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil || !strings.HasPrefix(doc.OpenAPI, "3.1") || len(doc.Paths) < 20 {
		t.Fatalf("%v: OpenAPI %s with %d paths", err, doc.OpenAPI, len(doc.Paths))
	}
	if resp, text := nobody.do("GET", "/api/openapi.yaml", "", ""); resp.StatusCode != 200 || !strings.Contains(text, "openapi: 3.1") {
		t.Errorf("yaml: %d", resp.StatusCode)
	}
	resp, page := nobody.do("GET", "/api/docs", "", "")
	if resp.StatusCode != 200 || !strings.Contains(page, "/api/v1/collectors/{collector}/fleet") || strings.Contains(page, "https://unpkg") || strings.Contains(page, "<script") {
		t.Errorf("docs: %d %s", resp.StatusCode, page)
	}
	if resp, _ := nobody.do("GET", "/api/nothing", "", ""); resp.StatusCode != 404 || resp.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("an unknown path: %d %s", resp.StatusCode, resp.Header.Get("Content-Type"))
	}
}
