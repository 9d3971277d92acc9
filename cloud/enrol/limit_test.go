package enrol

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestOnlyTheAddressThatFailsHasToWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter()
		for i := range freeFailures {
			if w := l.wait("192.0.2.1"); w != 0 {
				t.Fatalf("waits %v after %d failures", w, i)
			}
			l.failed("192.0.2.1")
		}
		l.failed("192.0.2.1")
		if w := l.wait("192.0.2.1"); w != perFailure {
			t.Errorf("waits %v, want %v", w, perFailure)
		}
		if w := l.wait("192.0.2.2"); w != 0 {
			t.Errorf("another address waits %v", w)
		}
		time.Sleep(perFailure)
		if w := l.wait("192.0.2.1"); w != 0 {
			t.Errorf("still waits %v", w)
		}
	})
}

func TestTheLimiterDoesNotGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter()
		for i := range maxPeers + 100 {
			l.failed(fmt.Sprint(i))
		}
		if len(l.until) > maxPeers {
			t.Fatalf("%d addresses", len(l.until))
		}
		time.Sleep(2 * perFailure)
		l.failed("new")
		if len(l.until) != 1 {
			t.Fatalf("%d addresses are kept after their failures leaked", len(l.until))
		}
	})
}
