package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lwc/cloud/api/apitest"
	"lwc/cloud/api/apitype"
	"lwc/cloud/edp"
	"lwc/transport/wire"
)

// shell runs commands with one token.
type shell struct {
	t     *testing.T
	cloud *apitest.Cloud
	dir   string
}

func newShell(t *testing.T, role edp.Role) *shell {
	t.Helper()
	c := apitest.Start(t)
	c.Fill()
	t.Setenv("LWC_API_TOKEN", c.Token(role))
	return &shell{t, c, t.TempDir()}
}

// file writes a file of the test's folder.
func (s *shell) file(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// run runs one command and returns what it wrote and its exit code.
func (s *shell) run(args ...string) (stdout, stderr string, code int) {
	s.t.Helper()
	var out, errs bytes.Buffer
	err := run(s.t.Context(), args, strings.NewReader(""), &out, &errs)
	code = exitCode(err, &errs)
	return out.String(), errs.String(), code
}

// ok runs a command that must succeed.
func (s *shell) ok(args ...string) string {
	s.t.Helper()
	out, errs, code := s.run(args...)
	if code != 0 {
		s.t.Fatalf("lwc-cloud %s: exit code %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

const fleetFile = `collector: site-paris-02
credentials:
  - {id: lab, username: lwc, password_env: LAB_PASSWORD}
devices:
  - {id: mx-1, address: 192.0.2.10, credential: lab, trust_first: true}
  - {id: mx-2, address: 192.0.2.11, credential: lab, trust_first: true}
`

func TestApply(t *testing.T) {
	s := newShell(t, edp.RoleAdmin)
	t.Setenv("LAB_PASSWORD", apitest.Canary)
	file := s.file("fleet.yaml", fleetFile)
	steps := []struct {
		args []string
		want []string
	}{
		{[]string{"apply", "-f", file, "--dry-run"}, []string{"+ credential  lab", "+ device      mx-1", "site-paris-02: 3 changes (dry run, nothing was done"}},
		{[]string{"apply", "-f", file}, []string{"+ device      mx-2", "3 changes (configuration version 1; this collector is not enrolled yet"}},
		{[]string{"apply", "-f", file}, []string{"no changes (configuration version 1"}},
	}
	for _, step := range steps {
		out := s.ok(step.args...)
		for _, w := range step.want {
			if !strings.Contains(out, w) {
				t.Errorf("%v: no %q in\n%s", step.args, w, out)
			}
		}
		if strings.Contains(out, apitest.Canary) {
			t.Errorf("%v shows a secret", step.args)
		}
	}
	s.file("fleet.yaml", strings.Replace(strings.Replace(fleetFile, "192.0.2.10", "192.0.2.99", 1), "  - {id: mx-2, address: 192.0.2.11, credential: lab, trust_first: true}\n", "", 1))
	if out := s.ok("apply", "-f", file); !strings.Contains(out, "~ device  mx-1  address 192.0.2.10 → 192.0.2.99") || !strings.Contains(out, "- device  mx-2") {
		t.Errorf("a change:\n%s", out)
	}
}

func TestApplyErrors(t *testing.T) {
	s := newShell(t, edp.RoleAdmin)
	t.Setenv("LAB_PASSWORD", "x")
	wrong := s.file("wrong.yaml", strings.Replace(fleetFile, "credential: lab", "credential: lap", 1))
	for name, c := range map[string]struct {
		args []string
		want string
		code int
	}{
		"no file":         {[]string{"apply"}, "-f FILE", exitUsage},
		"missing file":    {[]string{"apply", "-f", "/nope.yaml"}, "reading the fleet file", exitFailed},
		"wrong file":      {[]string{"apply", "-f", wrong}, wrong + `:5:37: devices[0].credential: no credential "lap" is defined, did you mean "lab"?`, exitFailed},
		"other collector": {[]string{"apply", "-f", s.file("a.yaml", fleetFile), "--collector", "site-rome-03"}, "is for collector site-paris-02", exitUsage},
		"no collector":    {[]string{"apply", "-f", s.file("b.yaml", strings.Replace(fleetFile, "collector: site-paris-02\n", "", 1))}, "give --collector", exitUsage},
	} {
		t.Run(name, func(t *testing.T) {
			out, errs, code := s.run(c.args...)
			if code != c.code || !strings.Contains(errs, c.want) || out != "" {
				t.Errorf("exit code %d, want %d\n%s%s\nwant %s", code, c.code, out, errs, c.want)
			}
		})
	}
}

func TestEnrolToken(t *testing.T) {
	s := newShell(t, edp.RoleAdmin)
	if out := s.ok("enrol-token", "--collector", "site-paris-02", "--ttl", "2h"); !strings.HasPrefix(out, string(wire.EnrolToken)) || strings.Count(out, "\n") != 1 {
		t.Errorf("token: %q", out)
	}
	path := filepath.Join(s.dir, "token")
	out := s.ok("enrol-token", "--uses", "3", "--out", path)
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("%v, mode %v", err, st.Mode())
	}
	if strings.Contains(out, string(wire.EnrolToken)) || !strings.Contains(out, "written to "+path) {
		t.Errorf("with --out: %q", out)
	}
	if _, errs, code := s.run("enrol-token", "--collector", "X"); code != exitFailed || !strings.Contains(errs, "a collector id has") {
		t.Errorf("a bad id: %d %s", code, errs)
	}
}

func TestCollect(t *testing.T) {
	s := newShell(t, edp.RoleAdmin)
	s.cloud.Hub.OnJob = func(id string) {
		jobs, err := s.cloud.Store.OpenJobs(context.WithoutCancel(t.Context()), id)
		if err != nil {
			t.Error(err)
		}
		for _, j := range jobs {
			s.cloud.Work(j)
		}
	}
	out, errs, code := s.run("collect", "--wait")
	if code != exitDevices || !strings.Contains(errs, "1 of 3 devices failed") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	for _, want := range []string{"DEVICE  STATE", "edge-1  ok", "edge-3  auth", "The device refused the log-in", "complete, 4 of 6 documents stored, 2 could not be collected"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if out := s.ok("collect", "--collector", apitest.Collector, "--device", "edge-1", "--device", "edge-2", "--wait"); !strings.Contains(out, "complete, 4 of 4") {
		t.Errorf("two devices:\n%s", out)
	}
	if _, errs, code := s.run("collect", "--device", "nope"); code != exitFailed || !strings.Contains(errs, `no device "nope"`) {
		t.Errorf("an unknown device: %d %s", code, errs)
	}
	if _, errs, code := s.run("collect", "--collector", "site-nope-01"); code != exitFailed || !strings.Contains(errs, "see lwc-cloud collectors") {
		t.Errorf("an unknown collector: %d %s", code, errs)
	}
	s.cloud.Hub.OnJob = nil
	if out := s.ok("collect"); !strings.HasPrefix(out, "job ") {
		t.Errorf("without --wait: %s", out)
	}
}

// A run that its collector refuses ends the wait, with the reason.
func TestCollectRefused(t *testing.T) {
	s := newShell(t, edp.RoleAdmin)
	s.cloud.Hub.OnJob = func(id string) {
		ctx := context.WithoutCancel(t.Context())
		jobs, err := s.cloud.Store.OpenJobs(ctx, id)
		if err != nil || len(jobs) != 1 {
			t.Errorf("%v, %d jobs", err, len(jobs))
			return
		}
		if err := s.cloud.Store.SawJobStatus(ctx, wire.JobStatus{V: wire.Version, ID: jobs[0].ID, Collector: id, State: wire.JobRefused, Error: "it has no configuration"}); err != nil {
			t.Error(err)
		}
	}
	if _, errs, code := s.run("collect", "--wait"); code != exitFailed || !strings.Contains(errs, "it has no configuration") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

func TestListings(t *testing.T) {
	s := newShell(t, edp.RoleStandard)
	runs, err := s.cloud.Store.Runs(t.Context(), edp.RunFilter{})
	if err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string][]string{
		"collectors":                       {"COLLECTOR", "site-berlin-01  online", "open, separated"},
		"devices":                          {"edge-1  ok", "mx240", "23.4R1.9", "JN120000", "edge-3  failed", "check the credential lab"},
		"facts list":                       {"edge-2  show-version", "ok", wire.Digest([]byte(apitest.Reply))},
		"facts list --item show-version":   {"edge-1"},
		"facts list --device edge-1 --all": {"show-chassis-alarms"},
		"runs":                             {runs[0].ID, "demand", "complete", "4 of 6"},
		"run show " + runs[0].ID:           {"4 of 6 stored, 2 could not be collected", "manifest", "edge-3  auth"},
		"events":                           {"host-key-first-use", "edge-3"},
		"--help":                           {"enrol-token", "facts get DEVICE ITEM", "serve"},
		"collect --help":                   {"usage: lwc-cloud collect", "3 when it is complete and devices failed", "--wait"},
		"facts --help":                     {"facts list", "facts get DEVICE ITEM"},
		"run --help":                       {"run show ID"},
		"run help":                         {"run show ID"},
		"apply --help":                     {"  -f FILE\n", "  --collector ID\n", "usage: lwc-cloud apply [flags]\n"},
		"facts get --help":                 {"usage: lwc-cloud facts get [flags] DEVICE ITEM", "--run ID"},
	} {
		out := s.ok(strings.Fields(line)...)
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("%s: no %q in\n%s", line, w, out)
			}
		}
	}
}

func TestJSON(t *testing.T) {
	s := newShell(t, edp.RoleStandard)
	var devices []apitype.Device
	s.decode(&devices, "devices", "--json", "--collector", apitest.Collector)
	if len(devices) != 3 || devices[0].ID != "edge-1" || devices[0].Documents != 2 || devices[2].Kind != "auth" {
		t.Errorf("devices: %+v", devices)
	}
	var collectors []map[string]any
	s.decode(&collectors, "collectors", "--json")
	if c := collectors[0]; c["online"] != true || c["config_version"] != 1.0 || c["applied_version"] != 0.0 {
		t.Errorf("collectors: %+v", collectors)
	}
	var facts []apitype.Document
	s.decode(&facts, "facts", "list", "--json")
	if len(facts) != 4 {
		t.Errorf("facts: %+v", facts)
	}
	var none []apitype.Run
	if out := s.ok("runs", "--collector", "site-none-00", "--json"); json.Unmarshal([]byte(out), &none) != nil || strings.TrimSpace(out) != "[]" {
		t.Errorf("no runs: %q", out)
	}
}

func (s *shell) decode(v any, args ...string) {
	s.t.Helper()
	if err := json.Unmarshal([]byte(s.ok(args...)), v); err != nil {
		s.t.Fatal(err)
	}
}

func TestFactsGet(t *testing.T) {
	s := newShell(t, edp.RoleStandard)
	runs, err := s.cloud.Store.Runs(t.Context(), edp.RunFilter{})
	if err != nil {
		t.Fatal(err)
	}
	if out := s.ok("facts", "get", "edge-1", "show-version"); out != apitest.Reply {
		t.Errorf("the bytes differ: %q", out)
	}
	if out := s.ok("facts", "get", "edge-1", "show-version", "--run", runs[0].ID); out != apitest.Reply {
		t.Errorf("the bytes of a run differ: %q", out)
	}
	for line, want := range map[string]string{
		"facts get edge-1 show-verson":   `did you mean "show-version"?`,
		"facts get edge-3 show-version":  "no show-version of device edge-3 is stored",
		"facts get edge-1":               "usage: lwc-cloud facts get",
		"facts":                          "facts needs one of: list, get",
		"facts get --run":                "flag needs an argument",
		"facts lst":                      "facts needs one of: list, get",
		"devices --nope":                 "flag provided but not defined",
		"run show nope":                  "not found",
		"devices --api-token-file /nope": "reading the API token",
	} {
		if _, errs, code := s.run(strings.Fields(line)...); code == 0 || !strings.Contains(errs, want) {
			t.Errorf("%s: exit code %d, no %q in %s", line, code, want, errs)
		}
	}
}

func TestTokens(t *testing.T) {
	s := newShell(t, edp.RoleStandard)
	if _, errs, code := s.run("enrol-token"); code != exitFailed || !strings.Contains(errs, "needs the role admin") {
		t.Errorf("a standard token: %d %s", code, errs)
	}
	token := os.Getenv("LWC_API_TOKEN")
	for name, c := range map[string]struct{ token, want string }{
		"none":        {"", "no API token: set LWC_API_TOKEN"},
		"damaged":     {token[:len(token)-1] + "x", "checksum"},
		"other sort":  {s.enrolToken(), "this is an enrolment token"},
		"other cloud": {otherCloud(t, s.cloud), "not of the authority that the API token names"},
		"deleted":     {s.deleted(), "make a new one with lwc-cloud api-token"},
	} {
		t.Setenv("LWC_API_TOKEN", c.token)
		if _, errs, code := s.run("devices"); code == 0 || !strings.Contains(errs, c.want) {
			t.Errorf("%s: exit code %d, no %q in %s", name, code, c.want, errs)
		}
	}
	t.Setenv("LWC_API_TOKEN", "")
	if out := s.ok("devices", "--api-token-file", s.file("token", token+"\n")); !strings.Contains(out, "edge-1") {
		t.Errorf("with a token file:\n%s", out)
	}
}

func (s *shell) enrolToken() string {
	s.t.Helper()
	e, err := s.cloud.Issuer.EnrolToken(s.t.Context(), "ada", apitype.EnrolTokenRequest{})
	if err != nil {
		s.t.Fatal(err)
	}
	return e.Token
}

func (s *shell) deleted() string {
	s.t.Helper()
	a, err := s.cloud.Issuer.APIToken(s.t.Context(), apitype.APITokenRequest{Name: "gone", Role: "admin"})
	if err = errors.Join(err, s.cloud.Store.DeleteAPIToken(s.t.Context(), a.ID, "ada")); err != nil {
		s.t.Fatal(err)
	}
	return a.Token
}

// otherCloud is a token whose pin is of another authority than the server's.
func otherCloud(t *testing.T, c *apitest.Cloud) string {
	t.Helper()
	i := c.Issuer
	i.CAPin[0] ^= 1
	a, err := i.APIToken(t.Context(), apitype.APITokenRequest{Name: "other", Role: "admin"})
	if err != nil {
		t.Fatal(err)
	}
	return a.Token
}

func TestRevoke(t *testing.T) {
	s := newShell(t, edp.RoleAdmin)
	if out := s.ok("revoke", apitest.Collector); !strings.HasPrefix(out, "collector "+apitest.Collector+" is revoked") || !strings.Contains(out, "enrol-token --collector "+apitest.Collector) {
		t.Errorf("got %q", out)
	}
	if told := s.cloud.Hub.Told(); told[len(told)-1] != "revoked "+apitest.Collector {
		t.Errorf("the hub was told %v", told)
	}
	if _, errs, code := s.run("revoke", "site-none-001"); code != exitFailed || !strings.Contains(errs, "not found") {
		t.Errorf("an unknown one: exit code %d: %s", code, errs)
	}
	if _, errs, code := s.run("revoke"); code != exitUsage || !strings.Contains(errs, "COLLECTOR") {
		t.Errorf("none: exit code %d: %s", code, errs)
	}
}
