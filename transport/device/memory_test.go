package device

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"
)

// ports stands before one server: it notes the ports that are asked for, and
// drops what is for some of them.
type ports struct {
	mu    sync.Mutex
	asked []string
	drops []string
	to    string
}

func (p *ports) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	_, port, _ := net.SplitHostPort(addr)
	p.mu.Lock()
	p.asked = append(p.asked, port)
	dropped := slices.Contains(p.drops, port)
	p.mu.Unlock()
	if dropped {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return new(net.Dialer).DialContext(ctx, network, p.to)
}

// take returns what was asked for since the last time.
func (p *ports) take() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	asked := p.asked
	p.asked = nil
	return fmt.Sprint(asked)
}

// A port that drops what comes costs its time once. What worked is tried first,
// and the usual order after it.
func TestWayIsRemembered(t *testing.T) {
	t.Parallel()
	s, bare := startSSHD(t, echo), startSSHD(t)
	d, p := quick(t), &ports{to: s.addr(), drops: []string{"830"}}
	d.Net = p.dial
	hop := s.hop("r1")
	hop.Port = 0
	dial := func(asked string, port uint16) {
		t.Helper()
		d.Timeouts.Connect = 30 * time.Second
		if strings.Contains(asked, p.drops[0]) {
			d.Timeouts.Connect = 500 * time.Millisecond
		}
		c, err := d.Dial(t.Context(), Target{Device: hop})
		if got := p.take(); got != asked || err != nil {
			t.Fatalf("asked %s: %v, want %s", got, err, asked)
		}
		defer c.Close()
		if c.Info().Port != port {
			t.Errorf("port %d", c.Info().Port)
		}
	}
	dial("[830 22]", 22)
	dial("[22]", 22)
	p.drops = []string{"22"}
	dial("[22 830]", 830)
	dial("[830]", 830)
	p.drops = []string{"830"}
	dial("[830 22]", 22)
	hop.Address = "127.0.0.2" // another device
	dial("[830 22]", 22)

	// A refused log-in at the remembered port is the end, and nothing is asked
	// twice where nothing serves.
	refused := hop
	refused.Auth = s.other
	_, err := d.Dial(t.Context(), Target{Device: refused})
	wantError(t, err, PhaseAuth, KindAuth, "r1")
	if got := p.take(); got != "[22]" {
		t.Errorf("asked %s", got)
	}
	p.drops = []string{"22", "830"}
	d.Timeouts.Connect = 100 * time.Millisecond
	_, err = d.Dial(t.Context(), Target{Device: hop})
	wantError(t, err, PhaseConnect, KindConnect, "r1")
	if got := p.take(); got != "[22 830]" {
		t.Errorf("asked %s", got)
	}
	d.Timeouts.Connect = 30 * time.Second
	p.drops, p.to = nil, bare.addr()
	hop.HostKeys, hop.Auth = bare.hop("").HostKeys, bare.auth
	_, err = d.Dial(t.Context(), Target{Device: hop})
	wantError(t, err, PhaseSubsystem, KindSubsystem, "r1")
	if got := p.take(); got != "[22 830 22]" {
		t.Errorf("asked %s", got)
	}
}

// junosLike serves the subsystem or what stands in for it, as told, and notes
// what it was asked for.
type junosLike struct {
	mu     sync.Mutex
	serves string // "netconf", xmlMode or nothing
	asked  []string
}

func (j *junosLike) serve(t *testing.T) Hop {
	return muted(t, func(open ssh.NewChannel) {
		if ch, asked, err := open.Accept(); err == nil {
			go j.session(ch, asked)
		}
	})
}

func (j *junosLike) session(ch ssh.Channel, asked <-chan *ssh.Request) {
	for r := range asked {
		var text struct{ Text string }
		if ssh.Unmarshal(r.Payload, &text) != nil {
			continue // a signal
		}
		j.mu.Lock()
		j.asked = append(j.asked, text.Text)
		ok := j.serves == text.Text
		j.mu.Unlock()
		r.Reply(ok, nil)
		if ok && text.Text == xmlMode {
			fmt.Fprint(ch, "<hello/>")
		}
	}
}

// A stand-in that worked is taken at the first refusal of the subsystem, without
// the pause; the subsystem is taken as soon as it is there.
func TestModeIsRemembered(t *testing.T) {
	t.Parallel()
	j := &junosLike{}
	hop := j.serve(t)
	d := quick(t)
	for i, step := range []struct {
		serves string
		cli    bool
		mode   Mode // empty: none
		asked  []string
	}{
		{xmlMode, true, ModeXML, []string{"netconf", "netconf", xmlMode}},
		{xmlMode, true, ModeXML, []string{"netconf", xmlMode}},
		{"", false, "", []string{"netconf", xmlMode, "netconf", xmlMode}},
		{"", true, ModeCLI, []string{"netconf", xmlMode, "netconf", xmlMode}},
		{"", true, ModeCLI, []string{"netconf", xmlMode}},
		{"", false, "", []string{"netconf", xmlMode, "netconf", xmlMode}},
		{"netconf", true, ModeNETCONF, []string{"netconf"}},
		{xmlMode, true, ModeXML, []string{"netconf", "netconf", xmlMode}},
	} {
		j.mu.Lock()
		j.serves, j.asked = step.serves, nil
		j.mu.Unlock()
		c, err := d.Dial(t.Context(), Target{Device: hop, AllowCLI: step.cli})
		if step.mode == "" {
			wantError(t, err, PhaseSubsystem, KindSubsystem, "r1")
		} else if err != nil {
			t.Fatal(err)
		} else if c.Close(); c.Info().Mode != step.mode {
			t.Errorf("step %d: mode %s", i, c.Info().Mode)
		}
		j.mu.Lock()
		if !slices.Equal(j.asked, step.asked) {
			t.Errorf("step %d: asked %q", i, j.asked)
		}
		j.mu.Unlock()
	}
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	var m memory
	for i := range maxMemory + 100 {
		p := place{digest{byte(i), byte(i >> 8), byte(i >> 16)}, 0}
		m.entered(p, way{sshPort, ModeNETCONF})
		m.cut(p)
		if m.wayTo(p).port != sshPort {
			t.Fatal("the newest is forgotten")
		}
	}
	if len(m.ways) != maxMemory || len(m.mute) != maxMemory {
		t.Errorf("%d ways, %d silent servers", len(m.ways), len(m.mute))
	}
	p := place{digest{1}, 830}
	m.entered(p, way{830, ModeXML})
	m.entered(p, way{830, ModeNETCONF})
	if m.wayTo(p) != (way{}) {
		t.Error("the usual way is kept")
	}
}

// What is no SSH server on the first port does not stand before the second.
func TestWordlessPortIsPassedOver(t *testing.T) {
	t.Parallel()
	s := startSSHD(t, echo)
	d, p := quick(t), &ports{to: s.addr()}
	wordless := listen(t, func(net.Conn) {})
	d.Net = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if strings.HasSuffix(addr, ":830") {
			addr = fmt.Sprintf("127.0.0.1:%d", wordless)
			return new(net.Dialer).DialContext(ctx, network, addr)
		}
		return p.dial(ctx, network, addr)
	}
	hop := s.hop("r1")
	hop.Port = 0
	_, err := d.Dial(t.Context(), Target{Device: hop})
	wantError(t, err, PhaseKeyExchange, KindThrottled, "r1")
	hops, e := d.prepare(Target{Device: hop})
	if e != nil {
		t.Fatal(e)
	}
	hops[0].key.drop()
	d.memory.mute[place{hops[0].address, 830}] = silence{time.Now().Add(-muteTime), muteCuts}
	c, err := d.Dial(t.Context(), Target{Device: hop})
	if err != nil || p.take() != "[22]" {
		t.Fatal(err)
	}
	c.Close()
}

// What closes every connection without a word is at its limit for the first
// minutes, and then no SSH server; one that said its version once is.
func TestWordlessServer(t *testing.T) {
	t.Parallel()
	_, pin := newKey(t, ssh.KeyAlgoED25519)
	for _, c := range []struct {
		every  time.Duration
		speaks int // in which of the dials it says its version
		want   []Kind
	}{
		{3 * time.Minute, -1, []Kind{KindThrottled, KindThrottled, KindProtocol, KindProtocol}},
		{time.Minute, -1, []Kind{KindThrottled, KindThrottled, KindThrottled, KindThrottled, KindThrottled, KindProtocol}},
		{time.Hour, -1, []Kind{KindThrottled, KindThrottled, KindProtocol}},
		{time.Hour, 1, []Kind{KindThrottled, KindThrottled, KindThrottled, KindThrottled, KindProtocol}},
	} {
		synctest.Test(t, func(t *testing.T) {
			speaks := false
			d := &Dialer{Net: func(context.Context, string, string) (net.Conn, error) {
				near, far := net.Pipe()
				go func() {
					b := make([]byte, 64<<10)
					far.Read(b) // our version
					if speaks {
						far.Write([]byte("SSH-2.0-x\r\n"))
						far.Read(b) // our algorithms
					}
					far.Close()
				}()
				return near, nil
			}}
			defer d.Close()
			for i, want := range c.want {
				speaks = i == c.speaks
				_, err := d.Dial(t.Context(), Target{Device: passwordHop(22, pin)})
				e := wantError(t, err, PhaseKeyExchange, want, "r1")
				if _, _, advice := e.Diagnosis(); strings.Contains(advice, "without a word") != (want == KindProtocol) {
					t.Errorf("advice %q", advice)
				}
				time.Sleep(c.every) // of the bubble
			}
		})
	}
}
