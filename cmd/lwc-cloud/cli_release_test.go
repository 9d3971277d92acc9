package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"lwc/cloud/api/apitest"
	"lwc/cloud/edp"
	"lwc/cloud/pki"
	"lwc/cloud/shelf/shelftest"
	"lwc/image/release"
)

func contains(t *testing.T, what, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("%s: no %q in\n%s", what, w, text)
		}
	}
}

func TestReleaseCommands(t *testing.T) {
	s := newShell(t, edp.RoleAdmin)
	s.cloud.Box(apitest.Collector, "1.0.0")
	shelftest.Trust(t, s.cloud.ReleaseKeys, shelftest.Key(1))
	file := s.file("lwc_1.1.0.release.tar", string(shelftest.Bundle(t, "1.1.0", shelftest.Key(1), func(m *release.Manifest) { m.Security, m.Notes = true, "It closes a hole." })))
	contains(t, "add", s.ok("release", "add", file), "release 1.1.0 is published (293 KiB for each box)")
	contains(t, "list", s.ok("release", "list"), "RELEASE", "1.1.0", "published", "yes")
	contains(t, "list --json", s.ok("release", "list", "--json"), `"version": "1.1.0"`)
	contains(t, "show", s.ok("release", "show", "1.1.0"), "lwc_1.1.0.efi", "0 run it", "It closes a hole.")
	contains(t, "updates", s.ok("updates"), "default: daily at 02:00 UTC", apitest.Collector, "1.0.0", "1.1.0 ")
	health, _, _ := s.run("health", apitest.Collector)
	contains(t, "health", health, "in the TPM", "only signed systems start", "as built", "Example Works Box 2")
	contains(t, "update-policy", s.ok("update-policy", "--mode", "approval"), "default: after an approval")
	contains(t, "update-policy of one", s.ok("update-policy", apitest.Collector, "--mode", "window", "--start", "22:00", "--day", "sat", "--defer-days", "2"),
		apitest.Collector+": on sat at 22:00 UTC within 3h, 2 days after")
	contains(t, "updates then", s.ok("updates"), "on sat at 22:00", "after an approval")
	contains(t, "approve", s.ok("release", "approve", "1.1.0", apitest.Collector), "approved for: "+apitest.Collector)
	if _, errs, code := s.run("release", "approve", "1.1.0", "--undo"); code != exitFailed || !strings.Contains(errs, "approved for some boxes, not for all") {
		t.Errorf("undo what is not: %d %s", code, errs)
	}
	contains(t, "undo", s.ok("release", "approve", "1.1.0", apitest.Collector, "--undo"), "approved for: none")
	contains(t, "update-policy --default", s.ok("update-policy", apitest.Collector, "--default"), apitest.Collector+": the cloud's default")
	contains(t, "update", s.ok("update", apitest.Collector, "--at", time.Now().Add(time.Hour).UTC().Format(time.RFC3339)), "job ", ": release 1.1.0\n")
	contains(t, "withdraw", s.ok("release", "withdraw", "1.1.0", "--why", "it is slow"), "release 1.1.0 is withdrawn; 0 boxes run it")
	contains(t, "show then", s.ok("release", "show", "1.1.0"), "withdrawn", "it is slow")
	contains(t, "factory-reset", s.ok("factory-reset", apitest.Collector, "--yes"), "job ")
}

// A release that is held back is passed over, and goes on when somebody says so.
func TestResumeCommand(t *testing.T) {
	s := newShell(t, edp.RoleAdmin)
	s.cloud.Box(apitest.Collector, "1.0.0")
	s.cloud.Publish("1.1.0", nil)
	s.cloud.Publish("1.2.0", nil)
	s.cloud.FailUpdates("1.2.0")
	contains(t, "list", s.ok("release", "list"), "held back")
	contains(t, "show", s.ok("release", "show", "1.2.0"), "held back  it failed on 3 boxes", "0 run it, 0 are at it, it failed on 3")
	contains(t, "update", s.ok("update", apitest.Collector), ": release 1.1.0\n1.1.0 was chosen: 1.2.0 is held back, it failed on 3 boxes")
	_, errs, code := s.run("release", "resume", "1.2.0", "--why", "their disks were full")
	hold := regexp.MustCompile(`resume 1.2.0 --hold ([0-9a-f]{8}) `).FindStringSubmatch(errs)
	if code != exitUsage || hold == nil || !strings.Contains(errs, "it failed on 3 boxes") {
		t.Fatalf("without a hold: %d %s", code, errs)
	}
	contains(t, "show", s.ok("release", "show", "1.2.0"), "(hold "+hold[1]+")", "iB,") // as the portal has it
	_, errs, code = s.run("release", "resume", "1.2.0", "--hold", "0badcafe", "--why", "their disks were full")
	if code != exitFailed || !strings.Contains(errs, "has changed: it failed on 3 boxes (hold "+hold[1]+")") {
		t.Errorf("another hold: %d %s", code, errs)
	}
	contains(t, "resume", s.ok("release", "resume", "1.2.0", "--hold", hold[1], "--why", "their disks were full"), "release 1.2.0 goes on: 0 run it, 0 are at it, it failed on 3")
	contains(t, "show then", s.ok("release", "show", "1.2.0"), "state      published", "resumed", "their disks were full")
	contains(t, "events", s.ok("events"), "all ", "release-resumed", "release 1.2.0 was held back (it failed on 3 boxes), and ")
	for _, args := range [][]string{{"--hold", hold[1], "--why", "again"}, {"--why", "again"}} {
		if _, errs, code := s.run(append([]string{"release", "resume", "1.2.0"}, args...)...); code != exitFailed || !strings.Contains(errs, "is not held back") {
			t.Errorf("once more: %d %s", code, errs)
		}
	}
}

// A policy is shown where nothing is to change, and never changed silently.
func TestShowingAPolicy(t *testing.T) {
	s := newShell(t, edp.RoleAdmin)
	contains(t, "of one", s.ok("update-policy", apitest.Collector), apitest.Collector+": daily at 02:00 UTC within 3h, 7 days", "(the default: it has none of its own)")
	contains(t, "change", s.ok("update-policy", apitest.Collector, "--mode", "approval"), apitest.Collector+": after an approval")
	contains(t, "its own", s.ok("update-policy", apitest.Collector), apitest.Collector+": after an approval\n")
	contains(t, "json", s.ok("update-policy", apitest.Collector, "--json"), `"mode": "approval"`)
	contains(t, "default", s.ok("update-policy"), "default: daily at 02:00 UTC")
	if _, errs, code := s.run("update-policy", apitest.Collector, "--defer-days", "0"); code != exitUsage || !strings.Contains(errs, "give --mode") {
		t.Errorf("a flag that says nothing: %d %s", code, errs)
	}
	contains(t, "still", s.ok("update-policy", apitest.Collector), "after an approval\n")
}

// What a withdrawal takes along is said.
func TestWithdrawnWithItsApprovals(t *testing.T) {
	s := newShell(t, edp.RoleAdmin)
	s.cloud.Box(apitest.Collector, "1.0.0")
	s.cloud.Publish("1.1.0", nil)
	s.ok("release", "approve", "1.1.0", apitest.Collector)
	contains(t, "withdraw", s.ok("release", "withdraw", "1.1.0", "--why", "bad"), "its approvals are forgotten ("+apitest.Collector+"): approve it anew")
	contains(t, "events", s.ok("events"), "bad; forgotten are its approvals for "+apitest.Collector)
}

func TestReleaseCommandErrors(t *testing.T) {
	s := newShell(t, edp.RoleAdmin)
	s.cloud.Box(apitest.Collector, "1.0.0")
	shelftest.Trust(t, s.cloud.ReleaseKeys, shelftest.Key(1))
	bad := s.file("bad.tar", string(shelftest.Bundle(t, "1.1.0", shelftest.Key(3), nil)))
	for want, c := range map[string]struct {
		args []string
		code int
	}{
		"not signed by a key":     {[]string{"release", "add", bad}, exitFailed},
		"opening the bundle":      {[]string{"release", "add", "/nope.tar"}, exitFailed},
		"is not a file":           {[]string{"release", "add", s.dir}, exitUsage},
		"say why":                 {[]string{"release", "withdraw", "1.1.0"}, exitUsage},
		"an argument is empty":    {[]string{"release", "approve", "1.1.0", ""}, exitUsage},
		"factory-reset: an arg":   {[]string{"factory-reset", "", "--yes"}, exitUsage},
		"--collector is empty":    {[]string{"enrol-token", "--collector", ""}, exitUsage},
		"-device: it is empty":    {[]string{"collect", "--device", ""}, exitUsage},
		"resume: say why":         {[]string{"release", "resume", "1.1.0", "--hold", "0badcafe"}, exitUsage},
		"not found":               {[]string{"release", "show", "1.1.0"}, exitFailed},
		"needs one of: add, list": {[]string{"release"}, exitUsage},
		"give --mode":             {[]string{"update-policy", "--default", "--mode", "approval"}, exitUsage},
		"the window is missing":   {[]string{"update-policy", "--mode", "window"}, exitUsage},
		"no release is published": {[]string{"update", apitest.Collector}, exitFailed},
		"must be a time as 2026":  {[]string{"update", apitest.Collector, "--at", "tonight"}, exitUsage},
		"say --yes":               {[]string{"factory-reset", apitest.Collector}, exitUsage},
		"[flags] COLLECTOR":       {[]string{"factory-reset", "--yes"}, exitUsage},
		"site-berln-1":            {[]string{"update-policy", "site-berln-1", "--mode", "approval"}, exitFailed},
		"VERSION [COLLECTOR":      {[]string{"release", "approve"}, exitUsage},
	} {
		_, errs, code := s.run(c.args...)
		if code != c.code || !strings.Contains(errs, want) || strings.Contains(errs, ": conflict") {
			t.Errorf("%v: %d, %s", c.args, code, errs)
		}
	}
}

// A real cloud: its keys, a release, a box that loads it with its certificate, and
// one that is revoked.
func TestAReleaseOfARealCloud(t *testing.T) {
	dir := t.TempDir()
	p := startServe(t, dir)
	keys := filepath.Join(t.TempDir(), "keys.pem")
	shelftest.Trust(t, keys, shelftest.Key(1))
	if out, errs, code := command(t, "release-keys", "--data", dir); code != 0 || !strings.HasPrefix(out, "none") {
		t.Errorf("before there is one: %d %s%s", code, out, errs)
	}
	if out, errs, code := command(t, "release-keys", "--data", dir, "--add", keys); code != 0 || len(strings.TrimSpace(out)) != 16 {
		t.Fatalf("%d %s%s", code, out, errs)
	}
	token, _, _ := command(t, "api-token", "--data", dir, "--name", "ci", "--role", "admin")
	t.Setenv("LWC_API_TOKEN", strings.TrimSpace(token))
	bundle := filepath.Join(t.TempDir(), "lwc_1.1.0.release.tar")
	if err := os.WriteFile(bundle, shelftest.Bundle(t, "1.1.0", shelftest.Key(1), nil), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, errs, code := command(t, "release", "add", bundle); code != 0 {
		t.Fatalf("%s%s", out, errs)
	}
	box := enrolBox(t, dir, "site-berlin-1")
	if got, body := fetch(t, box, p.ready.URL+"/releases/1.1.0/manifest.json"); got != http.StatusOK || !strings.Contains(body, "payload") {
		t.Errorf("%d %s", got, body)
	}
	if out, _, _ := command(t, "updates"); !strings.Contains(out, "not known yet: it has never connected") || strings.Contains(out, "no appliance") {
		t.Errorf("of a collector that has never connected: %s", out)
	}
	if got, _ := fetch(t, p.browser(), p.ready.URL+"/releases/1.1.0/manifest.json"); got != http.StatusForbidden {
		t.Errorf("without a certificate: %d", got)
	}
	if got, _ := fetch(t, p.browser(), p.ready.URL+"/releases/1.1.0"); got != http.StatusSeeOther {
		t.Errorf("the portal's page of the release: %d", got)
	}
	for _, page := range []string{"withdraw", "resume"} { // and not the files of a release, as boxes load them
		if got, _ := fetch(t, p.browser(), p.ready.URL+"/updates/1.1.0/"+page); got != http.StatusSeeOther {
			t.Errorf("the portal's page to %s the release: %d", page, got)
		}
	}
	if _, errs, code := command(t, "revoke", "site-berlin-1"); code != 0 {
		t.Fatal(errs)
	}
	if got, _ := fetch(t, box, p.ready.URL+"/releases/1.1.0/manifest.json"); got != http.StatusForbidden {
		t.Errorf("revoked: %d", got)
	}
	if code := p.terminate(); code != 0 {
		t.Errorf("it ends with %d", code)
	}
}

// enrolBox enters a collector into the registry of a data folder, past all tokens.
func enrolBox(t *testing.T, dir, id string) *http.Client {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: boxTLS(t, dir, id)}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
}

func boxTLS(t *testing.T, dir, id string) *tls.Config {
	t.Helper()
	d := must(openData(t.Context(), dir, false))
	defer d.Close()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	c := must(d.pki.IssueCollector(id, key.Public()))
	if err := d.store.Enrolled(t.Context(), edp.Enrolment{Collector: id, SPKI: pki.SPKI(c.RawSubjectPublicKeyInfo), NotAfter: c.NotAfter}); err != nil {
		t.Fatal(err)
	}
	return &tls.Config{RootCAs: d.pki.CAPool(), Certificates: []tls.Certificate{{Certificate: [][]byte{c.Raw}, PrivateKey: key, Leaf: c}}}
}

func fetch(t *testing.T, c *http.Client, url string) (int, string) {
	t.Helper()
	resp := must(c.Get(url))
	defer resp.Body.Close()
	return resp.StatusCode, string(must(io.ReadAll(resp.Body)))
}
