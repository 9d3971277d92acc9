package main

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"

	"lwc/cloud/api/apitest"
	"lwc/cloud/api/apitype"
	"lwc/cloud/edp"
	"lwc/transport/wire"
)

// lines hands what is written to a function, line by line.
type lines struct {
	mu sync.Mutex // guards text
	on func(line string)

	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(b)
	if l.on != nil {
		l.on(string(b))
	}
	return len(b), nil
}

// offline makes the collector of the shell say good-bye.
func (s *shell) offline() {
	s.t.Helper()
	if err := s.cloud.Store.AllOffline(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shell) openJob() edp.Job {
	jobs, err := s.cloud.Store.OpenJobs(context.WithoutCancel(s.t.Context()), apitest.Collector)
	if err != nil || len(jobs) == 0 {
		s.t.Errorf("%v, %d jobs", err, len(jobs))
		return edp.Job{}
	}
	return jobs[0]
}

func TestCollectWaitsForTheCollector(t *testing.T) {
	s := newShell(t, edp.RoleAdmin)
	s.offline()
	var out bytes.Buffer
	errs := &lines{}
	errs.on = func(line string) {
		switch { // it comes when it is waited for, and works when that was said
		case strings.Contains(line, "waiting for it until"):
			j := s.openJob()
			_ = s.cloud.Store.SawJobStatus(context.WithoutCancel(t.Context()), wire.JobStatus{V: wire.Version, ID: j.ID, Collector: j.Collector, State: wire.JobAccepted, Total: 3})
		case strings.Contains(line, "came and took the job"):
			s.cloud.Work(s.openJob())
		}
	}
	err := run(t.Context(), []string{"collect", "--wait"}, nil, &out, errs)
	if code := exitCode(err, errs); code != exitDevices || strings.Count(errs.text.String(), "came and took") != 1 {
		t.Errorf("exit code %d: %s%s", code, errs.text.String(), out.String())
	}
}

func TestCollectInterrupted(t *testing.T) {
	s := newShell(t, edp.RoleAdmin)
	s.offline()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out := &lines{on: func(line string) {
		if strings.HasPrefix(line, "DEVICE") {
			stop()
		}
	}}
	err := run(ctx, []string{"collect", "--wait"}, nil, out, &lines{})
	if err == nil || err.Error() != "interrupted; job "+s.openJob().ID+" goes on" {
		t.Errorf("interrupted: %v", err)
	}
}

// What waits is waited for as long as was asked for, and no longer.
func TestTimeout(t *testing.T) {
	s := newShell(t, edp.RoleAdmin)
	s.offline()
	for _, args := range [][]string{{"collect"}, {"probe"}, {"restart"}, {"renew-cert"}} {
		_, errs, code := s.run(append(args, "--wait", "--timeout", "300ms")...)
		if code != exitFailed || !strings.Contains(errs, "the time of --timeout is over; job ") || !strings.Contains(errs, " goes on") {
			t.Errorf("%v: exit code %d: %s", args, code, errs)
		}
		for _, bad := range [][]string{{"--timeout", "1m"}, {"--wait", "--timeout", "-1s"}} {
			if _, errs, code := s.run(append(args, bad...)...); code != exitUsage || !strings.Contains(errs, "--wait --timeout 30m") {
				t.Errorf("%v %v: exit code %d: %s", args, bad, code, errs)
			}
		}
	}
}

// Whoever waits for a run that waits for people is told so, once.
func TestCollectTellsOfApprovals(t *testing.T) {
	s := newShell(t, edp.RoleAdmin)
	ids := s.cloud.Hold("edge-1", "edge-2")
	held, err := s.cloud.Store.Held(t.Context(), apitest.Collector)
	if err != nil || len(held) != len(ids) {
		t.Fatal(held, err)
	}
	var errs bytes.Buffer
	c, err := connect("")
	if err != nil {
		t.Fatal(err)
	}
	run := apitype.Run{ID: held[0].Run, Collector: apitest.Collector, State: "running", Devices: []apitype.DeviceResult{{}}}
	p := &progress{call: &call{stderr: &errs, Client: c}, shown: map[string]bool{}}
	p.approvals(t.Context(), run) // its device is not done
	p.shown[""] = true
	p.approvals(t.Context(), run)
	p.approvals(t.Context(), run)
	run.ID = "another"
	p.approvals(t.Context(), run)
	if got := errs.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "wait for an approval: 2; see lwc-cloud held list") || !strings.Contains(got, "--run "+held[0].Run) {
		t.Errorf("%q", got)
	}
}

func TestCollectWithoutCollector(t *testing.T) {
	c := apitest.Start(t)
	t.Setenv("LWC_API_TOKEN", c.Token(edp.RoleAdmin))
	s := &shell{t, c, t.TempDir()}
	if _, errs, code := s.run("collect"); code != exitFailed || !strings.Contains(errs, "no collector is enrolled: make a token with lwc-cloud enrol-token") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}
