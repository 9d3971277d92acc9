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

// The beginning of a reply stands for all of it where the next session gives
// nothing: the item is accounted for once.
func TestPartialReplyIsNotGivenAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Session.StallTimeout = 10 * time.Second })
		r.site.behave["edge-01"] = behaviour{reply: func(rpc string, attempt int) (string, bool) {
			if attempt == 1 {
				time.Sleep(time.Minute)
			}
			return large(1000), rpc == "get-system-uptime-information"
		}}
		r.apply(r.desired(1, 1))
		_, m := r.collect()
		if es := entriesOf(m, "edge-01"); len(es) != 2 {
			t.Errorf("%+v", es)
		}
		if e := entryOf(t, m, "edge-01", "show-system-uptime"); e.Status != wire.EntryStored || e.Outcome != string(junos.Partial) {
			t.Errorf("%+v", e)
		}
	})
}

// What was taken in and is not all that the result is of is accounted for by what
// it is, where that is known.
func TestResultOfOtherBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		ctx, p := newPatience(t.Context(), time.Minute)
		defer p.end()
		v := &visit{c: r.c, r: &run{}, id: "edge-01", patience: p}
		v.outlet = newOutlet(ctx, v)
		defer v.outlet.close()
		if err := v.outlet.seat(ctx); err != nil {
			t.Fatal(err)
		}
		other := junos.Result{SHA256: wire.Digest([]byte("more")), Size: 4, RawSHA256: wire.Digest([]byte("raw")), RawSize: 3}
		head := wire.Header{ID: wire.NewID(), Item: "show-version", CollectedAt: time.Now()}
		whole := &answer{item: "show-version", doc: []byte("mor"), size: 3, result: other, head: head}
		if published, err := v.publishPart(whole); !published || err != nil {
			t.Errorf("published %v: %v", published, err)
		}
		s, err := v.outlet.stream(head, false)
		if err != nil {
			t.Fatal(err)
		}
		streamed := &answer{item: "show-version", doc: []byte("mor"), size: 1 << 20, result: other, head: head, stream: s}
		if published, err := v.publishPart(streamed); published || err != nil || r.up.aborted != 1 {
			t.Errorf("published %v: %v; %d streams aborted", published, err, r.up.aborted)
		}
		if len(r.up.docs) != 1 || r.up.docs[0].RawSize != 0 || r.up.docs[0].Size != 3 {
			t.Errorf("%+v", r.up.docs)
		}
	})
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
