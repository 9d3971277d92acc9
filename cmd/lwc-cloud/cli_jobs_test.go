package main

import (
	"strings"
	"testing"

	"lwc/cloud/api/apitest"
	"lwc/cloud/edp"
	"lwc/transport/wire"
)

// A reset that waits is seen, called off and asked for again; what a box has taken is not
// called back, and what was sent is told as that.
func TestJobCommands(t *testing.T) {
	s := newShell(t, edp.RoleAdmin)
	job := func(out string) string { return strings.Fields(out)[1] }
	id := job(s.ok("factory-reset", apitest.Collector, "--yes"))
	if _, errs, code := s.run("factory-reset", apitest.Collector, "--yes"); code != exitFailed || !strings.Contains(errs, "lwc-cloud job call-off "+id) {
		t.Errorf("a second reset: %d %s", code, errs)
	}
	contains(t, "jobs", s.ok("jobs", "--collector", apitest.Collector), "JOB ", id, "factory-reset", "waits", "test-admin")
	contains(t, "show", s.ok("job", "show", id), "what         factory-reset", "where it is  waits", "by test-admin")
	contains(t, "call-off", s.ok("job", "call-off", id), "job "+id+", factory-reset of "+apitest.Collector+": it was called off by test-admin")
	if out := s.ok("jobs"); strings.Contains(out, id) {
		t.Errorf("it waits still:\n%s", out)
	}
	contains(t, "all", s.ok("jobs", "--all"), id, "called-off")
	id = job(s.ok("restart", apitest.Collector))
	if _, err := s.cloud.Store.SendingJob(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	contains(t, "sent", s.ok("jobs"), "sent, no answer yet")
	contains(t, "call off what was sent", s.ok("job", "call-off", id), "but it had been sent at ", "the collector may have it")
	id = job(s.ok("renew-cert", apitest.Collector))
	if err := s.cloud.Store.SawJobStatus(t.Context(), wire.JobStatus{ID: id, Collector: apitest.Collector, State: wire.JobRunning}); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := s.run("job", "call-off", id); code != exitFailed || !strings.Contains(errs, "too late: the collector has taken the renew-cert, it is running") {
		t.Errorf("what was taken: %d %s", code, errs)
	}
}

// Who waits for a job that another calls off is told so.
func TestWaitingForWhatIsCalledOff(t *testing.T) {
	s := newShell(t, edp.RoleAdmin)
	s.cloud.Hub.OnJob = func(collector string) {
		jobs, err := s.cloud.Store.OpenJobs(t.Context(), collector)
		if err == nil {
			_, err = s.cloud.Store.CallOffJob(t.Context(), jobs[len(jobs)-1].ID, "bob")
		}
		if err != nil {
			t.Error(err)
		}
	}
	for _, args := range [][]string{{"restart", apitest.Collector, "--wait"}, {"probe", "edge-1", "--wait"}, {"collect", "--wait"}} {
		if out, errs, code := s.run(append(args, "--timeout", "20s")...); code != exitFailed || !strings.Contains(out+errs, "it was called off by bob") {
			t.Errorf("%v: %d\n%s%s", args, code, out, errs)
		}
	}
}

// What a job said last before it failed is not said again as if it held.
func TestWaitingForWhatFails(t *testing.T) {
	s := newShell(t, edp.RoleAdmin)
	s.cloud.Hub.OnJob = func(collector string) {
		jobs, err := s.cloud.Store.OpenJobs(t.Context(), collector)
		if err == nil {
			err = s.cloud.Store.SawJobStatus(t.Context(), wire.JobStatus{V: wire.Version, ID: jobs[len(jobs)-1].ID, Collector: collector,
				State: wire.JobFailed, Detail: "the machine restarts now", Error: "rolled back to 1.1.0"})
		}
		if err != nil {
			t.Error(err)
		}
	}
	out, errs, code := s.run("restart", apitest.Collector, "--wait", "--timeout", "20s")
	if code != exitFailed || strings.Contains(out, "restarts now") || !strings.Contains(errs, "restart failed: rolled back to 1.1.0") {
		t.Errorf("%d\n%s%s", code, out, errs)
	}
}
