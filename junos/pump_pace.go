package junos

import "time"

// pace is how fast a reply must come: no wait for bytes may last as long as
// stall, and all waits that together last as long must bring rate bytes a second.
// Only the time in which the session waits for the device counts, not that in
// which the caller does other things. The wait for the first byte of a reply is
// the device's to think and has no rate.
type pace struct {
	stall time.Duration
	rate  int64

	begun  bool          // the reply's first byte has come
	waited time.Duration // since the window began, without the wait under way
	bytes  int64         // that came since
}

// restart begins with the next reply.
func (p *pace) restart() { p.begun, p.waited, p.bytes = false, 0, 0 }

// check judges a wait that has lasted so long, and returns when to look again.
func (p *pace) check(lasted time.Duration) (time.Duration, error) {
	if lasted >= p.stall {
		return 0, errStall
	}
	if p.begun && p.waited+lasted >= p.stall {
		if p.bytes < int64(float64(p.rate)*p.stall.Seconds()) {
			return 0, errSlow
		}
		p.waited, p.bytes = -lasted, 0
	}
	if p.begun {
		return p.stall - max(lasted, p.waited+lasted), nil
	}
	return p.stall - lasted, nil
}

// came notes what a wait brought.
func (p *pace) came(n int, lasted time.Duration) {
	if !p.begun {
		p.begun = true
		return
	}
	p.waited += lasted
	p.bytes += int64(n)
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
