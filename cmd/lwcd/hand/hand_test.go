package hand

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"lwc/transport/clock"
)

// clockOf is a clock that sets nothing.
type clockOf struct {
	got []clock.Correction
	err error
}

func (c *clockOf) Set(to clock.Correction) error { c.got = append(c.got, to); return c.err }

// serve answers wishes on a socket until the test ends.
func serve(t *testing.T, c Clock) Remote {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			Serve(conn, c) //nolint:errcheck // the asking side is what is looked at
		}
	}()
	t.Cleanup(func() { l.Close(); <-ended })
	return Remote{path}
}

func TestSetBySocket(t *testing.T) {
	real := &clockOf{}
	now := time.Now()
	r := serve(t, Clock{real, func() bool { return false }, func(at time.Time) bool { return at.After(now.Add(-time.Hour)) }})
	want := clock.Correction{Offset: 3 * time.Hour, Step: true, Distance: time.Millisecond, Poll: time.Minute}
	if err := r.Set(want); err != nil || len(real.got) != 1 || !reflect.DeepEqual(real.got[0], want) {
		t.Errorf("%v, %+v", err, real.got)
	}
	if err := r.Set(clock.Correction{Offset: -2 * time.Hour, Step: true}); err == nil || !strings.Contains(err.Error(), "it cannot be") || len(real.got) != 1 {
		t.Errorf("a time that has passed: %v, %+v", err, real.got)
	}
	if r.Kept() {
		t.Error("kept, and nobody keeps it")
	}
	real.err = fmt.Errorf("%w: here", clock.ErrNotPermitted)
	if err := r.Set(want); !errors.Is(err, clock.ErrNotPermitted) {
		t.Errorf("not permitted: %v", err)
	}
	real.err = errors.New("broken")
	if err := r.Set(want); err == nil || errors.Is(err, clock.ErrNotPermitted) {
		t.Errorf("broken: %v", err)
	}
	if a, err := r.ask(wish{V: 2, Op: wishSet}); err != nil || a.Error == "" {
		t.Errorf("an unknown wish: %+v, %v", a, err)
	}
}

// Nobody there, and somebody who talks nonsense, leave the clock alone.
func TestNobodyServes(t *testing.T) {
	r := Remote{filepath.Join(t.TempDir(), "none")}
	if err := r.Set(clock.Correction{}); err == nil || !r.Kept() {
		t.Errorf("%v", err)
	}
	near, far := net.Pipe()
	ended := make(chan error, 1)
	real := &clockOf{}
	go func() { ended <- Serve(near, Clock{Setter: real}) }()
	if _, err := far.Write([]byte(strings.Repeat("x", maxLine))); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil || len(real.got) > 0 {
		t.Errorf("nonsense: %v, %+v", err, real.got)
	}
}

func FuzzGrant(f *testing.F) {
	f.Add(`{"v":1,"op":"set","correction":{"Offset":1,"Step":true}}`)
	f.Fuzz(func(t *testing.T, line string) {
		var w wish
		if read(strings.NewReader(line+"\n"), &w) != nil {
			return
		}
		real := &clockOf{}
		c := Clock{real, func() bool { return true }, func(time.Time) bool { return false }}
		if a := c.grant(w, time.Unix(0, 0)); len(real.got) > 0 && (w.Correction.Step || a.Error != "") {
			t.Errorf("%+v was done: %+v", w, a)
		}
	})
}
