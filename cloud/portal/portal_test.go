package portal_test

import (
	"encoding/base64"
	"encoding/csv"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"lwc/cloud/api"
	"lwc/cloud/api/apitest"
	"lwc/cloud/edp"
	"lwc/cloud/vault"
	"lwc/transport/secret"
)

const password = "correct horse"

// visitor is a browser without scripts.
type visitor struct {
	t      *testing.T
	url    string
	client *http.Client
}

func newVisitor(t *testing.T, c *apitest.Cloud) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	must(t, err)
	h := c.Client()
	h.Jar = jar
	return &visitor{t, c.URL, h}
}

// user returns a visitor who is logged in.
func user(t *testing.T, c *apitest.Cloud, role edp.Role) *visitor {
	t.Helper()
	name := "the-" + string(role)
	must(t, c.Store.CreateUser(t.Context(), name, role, secret.FromString(password)))
	v := newVisitor(t, c)
	if resp, _ := v.post("/login", url.Values{"name": {name}, "password": {password}}); resp.StatusCode != http.StatusSeeOther {
		t.Fatalf("logging in: %s", resp.Status)
	}
	return v
}

func (v *visitor) send(req *http.Request) (*http.Response, string) {
	v.t.Helper()
	resp, err := v.client.Do(req)
	must(v.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(v.t, err)
	return resp, string(b)
}

func (v *visitor) get(path string) (*http.Response, string) {
	v.t.Helper()
	req, err := http.NewRequestWithContext(v.t.Context(), http.MethodGet, v.url+path, nil)
	must(v.t, err)
	return v.send(req)
}

func (v *visitor) post(path string, form url.Values) (*http.Response, string) {
	v.t.Helper()
	req, err := http.NewRequestWithContext(v.t.Context(), http.MethodPost, v.url+path, strings.NewReader(form.Encode()))
	must(v.t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	return v.send(req)
}

// page gets a page that must be there.
func (v *visitor) page(path string) string {
	v.t.Helper()
	resp, body := v.get(path)
	if resp.StatusCode != http.StatusOK {
		v.t.Fatalf("GET %s: %s %s", path, resp.Status, body)
	}
	return body
}

func TestOneTimeLink(t *testing.T) {
	c := apitest.Start(t)
	link, err := c.Issuer.Link(t.Context(), edp.RoleAdmin, time.Hour)
	must(t, err)
	path := strings.TrimPrefix(link, c.URL)
	v := newVisitor(t, c)
	v.page(path) // looking does not use it up
	if _, body := v.post(path, url.Values{"name": {"ada"}, "password": {password}, "again": {"other"}}); !strings.Contains(body, "the two passwords differ") {
		t.Errorf("two passwords: %s", body)
	}
	if _, body := v.post(path, url.Values{"name": {"ada"}, "password": {"short"}, "again": {"short"}}); !strings.Contains(body, "at least 10 characters") || strings.Contains(body, `value="short"`) {
		t.Errorf("a short password: %s", body)
	}
	resp, _ := v.post(path, url.Values{"name": {"ada"}, "password": {password}, "again": {password}})
	if resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/" {
		t.Fatalf("using the link: %s to %s", resp.Status, resp.Header.Get("Location"))
	}
	for _, attribute := range []string{api.SessionCookie + "=", "Secure", "HttpOnly", "SameSite=Strict", "Path=/"} {
		if !strings.Contains(resp.Header.Get("Set-Cookie"), attribute) {
			t.Errorf("the cookie %q lacks %s", resp.Header.Get("Set-Cookie"), attribute)
		}
	}
	if body := v.page("/"); !strings.Contains(body, "ada") {
		t.Error("not logged in after the link")
	}
	if resp, body := newVisitor(t, c).get(path); resp.StatusCode != http.StatusGone || !strings.Contains(body, "already used") {
		t.Errorf("the link a second time: %s", resp.Status)
	}
}

func TestLogIn(t *testing.T) {
	c := apitest.Start(t)
	v := user(t, c, edp.RoleStandard)
	v.page("/inventory")
	if resp, _ := v.post("/logout", nil); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("logging out: %s", resp.Status)
	}
	if resp, _ := v.get("/runs?collector=x"); resp.Header.Get("Location") != "/login?next=%2Fruns%3Fcollector%3Dx" {
		t.Errorf("a page after logging out leads to %q", resp.Header.Get("Location"))
	}
	for next, want := range map[string]string{"/runs": "/runs", "//evil": "/", `/\evil`: "/", "https://evil": "/", "": "/"} {
		if resp, _ := v.post("/login", url.Values{"name": {"the-standard"}, "password": {password}, "next": {next}}); resp.Header.Get("Location") != want {
			t.Errorf("next %q leads to %q", next, resp.Header.Get("Location"))
		}
	}
	must(t, c.Store.DeleteUser(t.Context(), "the-standard"))
	if resp, _ := v.get("/runs"); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("a deleted user still sees pages: %s", resp.Status)
	}
}

func TestGuessingIsSlowedDown(t *testing.T) {
	c := apitest.Start(t)
	must(t, c.Store.CreateUser(t.Context(), "ada", edp.RoleAdmin, secret.FromString(password)))
	v := newVisitor(t, c)
	var last *http.Response
	for range 6 {
		last, _ = v.post("/login", url.Values{"name": {"ada"}, "password": {"wrong"}})
	}
	if last.StatusCode != http.StatusTooManyRequests || last.Header.Get("Retry-After") == "" {
		t.Errorf("the sixth guess: %s", last.Status)
	}
	if resp, _ := v.post("/login", url.Values{"name": {"ada"}, "password": {password}}); resp.StatusCode != http.StatusTooManyRequests {
		t.Errorf("the right password at that moment: %s", resp.Status)
	}
	if resp, _ := v.post("/login", url.Values{"name": {"bob"}, "password": {"wrong"}}); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("another name: %s", resp.Status)
	}
}

func TestCrossOriginIsRefused(t *testing.T) {
	c := apitest.Start(t)
	v := user(t, c, edp.RoleAdmin)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.URL+"/access/link", strings.NewReader("role=admin"))
	must(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	if resp, _ := v.send(req); resp.StatusCode != http.StatusForbidden {
		t.Errorf("a form of another site: %s", resp.Status)
	}
	// The session is good for reading the API, and for nothing else there.
	if resp, body := v.get("/api/v1/collectors"); resp.StatusCode != http.StatusOK {
		t.Errorf("reading the API with a session: %s %s", resp.Status, body)
	}
	if resp, _ := v.post("/api/v1/enrol-tokens", nil); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("writing to the API with a session: %s", resp.Status)
	}
}

func TestHeaders(t *testing.T) {
	c := apitest.Start(t)
	resp, body := newVisitor(t, c).get("/login")
	policy := resp.Header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy %q", policy)
	}
	for _, bad := range []string{"<style", "style=", "onclick", "javascript:", "http://", "cdn"} {
		if strings.Contains(body, bad) {
			t.Errorf("the page has %q in it", bad)
		}
	}
	if resp.Header.Get("Referrer-Policy") != "no-referrer" || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("headers: %v", resp.Header)
	}
}

// adminPages are the paths of Fill's site that only admins may see.
func adminPages() []string {
	at := "/collectors/" + apitest.Collector
	return []string{"/enrol", "/access", at + "/access", at + "/add-device", at + "/import", at + "/devices/edge-1/delete", at + "/revoke", at + "/machine", at + "/reset", "/updates/1.1.0/withdraw", "/updates/1.1.0/resume"}
}

// openPages are the paths of Fill's site that every user may see.
func openPages(t *testing.T, c *apitest.Cloud, job edp.Job) []string {
	t.Helper()
	docs, err := c.Store.Documents(t.Context(), edp.DocumentFilter{Run: job.Run})
	must(t, err)
	c.Publish("1.1.0", nil)
	at := "/collectors/" + apitest.Collector
	pages := []string{"/", "/inventory", "/inventory?q=edge&sort=-model", "/inventory.csv", "/collectors", at, "/devices", "/devices?state=failed",
		at + "/devices/edge-1", at + "/devices/edge-3", "/runs", "/runs/" + job.Run, "/jobs/" + job.ID, "/events", "/approvals", "/devices?group=core", "/updates", "/releases/1.1.0",
		"/catalogue", "/login-class", "/login-class?profile=security&name=watch", "/login-class?profile=tiny&collector=" + apitest.Collector + "&device=edge-1"}
	for _, d := range docs {
		pages = append(pages, "/documents/"+d.ID, "/api/v1/documents/"+d.ID, "/api/v1/documents/"+d.ID+"/raw")
	}
	return append(pages, "/api/openapi.json", "/api/openapi.yaml", "/api/docs", "/api/v1/collectors", "/api/v1/collectors/"+apitest.Collector,
		"/api/v1/collectors/"+apitest.Collector+"/fleet", "/api/v1/devices", "/api/v1/runs", "/api/v1/runs/"+job.Run, "/api/v1/jobs/"+job.ID, "/api/v1/jobs",
		"/api/v1/documents", "/api/v1/events", "/api/v1/collectors/"+apitest.Collector+"/devices/edge-1/probe", "/api/v1/held", "/api/v1/releases", "/api/v1/releases/1.1.0", "/api/v1/boxes", "/api/v1/update-policy", "/api/v1/collectors/"+apitest.Collector+"/update-policy",
		"/api/v1/collectors/"+apitest.Collector+"/ledger?documents=bytes")
}

// No body that a Standard user can get holds a secret of a device, nor does one
// that an admin can get.
func TestNoSecretInAnyBody(t *testing.T) {
	c := apitest.Start(t)
	job := c.Fill()
	pages := openPages(t, c, job)
	standard, admin := user(t, c, edp.RoleStandard), user(t, c, edp.RoleAdmin)
	fleet, err := c.Store.GetFleet(t.Context(), apitest.Collector)
	must(t, err)
	secrets := []string{apitest.Canary}
	for _, cred := range fleet.Credentials {
		secrets = append(secrets, string(cred.Cipher), base64.StdEncoding.EncodeToString(cred.Cipher))
	}
	key, err := c.Vault.Unseal(vault.MaskingKey(apitest.Collector), fleet.Masking.Cipher)
	must(t, err)
	secrets = append(secrets, string(key), base64.StdEncoding.EncodeToString(key), hex.EncodeToString(key), string(fleet.Masking.Cipher), base64.StdEncoding.EncodeToString(fleet.Masking.Cipher))
	check := func(who, path, body string) {
		if strings.Contains(path, "/ledger") {
			body = unpacked(t, body)
		}
		if body == "" {
			t.Errorf("%s gets nothing at %s", who, path)
		}
		for _, s := range secrets {
			if strings.Contains(body, s) {
				t.Errorf("%s gets a secret at %s", who, path)
			}
		}
	}
	for _, path := range pages {
		check("a standard user", path, standard.page(path))
		check("an admin", path, admin.page(path))
	}
	for _, path := range adminPages() {
		resp, body := standard.get(path)
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("a standard user gets %s: %s", path, resp.Status)
		}
		check("a standard user", path, body)
		check("an admin", path, admin.page(path))
	}
	covered(t, standard, append(pages, adminPages()...))
}

type route struct{ method, path string }

// adminRoutes are those of the table of routes that are not plainly for every user:
// whatever changes something, but for the log-out.
func adminRoutes(t *testing.T) (out []route) {
	t.Helper()
	text, err := os.ReadFile("portal.go")
	must(t, err)
	for _, m := range regexp.MustCompile(`p\.(user|admin)\("(GET|POST) ([^"]+)"`).FindAllStringSubmatch(string(text), -1) {
		if m[1] == "user" && (m[2] == http.MethodGet || m[3] == "/logout") {
			continue
		}
		path := strings.NewReplacer("{collector}", apitest.Collector, "{device}", "edge-1", "{version}", "1.1.0").Replace(m[3])
		out = append(out, route{m[2], path})
	}
	if len(out) < 30 {
		t.Fatalf("%d routes were found", len(out))
	}
	return out
}

func TestStandardUsersChangeNothing(t *testing.T) {
	c := apitest.Start(t)
	c.Fill()
	v := user(t, c, edp.RoleStandard)
	at := "/collectors/" + apitest.Collector
	told := len(c.Hub.Told())
	for _, r := range adminRoutes(t) {
		resp, _ := v.get(r.path)
		if r.method == http.MethodPost {
			resp, _ = v.post(r.path, url.Values{})
		}
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("%s %s: %s", r.method, r.path, resp.Status)
		}
	}
	if len(c.Hub.Told()) != told {
		t.Errorf("the hub was told %v", c.Hub.Told()[told:])
	}
	if body := v.page(at); strings.Contains(body, "Collect now") || strings.Contains(body, "add-device") {
		t.Error("a standard user is offered what is refused")
	}
	if body := v.page(at + "/devices/edge-1"); strings.Contains(body, "Test connection") || !strings.Contains(body, "can do more than collecting needs") {
		t.Error("a standard user is offered a test, or not told of its result")
	}
}

func TestFleetForms(t *testing.T) {
	c := apitest.Start(t)
	c.Enrol(apitest.Collector)
	v := user(t, c, edp.RoleAdmin)
	at := "/collectors/" + apitest.Collector
	steps := []struct {
		path string
		form url.Values
		want string // in the page, for what is refused; empty: it is done
	}{
		{at + "/credentials", url.Values{"id": {"lab"}, "username": {"lwc"}}, "is missing: give a password or a private key"},
		{at + "/credentials", url.Values{"id": {"lab"}, "username": {"lwc"}, "private_key": {apitest.Canary}}, "not a private key"},
		{at + "/credentials", url.Values{"id": {"lab"}, "username": {"lwc"}, "password": {apitest.Canary}}, ""},
		{at + "/credentials", url.Values{"id": {"lab"}, "username": {"new"}}, ""}, // keeps the password
		{at + "/bastions", url.Values{"id": {"jump"}, "address": {"198.51.100.1"}, "credential": {"lab"}}, "no host key"},
		{at + "/bastions", url.Values{"id": {"jump"}, "address": {"198.51.100.1"}, "credential": {"lab"}, "trust_first": {"true"}}, ""},
		{at + "/add-device", url.Values{"id": {"edge-1"}, "address": {"192.0.2.1:22"}, "credential": {"lab"}, "trust_first": {"true"}}, "has a port: put it into port:"},
		{at + "/add-device", url.Values{"id": {"edge-1"}, "address": {"192.0.2.1"}, "port": {"99999"}, "credential": {"lab"}, "trust_first": {"true"}}, "is not a port"},
		{at + "/add-device", url.Values{"id": {"edge-1"}, "address": {"192.0.2.1"}, "credential": {"lab"}, "bastions": {"jump"}, "trust_first": {"true"}, "profile": {"daily"}}, ""},
		{at + "/add-device", url.Values{"id": {"edge-1"}, "address": {"192.0.2.1"}, "credential": {"lab"}, "trust_first": {"true"}}, "is taken"},
		{at + "/import", url.Values{"text": {"id,address,credential,trust_first\nedge-2,192.0.2.2,lab,1\n"}}, ""},
		{at + "/import", url.Values{"text": {"id,address,credential,trust_first\nedge-3,192.0.2.2,lap,1\n"}}, "line 2, column 18"},
		{at + "/credentials/delete", url.Values{"id": {"lab"}}, "lab is used by bastion jump, device edge-1, device edge-2"},
		{at + "/bastions/delete", url.Values{"id": {"jump"}}, "jump is used by device edge-1"},
		{at + "/schedule", url.Values{"start": {"25:00"}}, "is not a time of day"},
		{at + "/schedule", url.Values{"start": {"02:30"}, "window": {"1h"}, "timezone": {"Europe/Berlin"}}, ""},
		{at + "/devices/edge-2/delete", nil, ""},
		{"/enrol", url.Values{"collector": {"x"}, "uses": {"1"}, "ttl": {"1h"}}, "a collector id has"},
	}
	for _, s := range steps {
		resp, body := v.post(s.path, s.form)
		switch {
		case strings.Contains(body, apitest.Canary):
			t.Errorf("POST %s %v: the secret is shown", s.path, s.form)
		case s.want == "" && resp.StatusCode != http.StatusSeeOther:
			t.Errorf("POST %s %v: %s %s", s.path, s.form, resp.Status, body)
		case s.want != "" && (resp.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(strings.ReplaceAll(body, "&#34;", `"`), s.want)):
			t.Errorf("POST %s %v: %s, want %q in %s", s.path, s.form, resp.Status, s.want, body)
		}
	}
	f, err := c.Store.GetFleet(t.Context(), apitest.Collector)
	must(t, err)
	if len(f.Devices) != 1 || f.Devices[0].Bastions[0] != "jump" || f.Schedules[0].Start != "02:30" || f.Credentials[0].Username != "new" {
		t.Errorf("the fleet: %+v", f)
	}
	plain, err := c.Vault.Decrypt("lab", f.Credentials[0].Cipher)
	must(t, err)
	if !plain.Password.Equal(secret.FromString(apitest.Canary)) {
		t.Error("the password was not kept when the user name changed")
	}
}

func TestInventoryCSV(t *testing.T) {
	c := apitest.Start(t)
	c.Fill()
	v := user(t, c, edp.RoleStandard)
	rows, err := csv.NewReader(strings.NewReader(v.page("/inventory.csv?sort=-name"))).ReadAll()
	must(t, err)
	if len(rows) != 4 || rows[1][1] != "edge-3" || rows[3][0] != "edge-1" || rows[3][3] != "JN120000" {
		t.Errorf("rows: %v", rows)
	}
}

// A document is shown as text, whatever it holds.
func TestDocumentIsEscaped(t *testing.T) {
	c := apitest.Start(t)
	job := c.Fill()
	v := user(t, c, edp.RoleStandard)
	docs, err := c.Store.Documents(t.Context(), edp.DocumentFilter{Run: job.Run, Item: "show-version"})
	must(t, err)
	body := v.page("/documents/" + docs[0].ID)
	if !strings.Contains(body, "&lt;junos-version&gt;23.4R1.9") || strings.Contains(body, "<junos-version>") {
		t.Error("the document is not escaped")
	}
	if resp, _ := v.get("/documents/nope"); resp.StatusCode != http.StatusNotFound {
		t.Errorf("an unknown document: %s", resp.Status)
	}
}

func TestUnknownPath(t *testing.T) {
	c := apitest.Start(t)
	if resp, _ := newVisitor(t, c).get("/nothing-here"); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("nobody gets %s", resp.Status)
	}
	if resp, body := user(t, c, edp.RoleStandard).get("/nothing-here"); resp.StatusCode != http.StatusNotFound || !strings.Contains(body, "nav class") {
		t.Errorf("a user gets %s", resp.Status)
	}
}
