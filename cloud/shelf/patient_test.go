package shelf

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lwc/cloud/edp"
	"lwc/cloud/pki"
	"lwc/image/release"
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

// registry is a Store of one release and one box, which is revoked at some time.
type registry struct {
	Store   // what is not asked for
	release edp.Release
	box     edp.Collector
	revoke  time.Time
}

func (r registry) Release(context.Context, string) (edp.Release, error) { return r.release, nil }

func (r registry) Collector(context.Context, string) (edp.Collector, error) {
	if !time.Now().Before(r.revoke) {
		r.box.State = edp.CollectorRevoked
	}
	return r.box, nil
}

// line takes a piece of an answer a second.
type line struct {
	*httptest.ResponseRecorder
}

func (l line) Write(b []byte) (int, error) {
	time.Sleep(time.Second)
	return l.ResponseRecorder.Write(b)
}

// What a box has when it is revoked is cut off in the middle, so that it is not taken
// for the whole file.
func TestARevokedBoxGetsHalf(t *testing.T) {
	const size = 100 * 32 << 10 // a hundred pieces
	authority, err := pki.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := authority.IssueCollector("site-0001", key.Public())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "1.0.0"), 0o700), os.WriteFile(filepath.Join(dir, "1.0.0", release.ManifestName), make([]byte, size), 0o600)); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		s := &Shelf{loads: loads{of: map[string]int{}}, Config: Config{Dir: dir, Logger: slog.New(slog.DiscardHandler), Store: registry{
			release: edp.Release{Manifest: release.Manifest{Version: "1.0.0"}, State: edp.ReleasePublished, Digest: "x"},
			box:     edp.Collector{ID: "site-0001", State: edp.CollectorActive, SPKI: pki.SPKI(cert.RawSubjectPublicKeyInfo)},
			revoke:  time.Now().Add(30 * time.Second)}}}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/releases/1.0.0/"+release.ManifestName, nil)
		r.TLS = &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{cert}}}
		w := line{httptest.NewRecorder()}
		func() {
			defer func() {
				if got := recover(); got != http.ErrAbortHandler {
					t.Errorf("the answer ends with %v", got)
				}
			}()
			s.Handler().ServeHTTP(w, r)
		}()
		if n := w.Body.Len(); w.Code != http.StatusOK || n < size/4 || n > size/2 {
			t.Errorf("%d: it got %d of %d bytes", w.Code, n, size)
		}
		if s.loads.all != 0 {
			t.Error("its place is lost")
		}
	})
}
