package edp_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"lwc/cloud/edp"
	"lwc/transport/wire"
)

// says fails unless the newest event of a collector is of that kind and has these words.
func says(t *testing.T, s *edp.Store, collector, kind string, words ...string) {
	t.Helper()
	list := must[[]wire.Event](t)(s.Events(t.Context(), collector, 1))
	if len(list) == 0 || list[0].Kind != kind || list[0].Collector != collector {
		t.Fatalf("the newest event of %q: %+v, want %s", collector, list, kind)
	}
	for _, w := range words {
		if !strings.Contains(list[0].Text, w) {
			t.Errorf("%s: %q lacks %q", kind, list[0].Text, w)
		}
	}
}

// refused fails unless err is ErrConflict in these words.
func refused(t *testing.T, err error, words string) {
	t.Helper()
	if !errors.Is(err, edp.ErrConflict) || !strings.Contains(err.Error(), words) {
		t.Errorf("%v, want %q", err, words)
	}
}

// A job that was never sent is called off for good: nobody but the cloud knows of it.
func TestCallOffWhatWaits(t *testing.T) {
	s, j := collecting(t, "edge-1")
	ctx := t.Context()
	if list := must[[]edp.Job](t)(s.Jobs(ctx, edp.JobFilter{Collector: site})); len(list) != 1 || list[0].ID != j.ID || !list[0].Sent.IsZero() {
		t.Errorf("what waits: %+v", list)
	}
	got := must[edp.Job](t)(s.CallOffJob(ctx, j.ID, "ada"))
	if got.State != edp.JobCalledOff || got.Error != "it was called off by ada" || got.Finished.IsZero() {
		t.Errorf("%+v", got)
	}
	says(t, s, site, edp.EventJobCalledOff, "collect (job "+j.ID, "it was called off by ada")
	if r := run(t, s, j.Run); r.State != edp.RunInterrupted || r.Reason == "" {
		t.Errorf("its run: %+v", r)
	}
	if due := must[bool](t)(s.SendingJob(ctx, j.ID)); due || len(must[[]edp.Job](t)(s.OpenJobs(ctx, site))) > 0 {
		t.Error("it is sent all the same")
	}
	ok(t, s.SawJobStatus(ctx, wire.JobStatus{ID: j.ID, Collector: site, State: wire.JobAccepted}))
	if got = must[edp.Job](t)(s.Job(ctx, j.ID)); got.State != edp.JobCalledOff {
		t.Errorf("a collector that it was never sent to says that it is %s", got.State)
	}
	if list := must[[]edp.Job](t)(s.Jobs(ctx, edp.JobFilter{Collector: site})); len(list) != 0 {
		t.Errorf("what waits then: %+v", list)
	}
	if list := must[[]edp.Job](t)(s.Jobs(ctx, edp.JobFilter{Over: true})); len(list) != 1 {
		t.Errorf("all: %+v", list)
	}
	_, err := s.CallOffJob(ctx, j.ID, "bob")
	refused(t, err, "it was called off by ada")
	if _, err := s.CallOffJob(ctx, "no-such-job", "bob"); !errors.Is(err, edp.ErrNotFound) {
		t.Errorf("a job that there is none of: %v", err)
	}
}

// One that was sent may be carried out all the same, and is told so; what the collector
// says of it counts, and is told too.
func TestCallOffWhatWasSent(t *testing.T) {
	s, j := collecting(t, "edge-1")
	ctx := t.Context()
	if !must[bool](t)(s.SendingJob(ctx, j.ID)) {
		t.Fatal("it is not sent")
	}
	got := must[edp.Job](t)(s.CallOffJob(ctx, j.ID, "ada"))
	if !strings.Contains(got.Error, "called off by ada, but it had been sent at ") || !strings.Contains(got.Error, "may have it") {
		t.Errorf("%q", got.Error)
	}
	if must[bool](t)(s.SendingJob(ctx, j.ID)) {
		t.Error("it is sent again")
	}
	ok(t, s.SawJobStatus(ctx, wire.JobStatus{ID: j.ID, Collector: site, State: wire.JobRunning}))
	if got = must[edp.Job](t)(s.Job(ctx, j.ID)); got.State != wire.JobRunning || got.Error != "" || !got.Finished.IsZero() {
		t.Errorf("%+v", got)
	}
	if r := run(t, s, j.Run); r.State != edp.RunRunning || r.Reason != "" {
		t.Errorf("its run: %+v", r)
	}
	says(t, s, site, edp.EventJobCalledOff, "the collector had it when it was called off, and says that it is running")
	_, err := s.CallOffJob(ctx, j.ID, "ada")
	refused(t, err, "too late: the collector has taken the collect, it is running")
	ok(t, s.SawJobStatus(ctx, wire.JobStatus{ID: j.ID, Collector: site, State: wire.JobFailed, Error: "no"}))
	_, err = s.CallOffJob(ctx, j.ID, "ada")
	refused(t, err, "too late: the collect is over, it is failed")
}

// One box forgets all once: a second reset is refused while one waits or is under way.
func TestOneFactoryReset(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	enrol(t, s, site)
	reset := edp.NewJob{Collector: site, Kind: wire.JobFactoryReset, By: "ada", TTL: time.Hour}
	j := must[edp.Job](t)(s.CreateJob(ctx, reset))
	says(t, s, site, edp.EventFactoryReset, "a factory reset was asked for by ada (job "+j.ID+")")
	_, err := s.CreateJob(ctx, reset)
	refused(t, err, j.ID+" waits for the box until ")
	refused(t, err, "lwc-cloud job call-off "+j.ID)
	ok(t, second(s.CallOffJob(ctx, j.ID, "bob")))
	says(t, s, site, edp.EventJobCalledOff, "factory-reset (job "+j.ID+", asked for by ada)", "called off by bob")
	j = must[edp.Job](t)(s.CreateJob(ctx, reset))
	ok(t, s.SawJobStatus(ctx, wire.JobStatus{ID: j.ID, Collector: site, State: wire.JobRunning}))
	_, err = s.CreateJob(ctx, reset)
	refused(t, err, j.ID+" is under way, asked for by ada")
	ok(t, s.SawJobStatus(ctx, wire.JobStatus{ID: j.ID, Collector: site, State: wire.JobRefused}))
	reset.TTL = time.Nanosecond
	ok(t, second(s.CreateJob(ctx, reset)))
	ok(t, second(s.CreateJob(ctx, reset))) // the one before has expired
}

func second[T any](_ T, err error) error { return err }

// What the policy of updates asked for is asked for again, which is said.
func TestCallOffWhatThePolicyAsksFor(t *testing.T) {
	s := open(t)
	enrol(t, s, site)
	box(t, s, site, "boot-1", wire.Box{Image: "1.0.0"})
	publish(t, s, "1.1.0", "")
	j := must[edp.Job](t)(s.CreateJob(t.Context(), edp.NewJob{Collector: site, Kind: wire.JobUpdate, By: edp.ByPolicy, TTL: time.Hour}))
	if j = must[edp.Job](t)(s.CallOffJob(t.Context(), j.ID, "ada")); !strings.Contains(j.Error, "the policy of updates asks for it again") {
		t.Errorf("%q", j.Error)
	}
	boxes, _, err := s.Boxes(t.Context())
	if err != nil || boxes[0].Busy != "" || len(boxes[0].Failures) != 0 { // it is no failure of the release
		t.Errorf("%+v, %v", boxes[0], err)
	}
}
