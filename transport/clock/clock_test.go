package clock

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fakeClock is a machine's clock that runs away by drift seconds a second. It
// knows the true time, which is that of the bubble.
type fakeClock struct {
	mu     sync.Mutex
	behind time.Duration // what has to be added to be right
	drift  float64
	last   time.Time
	refuse error
	set    []Correction
}

func (f *fakeClock) offset() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.run()
}

func (f *fakeClock) run() time.Duration {
	now := time.Now()
	if !f.last.IsZero() {
		f.behind += time.Duration(f.drift * float64(now.Sub(f.last)))
	}
	f.last = now
	return f.behind
}

// Set slews at once: that it takes its time is the kernel's business.
func (f *fakeClock) Set(c Correction) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.run()
	if f.refuse != nil {
		return f.refuse
	}
	f.behind -= c.Offset
	f.set = append(f.set, c)
	return nil
}

// lab runs a Clock against servers that answer with the fake clock's offset and
// an error of their own.
type lab struct {
	*Clock
	fake    *fakeClock
	answers map[string]func() (sample, error) // on top of the truth
	mu      sync.Mutex
	reports []Report
	asked   []time.Duration
	began   time.Time
}

func newLab(t *testing.T, fake *fakeClock, answers map[string]func() (sample, error)) *lab {
	t.Helper()
	l := &lab{fake: fake, answers: answers, began: time.Now()}
	c := Config{Setter: fake, Report: func(r Report) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.reports = append(l.reports, r)
	}}
	for name := range answers {
		c.Servers = append(c.Servers, name+":123")
	}
	c.Dial = new(net.Dialer).DialContext // never used: ask is replaced
	k, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	l.Clock = k
	k.ask = func(_ context.Context, s *server) (sample, error) {
		l.mu.Lock()
		l.asked = append(l.asked, time.Since(l.began))
		l.mu.Unlock()
		a, err := answers[strings.TrimSuffix(s.address, ":123")]()
		a.offset += fake.offset()
		return a, err
	}
	return l
}

func (l *lab) runFor(t *testing.T, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	if err := l.Run(ctx); err != nil {
		t.Error(err)
	}
}

func says(off, distance time.Duration) func() (sample, error) {
	return func() (sample, error) { return sample{off, distance, 2}, nil }
}

func fails(err error) func() (sample, error) {
	return func() (sample, error) { return sample{}, err }
}

// A clock that is right within a drift of 30 ppm is asked for ever more rarely,
// up to 1024 s, and slewed each time.
func TestDiscipline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &fakeClock{drift: 10e-6}
		l := newLab(t, fake, map[string]func() (sample, error){"a": says(0, 10*time.Millisecond)})
		l.runFor(t, 12*time.Hour)
		if n := len(l.asked); n < 40 || n > 60 {
			t.Errorf("12 hours took %d questions, want one in 1024 s in the end", n)
		}
		if first, last := l.reports[0].Next, l.reports[len(l.reports)-1].Next; first != minPoll || last != maxPoll {
			t.Errorf("the time between rounds went from %v to %v", first, last)
		}
		for _, r := range l.reports {
			if r.Action != Slewed || r.Offset.Abs() > 15*time.Millisecond {
				t.Fatalf("round: %+v", r)
			}
		}
		if off := fake.offset().Abs(); off > 15*time.Millisecond {
			t.Errorf("the clock is off by %v in the end", off)
		}
	})
}

// A clock that is far off is stepped, once a second round has said the same two
// seconds later; then it is asked often.
func TestStepIsConfirmed(t *testing.T) {
	for _, off := range []time.Duration{-3 * time.Hour, 501 * time.Millisecond, 20 * 365 * 24 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			fake := &fakeClock{behind: off}
			l := newLab(t, fake, map[string]func() (sample, error){"a": says(0, 10*time.Millisecond)})
			l.runFor(t, minPoll)
			if len(l.reports) != 2 || l.reports[0].Action != Confirm || l.reports[1].Action != Stepped || l.reports[1].Offset != off {
				t.Fatalf("%v: rounds %+v", off, l.reports)
			}
			if len(fake.set) != 1 || !fake.set[0].Step || fake.offset() != 0 || l.asked[1] != confirmAfter {
				t.Errorf("%v: corrections %+v, asked at %v", off, fake.set, l.asked)
			}
		})
	}
}

// Answers that are far off move nothing unless one follows the other and says
// the same.
func TestOneLieIsNotBelieved(t *testing.T) {
	for name, lies := range map[string]map[int]func() (sample, error){
		"once":              {3: says(time.Hour, 10*time.Millisecond)},
		"twice differently": {3: says(time.Hour, 10*time.Millisecond), 4: says(2*time.Hour, 10*time.Millisecond)},
		"with a gap":        {3: says(time.Hour, 10*time.Millisecond), 4: fails(errAbsurd), 5: says(time.Hour, 10*time.Millisecond)},
	} {
		synctest.Test(t, func(t *testing.T) {
			fake, n := &fakeClock{}, 0
			l := newLab(t, fake, map[string]func() (sample, error){"a": func() (sample, error) {
				n++
				if lie, ok := lies[n]; ok {
					return lie()
				}
				return sample{0, 10 * time.Millisecond, 2}, nil
			}})
			l.runFor(t, 10*time.Minute)
			for _, c := range fake.set {
				if c.Step || c.Offset != 0 {
					t.Errorf("%s: the clock was corrected by %+v", name, c)
				}
			}
			if l.reports[2].Action != Confirm {
				t.Errorf("%s: the lie: %+v", name, l.reports[2])
			}
		})
	}
}

func TestMajority(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name    string
		answers map[string]func() (sample, error)
		offset  time.Duration
		err     error
		liars   string
	}{
		{"three agree", map[string]func() (sample, error){"a": says(10*ms, 20*ms), "b": says(12*ms, 20*ms), "c": says(8*ms, 20*ms)}, 10 * ms, nil, ""},
		{"one of three lies", map[string]func() (sample, error){"a": says(10*ms, 20*ms), "b": says(10*ms, 20*ms), "c": says(time.Hour, ms)}, 10 * ms, nil, "c:123"},
		{"two of five lie, each alone", map[string]func() (sample, error){"a": says(ms, 20*ms), "b": says(ms, 20*ms), "c": says(ms, 20*ms), "d": says(time.Hour, ms), "e": says(-time.Hour, ms)}, ms, nil, "d:123 e:123"},
		{"two contradict", map[string]func() (sample, error){"a": says(0, ms), "b": says(time.Hour, ms)}, 0, errNoAgreement, ""},
		{"two against two", map[string]func() (sample, error){"a": says(0, ms), "b": says(0, ms), "c": says(time.Minute, ms), "d": says(time.Minute, ms)}, 0, errNoAgreement, ""},
		{"all differ", map[string]func() (sample, error){"a": says(0, ms), "b": says(time.Minute, ms), "c": says(time.Hour, ms)}, 0, errNoAgreement, ""},
		{"one answers", map[string]func() (sample, error){"a": says(5*ms, ms), "b": fails(errAbsurd), "c": fails(errAbsurd)}, 5 * ms, nil, "b:123 c:123"},
		{"nobody answers", map[string]func() (sample, error){"a": fails(errAbsurd), "b": fails(errNotAsked)}, 0, errNoAnswer, ""},
		{"many that are unsure", map[string]func() (sample, error){"a": says(0, 10*ms), "b": says(100*ms, 95*ms), "c": says(100*ms, 95*ms)}, 10 * ms, nil, ""},
		{"the surer one weighs more", map[string]func() (sample, error){"a": says(0, 10*ms), "b": says(40*ms, 90*ms)}, 4 * ms, nil, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, &fakeClock{}, tt.answers)
			r := l.round(t.Context())
			var liars []string
			for _, s := range r.Servers {
				if s.Err != nil {
					liars = append(liars, s.Server)
				} else if s.Used != (tt.err == nil) {
					t.Errorf("%s: %+v", tt.name, s)
				}
			}
			if !errors.Is(r.Err, tt.err) || (r.Offset-tt.offset).Abs() > 10*time.Microsecond {
				t.Errorf("%s: %v (%v), want %v (%v)", tt.name, r.Offset, r.Err, tt.offset, tt.err)
			}
			for _, want := range strings.Fields(tt.liars) {
				if !strings.Contains(fmt.Sprint(liars), want) {
					t.Errorf("%s: %v are not listened to, want %s", tt.name, liars, tt.liars)
				}
			}
		})
	}
}

// Where the clock may not be set the offset is told all the same.
func TestNotPermitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &fakeClock{behind: time.Hour, refuse: fmt.Errorf("%w: no CAP_SYS_TIME", ErrNotPermitted)}
		l := newLab(t, fake, map[string]func() (sample, error){"a": says(0, 10*time.Millisecond)})
		l.runFor(t, 10*time.Minute)
		last := l.reports[len(l.reports)-1]
		if last.Action != Told || last.Offset != time.Hour || last.Err != nil {
			t.Errorf("round: %+v", last)
		}
	})
}

// While nobody answers, the questions become rare; while nothing can be sent at
// all, it is tried every few seconds.
func TestSilence(t *testing.T) {
	for _, tt := range []struct {
		err   error
		asked int
	}{{errAbsurd, 7}, {errNotAsked, 450}} { // 0, 64, 192, 448, 960, 1984, 3008 s
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, &fakeClock{}, map[string]func() (sample, error){"a": fails(tt.err)})
			l.runFor(t, time.Hour-time.Second)
			if len(l.asked) != tt.asked {
				t.Errorf("%v: asked %d times in an hour, want %d", tt.err, len(l.asked), tt.asked)
			}
		})
	}
}

// RFC 5905 section 7.4: DENY and RSTR are obeyed for good, RATE by asking less.
func TestKissOfDeath(t *testing.T) {
	for code, asked := range map[string]int{"DENY": 1, "RSTR": 1, "RATE": 6, "INIT": 7} {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, &fakeClock{}, map[string]func() (sample, error){"a": nil})
			n := 0
			l.ask = func(_ context.Context, s *server) (sample, error) {
				n++
				return sample{}, s.kissed(code, time.Now())
			}
			l.runFor(t, time.Hour)
			if n != asked {
				t.Errorf("%s: asked %d times in an hour, want %d", code, n, asked)
			}
			if r := l.reports[0]; r.Err == nil || !strings.Contains(r.Err.Error(), code) {
				t.Errorf("%s: %+v", code, r)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	for _, servers := range [][]string{nil, {"192.0.2.1"}, make([]string, maxServers+1)} {
		if _, err := New(Config{Dial: new(net.Dialer).DialContext, Servers: servers}); err == nil {
			t.Errorf("%d servers %q are taken", len(servers), servers)
		}
	}
}

// What the kernel is told: whole seconds and a fraction that is not negative.
func TestTimex(t *testing.T) {
	for off, want := range map[time.Duration][2]int64{
		1500 * time.Millisecond:  {1, 500_000_000},
		-1500 * time.Millisecond: {-2, 500_000_000},
		-time.Hour:               {-3600, 0},
		-time.Nanosecond:         {-1, 999_999_999},
	} {
		x := timex(Correction{Offset: off, Step: true, Distance: 3 * time.Millisecond})
		if got := [2]int64{int64(x.Time.Sec), int64(x.Time.Usec)}; got != want || x.Modes&adjSetOffset == 0 || x.Modes&adjOffset != 0 || x.Maxerror != 3000 {
			t.Errorf("stepping %v: %+v", off, x)
		}
	}
	for off, want := range map[time.Duration]int64{7 * time.Millisecond: 7e6, -7 * time.Millisecond: -7e6, time.Hour: 5e8} {
		x := timex(Correction{Offset: off, Poll: maxPoll})
		if int64(x.Offset) != want || x.Modes&adjSetOffset != 0 || x.Modes&(adjOffset|adjNano) != adjOffset|adjNano || x.Constant != 6 || x.Status != staPLL {
			t.Errorf("slewing %v: %+v", off, x)
		}
	}
	if x := timex(Correction{Poll: minPoll}); x.Constant != 2 {
		t.Errorf("the constant of 64 s is %d", x.Constant)
	}
}
