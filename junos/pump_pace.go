package junos

import "time"

// pace is how fast a reply must come: no wait for bytes may last as long as stall,
// and no reply may use up its patience. That is two stalls at first and at most;
// waits use it up, and bytes buy it back at the rate. A device that pauses between
// the parts of a small reply, for one engine after the other, is thus borne, and
// one that drips is not. Only the time in which the session waits for the device
// counts, not that in which the caller does other things. The wait for the first
// byte of a reply is the device's to think and has no rate.
type pace struct {
	stall time.Duration
	rate  int64

	begun    bool          // the reply's first byte has come
	patience time.Duration // what is left of it, without the wait under way
}

// restart begins with the next reply.
func (p *pace) restart() { p.begun = false }

// check judges a wait that has lasted so long, and returns when to look again.
func (p *pace) check(lasted time.Duration) (time.Duration, error) {
	if lasted >= p.stall {
		return 0, errStall
	}
	if !p.begun {
		return p.stall - lasted, nil
	}
	if lasted >= p.patience {
		return 0, errSlow
	}
	return min(p.stall, p.patience) - lasted, nil
}

// came notes what a wait brought.
func (p *pace) came(n int, lasted time.Duration) {
	if !p.begun {
		p.begun, p.patience = true, 2*p.stall
		return
	}
	bought := time.Duration(float64(n) / float64(p.rate) * float64(time.Second))
	p.patience = min(p.patience-lasted+bought, 2*p.stall)
}

// alarm is one timer for all waits of a session. It is left to run when a wait
// ends, which nearly all do at once; who waits then looks at the clock.
type alarm struct {
	timer *time.Timer
	rang  chan struct{}
	at    time.Time // zero: not set
}

func newAlarm() alarm {
	rang := make(chan struct{}, 1)
	t := time.AfterFunc(time.Hour, func() {
		select {
		case rang <- struct{}{}:
		default:
		}
	})
	t.Stop()
	return alarm{timer: t, rang: rang}
}

// set makes it ring in d at the latest.
func (a *alarm) set(now time.Time, d time.Duration) {
	at := now.Add(d)
	if a.at.IsZero() || at.Before(a.at) {
		a.at = at
		a.timer.Reset(d)
	}
}
