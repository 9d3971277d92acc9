package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"lwc/cloud/api/apitest"
	"lwc/cloud/edp"
	"lwc/cloud/ledger"
	"lwc/transport/wire"
)

func TestLedgerCommands(t *testing.T) {
	s := newShell(t, edp.RoleStandard)
	key := s.file("collector.pem", string(s.cloud.KeyPEM()))
	out := s.ok("ledger", "show")
	for _, want := range []string{"What left the site of collector site-berlin-01", "4 documents left the site", "Masking replaced 6 values by pseudonyms: 6 of user-names.", "1 device could not be collected"} {
		if !strings.Contains(out, want) {
			t.Errorf("show: no %q in\n%s", want, out)
		}
	}
	if out := s.ok("ledger", "verify", "--key", key); !strings.Contains(out, "1 of 1 manifest signed by the key that was given") || !strings.Contains(out, "Everything that was checked is in order.") {
		t.Errorf("verify:\n%s", out)
	}
	file := filepath.Join(s.dir, "ledger.tar.gz")
	s.ok("ledger", "export", "--bytes", "--out", file)
	t.Setenv("LWC_API_TOKEN", "") // from here on nothing but the file is there
	if out := s.ok("ledger", "verify", "--file", file, "--key", key); !strings.Contains(out, "every SHA-256 was computed here") {
		t.Errorf("verify offline:\n%s", out)
	}
	if out := s.ok("ledger", "show", "--file", file); !strings.Contains(out, "4 documents left the site") {
		t.Errorf("show offline:\n%s", out)
	}
	s.notInOrder(file, key)
}

// notInOrder checks what the command says when something is wrong.
func (s *shell) notInOrder(file, key string) {
	s.t.Helper()
	other := apitest.Start(s.t)
	for name, c := range map[string]struct {
		args []string
		want string
		code int
	}{
		"another key":    {[]string{"--file", file, "--key", s.file("other.pem", string(other.KeyPEM()))}, "its signature is not of the collector's key", exitLedger},
		"no key":         {[]string{"--file", file, "--key", s.file("empty.pem", "x")}, "neither a certificate nor a public key", exitFailed},
		"no file":        {[]string{"--file", "/nope"}, "opening the ledger", exitFailed},
		"another file":   {[]string{"--file", key}, "this is not an export of lwc-cloud ledger export", exitFailed},
		"file and run":   {[]string{"--file", file, "--run", wire.NewID()}, "what is in it was chosen with", exitUsage},
		"without either": {nil, "no API token", exitUsage},
	} {
		out, errs, code := s.run(append([]string{"ledger", "verify"}, c.args...)...)
		if code != c.code || !strings.Contains(out+errs, c.want) {
			s.t.Errorf("%s: exit code %d, want %d; no %q in\n%s%s", name, code, c.code, c.want, out, errs)
		}
	}
}

// A cloud that sends less than it was asked for is not believed: one run, or
// manifests alone, would verify.
func TestLedgerThatIsAnother(t *testing.T) {
	const at = apitest.Collector
	for _, h := range []ledger.Head{
		{Collector: "site-berlin-02", Documents: ledger.DocumentsHashes}, {Collector: at, Documents: ledger.DocumentsNone},
		{Collector: at, Documents: ledger.DocumentsHashes, Run: wire.NewID()},
	} {
		asked := ledgerFrom{collector: at}
		if err := asked.answered(h, ledger.DocumentsHashes); err == nil || !strings.Contains(err.Error(), "was asked for the ledger of "+at) {
			t.Errorf("%+v: %v", h, err)
		}
		if err := (&ledgerFrom{file: "x"}).answered(h, ledger.DocumentsHashes); err != nil {
			t.Errorf("a file is what it is: %v", err)
		}
	}
}

// An export that is cut off leaves no file behind.
func TestLedgerExportThatFails(t *testing.T) {
	s := newShell(t, edp.RoleStandard)
	file := filepath.Join(s.dir, "ledger.tar.gz")
	if _, errs, code := s.run("ledger", "export", "--run", wire.NewID(), "--out", file); code != exitFailed || !strings.Contains(errs, "not found") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	whole := filepath.Join(t.TempDir(), "whole")
	s.ok("ledger", "export", "--out", whole)
	b, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := saveAs(file, bytes.NewReader(b[:len(b)-4]), func(ledger.Head) error { return nil }); !errors.Is(err, ledger.ErrFormat) {
		t.Errorf("an export that was cut off: %v", err)
	}
	other := errors.New("of another collector")
	if _, err := saveAs(file, bytes.NewReader(b), func(ledger.Head) error { return other }); !errors.Is(err, other) {
		t.Errorf("an export that was not asked for: %v", err)
	}
	if left, err := os.ReadDir(s.dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestHeldCommands(t *testing.T) {
	s := newShell(t, edp.RoleAdmin)
	if out := s.ok("held", "approve", "--all"); !strings.Contains(out, "no document waits") {
		t.Errorf("nothing: %s", out)
	}
	ids := s.cloud.Hold("edge-1", "edge-2", "edge-3")
	if out := s.ok("held", "list"); strings.Count(out, "show-arp-no-resolve") != 3 || !strings.Contains(out, "waiting") {
		t.Errorf("list:\n%s", out)
	}
	if out := s.ok("held", "approve", ids[0]); !strings.Contains(out, "1 document is approved") {
		t.Errorf("approve: %s", out)
	}
	if out := s.ok("held", "decline", "--item", "show-arp-no-resolve", "--device", "edge-2"); !strings.Contains(out, "1 document is declined") ||
		!strings.Contains(out, ids[1]) || !strings.Contains(out, "edge-2") || strings.Contains(out, ids[2]) {
		t.Errorf("decline: %s", out)
	}
	if out := s.ok("held", "approve", "--all"); !strings.Contains(out, "1 document is approved") ||
		!strings.Contains(out, ids[2]) || !strings.Contains(out, "edge-3") || strings.Contains(out, ids[1]) {
		t.Errorf("the rest: %s", out)
	}
	for want, args := range map[string][]string{
		"which? give ids":  {"held", "approve"},
		"and not both":     {"held", "decline", "--all", ids[0]},
		"it was approved ": {"held", "decline", ids[0]},
	} {
		if _, errs, code := s.run(args...); code == 0 || !strings.Contains(errs, want) {
			t.Errorf("%v: exit code %d: %s", args, code, errs)
		}
	}
}

// A job of the box is followed to its end, in the words of the collector.
func TestMachineCommands(t *testing.T) {
	s := newShell(t, edp.RoleAdmin)
	answer := func(last wire.JobStatus) {
		s.cloud.Hub.OnJob = func(id string) {
			jobs, err := s.cloud.Store.OpenJobs(t.Context(), id)
			if err != nil || len(jobs) != 1 {
				t.Errorf("open jobs: %v, %v", jobs, err)
				return
			}
			last.V, last.ID, last.Collector = wire.Version, jobs[0].ID, id
			if err := s.cloud.Store.SawJobStatus(t.Context(), last); err != nil {
				t.Error(err)
			}
		}
	}
	answer(wire.JobStatus{State: wire.JobDone, Detail: "the certificate is good until 2027-02-20"})
	if out := s.ok("renew-cert", "--wait"); !strings.Contains(out, "done: the certificate is good until 2027-02-20") || !strings.Contains(out, "renew-cert is done") {
		t.Errorf("renew-cert:\n%s", out)
	}
	answer(wire.JobStatus{State: wire.JobRefused, Error: "this box has no updater: set [update] program in lwcd.toml"})
	if out, errs, code := s.run("update", "--release", "1.4.2", "--wait", apitest.Collector); code != exitFailed || !strings.Contains(out, ": release 1.4.2\n") || !strings.Contains(errs, "the collector refuses to update: this box has no updater") {
		t.Errorf("update: exit code %d: %s", code, errs)
	}
	s.cloud.Hub.OnJob = nil
	if out := s.ok("restart", apitest.Collector); !strings.HasPrefix(out, "job ") {
		t.Errorf("restart: %s", out)
	}
	if _, errs, code := s.run("update", "--source", "ftp://x"); code != exitFailed || !strings.Contains(errs, "give an https URL") {
		t.Errorf("a bad source: exit code %d: %s", code, errs)
	}
}

func TestHealthCommand(t *testing.T) {
	s := newShell(t, edp.RoleStandard)
	health := wire.Health{V: wire.Version, Collector: apitest.Collector, Boot: apitest.Boot, QueueBytes: 1 << 20, Budget: 64 << 20,
		Checks:   []wire.Check{{Name: "clock", OK: true, Detail: "within 1 s of the cloud"}},
		Counters: map[string]int64{"documents_lost": 3, "memory_waits": 12}}
	if err := s.cloud.Store.SawHealth(t.Context(), health); err != nil {
		t.Fatal(err)
	}
	if out := s.ok("health"); !strings.Contains(out, "1.0 MiB of 64 MiB") || !strings.Contains(out, "clock  ok      within 1 s of the cloud") ||
		!regexp.MustCompile(`\n3 +documents lost for want of memory\n`).MatchString(out) || !regexp.MustCompile(`\n12 +times that a device waited`).MatchString(out) {
		t.Errorf("health:\n%s", out)
	}
	health.Checks = append(health.Checks, wire.Check{Name: "swap", Detail: "swap is on: switch it off"})
	if err := s.cloud.Store.SawHealth(t.Context(), health); err != nil {
		t.Fatal(err)
	}
	if out, _, code := s.run("health", apitest.Collector); code != exitDevices || !strings.Contains(out, "The check of swap fails: swap is on: switch it off.") {
		t.Errorf("a check that fails: exit code %d\n%s", code, out)
	}
}

func TestCollectAGroup(t *testing.T) {
	s := newShell(t, edp.RoleAdmin)
	s.ok("collect", "--group", "core")
	jobs, err := s.cloud.Store.OpenJobs(t.Context(), apitest.Collector)
	if err != nil || len(jobs) != 1 || strings.Join(jobs[0].Devices, " ") != "edge-1 edge-2" {
		t.Errorf("%+v, %v", jobs, err)
	}
}
