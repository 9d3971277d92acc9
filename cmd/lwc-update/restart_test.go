package main

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lwc/image/trial"
)

// A start that is due later waits; the words say when.
func TestRestartAt(t *testing.T) {
	r := newRig(t)
	r.withSystemd(t)
	r.spooled(t, "1.1.0", nil)
	o := newOrder("1.1.0")
	o.RebootAt = time.Now().Add(3 * time.Hour).Truncate(time.Second)
	r.wants(t, o, waiting, "the machine restarts at "+o.RebootAt.UTC().Format(time.RFC3339))
	var p pending
	if err := trial.Load(r.state, trial.PendingFile, &p); err != nil || p.RebootAt != o.RebootAt.Unix() || p.From != "1.0.0" {
		t.Errorf("%+v, %v", p, err)
	}
	r.becomes("1.0.0", false)
	r.wants(t, o, failed, "the boot loader started 1.0.0 again")
}

// After the window nothing is installed; what was installed within it tells its result.
func TestWindow(t *testing.T) {
	r := newRig(t)
	r.spooled(t, "1.1.0", nil)
	o := newOrder("1.1.0")
	o.RebootBefore = time.Now().Add(-time.Second)
	r.wants(t, o, failed, "the window closed while the release was loading: it goes on in the next one")
	if r.called("sysupdate") != "" || r.called("systemctl") != "" {
		t.Error("something was begun")
	}
	if err := trial.Save(r.state, trial.PendingFile, pending{V: 1, Job: o.Job, Version: "1.0.0", From: "0.9.0"}); err != nil {
		t.Fatal(err)
	}
	r.wants(t, o, done, "found good")
	// Also by a clock that has lost the time since.
	o.RebootAt, o.RebootBefore = time.Now().Add(2*maxAhead), time.Now().Add(2*maxAhead)
	r.wants(t, o, done, "found good")
}

// Regression: the restart for a release that was installed before does not cut off the
// writing of the next one: it is taken back before anything is written.
func TestRestartOfAnEarlierReleaseIsTakenBack(t *testing.T) {
	r := newRig(t)
	r.sysupdate = r.noting("systemctl") // one log for both
	r.spooled(t, "1.2.0", nil)
	r.write(t, "esp/EFI/Linux/lwc_1.1.0+3-0.efi", []byte("due at any moment"))
	r.wants(t, newOrder("1.2.0"), failed, "reading back what was written") // by a program that only notes
	if got := r.called("systemctl"); got != "stop lwc-restart.service\n--instances-max=1 vacuum\nupdate 1.2.0\n" {
		t.Errorf("%q", got)
	}
	r.spooled(t, "1.3.0", nil)
	r.systemctl = []string{"/bin/sh", "-c", "echo it does not stop; exit 1"}
	r.wants(t, newOrder("1.3.0"), failed, "nothing was changed: running sh: exit status 1: it does not stop")
}

// A machine without a clock of its own hears of a start that seems to lie years ahead: it
// waits for the clock, and then says what is wrong.
func TestStartByAClockThatIsNotSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		o := order{RebootAt: begun.Add(maxAhead + 30*time.Second)}
		var said strings.Builder
		if err := o.inTime(t.Context(), mouth{&said}); err != nil || time.Since(begun).Round(time.Second) != 30*time.Second {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		if strings.Count(said.String(), "waiting for the clock to be set") != 1 {
			t.Error(said.String())
		}
		begun = time.Now()
		o.RebootAt = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		err := o.inTime(t.Context(), mouth{&said})
		if err == nil || !strings.Contains(err.Error(), "the start at 2026-01-02T03:04:05Z lies more than 14 days ahead of the clock of this machine, which says 2000-01-01T00:02:30Z") {
			t.Errorf("%v", err)
		}
		if waited := time.Since(begun); waited != clockLimit {
			t.Errorf("after %v", waited)
		}
	})
}
