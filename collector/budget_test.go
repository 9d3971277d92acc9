package collector

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestBudgetServesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		b := newBudget(10)
		first, _ := b.acquire(ctx, 8)
		var order []string
		go func() {
			l, _ := b.acquire(ctx, 9)
			order = append(order, "large")
			l.release()
		}()
		synctest.Wait()
		go func() {
			l, _ := b.acquire(ctx, 2)
			order = append(order, "small")
			l.release()
		}()
		synctest.Wait()
		if len(order) != 0 {
			t.Fatalf("%v overtook the large request", order)
		}
		first.release()
		synctest.Wait()
		if len(order) != 2 || order[0] != "large" {
			t.Fatalf("order %v", order)
		}
		if used, waits := b.inUse(); used != 0 || waits != 2 {
			t.Fatalf("used %d, waits %d", used, waits)
		}
	})
}

func TestBudgetGivesUpWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(1)
		l, _ := b.acquire(t.Context(), 1)
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errBlocked)
		defer cancel()
		if _, err := b.acquire(ctx, 1); !errors.Is(err, errBlocked) {
			t.Fatalf("error %v", err)
		}
		l.release()
		if used, _ := b.inUse(); used != 0 {
			t.Fatalf("%d in use", used)
		}
		b.setLimit(3)
		for range 3 {
			if _, err := b.acquire(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
		}
	})
}
