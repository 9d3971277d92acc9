package collector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lwc/transport/wire"
)

// box is a Machine that does what a test says, and counts.
type box struct {
	renew   func(context.Context) (time.Time, error)
	restart func(context.Context, string) (string, error)
	update  func(context.Context, wire.Job, func(string)) (string, error)
	reset   func(context.Context, func(string)) error

	mu    sync.Mutex
	calls []wire.JobKind
}

func (b *box) called(k wire.JobKind) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls = append(b.calls, k)
}

func (b *box) RenewCertificate(ctx context.Context) (time.Time, error) {
	b.called(wire.JobRenewCert)
	return b.renew(ctx)
}

func (b *box) Restart(ctx context.Context, job string) (string, error) {
	b.called(wire.JobRestart)
	return b.restart(ctx, job)
}

func (b *box) Update(ctx context.Context, j wire.Job, tell func(string)) (string, error) {
	b.called(wire.JobUpdate)
	return b.update(ctx, j, tell)
}

func (b *box) FactoryReset(ctx context.Context, j wire.Job, tell func(string)) error {
	b.called(wire.JobFactoryReset)
	return b.reset(ctx, tell)
}

func (r *recorder) statuses(id string) []wire.JobStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.jobs), func(s wire.JobStatus) bool { return s.ID != id })
}

func states(list []wire.JobStatus) string {
	var out []string
	for _, s := range list {
		out = append(out, string(s.State))
	}
	return strings.Join(out, " ")
}

func onBox(t *testing.T, b *box) (*rig, func(wire.JobKind) string) {
	r := newRig(t, func(c *Config) { c.Machine = b })
	return r, func(k wire.JobKind) string {
		j := wire.Job{ID: wire.NewID(), Kind: k, Release: "1.2"}
		r.c.Job(j)
		synctest.Wait()
		return j.ID
	}
}

// A renewal tells when it begins, and the end of the new certificate; delivered
// again, it is answered and not done again.
func TestRenewJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		until := time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC)
		b := &box{renew: func(context.Context) (time.Time, error) { return until, nil }}
		r, ask := onBox(t, b)
		id := ask(wire.JobRenewCert)
		if got := r.up.statuses(id); states(got) != "accepted running done" || !strings.Contains(got[2].Detail, "2027-02-01") {
			t.Errorf("%+v", got)
		}
		r.c.Job(wire.Job{ID: id, Kind: wire.JobRenewCert})
		synctest.Wait()
		if len(b.calls) != 1 || r.up.lastJob(id).State != wire.JobDone {
			t.Errorf("%v, %+v", b.calls, r.up.lastJob(id))
		}
	})
}

// What fails, takes too long or is not possible is told so, in words.
func TestMachineJobsThatDoNotSucceed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &box{
			renew: func(context.Context) (time.Time, error) { return time.Time{}, errors.New("the cloud says no") },
			update: func(context.Context, wire.Job, func(string)) (string, error) {
				return "", fmt.Errorf("%w: no updater", ErrNotHere)
			},
			restart: func(ctx context.Context, _ string) (string, error) { <-ctx.Done(); return "", ctx.Err() },
		}
		r, ask := onBox(t, b)
		if s := r.up.lastJob(ask(wire.JobRenewCert)); s.State != wire.JobFailed || s.Error != "the cloud says no" {
			t.Errorf("%+v", s)
		}
		if s := r.up.lastJob(ask(wire.JobUpdate)); s.State != wire.JobRefused || !strings.Contains(s.Error, "no updater") {
			t.Errorf("%+v", s)
		}
		id := ask(wire.JobRestart)
		r.sleep(restartTimeout + time.Second)
		if s := r.up.lastJob(id); s.State != wire.JobFailed || !strings.Contains(s.Error, "longer than 1m0s") {
			t.Errorf("%+v", s)
		}
	})
}

// One update at a time, and no restart during one; a renewal goes on beside it.
func TestMachineJobsExcludeEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := make(chan struct{})
		b := &box{
			renew: func(context.Context) (time.Time, error) { return time.Now(), nil },
			update: func(_ context.Context, j wire.Job, tell func(string)) (string, error) {
				tell("loading " + j.Release)
				<-end
				return "installed " + j.Release, nil
			},
		}
		r, ask := onBox(t, b)
		first := ask(wire.JobUpdate)
		for _, k := range []wire.JobKind{wire.JobUpdate, wire.JobRestart} {
			if s := r.up.lastJob(ask(k)); s.State != wire.JobRefused || !strings.Contains(s.Error, first) {
				t.Errorf("%s: %+v", k, s)
			}
		}
		if s := r.up.lastJob(ask(wire.JobRenewCert)); s.State != wire.JobDone {
			t.Errorf("%+v", s)
		}
		if s := r.up.lastJob(first); s.State != wire.JobRunning || s.Detail != "loading 1.2" {
			t.Errorf("%+v", s)
		}
		close(end)
		synctest.Wait()
		if s := r.up.lastJob(first); s.State != wire.JobDone || s.Detail != "installed 1.2" {
			t.Errorf("%+v", s)
		}
	})
}

// The end of the process ends no job: the next boot gets it again, and tells its
// result.
func TestStopLeavesTheRestartOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &box{restart: func(ctx context.Context, _ string) (string, error) { <-ctx.Done(); return "", ctx.Err() }}
		r, ask := onBox(t, b)
		id := ask(wire.JobRestart)
		// Nothing begins that the restart would cut off.
		for _, k := range []wire.JobKind{wire.JobUpdate, wire.JobRenewCert} {
			if s := r.up.lastJob(ask(k)); s.State != wire.JobRefused || !strings.Contains(s.Error, id) {
				t.Errorf("%s: %+v", k, s)
			}
		}
		r.stop()
		if s := r.up.lastJob(id); s.State != wire.JobRunning {
			t.Errorf("%+v", s)
		}
	})
}

// Credentials are told to be forgotten once, when the last collection that used
// them has ended, and not before.
func TestForgottenIsToldAfterTheLastUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told int
		r := newRig(t, func(c *Config) { c.Forgotten = func() { told++ } })
		r.apply(r.desired(1, 1))
		f := r.c.current()
		if !f.hold() {
			t.Fatal("not held")
		}
		r.apply(r.desired(2, 1))
		if told != 0 || wiped(f) {
			t.Fatalf("told %d, wiped %v while in use", told, wiped(f))
		}
		f.drop()
		if told != 1 || !wiped(f) {
			t.Errorf("told %d, wiped %v", told, wiped(f))
		}
	})
}

// An update that is installed waits for its restart, however far that is; nothing that
// ends the process begins meanwhile.
func TestUpdateWaitsForItsRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &box{update: func(ctx context.Context, _ wire.Job, tell func(string)) (string, error) {
			tell("installed")
			<-ctx.Done()
			return "", context.Cause(ctx)
		}}
		r, ask := onBox(t, b)
		j := wire.Job{ID: wire.NewID(), Kind: wire.JobUpdate, Release: "1.2.0", RebootAt: time.Now().Add(100 * time.Hour)}
		r.c.Job(j)
		r.sleep(100 * time.Hour)
		if s := r.up.lastJob(j.ID); s.State != wire.JobRunning || s.Detail != "installed" {
			t.Errorf("%+v", s)
		}
		for _, k := range []wire.JobKind{wire.JobUpdate, wire.JobRestart, wire.JobFactoryReset} {
			if s := r.up.lastJob(ask(k)); s.State != wire.JobRefused || !strings.Contains(s.Error, j.ID) {
				t.Errorf("%s: %+v", k, s)
			}
		}
		r.sleep(updateTimeout + time.Second)
		if s := r.up.lastJob(j.ID); s.State != wire.JobFailed {
			t.Errorf("%+v", s)
		}
	})
}

// A factory reset has no good end here: the process that could tell it is gone.
func TestFactoryReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fails := true
		b := &box{reset: func(ctx context.Context, tell func(string)) error {
			if fails {
				return errors.New("no EFI")
			}
			tell("forgetting")
			<-ctx.Done()
			return ctx.Err()
		}}
		r, ask := onBox(t, b)
		if s := r.up.lastJob(ask(wire.JobFactoryReset)); s.State != wire.JobFailed || s.Error != "no EFI" {
			t.Errorf("%+v", s)
		}
		fails = false
		id := ask(wire.JobFactoryReset)
		if s := r.up.lastJob(id); s.State != wire.JobRunning || s.Detail != "forgetting" {
			t.Errorf("%+v", s)
		}
		if s := r.up.lastJob(ask(wire.JobRenewCert)); s.State != wire.JobRefused {
			t.Errorf("%+v", s)
		}
	})
}
