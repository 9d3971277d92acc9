package main

import (
	"encoding/json"
	"strings"
	"testing"

	"lwc/cloud/api/apitest"
	"lwc/cloud/api/apitype"
	"lwc/cloud/edp"
)

// A probe is watched to its end, and its exit code tells how it ended.
func TestProbe(t *testing.T) {
	s := newShell(t, edp.RoleAdmin)
	s.cloud.Hub.OnJob = func(collector string) {
		open, err := s.cloud.Store.OpenJobs(t.Context(), collector)
		if err != nil || len(open) != 1 {
			t.Errorf("%d open jobs, %v", len(open), err)
			return
		}
		s.cloud.Probe(open[0])
	}
	out, errs, code := s.run("probe", "--wait", "edge-2", "edge-3")
	if code != exitDevices || !strings.Contains(errs, "1 of 2 devices cannot be collected") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	for _, want := range []string{"edge-2: can be collected", "edge-3: fails at auth", "check the credential lab", "over-privileged", "lwc-cloud login-class --profile", "ms"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if out, errs, code := s.run("probe", "--collector", apitest.Collector, "--wait", "edge-1"); code != exitExcess || !strings.Contains(errs, "can do more than is needed") {
		t.Errorf("an account that can do too much: exit code %d\n%s%s", code, out, errs)
	}
	out, _, code = s.run("probe", "edge-1", "--wait", "--json")
	var probes []apitype.Probe
	if err := json.Unmarshal([]byte(out), &probes); err != nil || len(probes) != 1 || probes[0].Device != "edge-1" || code != exitExcess {
		t.Errorf("JSON: %v, exit code %d\n%s", err, code, out)
	}
}

func TestProbeErrors(t *testing.T) {
	s := newShell(t, edp.RoleAdmin)
	if out := s.ok("probe", "edge-1"); !strings.HasPrefix(out, "job ") {
		t.Errorf("without waiting: %s", out)
	}
	for name, c := range map[string]struct {
		args []string
		want string
		code int
	}{
		"unknown device":    {[]string{"probe", "nope", "--wait"}, `no device "nope"`, exitFailed},
		"unknown collector": {[]string{"probe", "--collector", "nobody-0001"}, "is known", exitFailed},
		"JSON of nothing":   {[]string{"probe", "--json", "edge-1"}, "needs --wait", exitUsage},
	} {
		if _, errs, code := s.run(c.args...); code != c.code || !strings.Contains(errs, c.want) {
			t.Errorf("%s: exit code %d, %s", name, code, errs)
		}
	}
}

func TestProbeCode(t *testing.T) {
	good, bad, much := apitype.Probe{}, apitype.Probe{}, apitype.Probe{}
	good.OK, much.OK, much.Excess = true, true, []string{"configure"}
	for name, c := range map[string]struct {
		job  apitype.Job
		code int
	}{
		"all good":      {apitype.Job{State: "done", Total: 1, Probes: []apitype.Probe{good}}, 0},
		"one fails":     {apitype.Job{State: "done", Total: 3, Probes: []apitype.Probe{good, bad, much}}, exitDevices},
		"too much":      {apitype.Job{State: "done", Total: 2, Probes: []apitype.Probe{good, much}}, exitExcess},
		"one is not in": {apitype.Job{State: "done", Total: 2, Probes: []apitype.Probe{good}}, exitFailed},
		"refused":       {apitype.Job{State: "refused", Error: "no"}, exitFailed},
	} {
		err := probeCode(c.job)
		if c.code == 0 && err != nil {
			t.Errorf("%s: %v", name, err)
		} else if coded, ok := err.(*exitError); c.code != 0 && (!ok || coded.code != c.code) {
			t.Errorf("%s: %v, want code %d", name, err, c.code)
		}
	}
}

// What is compiled in needs no cloud and no token.
func TestCatalogueAndLoginClass(t *testing.T) {
	t.Setenv("LWC_API_TOKEN", "")
	s := &shell{t: t, dir: t.TempDir()}
	out := s.ok("catalogue")
	for _, want := range []string{"show-version", "show-cli-authorization", "profile daily: 27 items", "profile minimal: 9 items", "profile security", "profile optics", "profile full"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if out := s.ok("catalogue", "--profile", "minimal"); strings.Count(out, "\nshow-") != 9 {
		t.Errorf("the minimal profile:\n%s", out)
	}
	var items []catalogueItem
	if err := json.Unmarshal([]byte(s.ok("catalogue", "--profile", "minimal", "--json")), &items); err != nil || len(items) != 9 || items[0].Command == "" || len(items[0].Profiles) == 0 || items[0].Size == "" {
		t.Errorf("the minimal profile as JSON: %v, %+v", err, items)
	}
	out = s.ok("login-class", "--profile", "minimal", "--name", "watch")
	if !strings.Contains(out, "set system login class watch permissions view") || !strings.Contains(out, "allow-commands") {
		t.Errorf("the class:\n%s", out)
	}
	if one := s.ok("login-class", "--item", "show-version"); len(one) >= len(out) || !strings.Contains(one, "class lwc ") {
		t.Errorf("the class of one item:\n%s", one)
	}
	for name, args := range map[string][]string{
		"dayly": {"login-class", "--profile", "dayly"}, "show-versoin": {"login-class", "--item", "show-versoin"}} {
		if _, errs, code := s.run(args...); code != exitUsage || !strings.Contains(errs, name) || !strings.Contains(errs, "did you mean") {
			t.Errorf("%v: exit code %d, %s", args, code, errs)
		}
	}
}

func TestMaskingRotate(t *testing.T) {
	s := newShell(t, edp.RoleAdmin)
	if out := s.ok("masking", "rotate", apitest.Collector); !strings.Contains(out, "~ masking") || !strings.Contains(out, "a new key") {
		t.Errorf("rotating:\n%s", out)
	}
	out := s.ok("facts", "get", "--info", "edge-1", "show-chassis-alarms")
	var d apitype.Document
	if err := json.Unmarshal([]byte(out), &d); err != nil || d.RawSHA256 != apitest.RawSHA256 || d.Masked["user-names"] != 3 {
		t.Errorf("%v\n%s", err, out)
	}
}
