package uplink

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"lwc/transport/wire"
)

// Whatever happens, someone can go on, and the budget is exceeded by one frame at
// most: writers of all sorts against a cloud that answers late, out of order and
// not at all until a reconnect.
func TestBudgetNeverLocksUp(t *testing.T) {
	for seed := range uint64(8) {
		synctest.Test(t, func(t *testing.T) { crowd(t, seed) })
	}
}

func crowd(t *testing.T, seed uint64) {
	u, o := offline(t, 300<<10), new(told)
	u.out.limit = 2 << 20
	run := wire.NewID()
	var accepted atomic.Int64
	var wg sync.WaitGroup
	for n := range 40 {
		wg.Go(func() { visit(t, u, run, rand.New(rand.NewPCG(seed, uint64(n))), o, &accepted) })
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	cloudOf(t, u, rand.New(rand.NewPCG(seed, 1000)), u.out.limit+wire.MaxFrame+seat, done)
	u.DropHeld(run)
	o.mu.Lock()
	defer o.mu.Unlock()
	if int64(len(o.m)) != accepted.Load() {
		t.Errorf("%d documents were taken over, %d were told", accepted.Load(), len(o.m))
	}
	for id, ds := range o.m {
		if len(ds) != 1 {
			t.Errorf("%s was told %d times", id, len(ds))
		}
	}
	checkEmpty(t, u)
}

// The budget may be made smaller than what is in hand: one after the other goes
// on beyond it, and none waits for ever.
func TestShrunkBudgetLetsOneGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u, o := offline(t, 300<<10), new(told)
		run := wire.NewID()
		var lanes []*Lane
		for range 80 {
			lanes = append(lanes, lane(t, u, run))
		}
		u.SetBudget(leastBudget)
		var wg sync.WaitGroup
		for _, l := range lanes {
			wg.Go(func() {
				for range 3 {
					if _, err := stream(t, l, noise(200<<10), false, o); err != nil {
						t.Error(err)
					}
					add(t, l, "small", noise(100<<10), false, o)
				}
				l.Close()
			})
		}
		done := make(chan struct{})
		go func() { wg.Wait(); close(done) }()
		cloudOf(t, u, rand.New(rand.NewPCG(1, 2)), 80*seat+2*seat+80*docCost, done)
		if len(o.m) != 80*6 {
			t.Errorf("%d documents were told", len(o.m))
		}
		checkEmpty(t, u)
	})
}

// visit collects documents of all sorts.
func visit(t *testing.T, u *Uplink, run string, r *rand.Rand, o *told, accepted *atomic.Int64) {
	l, err := u.Lane(t.Context(), run, fmt.Sprint(r.Int()), nil)
	if err != nil {
		t.Error(err)
		return
	}
	defer l.Close()
	for range 12 {
		time.Sleep(time.Duration(r.IntN(100)) * time.Millisecond)
		plain := make([]byte, r.IntN(seat))
		for i := range plain {
			plain[i] = byte(r.Uint32())
		}
		h, hold := small("item", plain), r.IntN(8) == 0
		if r.IntN(3) > 0 {
			if err := l.Add(t.Context(), h, plain, hold, o.done); err != nil {
				t.Error(err)
			}
			accepted.Add(1)
			continue
		}
		s, err := l.Stream(t.Context(), h, hold)
		if err != nil {
			t.Error(err)
			return
		}
		for range r.IntN(8) {
			s.Write(plain)
		}
		if r.IntN(4) == 0 {
			s.Abort()
			continue
		}
		if err := s.Commit(h, o.done); err != nil {
			t.Error(err)
		}
		accepted.Add(1)
	}
}

// cloudOf answers what leaves, until all visits are over and nothing is left.
func cloudOf(t *testing.T, u *Uplink, r *rand.Rand, most int64, done <-chan struct{}) {
	begin := time.Now()
	var owed []wire.Receipt
	for step := 0; ; step++ {
		if used, _, limit := u.Budget(); used > most {
			t.Fatalf("%d bytes of %d are in use", used, limit)
		}
		select {
		case <-done:
			u.out.mu.Lock()
			left := u.out.moving
			u.out.mu.Unlock()
			if left == 0 {
				return
			}
		default:
		}
		if time.Since(begin) > 24*time.Hour {
			buf := make([]byte, 1<<16)
			t.Fatalf("locked up: %+v\n%s", u.out.budget, buf[:runtime.Stack(buf, true)])
		}
		f, wait := u.out.next(time.Now())
		if f == nil {
			time.Sleep(min(wait, 50*time.Millisecond))
		} else {
			whole := r.IntN(10) > 0
			h, body, err := wire.ParseFrame(f.bytes)
			if err != nil {
				t.Fatal(err)
			}
			u.out.sent(f, time.Now(), whole)
			if whole {
				owed = append(owed, answers(t, h, body)...)
			}
		}
		if r.IntN(50) == 0 {
			u.out.anew()
			owed = nil
		}
		if len(owed) > 0 && (f == nil || r.IntN(3) == 0) {
			i := r.IntN(len(owed))
			settle(u, owed[i])
			owed = append(owed[:i], owed[i+1:]...)
		}
	}
}

// answers is what a cloud says to a frame.
func answers(t *testing.T, h wire.Header, body []byte) (out []wire.Receipt) {
	if len(h.Docs) > 0 {
		for _, d := range h.Docs {
			st := wire.Stored
			for _, f := range d.Flags {
				if f == wire.FlagHeld {
					st = wire.Offered
				}
			}
			out = append(out, wire.Receipt{ID: d.ID, Status: st})
		}
		return out
	}
	if h.Parts == h.Part+1 {
		return []wire.Receipt{{ID: h.ID, Status: wire.Stored}}
	}
	return []wire.Receipt{{ID: h.ID, Status: wire.Kept, Parts: h.Part + 1}}
}
