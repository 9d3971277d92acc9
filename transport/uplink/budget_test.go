package uplink

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
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
		if n := u.Delivery().Dropped; n != 1 {
			t.Errorf("%d documents were dropped, some of the writer's own run", n)
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
