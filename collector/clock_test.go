package collector

import (
	"testing"
	"testing/synctest"
	"time"
)

// The first welcome sets the time, later ones only where they differ by more than
// their way explains; what is worth an event is told.
func TestClockGoesByTheCloud(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c clock
		if !c.now().Equal(time.Now()) {
			t.Error("before a welcome it is the machine's")
		}
		for _, s := range []struct {
			about      string
			ahead      time.Duration // of what the clock says
			told, stay bool
		}{
			{"the machine is an hour slow", time.Hour, true, false},
			{"the way of a message", clockSlack, false, true},
			{"a drift", 10 * time.Second, false, false},
			{"back again", -time.Hour, true, false},
		} {
			before := c.now()
			step := c.set(before.Add(s.ahead))
			if (step != 0) != s.told || step != 0 && step != s.ahead {
				t.Errorf("%s: step %v", s.about, step)
			}
			if moved := c.now().Sub(before); moved != s.ahead && !(s.stay && moved == 0) {
				t.Errorf("%s: moved by %v", s.about, moved)
			}
			time.Sleep(time.Minute)
			if c.stepped() != 0 {
				t.Errorf("%s: the machine's clock was not set", s.about)
			}
		}
	})
}

// A step of the machine's clock moves nothing, and is told once. (The test moves
// what was known instead: a clock cannot be set in a bubble.)
func TestStepOfTheMachinesClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c clock
		c.set(time.Now())
		before := c.now()
		c.known += time.Hour
		if step := c.stepped(); step != time.Hour {
			t.Errorf("step %v", step)
		}
		if c.stepped() != 0 || !c.now().Equal(before) {
			t.Error("told twice, or moved")
		}
	})
}
