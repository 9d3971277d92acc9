package halves

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lwc/netguard"
	"lwc/transport/wire"
)

// desk is a supervisor that does what a test says.
type desk struct {
	permit func(netguard.Endpoint) ([]netip.AddrPort, error)
	view   chan netguard.View
	erased chan struct{}
}

func (d *desk) View(ctx context.Context, serial uint64) (netguard.View, error) {
	if serial == 0 {
		return netguard.View{Serial: 1, Config: netguard.Config{Mode: netguard.Enforce, Internal: netguard.Port{
			Interface: "a", Addresses: []netip.Prefix{netip.MustParsePrefix("10.1.0.2/24")}}}}, nil
	}
	select {
	case v := <-d.view:
		return v, nil
	case <-ctx.Done():
		return netguard.View{}, ctx.Err()
	}
}

func (d *desk) Permit(_ context.Context, e netguard.Endpoint) ([]netip.AddrPort, error) {
	return d.permit(e)
}

func (d *desk) Setup(context.Context) (Setup, error) {
	return Setup{Path: "f", Text: "a\nb", UID: 7, GID: 8, Degraded: []string{"x"}}, nil
}
func (d *desk) Notices(_ context.Context, after uint64) ([]Notice, error) {
	return []Notice{{Number: after + 1, Kind: "k", Text: "t", Violation: &wire.PortViolation{Kind: "sysctl"}}}, nil
}
func (d *desk) Stamp(context.Context) (Stamp, error) {
	return Stamp{}, fmt.Errorf("looking: %w", fs.ErrNotExist)
}
func (d *desk) Read(context.Context) (Token, error) {
	return Token{Stamp{1, 2}, []byte("tok\xff")}, nil
}
func (d *desk) Erase(context.Context) error { close(d.erased); return nil }

type worker struct{ stopped chan struct{} }

func (w worker) Alive(context.Context) Report { return Report{Status: "s", Collector: "c", Cloud: "l"} }
func (w worker) Stop()                        { close(w.stopped) }

// pair connects two halves. What end returns has to be called.
func pair(d *desk, w Worker) (c *Collector, s *Supervisor, end func() []error) {
	near, far := net.Pipe()
	c, s = Serve(near, Offer{Ports: d, Tokens: d, Desk: d, Machine: d}), Connect(far, w)
	ctx, cancel := context.WithCancel(context.Background())
	errs := make([]error, 2)
	var running sync.WaitGroup
	running.Go(func() { errs[0] = c.Run(ctx) })
	running.Go(func() { errs[1] = s.Run(ctx) })
	return c, s, func() []error { cancel(); running.Wait(); return errs }
}

// Everything that one half can ask the other arrives, and so do errors that are
// told apart.
func TestEveryCall(t *testing.T) {
	want := netip.MustParseAddrPort("192.0.2.1:443")
	d := &desk{erased: make(chan struct{}), permit: func(e netguard.Endpoint) ([]netip.AddrPort, error) {
		if e.Host != "cloud.example" || e.Port != 443 || e.Network != "tcp" {
			return nil, fmt.Errorf("permitting %v: %w", e, netguard.ErrNotAllowed)
		}
		return []netip.AddrPort{want}, nil
	}}
	w := worker{make(chan struct{})}
	c, s, end := pair(d, w)
	defer end()
	ctx := t.Context()

	if got, err := s.Setup(ctx); err != nil || got.Text != "a\nb" || got.UID != 7 || got.GID != 8 || len(got.Degraded) != 1 {
		t.Errorf("setup %+v, %v", got, err)
	}
	if v, err := s.View(ctx, 0); err != nil || v.Serial != 1 || v.Config.Internal.Addresses[0].String() != "10.1.0.2/24" {
		t.Errorf("view %+v, %v", v, err)
	}
	if got, err := s.Permit(ctx, netguard.Endpoint{Network: "tcp", Host: "cloud.example", Port: 443}); err != nil || len(got) != 1 || got[0] != want {
		t.Errorf("permit %v, %v", got, err)
	}
	if _, err := s.Permit(ctx, netguard.Endpoint{Host: "elsewhere", Port: 443}); !errors.Is(err, netguard.ErrNotAllowed) || !strings.Contains(err.Error(), "elsewhere") {
		t.Errorf("permit elsewhere: %v", err)
	}
	if _, err := s.Stamp(ctx); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("stamp: %v", err)
	}
	if tok, err := s.Read(ctx); err != nil || string(tok.Text) != "tok\xff" || tok.Stamp != (Stamp{1, 2}) {
		t.Errorf("token %+v, %v", tok, err)
	}
	if err := s.Erase(ctx); err != nil {
		t.Error(err)
	}
	<-d.erased
	if n, err := s.Notices(ctx, 4); err != nil || len(n) != 1 || n[0].Number != 5 || n[0].Violation.Kind != "sysctl" {
		t.Errorf("notices %+v, %v", n, err)
	}
	if r, err := c.Alive(ctx); err != nil || r != (Report{Status: "s", Collector: "c", Cloud: "l"}) {
		t.Errorf("alive %+v, %v", r, err)
	}
	if err := c.Stop(ctx); err != nil {
		t.Error(err)
	}
	<-w.stopped
	if failure, said := c.LastWords(); said || failure != "" {
		t.Errorf("it has said of its end: %q, %v", failure, said)
	}
	if err := s.Ending(ctx, errors.New("the ports are gone")); err != nil {
		t.Error(err)
	}
	if failure, said := c.LastWords(); !said || failure != "the ports are gone" {
		t.Errorf("its last words: %q, %v", failure, said)
	}
}

// A long poll outlives the time that the other half holds it for.
func TestLongPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &desk{view: make(chan netguard.View)}
		_, s, end := pair(d, worker{})
		defer end()
		got := make(chan netguard.View, 1)
		go func() {
			v, err := s.View(t.Context(), 1)
			if err != nil {
				t.Error(err)
			}
			got <- v
		}()
		time.Sleep(3*pollLimit + time.Second)
		d.view <- netguard.View{Serial: 9}
		if v := <-got; v.Serial != 9 {
			t.Errorf("%+v", v)
		}
	})
}

// When one half is gone, all that waits for it ends at once.
func TestGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		s := Connect(far, worker{})
		ended := make(chan error, 1)
		go func() { ended <- s.Run(context.Background()) }()
		asked := make(chan error, 1)
		go func() { _, err := s.View(context.Background(), 1); asked <- err }()
		if _, err := bufio.NewReader(near).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		near.Close()
		if err := <-asked; !errors.Is(err, ErrGone) {
			t.Errorf("view: %v", err)
		}
		if err := <-ended; !errors.Is(err, ErrGone) {
			t.Errorf("run: %v", err)
		}
		if _, err := s.Setup(t.Context()); !errors.Is(err, ErrGone) {
			t.Errorf("setup: %v", err)
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("it took %v", took)
		}
	})
}

// A half that does not answer costs the time-out and no more; its late answer is
// nobody's.
func TestTimeOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		c := Serve(near, Offer{})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx) }()
		lines := make(chan string, 2)
		go func() {
			for r := bufio.NewScanner(far); r.Scan(); {
				lines <- r.Text()
			}
		}()
		began := time.Now()
		if _, err := c.Alive(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != quickLimit {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		<-lines
		if _, err := io.WriteString(far, `{"id":1,"result":{"status":"late"}}`+"\n"); err != nil {
			t.Fatal(err)
		}
		go func() {
			<-lines
			io.WriteString(far, `{"id":2,"result":{"status":"new","collector":"","cloud":""}}`+"\n") //nolint:errcheck // the answer is looked at
		}()
		if r, err := c.Alive(ctx); err != nil || r.Status != "new" {
			t.Errorf("%+v, %v", r, err)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// Whatever breaks a rule ends the connection, and says how.
func TestBreach(t *testing.T) {
	for name, line := range map[string]string{
		"no JSON":        "hello",
		"unknown field":  `{"id":1,"call":"view","more":1}`,
		"no number":      `{"call":"view"}`,
		"both":           `{"id":1,"call":"view","result":{}}`,
		"reply w/ args":  `{"id":1,"args":{}}`,
		"two values":     `{"id":1,"call":"setup"} {}`,
		"number again":   `{"id":2,"call":"setup"}` + "\n" + `{"id":2,"call":"setup"}`,
		"number back":    `{"id":2,"call":"setup"}` + "\n" + `{"id":1,"call":"setup"}`,
		"a list":         `[]`,
		"longer than ok": `{"id":1,"call":"` + strings.Repeat("x", MaxUp) + `"}`,
		"no end":         strings.Repeat(" ", 2*MaxUp),
	} {
		near, far := net.Pipe()
		c := Serve(near, Offer{Desk: &desk{}})
		ended := make(chan error, 1)
		go func() { ended <- c.Run(t.Context()) }()
		go io.Copy(io.Discard, far)       //nolint:errcheck // ends with the connection
		go io.WriteString(far, line+"\n") //nolint:errcheck // may be cut off
		if err := <-ended; !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: %v", name, err)
		}
		far.Close()
	}
}

// A half that asks for more than is served at a time is refused, not queued.
func TestBusy(t *testing.T) {
	near, far := net.Pipe()
	release := make(chan struct{})
	d := &desk{permit: func(netguard.Endpoint) ([]netip.AddrPort, error) { <-release; return nil, nil }}
	c := Serve(near, Offer{Ports: d})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	go func() {
		for i := range maxServed + 1 {
			fmt.Fprintf(far, `{"id":%d,"call":"permit","args":{"network":"","host":"h","port":1}}`+"\n", i+1)
		}
	}()
	line, err := bufio.NewReader(far).ReadString('\n')
	var m message
	if err != nil || json.Unmarshal([]byte(line), &m) != nil || m.ID != maxServed+1 || !errors.Is(m.Error, ErrBusy) {
		t.Errorf("%q, %v", line, err)
	}
	close(release)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A half that asks without end is served at a pace.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, s, end := pair(&desk{}, worker{})
		defer end()
		began := time.Now()
		for range burst + 10*perSecond {
			if _, err := s.Setup(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took < 9*time.Second || took > 11*time.Second {
			t.Errorf("took %v", took)
		}
		time.Sleep(time.Minute) // of the bubble
		began = time.Now()
		for range burst {
			if _, err := s.Setup(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("after a pause: took %v", took)
		}
	})
}

// What stays unread ends the connection, and holds nothing up for long.
func TestUnread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		c := Serve(near, Offer{Desk: &desk{}})
		ended := make(chan error, 1)
		go func() { ended <- c.Run(t.Context()) }()
		began := time.Now()
		fmt.Fprintln(far, `{"id":1,"call":"setup"}`)
		if err := <-ended; !errors.Is(err, ErrGone) || time.Since(began) != writeLimit {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// A token does not stay behind in memory that is not wiped.
func TestTokenIsWiped(t *testing.T) {
	text := []byte("lwce1_secret")
	near, far := net.Pipe()
	p := newPeer(near, MaxUp, nil)
	go io.Copy(io.Discard, far) //nolint:errcheck // ends with the connection
	p.answer(1, Token{Text: text}, nil)
	if strings.Trim(string(text), "\x00") != "" {
		t.Errorf("%q", text)
	}
	near.Close()
	far.Close()
}

func TestUnknownCall(t *testing.T) {
	c, s, end := pair(&desk{}, worker{})
	defer end()
	for _, p := range []*peer{c.peer, s.peer} {
		if err := p.call(t.Context(), time.Second, "shell", nil, nil); !errors.Is(err, ErrUnknownCall) {
			t.Errorf("%v", err)
		}
	}
	if err := s.peer.call(t.Context(), time.Second, callPermit, map[string]any{"host": 1}, nil); !errors.Is(err, ErrProtocol) {
		t.Errorf("wrong arguments: %v", err)
	}
}

// FuzzServe: whatever a hostile collector half sends, the supervisor answers or
// ends the connection; it neither panics nor hangs, and what it answers are whole
// lines.
func FuzzServe(f *testing.F) {
	f.Add([]byte(`{"id":1,"call":"setup"}` + "\n" + `{"id":2,"call":"permit","args":{"network":"tcp","host":"a","port":1}}` + "\n"))
	f.Add([]byte(`{"id":1,"call":"view","args":{"serial":0}}` + "\n" + `{"id":1,"result":{"status":"x"}}` + "\n"))
	f.Add([]byte(`{"id":18446744073709551615,"call":"notices","args":{"serial":1}}` + "\nnull\n{}\n"))
	f.Add([]byte(`{"id":1,"call":"token"}` + "\n" + `{"id":2,"call":"token-erase"}` + "\n" + `{"id":3,"call":"token-stamp"}`))
	f.Fuzz(func(t *testing.T, said []byte) {
		near, far := net.Pipe()
		d := &desk{erased: make(chan struct{}), permit: func(netguard.Endpoint) ([]netip.AddrPort, error) { return nil, netguard.ErrBlocked }}
		c := Serve(near, Offer{Ports: d, Tokens: onceErased{d}, Desk: d})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx) }()
		answers := make(chan error, 1)
		go func() { answers <- wholeLines(far) }()
		far.Write(said) //nolint:errcheck // may be cut off
		far.Close()
		err := <-ended
		if ctx.Err() != nil || !errors.Is(err, ErrGone) && !errors.Is(err, ErrProtocol) {
			t.Errorf("%v", err)
		}
		if err := <-answers; err != nil {
			t.Error(err)
		}
	})
}

type onceErased struct{ *desk }

func (onceErased) Erase(context.Context) error { return nil }

func wholeLines(r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, MaxDown)
	for lines.Scan() {
		if _, err := parse(lines.Bytes()); err != nil {
			return fmt.Errorf("%q: %w", lines.Bytes(), err)
		}
	}
	return nil
}
