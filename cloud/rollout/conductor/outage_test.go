package conductor_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lwc/cloud/edp"
	"lwc/cloud/rollout"
	"lwc/transport/wire"
)

const heldBack = "1.1.0 is held back: 1 box began it, and fell silent"

// begun is a site whose first box said good-bye to start what it installed.
func begun(t *testing.T) *site {
	s := newSite(t, "site-a-01", "site-b-02")
	ok(t, s.store.SetUpdatePolicy(t.Context(), rollout.Policy{Mode: rollout.Automatic}, "ada"))
	s.publish("1.1.0", nil)
	s.step()
	jobs, _ := s.jobs()
	s.status(jobs[0], wire.JobRunning, "installed")
	ok(t, s.store.SawBye(t.Context(), "site-a-01", "site-a-01-1", true))
	return s
}

// listens lets time pass in which the cloud serves.
func (s *site) listens(d time.Duration) {
	s.t.Helper()
	time.Sleep(d)
	ok(s.t, s.store.Listening(s.t.Context()))
}

// restarts lets the cloud start after it was down for so long.
func (s *site) restarts(down time.Duration) {
	s.t.Helper()
	time.Sleep(down)
	ok(s.t, s.store.AllOffline(s.t.Context()))
}

// A restart of the cloud gives nobody a new hour: neither before the hour is over, nor
// after, nor after an admin excused the box.
func TestRestartsLiftNoHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := begun(t)
		defer s.store.Close()
		for range 4 {
			s.listens(14 * time.Minute)
			s.restarts(time.Second)
		}
		if why := s.why("site-b-02"); strings.Contains(why, "held back") {
			t.Errorf("within its hour: %s", why)
		}
		s.listens(5 * time.Minute)
		for range 2 {
			if why := s.why("site-b-02"); why != heldBack {
				t.Errorf("its hour is over: %s", why)
			}
			s.restarts(3 * time.Hour)
		}
		ok(t, s.store.ResumeRelease(t.Context(), "1.1.0", "ada", "its disk", s.hold("1.1.0")))
		s.restarts(2 * time.Hour)
		s.listens(61 * time.Minute)
		if why := s.why("site-b-02"); strings.Contains(why, "held back") {
			t.Errorf("an admin let it go on: %s", why)
		}
	})
}

// One that was told as lost a few minutes before the cloud went down has the rest of its
// hour too.
func TestAnOutageAfterALoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := begun(t)
		defer s.store.Close()
		s.hello("site-a-01", "1.0.0")
		ok(t, s.store.SawBye(t.Context(), "site-a-01", "site-a-01-2", false))
		s.listens(10 * time.Minute)
		lost, err := s.store.LoseUnheard(t.Context(), time.Now(), func(u edp.Unheard) wire.Event { return wire.Event{Collector: u.ID} })
		if err != nil || len(lost) != 1 {
			t.Fatal(lost, err)
		}
		s.restarts(2 * time.Hour)
		if why := s.why("site-b-02"); strings.Contains(why, "held back") {
			t.Errorf("the first look: %s", why)
		}
		s.listens(51 * time.Minute)
		if why := s.why("site-b-02"); why != heldBack {
			t.Errorf("after its hour: %s", why)
		}
	})
}
