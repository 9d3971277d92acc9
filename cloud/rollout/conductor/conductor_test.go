package conductor_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lwc/cloud/edp"
	"lwc/cloud/rollout"
	"lwc/cloud/rollout/conductor"
	"lwc/image/release"
	"lwc/transport/wire"
)

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// site is a real store with boxes that do as they are told.
type site struct {
	t     *testing.T
	store *edp.Store
	boots map[string]int
	told  []string
}

// JobCreated implements conductor.Hub.
func (s *site) JobCreated(collector string) { s.told = append(s.told, collector) }

func newSite(t *testing.T, boxes ...string) *site {
	t.Helper()
	store, err := edp.Open(t.Context(), filepath.Join(t.TempDir(), "edp.db"))
	ok(t, err)
	s := &site{t: t, store: store, boots: map[string]int{}}
	for _, id := range boxes {
		ok(t, store.Enrolled(t.Context(), edp.Enrolment{Collector: id, SPKI: "key of " + id, NotAfter: time.Now().Add(time.Hour)}))
		s.hello(id, "1.0.0")
	}
	return s
}

// hello lets a box start anew with a release.
func (s *site) hello(id, image string) {
	s.t.Helper()
	s.boots[id]++
	ok(s.t, s.store.SawHello(context.Background(), wire.Hello{Collector: id, Boot: fmt.Sprintf("%s-%d", id, s.boots[id]), Conn: 1,
		Box: wire.Box{Image: image, Trial: image != "1.0.0"}}))
}

// hold names what a release is held back for.
func (s *site) hold(version string) string {
	s.t.Helper()
	r, err := s.store.Release(s.t.Context(), version)
	ok(s.t, err)
	rows, _, err := s.store.Boxes(s.t.Context())
	ok(s.t, err)
	boxes := make([]rollout.Box, len(rows))
	for i, b := range rows {
		boxes[i] = b.Box
	}
	return rollout.HoldOf(time.Now(), r.Plan(), boxes)
}

func (s *site) status(j edp.Job, state wire.JobState, text string) {
	s.t.Helper()
	st := wire.JobStatus{ID: j.ID, Collector: j.Collector, Boot: fmt.Sprintf("%s-%d", j.Collector, s.boots[j.Collector]), State: state, Detail: text}
	if state == wire.JobFailed {
		st.Error = text
	}
	ok(s.t, s.store.SawJobStatus(context.Background(), st))
}

// publish enters a release, without its files: boxes that load are the shelf's test.
func (s *site) publish(version string, change func(*release.Manifest)) {
	s.t.Helper()
	m := release.Manifest{Version: version, Created: time.Now()}
	if change != nil {
		change(&m)
	}
	ok(s.t, s.store.PublishRelease(context.Background(), m, "digest of "+version, "ada"))
}

// jobs returns the open updates, in words.
func (s *site) jobs() (out []edp.Job, words string) {
	s.t.Helper()
	list, err := s.store.Collectors(context.Background())
	ok(s.t, err)
	for _, c := range list {
		jobs, err := s.store.OpenJobs(context.Background(), c.ID)
		ok(s.t, err)
		for _, j := range jobs {
			out, words = append(out, j), words+" "+c.ID+":"+j.Release
		}
	}
	return out, strings.TrimSpace(words)
}

func (s *site) step() {
	s.t.Helper()
	ok(s.t, conductor.New(s.store, s, nil).Step(context.Background()))
}

func (s *site) why(id string) string {
	s.t.Helper()
	plans, err := conductor.Plan(context.Background(), s.store, time.Now())
	ok(s.t, err)
	i := slices.IndexFunc(plans, func(p conductor.Planned) bool { return p.Collector == id })
	return plans[i].Why
}

// A release reaches one box, and the others once that one has it.
func TestAReleaseReachesAllBoxes(t *testing.T) {
	s := newSite(t, "site-a-01", "site-b-02", "site-c-03")
	defer s.store.Close()
	ok(t, s.store.SetUpdatePolicy(t.Context(), rollout.Policy{Mode: rollout.Automatic}, "ada"))
	s.publish("1.1.0", nil)
	for range 2 { // the second look finds nothing to do
		s.step()
	}
	jobs, words := s.jobs()
	if words != "site-a-01:1.1.0" || jobs[0].By != conductor.By || len(s.told) != 1 || s.told[0] != "site-a-01" {
		t.Fatalf("%s, told %v", words, s.told)
	}
	if why := s.why("site-b-02"); !strings.Contains(why, "waits for its turn") {
		t.Errorf("site-b-02: %s", why)
	}
	s.status(jobs[0], wire.JobRunning, "installed")
	s.hello("site-a-01", "1.1.0")
	s.step()
	if why := s.why("site-b-02"); !strings.Contains(why, "waits for its turn") { // on trial proves nothing
		t.Errorf("site-b-02: %s", why)
	}
	s.status(jobs[0], wire.JobDone, "runs")
	s.step()
	if _, words = s.jobs(); words != "site-b-02:1.1.0 site-c-03:1.1.0" {
		t.Errorf("then: %s", words)
	}
	if why := s.why("site-a-01"); why != "runs the newest release" {
		t.Errorf("site-a-01: %s", why)
	}
	events, err := s.store.Events(t.Context(), "site-a-01", 1)
	if err != nil || len(events) != 1 || events[0].Kind != edp.EventUpdated {
		t.Errorf("%+v, %v", events, err)
	}
}

// An order lapses with its window, and is not carried out in the next day's noon by a box
// that comes back then.
func TestAnOrderLapsesWithItsWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "site-a-01")
		defer s.store.Close()
		ok(t, s.store.SetUpdatePolicy(t.Context(), rollout.Policy{Mode: rollout.InWindow, Window: rollout.Window{Start: "00:30", Length: "1h"}}, "ada"))
		s.publish("1.1.0", nil) // the bubble begins at midnight
		s.step()
		jobs, words := s.jobs()
		if words != "site-a-01:1.1.0" || time.Until(jobs[0].Expires) != 70*time.Minute || time.Until(jobs[0].RebootAt) != 30*time.Minute {
			t.Fatalf("%s: %+v", words, jobs)
		}
		time.Sleep(70 * time.Minute)
		if _, words = s.jobs(); words != "" {
			t.Errorf("after it: %s", words)
		}
	})
}

// busy is a store whose boxes are at another update, as somebody just asked for it.
type busy struct{ *edp.Store }

func (busy) CreateJob(context.Context, edp.NewJob) (edp.Job, error) {
	return edp.Job{}, fmt.Errorf("the update x is under way: %w", edp.ErrConflict)
}

// Who asks by hand at the same moment comes first, and that is no error.
func TestByHandComesFirst(t *testing.T) {
	s := newSite(t, "site-a-01")
	defer s.store.Close()
	ok(t, s.store.SetUpdatePolicy(t.Context(), rollout.Policy{Mode: rollout.Automatic}, "ada"))
	s.publish("1.1.0", nil)
	ok(t, conductor.New(busy{s.store}, s, nil).Step(t.Context()))
	if len(s.told) != 0 {
		t.Errorf("told %v", s.told)
	}
}

// A box that went back by itself is told of, and not asked again.
func TestARollbackIsNotRepeated(t *testing.T) {
	s := newSite(t, "site-a-01")
	defer s.store.Close()
	ok(t, s.store.SetUpdatePolicy(t.Context(), rollout.Policy{Mode: rollout.Automatic}, "ada"))
	s.publish("1.1.0", nil)
	s.step()
	jobs, _ := s.jobs()
	s.hello("site-a-01", "1.0.0")
	s.status(jobs[0], wire.JobFailed, "the updater says: rolled back to 1.0.0: it did not start")
	s.step()
	if _, words := s.jobs(); words != "" || !strings.Contains(s.why("site-a-01"), "1.1.0 was rolled back here") {
		t.Errorf("open: %q; %s", words, s.why("site-a-01"))
	}
	events, err := s.store.Events(t.Context(), "site-a-01", 1)
	if err != nil || len(events) != 1 || events[0].Kind != edp.EventUpdateFailed || !strings.Contains(events[0].Text, "did not start") {
		t.Errorf("%+v, %v", events, err)
	}
	// By hand it goes all the same.
	_, err = s.store.CreateJob(t.Context(), edp.NewJob{Collector: "site-a-01", Kind: wire.JobUpdate, Release: "1.1.0"})
	ok(t, err)
}

// Approvals, withdrawals and revocations count from the next look on.
func TestApprovalsAndWithdrawals(t *testing.T) {
	s := newSite(t, "site-a-01", "site-b-02")
	defer s.store.Close()
	ok(t, s.store.SetUpdatePolicy(t.Context(), rollout.Policy{Mode: rollout.Approval}, "ada"))
	s.publish("1.1.0", func(m *release.Manifest) { m.Security = true })
	s.step()
	if _, words := s.jobs(); words != "" {
		t.Fatalf("without an approval: %s", words)
	}
	ok(t, s.store.ApproveRelease(t.Context(), "1.1.0", []string{"site-b-02"}, true, "ada"))
	s.step()
	if _, words := s.jobs(); words != "site-b-02:1.1.0" {
		t.Fatalf("for site-b-02: %s", words)
	}
	ok(t, s.store.WithdrawRelease(t.Context(), "1.1.0", "ada", "bad"))
	s.step()
	if _, words := s.jobs(); words != "" {
		t.Errorf("withdrawn: %s", words)
	}
	s.publish("1.1.0", nil) // the digest is the same
	s.step()
	if _, words := s.jobs(); words != "" {
		t.Errorf("published again, the old approval counts: %s", words)
	}
	ok(t, s.store.ApproveRelease(t.Context(), "1.1.0", nil, true, "ada"))
	ok(t, s.store.Revoke(t.Context(), "site-a-01", "ada"))
	s.step()
	if _, words := s.jobs(); words != "site-b-02:1.1.0" {
		t.Errorf("for all but the revoked: %s", words)
	}
}

// Over a week, with a policy of its own for one box: updates begin in the hour before
// the window, and start in it.
func TestAWeekOfWindows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "site-a-01", "site-b-02")
		ctx, cancel := context.WithCancel(context.Background())
		_, err := s.store.PutFleet(ctx, edp.Fleet{Collector: "site-b-02", Updates: rollout.Policy{Mode: rollout.InWindow,
			Window: rollout.Window{Days: []string{"wed"}, Start: "22:00", Length: "1h", Timezone: "Europe/Berlin"}}})
		ok(t, err)
		s.publish("1.1.0", nil) // the bubble begins on Saturday, 2000-01-01
		c := conductor.New(s.store, s, nil)
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx) }()
		began := map[string]time.Time{}
		for range 10 * 24 * 4 {
			time.Sleep(15 * time.Minute)
			synctest.Wait()
			jobs, _ := s.jobs()
			for _, j := range jobs {
				began[j.Collector+" at "+j.RebootAt.Format("Mon 2 15:04")] = j.Created
				s.status(j, wire.JobRunning, "installed")
				s.hello(j.Collector, j.Release)
				s.status(j, wire.JobDone, "runs")
			}
		}
		cancel()
		ok(t, <-ended)
		ok(t, s.store.Close())
		var got []string
		for what, at := range began {
			got = append(got, what+", sent "+at.Format("Mon 2 15:04"))
		}
		slices.Sort(got)
		// The default defers a week, the policy of site-b-02 does not.
		if want := "site-a-01 at Sat 8 02:00, sent Sat 8 01:00; site-b-02 at Wed 5 21:00, sent Wed 5 20:00"; strings.Join(got, "; ") != want {
			t.Errorf("%s\nwant %s", strings.Join(got, "; "), want)
		}
	})
}

// The manifest of a real bundle comes out of the store as it went in.
func TestAManifestSurvives(t *testing.T) {
	s := newSite(t)
	defer s.store.Close()
	m := release.Manifest{V: release.Format, Version: "1.2.3", Floor: "1.0.0", Notes: "a\nb", Security: true, Created: time.Now().UTC().Truncate(time.Second)}
	ok(t, s.store.PublishRelease(t.Context(), m, "digest", "ada"))
	r, err := s.store.Release(t.Context(), "1.2.3")
	if err != nil || r.Version != m.Version || r.Floor != m.Floor || r.Notes != m.Notes || !r.Security || !r.Created.Equal(m.Created) {
		t.Errorf("%+v, %v", r, err)
	}
}

// A first box that dies over a release is told of after an hour, and an admin lets the
// others have it, or not.
func TestTheFirstBoxDies(t *testing.T) {
	for after, left := range map[time.Duration]string{0: "site-a-01:1.1.0 ", 30 * time.Hour: ""} {
		t.Run(after.String(), func(t *testing.T) { theFirstBoxDies(t, after, left) })
	}
}

// theFirstBoxDies has an admin decide so long after it is told; left is what the box has
// to do then.
func theFirstBoxDies(t *testing.T, after time.Duration, left string) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "site-a-01", "site-b-02")
		defer s.store.Close()
		ok(t, s.store.SetUpdatePolicy(t.Context(), rollout.Policy{Mode: rollout.Automatic}, "ada"))
		s.publish("1.1.0", nil)
		s.step()
		jobs, words := s.jobs()
		if words != "site-a-01:1.1.0" {
			t.Fatal(words)
		}
		if err := s.store.ResumeRelease(t.Context(), "1.1.0", "ada", "too early", ""); !errors.Is(err, edp.ErrConflict) {
			t.Errorf("one that is not held back: %v", err)
		}
		s.status(jobs[0], wire.JobRunning, "installed")
		ok(t, s.store.SawBye(t.Context(), "site-a-01", jobs[0].Collector+"-1", false))
		time.Sleep(61 * time.Minute)
		s.step()
		if why := s.why("site-b-02"); why != "1.1.0 is held back: 1 box began it, and fell silent" {
			t.Fatalf("site-b-02: %s", why)
		}
		time.Sleep(after)
		ok(t, s.store.Sweep(t.Context()))
		s.step()
		if _, words = s.jobs(); words != strings.TrimSpace(left) || s.why("site-b-02") != "1.1.0 is held back: 1 box began it, and fell silent" {
			t.Errorf("%v later: %s; %s", after, words, s.why("site-b-02"))
		}
		events, err := s.store.Events(t.Context(), "site-a-01", 10)
		told := slices.IndexFunc(events, func(e wire.Event) bool { return e.Kind == edp.EventUpdateFailed })
		if err != nil || (told < 0) != (left != "") {
			t.Errorf("%v later: %+v, %v", after, events, err)
		}
		if err := s.store.ResumeRelease(t.Context(), "1.1.0", "ada", "blindly", ""); !errors.Is(err, edp.ErrInvalid) {
			t.Errorf("without a look at it: %v", err)
		}
		ok(t, s.store.ResumeRelease(t.Context(), "1.1.0", "ada", "its power supply had died", s.hold("1.1.0")))
		s.step()
		if _, words = s.jobs(); words != left+"site-b-02:1.1.0" {
			t.Errorf("then: %s; %s", words, s.why("site-b-02"))
		}
		events, err = s.store.Events(t.Context(), "", 10)
		i := slices.IndexFunc(events, func(e wire.Event) bool { return e.Kind == edp.EventReleaseResumed })
		if err != nil || i < 0 || !strings.Contains(events[i].Text, "held back (1 box began it, and fell silent), and ada let it go on: its power supply had died") {
			t.Errorf("%+v, %v", events, err)
		}
	})
}

// A box is not silent while nobody listens: after the cloud was down it has its hour.
func TestNobodyListens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "site-a-01", "site-b-02")
		defer s.store.Close()
		ok(t, s.store.SetUpdatePolicy(t.Context(), rollout.Policy{Mode: rollout.Automatic}, "ada"))
		s.publish("1.1.0", nil)
		s.step()
		jobs, _ := s.jobs()
		s.status(jobs[0], wire.JobRunning, "loading")
		time.Sleep(2 * time.Hour)
		ok(t, s.store.AllOffline(t.Context()))
		if why := s.why("site-b-02"); strings.Contains(why, "held back") {
			t.Errorf("the first look: %s", why)
		}
		time.Sleep(61 * time.Minute)
		if why := s.why("site-b-02"); why != "1.1.0 is held back: 1 box began it, and fell silent" {
			t.Errorf("an hour later: %s", why)
		}
	})
}

// So has one that said good-bye to start what it installed, when the cloud went down.
func TestNobodyListensAfterAGoodBye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "site-a-01", "site-b-02")
		defer s.store.Close()
		ok(t, s.store.SetUpdatePolicy(t.Context(), rollout.Policy{Mode: rollout.Automatic}, "ada"))
		s.publish("1.1.0", nil)
		s.step()
		jobs, _ := s.jobs()
		s.status(jobs[0], wire.JobRunning, "installed")
		ok(t, s.store.SawBye(t.Context(), "site-a-01", "site-a-01-1", true))
		time.Sleep(2 * time.Hour)
		ok(t, s.store.AllOffline(t.Context()))
		if why := s.why("site-b-02"); strings.Contains(why, "held back") {
			t.Errorf("the first look: %s", why)
		}
		lost, err := s.store.LoseUnheard(t.Context(), time.Now().Add(time.Hour), func(edp.Unheard) wire.Event { return wire.Event{} })
		if err != nil || slices.ContainsFunc(lost, func(e wire.Event) bool { return e.Collector == "site-a-01" }) {
			t.Errorf("it said good-bye, and is told as lost: %+v, %v", lost, err)
		}
		time.Sleep(61 * time.Minute)
		if why := s.why("site-b-02"); why != "1.1.0 is held back: 1 box began it, and fell silent" {
			t.Errorf("an hour later: %s", why)
		}
	})
}
