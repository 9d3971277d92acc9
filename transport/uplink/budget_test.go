package uplink

import (
	"context"
	"errors"
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

var errPatience = errors.New("no patience left")

// fill streams noise into a lane until the budget is full, and returns the error
// of the context's end.
func fill(ctx context.Context, l *Lane, o *told) error {
	for {
		s, err := l.Stream(ctx, wire.Header{Item: "fill"}, false)
		if err != nil {
			return err
		}
		plain := noise(256 << 10)
		if _, err := s.Write(plain); err != nil {
			s.Abort()
			return err
		}
		if err := s.Commit(wire.Header{SHA256: wire.Digest(plain)}, o.done); err != nil {
			return err
		}
	}
}

func limited(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, d, errPatience)
}

// A full budget makes the writer wait, and tells that it does.
func TestFullBudgetSlowsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u, o := offline(t, 1<<20), new(told)
		u.SetBudget(leastBudget)
		var waits, resumes int
		run := wire.NewID()
		l, err := u.Lane(t.Context(), run, "edge-1", func() func() { waits++; return func() { resumes++ } })
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := limited(t.Context(), time.Minute)
		defer cancel()
		begin := time.Now()
		if err := fill(ctx, l, o); !errors.Is(err, errPatience) || !errors.Is(err, errFull) {
			t.Fatalf("a full budget: %v", err)
		}
		if waits == 0 || waits != resumes || time.Since(begin) != time.Minute {
			t.Errorf("waited %d times, resumed %d times, for %v", waits, resumes, time.Since(begin))
		}
		if used, _, limit := u.Budget(); used > limit || used < limit-256<<10 {
			t.Errorf("%d bytes of %d are in use", used, limit)
		}
		// A document that waits goes on when there is room.
		ended := make(chan error, 1)
		h := small("late", noise(100<<10))
		go func() {
			s, err := l.Stream(t.Context(), h, false)
			if err == nil {
				s.Write(noise(300 << 10))
				err = s.Commit(h, o.done)
			}
			ended <- err
		}()
		synctest.Wait()
		none(t, ended, "a document did not wait")
		for f := take(t, u); f != nil; f = take(t, u) {
			if f.Parts == f.Part+1 {
				stored(u, f.ID)
			}
		}
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		for f := take(t, u); f != nil; f = take(t, u) {
			stored(u, f.ID)
		}
		l.Close()
		checkEmpty(t, u)
	})
}

// Lanes that go on come before new ones; those that give up hold nobody back.
func TestLanesWaitInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := offline(t, 0)
		u.SetBudget(leastBudget)
		run := wire.NewID()
		var lanes []*Lane
		for range leastBudget / 2 / seat {
			lanes = append(lanes, lane(t, u, run))
		}
		var got []int
		var mu sync.Mutex
		enter := func(ctx context.Context, n int) {
			go func() {
				l, err := u.Lane(ctx, run, "edge-1", nil)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					got, lanes = append(got, n), append(lanes, l)
				} else if !errors.Is(err, errPatience) {
					t.Errorf("lane %d: %v", n, err)
				}
			}()
			synctest.Wait()
		}
		enter(t.Context(), 1)
		ctx, cancel := limited(t.Context(), time.Second)
		defer cancel()
		enter(ctx, 2)
		enter(t.Context(), 3)
		if len(got) != 0 {
			t.Fatalf("lanes %v took more than half of the budget", got)
		}
		time.Sleep(2 * time.Second)
		for range 2 {
			mu.Lock()
			l := lanes[0]
			lanes = lanes[1:]
			mu.Unlock()
			l.Close()
			synctest.Wait()
		}
		mu.Lock()
		defer mu.Unlock()
		if fmt.Sprint(got) != "[1 3]" {
			t.Errorf("lanes came in as %v", got)
		}
		for _, l := range lanes {
			l.Close()
		}
		checkEmpty(t, u)
	})
}

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
	cloudOf(t, u, rand.New(rand.NewPCG(seed, 1000)), done)
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
func cloudOf(t *testing.T, u *Uplink, r *rand.Rand, done <-chan struct{}) {
	begin := time.Now()
	var owed []wire.Receipt
	for step := 0; ; step++ {
		if used, _, limit := u.Budget(); used > limit+wire.MaxFrame+seat {
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

// After the blocked time-out, documents of older runs make room: the oldest run's
// largest first, no more than needed, never of the same run.
func TestOlderRunsMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u, o := offline(t, 1<<20), new(told)
		u.SetBudget(leastBudget)
		first, second, third := runAt(1), runAt(2), runAt(3)
		ids := map[string]string{}
		for _, c := range []struct {
			name, run string
			size      int
		}{{"first small", first, 200}, {"first large", first, 900}, {"second", second, 3000}, {"third", third, 3000}} {
			l := lane(t, u, c.run)
			id, err := stream(t, l, noise(c.size<<10), false, o)
			if err != nil {
				t.Fatal(err)
			}
			l.Close()
			ids[c.name] = id
		}
		if _, err := u.PublishRun(t.Context(), wire.Manifest{Run: first}, nil); !errors.Is(err, ErrNoWelcome) {
			t.Fatal(err)
		}
		l := lane(t, u, third)
		begin := time.Now()
		if _, err := stream(t, l, noise(1300<<10), false, o); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(begin); d != blockedTimeout {
			t.Errorf("waited for %v", d)
		}
		for name, id := range ids {
			d := o.of(t, id)
			if want := name == "first large"; want != (d != nil) || want && (d.Status != wire.Dropped || d.Code != codeBudget) {
				t.Errorf("%s: %+v", name, d)
			}
		}
		// Within one run it ends with the writer's patience.
		l2 := lane(t, u, first)
		ctx, cancel := limited(t.Context(), time.Hour)
		defer cancel()
		if _, err := l2.Stream(ctx, wire.Header{}, false); err != nil {
			t.Fatal(err)
		}
		if err := fill(ctx, l2, o); !errors.Is(err, errPatience) {
			t.Errorf("the oldest run: %v", err)
		}
		if d := o.of(t, ids["first small"]); d != nil {
			t.Errorf("a document of the writer's own run: %+v", d)
		}
	})
}

func runAt(sec int64) string {
	return wire.RunID(collectorID, "daily", time.Unix(1_800_000_000+sec, 0))
}

func TestMemoryOfAFleetFits(t *testing.T) {
	const devices, items = 10_000, 30
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	m := newMemory()
	sum := wire.Digest(nil)
	for d := range devices {
		for i := range items {
			m.learn(m.facetOf(fmt.Sprint(d), fmt.Sprint(i), sum))
		}
	}
	used := heap() - before
	t.Logf("%d documents are remembered in %d KiB", len(m.known), used>>10)
	if len(m.known) != devices*items || used > 16<<20 {
		t.Errorf("%d documents in %d bytes", len(m.known), used)
	}
	if !m.same(m.facetOf("17", "3", sum)) || m.same(m.facetOf("17", "3", wire.Digest([]byte("x")))) || m.same(m.facetOf("173", "", sum)) {
		t.Error("the memory is wrong")
	}
	if f := m.facetOf("x", "y", ""); m.same(f) {
		t.Error("no hash is known")
	}
	for i := range maxFacets + 10 {
		m.learn(m.facetOf("more", fmt.Sprint(i), sum))
	}
	if len(m.known) > maxFacets {
		t.Errorf("%d documents are remembered", len(m.known))
	}
	runtime.KeepAlive(m)
}
