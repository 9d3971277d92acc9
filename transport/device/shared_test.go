package device

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"lwc/junos/junostest"
)

// counting counts the TCP connections that a Dialer makes.
func counting(d *Dialer) *atomic.Int32 {
	var n atomic.Int32
	d.Net = func(ctx context.Context, network, addr string) (net.Conn, error) {
		n.Add(1)
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	return &n
}

// eventually polls until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never came that %s", what)
		}
	}
}

// tunnels counts the tunnels under way at the one bastion of a dialer.
func (d *Dialer) tunnels() (links, busy int) {
	d.pool.mu.Lock()
	defer d.pool.mu.Unlock()
	for l := range d.pool.all {
		links, busy = links+1, busy+l.busy
	}
	return links, busy
}

// 256 devices at once go through one OpenSSH bastion on one connection, and
// leave nothing behind.
func TestManyDevicesShareABastion(t *testing.T) {
	t.Parallel()
	const devices = 256
	b := startSSHD(t)
	f := startFleet(t, junostest.Config{Devices: devices, Quiet: true})
	d := quick(t)
	d.Idle = 50 * time.Millisecond
	tcp := counting(d)
	var wg sync.WaitGroup
	var ready sync.WaitGroup
	ready.Add(devices)
	for _, dev := range f.Devices() {
		wg.Go(func() {
			to := target(f, dev)
			hop := b.hop("b")
			hop.MaxSessions = devices
			to.Via = []Hop{hop}
			conn, err := d.Dial(t.Context(), to)
			ready.Done()
			if err != nil {
				t.Errorf("%s: %v", dev.Name, err)
				return
			}
			defer conn.Close()
			readHello(t, conn)
			ready.Wait() // all are open at a time
		})
	}
	wg.Wait()
	if n := tcp.Load(); n != 1 {
		t.Errorf("%d connections to the bastion", n)
	}
	eventually(t, "the unused connection ends", func() bool { n, _ := d.tunnels(); return n == 0 })
}

// A bastion forwards no more at a time than it may; who waits can leave.
func TestTunnelsAreBounded(t *testing.T) {
	t.Parallel()
	b, dev := startSSHD(t), startSSHD(t, echo)
	d := quick(t)
	hop := b.hop("b")
	hop.MaxSessions = 2
	to := Target{Device: dev.hop("r1"), Via: []Hop{hop}}
	var open []*Conn
	for range 2 {
		c, err := d.Dial(t.Context(), to)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := d.Dial(ctx, to)
	wantError(t, err, PhaseForward, KindThrottled, "b")
	third := make(chan error)
	go func() {
		c, err := d.Dial(t.Context(), to)
		if err == nil {
			roundTrip(t, c)
			c.Close()
		}
		third <- err
	}()
	select {
	case err := <-third:
		t.Fatalf("the third ended with %v while two were open", err)
	case <-time.After(50 * time.Millisecond):
	}
	if err := open[0].Close(); err != nil {
		t.Error(err)
	}
	if err := <-third; err != nil {
		t.Error(err)
	}
	open[1].Close()
}

// gate is a bastion of x/crypto that lets log in when the test says so.
func gate(t *testing.T) (hop Hop, tries *atomic.Int32, open chan bool) {
	tries, open = new(atomic.Int32), make(chan bool)
	port, pin := server(t, &ssh.ServerConfig{PasswordCallback: func(ssh.ConnMetadata, []byte) (*ssh.Permissions, error) {
		tries.Add(1)
		if <-open {
			return nil, nil
		}
		return nil, errors.New("wrong password")
	}})
	hop = passwordHop(port, pin)
	hop.Name = "b"
	return hop, tries, open
}

// Who waits for a dial of others may leave; it goes on for them, and ends with
// the last.
func TestWaitersOfOneDial(t *testing.T) {
	hop, tries, open := gate(t)
	defer close(open)
	to := Target{Device: passwordHop(1, hop.HostKeys[0]), Via: []Hop{hop}}
	d := quick(t)
	tcp := counting(d)
	first, leave := context.WithCancel(t.Context())
	errs := make(chan error)
	go func() { _, err := d.Dial(first, to); errs <- err }()
	eventually(t, "the log-in is under way", func() bool { return tries.Load() == 1 })
	go func() { _, err := d.Dial(t.Context(), to); errs <- err }()
	eventually(t, "both wait", func() bool { return waiters(d) == 2 })
	lag := startLag()
	began := time.Now()
	leave()
	wantError(t, <-errs, PhaseConnect, KindCancelled, "b")
	if took := time.Since(began); took > 100*time.Millisecond+lag() {
		t.Errorf("leaving took %v", took)
	}
	open <- true
	wantError(t, <-errs, PhaseForward, KindThrottled, "b") // it opens no channels
	if n := tcp.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}

	d = quick(t)
	last, leave := context.WithCancel(t.Context())
	go func() { _, err := d.Dial(last, to); errs <- err }()
	eventually(t, "the log-in is under way", func() bool { return tries.Load() == 2 })
	leave()
	e := wantError(t, <-errs, PhaseAuth, KindCancelled, "b")
	if len(e.Steps) == 0 || e.Steps[len(e.Steps)-1].Stage != StageAuth {
		t.Errorf("steps %+v", e.Steps)
	}
	eventually(t, "the dial ends with the last waiter", func() bool { n, _ := d.tunnels(); return n == 0 })
}

func waiters(d *Dialer) (n int) {
	d.pool.mu.Lock()
	defer d.pool.mu.Unlock()
	for l := range d.pool.all {
		n += l.refs
	}
	return n
}

// A credential that a bastion refuses is tried once for a whole wave.
func TestRefusalAtABastionIsOne(t *testing.T) {
	t.Parallel()
	hop, tries, open := gate(t)
	to := Target{Device: passwordHop(1, hop.HostKeys[0]), Via: []Hop{hop}}
	d := quick(t)
	errs := make(chan error)
	for range 8 {
		go func() { _, err := d.Dial(t.Context(), to); errs <- err }()
	}
	eventually(t, "all wait", func() bool { return waiters(d) == 8 })
	close(open) // refuses all
	for range 8 {
		e := wantError(t, <-errs, PhaseAuth, KindAuth, "b")
		if _, kind, _ := e.Diagnosis(); kind != "bastion-auth" || len(e.Steps) == 0 {
			t.Errorf("kind %s, steps %v", kind, e.Steps)
		}
	}
	_, err := d.Dial(t.Context(), to) // comes a little late
	wantError(t, err, PhaseAuth, KindAuth, "b")
	to.Via[0].Name = "other name"
	_, err = d.Dial(t.Context(), to)
	wantError(t, err, PhaseAuth, KindAuth, "other name")
	if n := tries.Load(); n != 1 {
		t.Errorf("the password was sent %d times", n)
	}
	to.Via[0].Auth.User = "somebody else"
	_, err = d.Dial(t.Context(), to)
	wantError(t, err, PhaseAuth, KindAuth, "other name")
	if n := tries.Load(); n != 2 {
		t.Errorf("another credential was tried %d times", n-1)
	}
}

// What the first device trusted is pinned for the others, who share its
// connection; who pins another key does not.
func TestSharingNeedsThePins(t *testing.T) {
	t.Parallel()
	b, dev := startSSHD(t), startSSHD(t, echo)
	d := quick(t)
	tcp := counting(d)
	hop := b.hop("b")
	hop.HostKeys, hop.TrustFirst = nil, true
	c, err := d.Dial(t.Context(), Target{Device: dev.hop("r1"), Via: []Hop{hop}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fp := fingerprint(t, b.keys[ssh.KeyAlgoED25519])
	if c.FirstUse()["b"] != fp {
		t.Errorf("first use %v", c.FirstUse())
	}
	hop.HostKeys, hop.TrustFirst = []string{fp}, false
	again, err := d.Dial(t.Context(), Target{Device: dev.hop("r1"), Via: []Hop{hop}})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if tcp.Load() != 1 || len(again.FirstUse()) != 0 || again.Info().Algorithms["b"].Cipher == "" {
		t.Errorf("%d connections, info %+v", tcp.Load(), again.Info())
	}
	hop.HostKeys = []string{dev.keys[ssh.KeyAlgoED25519]}
	_, err = d.Dial(t.Context(), Target{Device: dev.hop("r1"), Via: []Hop{hop}})
	wantError(t, err, PhaseKeyExchange, KindHostKeyChanged, "b")

	// A credential that changed is for new dials at once.
	hop.HostKeys, hop.Auth = []string{fp}, b.other
	_, err = d.Dial(t.Context(), Target{Device: dev.hop("r1"), Via: []Hop{hop}})
	wantError(t, err, PhaseAuth, KindAuth, "b")
	roundTrip(t, c)
}

// The real sshd of a bastion is killed under a live device, and started anew.
func TestBastionDies(t *testing.T) {
	t.Parallel()
	outer, inner, dev := startSSHD(t), startSSHD(t), startSSHD(t, echo)
	to := Target{Device: dev.hop("r1"), Via: []Hop{outer.hop("outer"), inner.hop("inner")}}
	for _, victim := range []struct {
		*sshd
		name string
	}{{inner, "inner"}, {outer, "outer"}} {
		d := quick(t)
		c, err := d.Dial(t.Context(), to)
		if err != nil {
			t.Fatal(err)
		}
		roundTrip(t, c)
		done := make(chan error)
		go func() {
			_, err := c.Read(make([]byte, 1))
			done <- err
		}()
		victim.kill()
		e := wantError(t, <-done, PhaseSession, KindClosed, victim.name)
		if _, kind, _ := e.Diagnosis(); !e.Bastion || kind != "bastion-closed" {
			t.Errorf("%s: %v", kind, e)
		}
		_, err = d.Dial(t.Context(), to)
		if e, ok := errors.AsType[*Error](err); !ok || e.Kind != KindRefused {
			t.Errorf("while it is down: %v", err)
		}
		victim.restart(t)
		next, err := d.Dial(t.Context(), to)
		if err != nil {
			t.Fatal(err)
		}
		roundTrip(t, next)
		next.Close()
		c.Close()
	}
}

func TestClosedDialer(t *testing.T) {
	t.Parallel()
	b, dev := startSSHD(t), startSSHD(t, echo)
	d := quick(t)
	c, err := d.Dial(t.Context(), Target{Device: dev.hop("r1"), Via: []Hop{b.hop("b")}})
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	d.Close()
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the device is still there")
	}
	c.Close()
	_, err = d.Dial(t.Context(), Target{Device: dev.hop("r1")})
	wantError(t, err, PhaseConnect, KindCancelled, "r1")
	_, err = d.Dial(t.Context(), Target{Device: dev.hop("r1"), Via: []Hop{b.hop("b")}})
	wantError(t, err, PhaseConnect, KindCancelled, "b")
}
