package collector

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lwc/junos"
	"lwc/transport/wire"
)

// large is a reply that is streamed.
func large(kib int) string { return "<output>" + strings.Repeat("x", kib<<10) + "</output>" }

func always(body string) behaviour {
	return behaviour{reply: func(string, int) (string, bool) { return body, false }}
}

// fill leaves memory for n steps of the lanes, and no more.
func (r *recorder) fill(n int) {
	r.full = make(chan struct{}, 1000)
	r.refill(n)
}

func (r *recorder) refill(n int) {
	for range n {
		r.full <- struct{}{}
	}
}

func TestLargeRepliesAreStreamed(t *testing.T) {
	for _, size := range []int{WholeDocument - 1, WholeDocument, WholeDocument + 1, 5 << 20} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			body := strings.Repeat("x", size-len(replyOf("1", "<a></a>")))
			r.site.behave["edge-01"] = always("<a>" + body + "</a>")
			r.apply(r.desired(1, 1))
			_, m := r.collect()
			e := entriesOf(m, "edge-01")
			if got := r.up.bodies[e[0].ID]; len(got) != size || e[0].SHA256 != wire.Digest(got) || e[0].Size != int64(size) || e[0].Outcome != "ok" {
				t.Errorf("%d bytes: %+v", len(got), e[0])
			}
			streamed := r.c.Status().Counters["documents_streamed"]
			if want := size > WholeDocument; (streamed == 2) != want || (streamed == 0) == want {
				t.Errorf("size %d: %d streamed", size, streamed)
			}
		})
	}
}

// While the uplink has no memory, neither the device's time nor its slot is used
// up, and nothing is lost.
func TestWaitForMemoryIsNotTheDevices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.DeviceTimeout, c.Session.StallTimeout = time.Minute, 30*time.Second })
		r.up.fill(5)
		r.site.behave["edge-01"] = always(large(2000))
		r.apply(r.desired(1, 1))
		r.c.Job(wire.Job{ID: wire.NewID(), Kind: wire.JobCollect, Run: wire.NewID()})
		for range 2 {
			r.sleep(9 * time.Minute)
			if c := r.c.Status().Counters; c["sessions"] != 1 || c["sessions_parked"] != 0 {
				t.Fatalf("counters %v", c)
			}
			r.up.refill(20)
		}
		r.up.refill(900)
		r.sleep(time.Minute)
		m := r.up.runs()[0]
		if d := result(t, m, "edge-01"); !d.OK || d.Documents != 2 {
			t.Errorf("%+v", d)
		}
		if n := r.c.Status().Counters["memory_waits"]; n == 0 {
			t.Error("no wait was counted")
		}
	})
}

// An open session does not wait for memory for ever, and what it did not reach is
// named.
func TestBlockedSessionGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, steps := range []int{2, 3, 9} { // before, at the beginning and in the middle of the second document
			r := newRig(t, func(c *Config) { c.BlockedTimeout = time.Minute })
			r.up.fill(steps)
			r.site.behave["edge-01"] = behaviour{reply: func(rpc string, _ int) (string, bool) {
				if rpc == "get-software-information" {
					return "<x/>", false
				}
				return large(2000), false
			}}
			r.apply(r.desired(1, 1))
			r.c.Job(wire.Job{ID: wire.NewID(), Kind: wire.JobCollect, Run: wire.NewID()})
			r.sleep(30 * time.Second)
			if len(r.up.runs()) != 0 {
				t.Fatal("given up before its time")
			}
			r.sleep(2 * time.Minute)
			m := r.up.runs()[0]
			if d := result(t, m, "edge-01"); d.OK || d.Kind != kindBlocked || d.Documents != 1 {
				t.Errorf("%+v", d)
			}
			es := entriesOf(m, "edge-01")
			if len(es) != 2 || es[0].Status != wire.EntryStored || es[1].Status != wire.EntryFailed || !strings.Contains(es[1].Reason, kindBlocked) {
				t.Errorf("%+v", es)
			}
			r.stop()
		}
	})
}

// A small document that there is no memory for is lost, by name.
func TestBlockedDocumentIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.BlockedTimeout = time.Minute })
		r.up.fill(2)
		r.apply(r.desired(1, 1))
		_, m := r.collect()
		es := entriesOf(m, "edge-01")
		if len(es) != 2 || es[0].Status != wire.EntryStored || es[1].Status != wire.EntryLost || !strings.Contains(es[1].Reason, kindBlocked) {
			t.Errorf("%+v", es)
		}
		if d := result(t, m, "edge-01"); d.OK || d.Kind != kindBlocked {
			t.Errorf("%+v", d)
		}
		if n := r.c.Status().Counters["documents_lost"]; n != 1 {
			t.Errorf("%d lost", n)
		}
	})
}

// No session is opened that would at once wait for memory; and who waits so is not
// given up.
func TestNoLoginWithoutASeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.up.fill(0)
		r.apply(r.desired(1, 3))
		r.c.Job(wire.Job{ID: wire.NewID(), Kind: wire.JobCollect, Run: wire.NewID()})
		r.sleep(2 * time.Hour)
		if n := len(r.site.log()); n != 0 {
			t.Errorf("%d dials", n)
		}
		r.up.refill(100)
		r.sleep(time.Minute)
		if m := r.up.runs(); len(m) != 1 || len(m[0].Documents) != 6 || !m[0].Devices[0].OK {
			t.Errorf("%+v", m)
		}
	})
}

// What came of a reply before the device died is committed as partial, where the
// device does not give it anew.
func TestPartialReplies(t *testing.T) {
	for _, size := range []int{1, 1000} {
		for name, c := range map[string]struct {
			dial    func(int) error
			cut     func(attempt int) bool
			outcome string
			ok      bool
			aborted int
		}{
			"given anew":    {nil, func(n int) bool { return n == 0 }, "ok", true, 1},
			"cut twice":     {nil, func(int) bool { return true }, "partial", false, 1},
			"never back":    {refuseAfter(1), func(int) bool { return true }, "partial", false, 0},
			"another cause": {refuseAfter(1), func(n int) bool { return n == 0 }, "partial", false, 0},
		} {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				r.site.behave["edge-01"] = behaviour{dial: c.dial, reply: func(rpc string, attempt int) (string, bool) {
					return large(size), rpc == "get-system-uptime-information" && c.cut(attempt)
				}}
				r.apply(r.desired(1, 1))
				_, m := r.collect()
				e := entryOf(t, m, "edge-01", "show-system-uptime")
				body := r.up.bodies[e.ID]
				if e.Status != wire.EntryStored || e.Outcome != c.outcome || len(body) < size<<10 || e.SHA256 != wire.Digest(body) {
					t.Errorf("%s, %d KiB: %d bytes, %+v", name, size, len(body), e)
				}
				if d := result(t, m, "edge-01"); d.OK != c.ok || d.Documents != 2 {
					t.Errorf("%s: %+v", name, d)
				}
				if size > 128 && r.up.aborted != c.aborted {
					t.Errorf("%s: %d streams aborted", name, r.up.aborted)
				}
				if (r.c.Status().Counters["documents_partial"] == 1) == c.ok {
					t.Errorf("%s: counters %v", name, r.c.Status().Counters)
				}
			})
		}
	}
}

func refuseAfter(n int) func(int) error {
	return func(attempt int) error {
		if attempt < n {
			return nil
		}
		return &dialError{phase: "connect", kind: "refused", hop: "edge-01"}
	}
}

// Who has answers in hand and no slot does not keep its seat from those who have
// slots.
func TestAnswersInHandWaitForATurnNotForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Session.StallTimeout = time.Hour })
		r.site.behave["edge-01"] = behaviour{reply: func(rpc string, attempt int) (string, bool) {
			if rpc == "get-software-information" {
				return fmt.Sprintf(rpcError, "the chassis-control subsystem is not running"), false
			}
			return large(1000), attempt == 0
		}}
		for i := range 4 {
			r.site.behave[fmt.Sprintf("edge-%02d", i+2)] = behaviour{reply: func(string, int) (string, bool) {
				time.Sleep(5 * time.Minute)
				return "<x/>", false
			}}
		}
		d := r.desired(1, 5)
		d.Limits.Concurrency = 1
		r.apply(d)
		for _, devices := range [][]string{{"edge-01"}, {"edge-02", "edge-03", "edge-04", "edge-05"}} {
			r.c.Job(wire.Job{ID: wire.NewID(), Kind: wire.JobCollect, Run: wire.NewID(), Devices: devices})
			r.sleep(250 * time.Millisecond) // the first is logging in
		}
		r.sleep(holdingTime + 2*closedPause)
		r.up.mu.Lock()
		seats, items := r.up.seats, []string{}
		for _, h := range r.up.docs {
			items = append(items, h.Item+" "+h.Outcome)
		}
		r.up.mu.Unlock()
		slices.Sort(items)
		if got := strings.Join(items, ", "); got != "show-system-uptime partial, show-version retry-later" || seats > 2 { // of the sessions under way
			t.Errorf("published %s; %d seats", got, seats)
		}
		r.sleep(2 * time.Hour)
		if m := r.up.runs(); len(m) != 2 || len(m[0].Documents)+len(m[1].Documents) != 10 {
			t.Errorf("%+v", m)
		}
	})
}

// What a limit of the collector cuts off is no document.
func TestStreamTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.site.behave["edge-01"] = behaviour{reply: func(rpc string, _ int) (string, bool) {
			if rpc == "get-software-information" {
				return large(900), false
			}
			return "<x/>", false
		}}
		d := r.desired(1, 1)
		d.Limits.MaxDocumentBytes = 500 << 10
		r.apply(d)
		_, m := r.collect()
		es := entriesOf(m, "edge-01")
		if len(es) != 2 || es[0].Status != wire.EntryFailed || !strings.Contains(es[0].Reason, "too-large") || es[1].Status != wire.EntryStored {
			t.Errorf("%+v", es)
		}
		if r.up.aborted != 1 || len(r.up.docs) != 1 || r.c.Status().Counters["documents_too_large"] != 1 {
			t.Errorf("%d aborted, %d documents", r.up.aborted, len(r.up.docs))
		}
	})
}

// A long answer that says "later" is published as it is: it would have to be kept.
func TestLongLaterIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.site.behave["edge-01"] = always(fmt.Sprintf(rpcError, "the chassis-control subsystem is not running") + strings.Repeat("\n", maxEarly))
		r.apply(r.desired(1, 1))
		_, m := r.collect()
		for _, e := range entriesOf(m, "edge-01") {
			if e.Outcome != string(junos.RetryLater) || e.Status != wire.EntryStored {
				t.Errorf("%+v", e)
			}
		}
		if n := len(r.site.questions()); n != 3 { // one is about the account
			t.Errorf("%d questions", n)
		}
	})
}

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
