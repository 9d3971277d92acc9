package portal_test

import (
	"html"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"lwc/cloud/api/apitest"
	"lwc/cloud/edp"
	"lwc/transport/wire"
)

// atFirst is a key that edge-3 showed at its first connection.
const atFirst = "SHA256:uNiVztksCsDhcc0u9e8BrrJXVYxYfnJ2sBZ2f0pkVxM"

// trusted lets a collector report that it trusted a key at first use.
func trusted(t *testing.T, c *apitest.Cloud) {
	t.Helper()
	job, err := c.Store.CreateJob(t.Context(), edp.NewJob{Collector: apitest.Collector, Kind: wire.JobCollect, By: "test"})
	must(t, err)
	must(t, c.Store.SawJobStatus(t.Context(), wire.JobStatus{V: wire.Version, ID: job.ID, Collector: apitest.Collector, State: wire.JobRunning,
		Done: 1, Total: 3, Device: &wire.DeviceResult{Device: "edge-3", OK: true, HostKey: atFirst, Seconds: 1}}))
}

// deviceOf returns a device as the collector is told of it.
func deviceOf(t *testing.T, c *apitest.Cloud, id string) edp.Device {
	t.Helper()
	f, err := c.Store.GetFleet(t.Context(), apitest.Collector)
	must(t, err)
	at := slices.IndexFunc(f.Devices, func(d edp.Device) bool { return d.ID == id })
	if at < 0 {
		t.Fatalf("no device %s", id)
	}
	return f.Devices[at]
}

func TestPinHostKey(t *testing.T) {
	c := apitest.Start(t)
	c.Fill()
	v := user(t, c, edp.RoleAdmin)
	at := "/collectors/" + apitest.Collector + "/devices/edge-3"
	if strings.Contains(v.page(at), "Pin this key") {
		t.Error("a key that nobody saw can be pinned")
	}
	trusted(t, c)
	if !strings.Contains(v.page(at), "Pin this key") {
		t.Error("the key that was trusted at first use cannot be pinned")
	}
	if strings.Contains(user(t, c, edp.RoleStandard).page(at), "Pin this key") {
		t.Error("a standard user is offered to pin")
	}
	if resp, _ := v.post(at+"/pin", url.Values{"host_key": {strings.Replace(atFirst, "uNiV", "xxxx", 1)}}); resp.StatusCode != http.StatusConflict {
		t.Errorf("pinning another key than the one reported: %s", resp.Status)
	}
	if resp, body := v.post(at+"/pin", url.Values{"host_key": {atFirst}}); resp.StatusCode != http.StatusSeeOther {
		t.Fatalf("pinning: %s %s", resp.Status, body)
	}
	if d := deviceOf(t, c, "edge-3"); d.TrustFirst || !slices.Equal(d.HostKeys, []string{atFirst}) || d.Profile != "tiny" {
		t.Errorf("the device after pinning: %+v", d)
	}
	if strings.Contains(v.page(at), "Pin this key") {
		t.Error("a pinned key can be pinned again")
	}
}

func TestEditDevice(t *testing.T) {
	c := apitest.Start(t)
	c.Fill()
	v := user(t, c, edp.RoleAdmin)
	at := "/collectors/" + apitest.Collector + "/devices/edge-2/edit"
	before := deviceOf(t, c, "edge-2")
	page := html.UnescapeString(v.page(at))
	for _, want := range []string{`value="edge-2"`, `value="192.0.2.2"`, `value="22"`, `<option selected>lab`, `value="jump-1"`, `<option value="tiny" selected>tiny (2 items)`, before.HostKeys[0]} {
		if !strings.Contains(page, want) {
			t.Errorf("the form is not filled with %s", want)
		}
	}
	form := url.Values{"id": {"other"}, "address": {"192.0.2.77"}, "credential": {"lab"}, "host_keys": {before.HostKeys[0] + "\r\n" + atFirst}, "profile": {"minimal"}}
	if resp, body := v.post(at, form); resp.StatusCode != http.StatusSeeOther {
		t.Fatalf("saving: %s %s", resp.Status, body)
	}
	d := deviceOf(t, c, "edge-2")
	if d.Address != "192.0.2.77" || d.Port != 0 || len(d.Bastions) != 0 || len(d.HostKeys) != 2 || d.Profile != "minimal" {
		t.Errorf("the device after saving: %+v", d)
	}
	if resp, _ := v.post("/collectors/"+apitest.Collector+"/devices/nope/edit", form); resp.StatusCode != http.StatusNotFound {
		t.Errorf("a device that is not there: %s", resp.Status)
	}
}

func TestOnlyAdminsEdit(t *testing.T) {
	c := apitest.Start(t)
	c.Fill()
	v := user(t, c, edp.RoleStandard)
	at := "/collectors/" + apitest.Collector
	for _, path := range []string{at + "/devices/edge-3/edit", at + "/devices/edge-3/pin"} {
		if resp, _ := v.post(path, url.Values{"host_key": {atFirst}}); resp.StatusCode != http.StatusForbidden {
			t.Errorf("POST %s by a standard user: %s", path, resp.Status)
		}
	}
}

// What is wrong is named as the form names it, and stands at the field.
func TestFormWords(t *testing.T) {
	c := apitest.Start(t)
	c.Fill()
	v := user(t, c, edp.RoleAdmin)
	at := "/collectors/" + apitest.Collector
	good := url.Values{"id": {"new"}, "address": {"192.0.2.9"}, "credential": {"lab"}, "profile": {"tiny"}, "trust_first": {"true"}}
	for _, s := range []struct{ path, field, value, want string }{
		{"/add-device", "credential", "", "<b>Credential</b>: choose the credential"},
		{"/add-device", "credential", "lap", `<b>Credential</b>: no credential "lap" is defined, did you mean "lab"?`},
		{"/add-device", "address", "nowhere at all", `<b>Address</b>: "nowhere at all" is neither`},
		{"/add-device", "trust_first", "", "<b>Host keys</b>: there is no host key: give one, or tick"},
		{"/add-device", "host_keys", "AAAA", "<b>Host keys</b>: the key type is missing"},
		{"/add-device", "bastions", "jump-2", `<b>Bastions</b>: no bastion "jump-2" is defined`},
		{"/add-device", "id", "a b", `<b>Id</b>: "a b" is not a name`},
		{"/devices/edge-1/edit", "address", "", `<b>Address</b>: the address is missing`},
		{"/bastions", "trust_first", "", "<b>Host keys</b>: there is no host key"},
		{"/credentials", "passphrase", "x", "<b>Private key</b>: a passphrase was given without"},
	} {
		form := url.Values{s.field: {s.value}}
		for k, val := range good {
			if k != s.field {
				form[k] = val
			}
		}
		form.Set("username", "lwc")
		resp, body := v.post(at+s.path, form)
		body = html.UnescapeString(body)
		_, problems, _ := strings.Cut(body, `id="problems"`)
		problems, _, _ = strings.Cut(problems, "</ul>")
		if resp.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(problems, s.want) {
			t.Errorf("%s %s=%q: %s, no %s in %s", s.path, s.field, s.value, resp.Status, s.want, problems)
		}
		for _, word := range []string{"devices[", "bastions[", "credentials[", "trust_first", "host_keys", "passphrase_env"} {
			if strings.Contains(problems, word) {
				t.Errorf("%s %s=%q: %q is no word of the portal: %s", s.path, s.field, s.value, word, problems)
			}
		}
		if strings.Contains(s.path, "device") && !strings.Contains(body, `class="wrong"`) {
			t.Errorf("%s %s=%q: nothing stands at the field", s.path, s.field, s.value)
		}
	}
	if !strings.Contains(v.page(at+"/add-device"), `<select name="credential" required><option value="">choose…</option>`) {
		t.Error("a credential is chosen before anybody chose it")
	}
}

// The forms are filled with what is stored, and never with a secret.
func TestEditLogins(t *testing.T) {
	c := apitest.Start(t)
	c.Fill()
	v := user(t, c, edp.RoleAdmin)
	at := "/collectors/" + apitest.Collector
	for query, want := range map[string][]string{
		"?credential=jump": {"Change the credential jump", `name="username" value="jump"`, "the stored secret stays"},
		"?bastion=jump-1":  {"Change the bastion jump-1", `value="198.51.100.1"`, "<option selected>jump", "ssh-ed25519 AAAAC3"},
		"?credential=nope": {"Add a credential", "Add a bastion"},
	} {
		page := html.UnescapeString(v.page(at + "/access" + query))
		for _, w := range want {
			if !strings.Contains(page, w) {
				t.Errorf("%s: no %s", query, w)
			}
		}
		if strings.Contains(page, apitest.Canary) {
			t.Errorf("%s shows a secret", query)
		}
	}
	// What was typed is there again when it is wrong, but for the secret.
	_, body := v.post(at+"/credentials", url.Values{"id": {"new"}, "username": {"bob"}, "password": {apitest.Canary}, "private_key": {apitest.Canary}})
	if !strings.Contains(body, `value="bob"`) || strings.Contains(body, apitest.Canary) || !strings.Contains(body, "<b>Password</b>") {
		t.Errorf("a wrong credential: %s", body)
	}
}

// The page of a revoked collector says how to admit it again.
func TestAdmitAgain(t *testing.T) {
	c := apitest.Start(t)
	c.Fill()
	v := user(t, c, edp.RoleAdmin)
	at := "/collectors/" + apitest.Collector
	v.post(at+"/revoke", nil)
	if body := v.page(at); !strings.Contains(body, `href="/enrol?collector=`+apitest.Collector+`"`) || !strings.Contains(body, `<button class="primary" disabled>Collect now`) {
		t.Errorf("the page of a revoked collector: %s", body)
	}
	if body := v.page("/enrol?collector=" + apitest.Collector); !strings.Contains(body, `value="`+apitest.Collector+`"`) {
		t.Error("the id is not filled in")
	}
}

func TestEditPagesInABrowser(t *testing.T) {
	c := apitest.Start(t)
	c.Fill()
	trusted(t, c)
	b := open(t)
	b.logIn(c)
	at := c.URL + "/collectors/" + apitest.Collector
	b.visit(c.URL+"/devices", "h1")
	b.picture("devices-pin")
	b.visit(at+"/devices/edge-3/edit", "textarea")
	b.picture("device-edit")
	b.visit(at+"/devices/edge-3", "#pin")
	b.picture("device-pin")
	b.do(click("#pin"), seen(".note.good"))
	b.picture("device-pinned")
	b.visit(at+"/access?credential=jump&bastion=jump-1", "textarea")
	b.picture("logins-edit")
	b.visit(at+"/add-device", "textarea")
	b.do(keys("input[name=id]", "new"), keys("input[name=address]", "nowhere at-all"), keys("select[name=credential]", "lab"),
		click("main form button.primary"), seen("#problems"))
	b.picture("add-device-wrong")
	b.visit(at+"/revoke", "main form button.danger")
	b.do(click("main form button.danger"), seen(".note.warn"))
	b.picture("revoked")
}
