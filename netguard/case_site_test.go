package netguard

import (
	"context"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"lwc/netguard/netguardtest"
	"lwc/testdata/need"
)

// crossTime is how long a frame may take to show at the far side before it counts
// as not crossed; on a veth pair it takes microseconds.
const crossTime = 300 * time.Millisecond

// scene is one site under attack: a box with the guard in a process of its own,
// in a network namespace of its own, so that scenes do not disturb each other
// and the guard can be stopped and killed.
type scene struct {
	*netguardtest.Site
	dir    string
	config Config
}

// newScene makes a dual-stack site whose box nobody has touched yet.
func newScene(t *testing.T) *scene {
	t.Helper()
	needNamespaces(t)
	box, err := netguardtest.NewHost()
	must(t, err)
	t.Cleanup(box.Close)
	return sceneIn(t, box)
}

// homeScene makes one whose box is the process of the tests itself.
func homeScene(t *testing.T) *scene {
	t.Helper()
	needNamespaces(t)
	box, err := netguardtest.OpenHost("/proc/self/ns/net")
	must(t, err)
	t.Cleanup(box.Close)
	return sceneIn(t, box)
}

func sceneIn(t *testing.T, box *netguardtest.Host) *scene {
	t.Helper()
	site, err := netguardtest.NewSite(box, "lwcint0", "lwcext0")
	must(t, err)
	t.Cleanup(site.Close)
	s := &scene{Site: site, dir: t.TempDir()}
	t.Cleanup(func() { unmountAll(t, s.dir) })
	in, ext := site.Internal, site.External
	s.config = Config{NamespaceDir: s.dir,
		Internal: Port{Interface: in.Port, Addresses: []netip.Prefix{in.Near4, in.Near6}},
		External: Port{Interface: ext.Port, Addresses: []netip.Prefix{ext.Near4, ext.Near6},
			Gateway: ext.Far4.Addr(), Routes: []Route{route("default via " + ext.Far6.Addr().String())}},
		Allow: []Endpoint{{Host: ext.Far4.Addr().String(), Port: 443}, {Host: ext.Far6.Addr().String(), Port: 443}}}
	return s
}

func needNamespaces(t testing.TB) {
	t.Helper()
	if os.Getenv(envRole) == "" {
		need.Missing(t, "namespaces of its own, which TestMain makes (not while fuzzing)")
	}
	runtime.LockOSThread() // what is read is this thread's, which must not end meanwhile
	defer runtime.UnlockOSThread()
	if caps, err := effective(); err != nil || caps&needed != needed {
		need.Missing(t, "root or user namespaces")
	}
}

// openScene makes the control: the same site around a box that nobody guards and
// whose sysctls are all as an attacker would wish.
func openScene(t *testing.T) *scene {
	t.Helper()
	needNamespaces(t)
	site, err := netguardtest.NewOpenSite()
	must(t, err)
	t.Cleanup(func() { site.Close(); site.Box.Close() })
	return &scene{Site: site}
}

// in opens the namespace of a port, for an attacker who is root on the box.
func (s *scene) in(t *testing.T, side Side) *netguardtest.Host {
	t.Helper()
	name := InternalNamespace
	if side == ExternalSide {
		name = ExternalNamespace
	}
	h, err := netguardtest.OpenHost(filepath.Join(s.dir, name))
	must(t, err)
	t.Cleanup(h.Close)
	return h
}

// boxes are the namespaces of the box: its own and those of the ports, once a
// guard has made them.
func (s *scene) boxes(t *testing.T) []*netguardtest.Host {
	t.Helper()
	if s.dir == "" {
		return []*netguardtest.Host{s.Box}
	}
	return []*netguardtest.Host{s.Box, s.in(t, InternalSide), s.in(t, ExternalSide)}
}

// up brings the ports up in the process of the tests.
func (s *scene) up(t *testing.T) *Guard {
	t.Helper()
	g, err := Up(within(t, testTimeout), s.config)
	must(t, err)
	t.Cleanup(func() { must(t, g.Close()) })
	return g
}

// guardian is a guard in a process of its own that tells its events.
type guardian struct {
	*child
	mu     sync.Mutex // guards what follows
	heard  []saying
	change chan struct{} // closed by the next message
}

// saying is what a guardian says: its answer to a command, or an event.
type saying struct {
	Answer string `json:",omitempty"`
	Code   string `json:",omitempty"`
	Event  *Event `json:",omitempty"`
	State  *State `json:",omitempty"`
}

// guarded starts a guard for the scene and waits until the ports are open.
func (s *scene) guarded(t *testing.T) *guardian {
	t.Helper()
	g := s.guardian(t)
	if m := g.answer(t); m.Answer != "up" {
		t.Fatalf("the guard says %q", m.Answer)
	}
	for _, side := range []Side{InternalSide, ExternalSide} {
		w := s.wire(side)
		must(t, s.in(t, side).AwaitUp(within(t, testTimeout), w.Port))
		must(t, w.Far.AwaitUp(within(t, testTimeout), netguardtest.FarLink))
	}
	return g
}

// guardian starts a guard, which may not come up.
func (s *scene) guardian(t *testing.T) *guardian {
	t.Helper()
	b, err := json.Marshal(s.config)
	must(t, err)
	g := &guardian{child: startIn(t, s.Box, "box", envConfig+"="+string(b)), change: make(chan struct{})}
	go g.listen()
	return g
}

func (g *guardian) listen() {
	for {
		line, err := g.lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var m saying
		if json.Unmarshal(line, &m) != nil {
			m.Answer = string(line)
		}
		g.mu.Lock()
		g.heard = append(g.heard, m)
		close(g.change)
		g.change = make(chan struct{})
		g.mu.Unlock()
	}
}

// await takes the first message that matches out of what was said and is said.
func (g *guardian) await(t *testing.T, d time.Duration, matches func(saying) bool) saying {
	t.Helper()
	m, err := g.next(within(t, d), matches)
	if err != nil {
		t.Fatalf("the guard did not say it: %v; it said %s", err, g.said())
	}
	return m
}

func (g *guardian) next(ctx context.Context, matches func(saying) bool) (saying, error) {
	for {
		g.mu.Lock()
		for i, m := range g.heard {
			if matches(m) {
				g.heard = append(g.heard[:i:i], g.heard[i+1:]...)
				g.mu.Unlock()
				return m, nil
			}
		}
		change := g.change
		g.mu.Unlock()
		select {
		case <-change:
		case <-ctx.Done():
			return saying{}, ctx.Err()
		}
	}
}

// said is all that nobody took yet, in words.
func (g *guardian) said() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	b, _ := json.Marshal(g.heard)
	return string(b)
}

func (g *guardian) answer(t *testing.T) saying {
	t.Helper()
	return g.await(t, slow(testTimeout), func(m saying) bool { return m.Event == nil })
}

// ask sends a command and returns the answer.
func (g *guardian) ask(t *testing.T, command string) saying {
	t.Helper()
	_, err := g.in.Write([]byte(command + "\n"))
	must(t, err)
	return g.answer(t)
}

// event waits for the next event that tells of a violation of one of these kinds.
func (g *guardian) event(t *testing.T, d time.Duration, kinds ...Kind) *Event {
	t.Helper()
	return g.await(t, d, func(m saying) bool {
		if m.Event == nil || m.Event.Violation == nil {
			return false
		}
		for _, k := range kinds {
			if m.Event.Violation.Kind == k {
				return true
			}
		}
		return len(kinds) == 0
	}).Event
}

// status waits for the event that the ports are in that condition.
func (g *guardian) status(t *testing.T, d time.Duration, want Status) *Event {
	t.Helper()
	return g.await(t, d, func(m saying) bool {
		return m.Event != nil && m.Event.Violation == nil && m.Event.Status == want
	}).Event
}

// sniff counts at the far end of a wire and checks in the end that nothing was
// lost.
func sniff(t *testing.T, w netguardtest.Wire, match func([]byte) bool) *netguardtest.Sniffer {
	t.Helper()
	s, err := netguardtest.Sniff(w.Far, netguardtest.FarLink, match)
	must(t, err)
	t.Cleanup(func() {
		if _, err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func sender(t *testing.T, w netguardtest.Wire) *netguardtest.Sender {
	t.Helper()
	s, err := w.Far.Sender(netguardtest.FarLink)
	must(t, err)
	t.Cleanup(s.Close)
	return s
}

// silent watches for crossTime and reports every frame that the sniffer matched.
func silent(t *testing.T, what string, s *netguardtest.Sniffer) int {
	t.Helper()
	n, err := s.Settle(t.Context(), crossTime)
	must(t, err)
	if n > 0 {
		var seen []string
		for _, f := range s.Frames() {
			seen = append(seen, netguardtest.Describe(f))
		}
		t.Errorf("%s: %d frames crossed: %q", what, n, seen)
	}
	return n
}

func (s *scene) wire(side Side) netguardtest.Wire {
	if side == InternalSide {
		return s.Internal
	}
	return s.External
}

// stop freezes the guard: it neither watches nor heals, until the end.
func stop(t *testing.T, g *guardian) {
	t.Helper()
	must(t, g.cmd.Process.Signal(syscall.SIGSTOP))
}

// kill ends the guard as the kernel does when memory runs out.
func kill(t *testing.T, g *guardian) {
	t.Helper()
	must(t, g.cmd.Process.Kill())
	_ = g.cmd.Wait()
}
