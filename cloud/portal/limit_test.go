package portal

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l limiter
		spend := func(name, addr string) (n int) {
			for ; n < 1000; n++ {
				if _, ok := l.take(name, addr); !ok {
					return n
				}
			}
			return n
		}
		if n := spend("ada", "192.0.2.1:1000"); n != nameBurst {
			t.Errorf("%d attempts for one name", n)
		}
		if n := spend("ada", "192.0.2.2:1000"); n != 0 {
			t.Errorf("%d more from another address", n)
		}
		time.Sleep(nameEvery)
		if n := spend("ada", "192.0.2.1:2000"); n != 1 {
			t.Errorf("%d after a while", n)
		}
		if n := spend("", "[2001:db8::1]:1"); n != addressBurst {
			t.Errorf("%d attempts for one address", n)
		}
		if n := spend("", "[2001:db8::2]:1"); n != 0 {
			t.Errorf("%d more from the same /64", n)
		}
		a, ok := l.take("bob", "192.0.2.9:1")
		if !ok {
			t.Fatal("refused")
		}
		a.refund()
		if n := spend("bob", "192.0.2.9:1"); n != nameBurst {
			t.Errorf("%d attempts after a refund", n)
		}
	})
}

func TestLimiterIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l limiter
		for i := range 2 * maxSeen {
			l.take(fmt.Sprint("n", i), fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255))
		}
		if len(l.seen) > maxSeen {
			t.Errorf("%d allowances are kept", len(l.seen))
		}
		var long limiter
		long.take(strings.Repeat("x", 1<<20), "192.0.2.1:1")
		for key := range long.seen {
			if len(key) > 100 {
				t.Errorf("a name of %d bytes is kept", len(key))
			}
		}
		time.Sleep(time.Hour)
		if _, ok := l.take("ada", "192.0.2.1:1"); !ok || len(l.seen) > 10 {
			t.Errorf("an hour later: allowed %v, %d kept", ok, len(l.seen))
		}
	})
}
