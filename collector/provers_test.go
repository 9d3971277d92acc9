package collector

import (
	"testing"
	"testing/synctest"
	"time"

	"lwc/transport/wire"
)

// A device that does not answer delays the proof by a second, and three of them
// until one has an end; no more log-ins than that are under way unproved.
func TestProversAreFewAndSpaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, k := newLogins(), []login{{"lab", "1", ""}}
		began := time.Now()
		hold := func(when, want time.Duration) {
			t.Helper()
			if v := l.try(k); !v.hold || v.by != "" || v.wait != want || time.Since(began) != when {
				t.Fatalf("after %v: %+v, want %v", time.Since(began), v, want)
			} else if want > 0 {
				if err := v.pause(t.Context()); err != nil || time.Since(began) != when+want {
					t.Fatalf("paused until %v: %v", time.Since(began), err)
				}
			}
		}
		leave := func() {
			t.Helper()
			if v := l.try(k); v.hold || v.by != "" {
				t.Fatalf("after %v: %+v", time.Since(began), v)
			}
		}
		leave()
		hold(0, time.Second)
		leave()
		hold(time.Second, 2*time.Second)
		leave()
		hold(3*time.Second, 0)
		time.Sleep(time.Hour)
		hold(time.Hour+3*time.Second, 0)
		l.report(k, 0, false, "") // one of them was off
		leave()
		hold(time.Hour+3*time.Second, 0)
		l.report(k, 1, false, "")
		for range 10 {
			leave()
		}
	})
}

// Who holds for a result goes on with it, and with the end of the context.
func TestHoldEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, k := newLogins(), []login{{"lab", "1", ""}}
		for range maxProvers {
			l.try(k)
			time.Sleep(time.Minute)
		}
		v, ended := l.try(k), make(chan error, 2)
		ctx, cancel := timeout(t, time.Minute)
		defer cancel()
		go func() { ended <- v.pause(ctx) }()
		synctest.Wait()
		if len(ended) != 0 {
			t.Fatal("nothing was waited for")
		}
		l.report(k, 0, true, "edge-01")
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if v := l.try(k); v.by != "edge-01" || v.stop != k[0] {
			t.Errorf("after the refusal: %+v", v)
		}
		if err := (verdict{hold: true, moved: l.moved}).pause(ctx); err == nil {
			t.Error("the end of the context does not end it")
		}
	})
}

// An AAA server that takes its time to say no says it three times at most.
func TestSlowRefusalsAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		d := r.desired(1, 40)
		d.Credentials["lab"] = r.seal("lab", "1", "wrong")
		for _, dev := range d.Devices {
			r.site.behave[dev.ID] = behaviour{slow: 9 * time.Second}
		}
		r.apply(d)
		_, m := r.collect()
		if n := len(r.site.log()); n != maxProvers || len(m.Devices) != 40 || len(m.Documents) != 80 {
			t.Errorf("%d log-ins, %d devices", n, len(m.Devices))
		}
	})
}

// A silent device that comes first costs the fleet a second, two of them three.
func TestSilentProverCostsASecond(t *testing.T) {
	for silent, most := range map[int]time.Duration{1: 2 * time.Second, 2: 4 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			d := r.desired(1, 20)
			for i := range silent {
				r.site.behave[d.Devices[i].ID] = behaviour{slow: time.Minute}
			}
			// The silent ones are there first.
			r.apply(d)
			ctx := t.Context()
			run := r.c.newRun(ctx, &run{id: wire.NewID(), job: ""})
			began := time.Now()
			for i := range silent {
				r.c.start(ctx, run, d.Devices[i].ID)
				r.sleep(time.Duration(i) * time.Second) // each gets its leave
			}
			for _, dev := range d.Devices[silent:] {
				r.c.start(ctx, run, dev.ID)
			}
			run.seal()
			for r.c.Status().Counters["devices_ok"] < int64(20-silent) && time.Since(began) < time.Hour {
				r.sleep(100 * time.Millisecond)
			}
			if took := time.Since(began); took > most {
				t.Errorf("%d silent: the others were done after %v", silent, took)
			}
			r.sleep(5 * time.Minute)
		})
	}
}
