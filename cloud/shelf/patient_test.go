package shelf

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A box that is revoked while it loads is stopped soon.
func TestARevokedBoxIsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		revoked := errors.New("revoked")
		var now error
		looked := 0
		w := httptest.NewRecorder()
		p := &patient{ResponseWriter: w, control: http.NewResponseController(w), next: time.Now().Add(recheck),
			still: func() error { looked++; return now }}
		began := time.Now()
		for i := 0; ; i++ {
			if i == 30 {
				now = revoked
			}
			if _, err := p.ReadFrom(strings.NewReader("x")); err != nil {
				if !errors.Is(err, revoked) || !errors.Is(p.stopped, revoked) {
					t.Errorf("%v", err)
				}
				break
			}
			time.Sleep(time.Second)
			if i > 100 {
				t.Fatal("it goes on")
			}
		}
		if took := time.Since(began); took < 30*time.Second || took > 30*time.Second+recheck+2*time.Second {
			t.Errorf("it took %v", took)
		}
		if looked > 5 {
			t.Errorf("it was looked up %d times", looked)
		}
	})
}

// One box has few places, all together have no more than there are, and a place that is
// given back is free.
func TestPlacesToLoad(t *testing.T) {
	l := loads{of: map[string]int{}}
	took := func(id string, tries int) (n int) {
		for range tries {
			if l.begin(id) {
				n++
			}
		}
		return n
	}
	if n := took("greedy", 100); n != loadsOfOne {
		t.Errorf("one box has %d places", n)
	}
	all := loadsOfOne
	for i := range 100 {
		all += took(fmt.Sprint(i), 2)
	}
	if all != loadsAtOnce {
		t.Errorf("all have %d places", all)
	}
	l.end("greedy")
	if n := took("late", 2); n != 1 {
		t.Errorf("%d places are free", n)
	}
	for len(l.of) > 0 {
		for id := range l.of {
			l.end(id)
		}
	}
	if l.all != 0 {
		t.Errorf("%d places are lost", l.all)
	}
}
