package collector

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lwc/transport/wire"
)

// In a dry run nothing leaves, and the accounts tell what would have.
func TestDryRun(t *testing.T) {
	for _, size := range []int{1, 1000} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			r.up.fill(0) // it needs no memory for documents
			body := "<x><user>jdoe</user>" + large(size) + "</x>"
			r.site.behave["edge-01"] = always(body)
			d := r.desired(1, 1)
			d.Egress, d.Profiles["two"] = wire.Egress{Mode: wire.EgressDryRun}, []string{"show-system-users"}
			r.apply(d)
			_, m := r.collect()
			e := entriesOf(m, "edge-01")
			raw := replyOf("1", body)
			if len(e) != 1 || e[0].Status != wire.EntryWithheld || e[0].Sent != 0 || e[0].ID != "" || !strings.Contains(e[0].Reason, "dry-run") {
				t.Fatalf("%+v", e)
			}
			if e[0].RawSHA256 != wire.Digest([]byte(raw)) || e[0].RawSize != int64(len(raw)) || e[0].SHA256 == "" || e[0].Masked["user-names"] != 1 {
				t.Errorf("%+v", e[0])
			}
			if dev := result(t, m, "edge-01"); !dev.OK || len(r.up.docs) != 0 || r.c.Status().Counters["documents_withheld"] != 1 {
				t.Errorf("%+v, %d documents left", dev, len(r.up.docs))
			}
		})
	}
}

// A run keeps the mode that it began with, but a dry run begins at once: no session
// that is opened after it lets anything leave.
func TestDryRunBeginsAtOnce(t *testing.T) {
	for _, first := range []string{wire.EgressSend, wire.EgressDryRun} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			d := r.desired(1, 3)
			d.Limits.Concurrency, d.Egress.Mode = 1, first
			r.apply(d)
			r.c.Job(wire.Job{ID: wire.NewID(), Kind: wire.JobCollect, Run: wire.NewID()})
			r.sleep(250 * time.Millisecond) // one is logged in
			d.Version, d.Egress.Mode = 2, map[string]string{wire.EgressSend: wire.EgressDryRun, wire.EgressDryRun: wire.EgressSend}[first]
			r.apply(d)
			r.sleep(time.Minute)
			withheld := 0
			for _, e := range r.up.runs()[0].Documents {
				if e.Status == wire.EntryWithheld {
					withheld++
				}
			}
			if want := map[string]int{wire.EgressSend: 4, wire.EgressDryRun: 6}[first]; withheld != want {
				t.Errorf("from %s: %d of 6 withheld, want %d", first, withheld, want)
			}
		})
	}
}

// Items that are to be held are handed over so, large or small.
func TestHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.site.behave["edge-02"] = always(large(1000))
		r.up.code = map[string]wire.Receipt{"show-version": {Status: wire.Withheld, Code: "declined"}}
		d := r.desired(1, 2)
		d.Egress = wire.Egress{Mode: wire.EgressHold, Hold: []string{"show-version"}, Wait: "2m"}
		r.apply(d)
		if w := r.c.current().egress.wait; w != 2*time.Minute {
			t.Errorf("waits %v", w)
		}
		_, m := r.collect()
		if got := strings.Join(r.up.approve, " "); got != "show-version show-version" {
			t.Errorf("held %s", got)
		}
		for _, dev := range []string{"edge-01", "edge-02"} {
			if e := entryOf(t, m, dev, "show-version"); e.Status != wire.EntryWithheld || e.ID == "" || e.Reason == "" {
				t.Errorf("%+v", e)
			}
			if e := entryOf(t, m, dev, "show-system-uptime"); e.Status != wire.EntryStored || !result(t, m, dev).OK {
				t.Errorf("%+v", e)
			}
		}
		if n := r.c.Status().Counters["documents_withheld"]; n != 2 {
			t.Errorf("%d withheld", n)
		}
	})
}

// What is wrong with the egress and the budget is told, and never lets more leave.
func TestEgressAndBudgetAreChecked(t *testing.T) {
	for _, c := range []struct {
		e      wire.Egress
		budget int64
		told   string
		mode   string
		held   int
	}{
		{wire.Egress{}, 0, "", wire.EgressSend, 0},
		{wire.Egress{Mode: "send"}, 8 << 20, "", wire.EgressSend, 0},
		{wire.Egress{Mode: "dry"}, 0, "egress/mode", wire.EgressDryRun, 0},
		{wire.Egress{Mode: "hold"}, 0, "egress/hold", wire.EgressHold, 0},
		{wire.Egress{Mode: "hold", Hold: []string{"show-version", "show-moon-phase"}, Wait: "1s"}, 0, "egress/wait egress/hold/#2", wire.EgressHold, 1},
		{wire.Egress{Mode: "hold", Hold: []string{"show-version"}, Wait: "25h"}, 0, "egress/wait", wire.EgressHold, 1},
		{wire.Egress{Mode: "hold", Hold: []string{"show-version"}, Wait: "an hour"}, 0, "egress/wait", wire.EgressHold, 1},
		{wire.Egress{Mode: "send", Hold: []string{"show-version"}}, 0, "egress/hold", wire.EgressSend, 0},
		{wire.Egress{}, 1 << 20, "limits/budget_bytes", wire.EgressSend, 0},
		{wire.Egress{}, 2 << 30, "limits/budget_bytes", wire.EgressSend, 0},
		{wire.Egress{}, -1, "limits/budget_bytes", wire.EgressSend, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, func(conf *Config) { conf.BudgetBytes = 20 << 20 })
			d := r.desired(1, 1)
			d.Egress, d.Limits.BudgetBytes = c.e, c.budget
			var told []string
			for _, item := range r.apply(d).Items {
				told = append(told, item.Path)
			}
			if got := strings.Join(told, " "); got != c.told {
				t.Errorf("%+v: told of %q, want %q", c, got, c.told)
			}
			if e := r.c.current().egress; e.mode != c.mode || len(e.hold) != c.held || c.told == "egress/wait" && e.wait != DefaultApprovalWait {
				t.Errorf("%+v: %+v", c, e)
			}
			want := int64(20 << 20)
			if c.told == "" && c.budget > 0 {
				want = c.budget
			}
			if n := r.c.Status().Counters["memory_limit"]; n != want {
				t.Errorf("%+v: a budget of %d", c, n)
			}
		})
	}
}
