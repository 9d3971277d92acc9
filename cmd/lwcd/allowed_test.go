package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"lwc/netguard"
	"lwc/transport/secret"
	"lwc/transport/wire"
)

// set is what was allowed last.
type set struct{ list []netguard.Endpoint }

func (s *set) set(list []netguard.Endpoint) error { s.list = list; return nil }

func (s *set) String() string {
	var out []string
	for _, e := range s.list {
		out = append(out, fmt.Sprintf("%s:%d", e.Host, e.Port))
	}
	return strings.Join(out, " ")
}

func tokenFor(id, url string, endpoints ...string) []byte {
	return wire.Token{Sort: wire.EnrolToken, URL: url, ID: id, Secret: secret.FromString("0123456789abcdef"), Endpoints: endpoints}.Encode().Reveal()
}

// What may be dialled is what the last token named that a box without identity was
// given, also after a restart; a token that comes later changes nothing.
func TestListOfTheToken(t *testing.T) {
	f := folder{dir: filepath.Join(t.TempDir(), "state")}
	now := &set{}
	a := &allowed{state: f, set: now.set}
	want := func(what, list string) {
		t.Helper()
		if now.String() != list {
			t.Errorf("%s: %q, want %q", what, now, list)
		}
		again := &set{}
		if err := (&allowed{state: f, set: again.set}).load(); err != nil || again.String() != list {
			t.Errorf("%s, after a restart: %q, %v", what, again, err)
		}
	}
	offer := func(text []byte) {
		t.Helper()
		if err := a.offer(text); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.load(); err != nil {
		t.Fatal(err)
	}
	want("no token", "")
	offer([]byte("lwce1_nonsense"))
	want("no good token", "")
	offer(tokenFor("a", "https://a.example"))
	want("an old token", "a.example:443")
	offer([]byte("lwce1_nonsense"))
	want("then a damaged one", "a.example:443")
	offer(tokenFor("b", "https://b.example:8443", "broker.example:8883"))
	want("another one", "b.example:8443 broker.example:8883")
	if err := a.enrolled(); err != nil {
		t.Fatal(err)
	}
	want("enrolled", "b.example:8443 broker.example:8883")
	for _, who := range []*allowed{a, {state: f, set: now.set}} {
		if err := who.offer(tokenFor("c", "https://thief.example")); !errors.Is(err, errEnrolled) {
			t.Errorf("a token while enrolled: %v", err)
		}
	}
	want("a token while enrolled", "b.example:8443 broker.example:8883")
	if err := os.RemoveAll(f.dir); err != nil {
		t.Fatal(err)
	}
	offer(tokenFor("d", "https://d.example"))
	want("after the folder was emptied", "d.example:443")
}

// An identity without its list is told: nothing else says why nothing is reached.
func TestIdentityWithoutList(t *testing.T) {
	f := folder{dir: filepath.Join(t.TempDir(), "state")}
	if err := errors.Join(f.give(), os.WriteFile(filepath.Join(f.dir, certFile), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	now := &set{}
	if err := (&allowed{state: f, set: now.set}).load(); !errors.Is(err, errNoList) || now.list != nil {
		t.Errorf("%v, %v", now, err)
	}
}

// FuzzList: what lies on the disk may be damaged in any way.
func FuzzList(f *testing.F) {
	f.Add([]byte(`{"token":"t","endpoints":["cloud.example:443","[2001:db8::1]:8883"],"enrolled":true}`))
	f.Add([]byte(`{"endpoints":["cloud.example:0"]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		kept, err := parseList(text)
		if err != nil {
			if kept.Endpoints != nil || kept.Enrolled {
				t.Errorf("%+v with %v", kept, err)
			}
			return
		}
		list, err := endpoints(kept.Endpoints)
		if err != nil || len(list) != len(kept.Endpoints) {
			t.Errorf("%v, %v", list, err)
		}
	})
}

// A token that came while another one was used is not erased with it, and what was
// not asked for is not erased at all.
func TestOnlyTheUsedTokenIsErased(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	enrolled := 0
	file := &tokenFile{path: path, offer: func([]byte) error { return nil }, enrolled: func() error { enrolled++; return nil }}
	put := func(text string) {
		t.Helper()
		if err := errors.Join(os.WriteFile(path+".new", []byte(text), 0o600), os.Rename(path+".new", path)); err != nil {
			t.Fatal(err)
		}
	}
	put("one")
	if err := file.Erase(t.Context()); err == nil || enrolled != 0 {
		t.Errorf("one that was not asked for: %v, enrolled %d", err, enrolled)
	}
	if _, err := file.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	put("another")
	if err := file.Erase(t.Context()); err == nil || enrolled != 1 {
		t.Errorf("another one: %v, enrolled %d", err, enrolled)
	}
	if b, err := os.ReadFile(path); string(b) != "another" {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := file.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := file.Erase(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
	file.offer = func([]byte) error { return errEnrolled }
	put("refused")
	if token, err := file.Read(t.Context()); !errors.Is(err, errEnrolled) || token.Text != nil {
		t.Errorf("a token that was refused is handed out: %v", err)
	}
}

// A half that writes another cloud into its bootstrap reaches nothing more by it,
// neither at once nor after a restart, and its own cloud as before.
func TestHalfCannotWidenTheList(t *testing.T) {
	e := newEnforced(t)
	thief := must[net.Listener](t)(e.site.External.Far.Listen("192.0.2.1:0"))
	var came atomic.Int32
	go func() {
		for {
			c, err := thief.Accept()
			if err != nil {
				return
			}
			came.Add(1)
			c.Close()
		}
	}()
	defer thief.Close()
	e.enrol()
	kept := must[[]byte](t)(os.ReadFile(filepath.Join(e.state(), listFile)))
	path := filepath.Join(e.state(), "bootstrap.json")
	honest := must[[]byte](t)(os.ReadFile(path))
	forged := strings.ReplaceAll(string(honest), e.cloud.addr, thief.Addr().String())
	if err := os.WriteFile(path, []byte(forged), 0o600); err != nil { // the file stays the half's
		t.Fatal(err)
	}
	// A new half, then a new supervisor.
	if err := syscall.Kill(e.half(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	e.sd.await("is started again", "is not on the list")
	e.stop(syscall.SIGTERM)
	e.start()
	e.sd.await("READY=1")
	e.sd.await("is not on the list")
	if !strings.Contains(e.log.String(), "put it into external.allow, or enrol anew") {
		t.Error("nobody is told what to do")
	}
	e.stop(syscall.SIGTERM)
	if n := came.Load(); n != 0 {
		t.Errorf("%d connections to where the half wanted", n)
	}
	if now, err := os.ReadFile(filepath.Join(e.state(), listFile)); string(now) != string(kept) {
		t.Errorf("the list has changed to %s, %v", now, err)
	}
	// What the token named is still reached, also where another token lies.
	if err := os.WriteFile(path, honest, 0o600); err != nil {
		t.Fatal(err)
	}
	e.giveToken(e.cloud.token(func(tok *wire.Token) { tok.Endpoints = []string{thief.Addr().String()} }))
	e.start()
	e.sd.await("welcomed by the cloud")
	e.stop(syscall.SIGTERM)
	if now, err := os.ReadFile(filepath.Join(e.state(), listFile)); string(now) != string(kept) {
		t.Errorf("a second token changed the list to %s, %v", now, err)
	}
}
