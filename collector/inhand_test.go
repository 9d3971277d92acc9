package collector

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"lwc/junos"
	"lwc/transport/wire"
)

// A visit that waits for memory keeps no credentials: those of a configuration that
// is replaced meanwhile are wiped, and the device is reached by the newer one.
func TestWaitForASeatHoldsNoCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.up.fill(0)
		r.apply(r.desired(1, 1))
		r.c.Job(wire.Job{ID: wire.NewID(), Kind: wire.JobCollect, Run: wire.NewID()})
		r.sleep(time.Minute)
		old := r.c.current()
		d := r.desired(2, 1)
		d.Credentials["lab"] = r.seal("lab", "2", "changed")
		r.site.password = "changed"
		r.apply(d)
		if !wiped(old) {
			t.Error("the old credentials are still there")
		}
		r.up.refill(100)
		r.sleep(time.Minute)
		if got := r.site.tried(); !slices.Equal(got, []string{"changed"}) {
			t.Errorf("tried %v", got)
		}
		if m := r.up.runs(); len(m) != 1 || !m[0].Devices[0].OK {
			t.Errorf("%+v", m)
		}
	})
}

// A dry run that begins between two sessions of a visit keeps the answers of the
// first one here as well: the beginning of a reply, and what came too early.
func TestDryRunKeepsAnswersInHand(t *testing.T) {
	for _, size := range []int{1, 1000} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			r.site.behave["edge-01"] = behaviour{dial: refuseAfter(2), reply: func(rpc string, attempt int) (string, bool) {
				if rpc == "get-software-information" {
					return fmt.Sprintf(rpcError, "the chassis-control subsystem is not running"), false
				}
				return large(size), true
			}}
			d := r.desired(1, 1)
			r.apply(d)
			r.c.Job(wire.Job{ID: wire.NewID(), Kind: wire.JobCollect, Run: wire.NewID()})
			r.sleep(2 * time.Second) // the session has broken off
			if n := len(r.site.log()); n != 1 {
				t.Fatalf("%d sessions", n)
			}
			d.Version, d.Egress.Mode = 2, wire.EgressDryRun
			r.apply(d)
			r.sleep(time.Minute)
			m := r.up.runs()
			if len(m) != 1 || len(m[0].Documents) != 2 {
				t.Fatalf("%+v", m)
			}
			for _, e := range m[0].Documents {
				if e.Status != wire.EntryWithheld || e.ID != "" {
					t.Errorf("%+v", e)
				}
			}
			if len(r.up.docs) != 0 {
				t.Errorf("%d documents left", len(r.up.docs))
			}
		})
	}
}

// An item whose reply has begun is not left out of the next session: it is
// accounted for once.
func TestBegunItemIsNotLeftOut(t *testing.T) {
	big := junos.Item{Name: "big", Size: junos.Large}
	for begun, left := range map[string]int{"big": 1, "other": 0} {
		v := &visit{r: &run{}, id: "edge-01", load: 99, todo: []junos.Item{big}, record: &record{}, half: &answer{item: begun}}
		v.leaveOut(&fleet{})
		if len(v.todo) != left || len(v.r.of("edge-01").entries) != 1-left {
			t.Errorf("with the beginning of %s, %d items are asked for; entries %+v", begun, len(v.todo), v.r.of("edge-01").entries)
		}
	}
}
