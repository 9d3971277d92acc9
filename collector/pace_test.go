package collector

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lwc/transport/wire"
)

// The log-ins of one credential keep their distance, and those of another do not
// wait for them.
func TestLoginsArePaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		d := r.desired(1, 40)
		d.Limits = wire.CollectLimits{LoginsPerSecond: 2, Concurrency: 4}
		d.Credentials["own"] = r.seal("own", "1", "right")
		d.Devices[39].Credential = "own"
		r.apply(d)
		began := time.Now()
		r.collect()
		var at []time.Duration
		for _, dial := range r.site.log() {
			if dial.device != "edge-40" {
				at = append(at, dial.at.Sub(began))
			} else if dial.at.Sub(began) > time.Second {
				t.Errorf("the other credential waited %v", dial.at.Sub(began))
			}
		}
		for i := 1; i < len(at); i++ {
			if gap := at[i] - at[i-1]; gap < 499*time.Millisecond || gap > time.Second {
				t.Errorf("log-in %d came %v after the one before", i, gap)
			}
		}
		if len(at) != 39 {
			t.Errorf("%d log-ins", len(at))
		}
	})
}

func TestPaceIsATokenBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace()
		p.setRate(50)
		began := time.Now()
		time.Sleep(time.Minute) // a line that stood still
		n := 0
		for time.Since(began) < time.Minute+10*time.Second {
			ticket, err := p.enter(t.Context(), "lab")
			if err != nil {
				t.Fatal(err)
			}
			ticket.use()
			ticket.leave()
			n++
		}
		if n < 499 || n > 506 {
			t.Errorf("%d log-ins in ten seconds at 50 a second", n)
		}
	})
}

// A bastion at its limit is left alone for a minute, by all devices behind it.
func TestThrottledBastionIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		d := r.desired(1, 12)
		d.Bastions = map[string]wire.Bastion{"jump": {Address: "192.0.2.99", Credential: "lab", HostKeys: []string{testKey}, MaxSessions: 2}}
		began := time.Now()
		for i := range 10 {
			d.Devices[i].Bastions = []string{"jump"}
			r.site.behave[d.Devices[i].ID] = behaviour{dial: func(int) error {
				if time.Since(began) < 30*time.Second {
					return &dialError{phase: "key-exchange", kind: "bastion-throttled", hop: "jump"}
				}
				return nil
			}}
		}
		r.apply(d)
		_, m := r.collect()
		early := 0
		for _, dial := range r.site.log() {
			if at := dial.at.Sub(began); len(dial.target.Via) > 0 && at < time.Minute {
				early++
			}
		}
		if early > 2 {
			t.Errorf("%d dials through a bastion that said no", early)
		}
		for _, d := range m.Devices {
			if !d.OK {
				t.Errorf("%+v", d)
			}
		}
	})
}

// After a throttle half as many go through a bastion, and all again when it has
// borne that for as long as it takes.
func TestBastionRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBastions()
		f := &fleet{devices: map[string]*device{"edge-01": {via: []hop{{id: "jump", Bastion: wire.Bastion{MaxSessions: 8}}}}}}
		limit := func() int64 { return b.on(f, "edge-01")[0].use.limit }
		if got := limit(); got != 8 {
			t.Fatalf("at first %d", got)
		}
		b.throttled("jump")
		b.throttled("jump") // of the same moment
		if got := limit(); got != 4 {
			t.Errorf("after a throttle %d", got)
		}
		b.passed("jump")
		time.Sleep(2 * time.Minute)
		b.throttled("jump")
		if got := limit(); got != 2 {
			t.Errorf("after the second %d", got)
		}
		for _, want := range []int64{4, 8, 8} {
			time.Sleep(3 * time.Minute)
			b.passed("jump")
			b.passed("jump")
			if got := limit(); got != want {
				t.Errorf("recovering: %d, want %d", got, want)
			}
		}
	})
}

// What refuses at a bastion is a refusal like any other.
func TestRefusalsOfBastions(t *testing.T) {
	for _, kind := range []string{"bastion-auth", "auth-locked-out", "bastion-auth-locked-out"} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			hop := "edge-01"
			if strings.HasPrefix(kind, "bastion-") {
				hop = "jump"
			}
			d := r.desired(1, 2)
			d.Bastions = map[string]wire.Bastion{"jump": {Address: "192.0.2.99", Credential: "lab", HostKeys: []string{testKey}}}
			for i := range 2 {
				d.Devices[i].Bastions = []string{"jump"}
				r.site.behave[d.Devices[i].ID] = behaviour{dial: func(int) error { return &dialError{phase: "auth", kind: kind, hop: hop} }}
			}
			r.apply(d)
			_, m := r.collect()
			kinds := []string{m.Devices[0].Kind, m.Devices[1].Kind}
			slices.Sort(kinds)
			if len(r.site.log()) != 1 || !slices.Equal(kinds, slices.Sorted(slices.Values([]string{kind, kindNotTried}))) {
				t.Errorf("%d dials, %v", len(r.site.log()), kinds)
			}
		})
	}
}
