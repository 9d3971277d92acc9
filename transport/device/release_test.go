package device

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"

	"lwc/junos/junostest"
)

// relay stands between us and a server, and can go silent as a dead path does.
type relay struct {
	port   uint16
	frozen atomic.Bool
}

func newRelay(t *testing.T, to string) *relay {
	r := &relay{}
	r.port = listen(t, func(near net.Conn) {
		far, err := net.Dial("tcp", to)
		if err != nil {
			return
		}
		defer far.Close()
		var wg sync.WaitGroup
		wg.Go(func() { r.copy(far, near); far.Close() })
		r.copy(near, far)
		near.Close()
		wg.Wait()
	})
	return r
}

func (r *relay) copy(to, from net.Conn) {
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		if err != nil {
			return
		}
		if r.frozen.Load() {
			continue
		}
		if _, err := to.Write(b[:n]); err != nil {
			return
		}
	}
}

// The path to a bastion goes dead without a word: the keep-alive finds out, and
// what was read through it is told about the bastion.
func TestSilentBastionIsFound(t *testing.T) {
	t.Parallel()
	b, dev := startSSHD(t), startSSHD(t, echo)
	r := newRelay(t, b.addr())
	d := quick(t)
	d.Timeouts.KeepAlive = 2 * time.Second // the bastion is real, and the machine may be busy
	hop := b.hop("b")
	hop.Port = r.port
	to := Target{Device: dev.hop("r1"), Via: []Hop{hop}}
	c, err := d.Dial(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	roundTrip(t, c)
	r.frozen.Store(true)
	_, err = c.Read(make([]byte, 1))
	wantError(t, err, PhaseSession, KindClosed, "b")
	r.frozen.Store(false)
	next, err := d.Dial(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	roundTrip(t, next)
}

// A connection that stands, but is dead, is found out by the opening that fails,
// and dialled anew within the same Dial.
func TestDeadConnectionIsDialledAnew(t *testing.T) {
	t.Parallel()
	b, dev := startSSHD(t), startSSHD(t, echo)
	r := newRelay(t, b.addr())
	d := quick(t)
	d.Timeouts.Connect = 2 * time.Second // the keep-alive comes too late
	hop := b.hop("b")
	hop.Port = r.port
	to := Target{Device: dev.hop("r1"), Via: []Hop{hop}}
	c, err := d.Dial(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	r.frozen.Store(true)
	thaw := time.AfterFunc(time.Second, func() { r.frozen.Store(false) }) // what was dropped is missing for ever
	defer thaw.Stop()
	next, err := d.Dial(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	roundTrip(t, next)
	next.Close()
}

// A bastion that goes silent after the log-in at the device is blamed for it.
func TestBastionThatGoesSilentIsBlamed(t *testing.T) {
	t.Parallel()
	b := startSSHD(t)
	r := newRelay(t, b.addr())
	d := quick(t)
	d.Timeouts.Channel = time.Second
	hop, asked := b.hop("b"), make(chan struct{}, 1)
	hop.Port = r.port
	to := Target{Device: muted(t, func(ssh.NewChannel) { asked <- struct{}{} }), Via: []Hop{hop}}
	go func() {
		<-asked
		r.frozen.Store(true)
	}()
	_, err := d.Dial(t.Context(), to)
	if e := wantError(t, err, PhaseSubsystem, KindTimeout, "b"); !e.Bastion {
		t.Error(e)
	}
}

// mute is an SSH server that lets everybody in and then leaves every question
// open, or takes a session and leaves the request in it.
func mute(t *testing.T, accept bool) Hop {
	return muted(t, func(ch ssh.NewChannel) {
		if accept {
			ch.Accept()
		}
	})
}

// muted hands on the channels that it is asked for.
func muted(t *testing.T, asked func(ssh.NewChannel)) Hop {
	config := &ssh.ServerConfig{NoClientAuth: true}
	private, pin := newKey(t, ssh.KeyAlgoED25519)
	signer, err := ssh.ParsePrivateKey(private.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	config.AddHostKey(signer)
	return passwordHop(listen(t, func(c net.Conn) {
		conn, channels, requests, err := ssh.NewServerConn(c, config)
		if err != nil {
			return
		}
		go ssh.DiscardRequests(requests)
		for ch := range channels {
			asked(ch)
		}
		conn.Wait()
	}), pin)
}

// The end of the context releases a Dial within 100 ms, wherever it hangs, direct
// or through a bastion, also through one that hangs itself; and no goroutine is
// left when the Dialer is closed.
func TestCancelReleases(t *testing.T) {
	f := startFleet(t, junostest.Config{Devices: 5, Models: []junostest.Model{junostest.QFX}, Faults: map[string]junostest.Fault{
		"qfx-0001": junostest.Silent, "qfx-0002": junostest.StallBanner, "qfx-0003": junostest.StallKex, "qfx-0004": junostest.StallAuth, "qfx-0005": "slow-auth:1m"}})
	b := startSSHD(t)
	type peer struct {
		stage string
		hop   Hop
	}
	peers := map[string]peer{"opening a session": {"opening", mute(t, false)}, "the subsystem": {StageSubsystem, mute(t, true)}}
	for i, p := range []peer{{stage: StageVersion}, {stage: StageVersion}, {stage: StageKeyExchange}, {stage: StageAuth}, {stage: StageAuth}} {
		p.hop = target(f, f.Devices()[i]).Device
		peers[fmt.Sprint(f.Devices()[i].Name, " ", p.stage)] = p
	}
	for name, p := range peers {
		stage, hop := p.stage, p.hop
		for _, way := range []string{"direct", "bastion", "frozen bastion", "as bastion"} {
			t.Run(name+" "+way, func(t *testing.T) {
				r := newRelay(t, b.addr())
				to := Target{Device: hop}
				via := b.hop("b")
				via.Port = r.port
				switch {
				case strings.HasSuffix(way, "frozen bastion"), way == "bastion":
					to.Via = []Hop{via}
				case way == "as bastion":
					to = Target{Device: via, Via: []Hop{hop}}
				}
				want := stage
				switch {
				case way == "as bastion" && stage == StageSubsystem: // it takes the channel
					want = StageVersion
				case way == "as bastion" && stage == "opening":
					want = StageConnect
				case stage == "opening":
					want = StageSubsystem
				}
				// The steps tell where it was: it is cancelled later, until it came
				// to the stage where it hangs.
				for wait := 10 * time.Millisecond; ; wait *= 2 {
					got := cancelled(t, to, wait, func() { r.frozen.Store(way == "frozen bastion") })
					if r.frozen.Store(false); got == want {
						return
					}
					if wait > 10*time.Second {
						t.Fatalf("it never came to %s, only to %s", want, got)
					}
				}
			})
		}
	}
}

// cancelled cancels a Dial after a time, and returns the stage it had come to.
func cancelled(t *testing.T, to Target, after time.Duration, freeze func()) string {
	t.Helper()
	leak := goleak.IgnoreCurrent()
	d := &Dialer{Net: new(net.Dialer).DialContext}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := d.Dial(ctx, to)
		done <- err
	}()
	<-time.After(after)
	freeze()
	lag := startLag()
	began := time.Now()
	cancel()
	err := <-done
	if took := time.Since(began); took > 100*time.Millisecond+lag() {
		t.Errorf("released after %v: %v", took, err)
	}
	e, ok := err.(*Error)
	if !ok || e.Kind != KindCancelled {
		t.Fatalf("error %v", err)
	}
	d.Close()
	goleak.VerifyNone(t, leak, peers())
	if len(e.Steps) == 0 || e.Steps[len(e.Steps)-1].Hop != to.Device.Name && len(to.Via) == 1 && to.Via[0].Name == "b" {
		return "none"
	}
	return e.Steps[len(e.Steps)-1].Stage
}

// startLag measures by how much this process is kept from running: what a busy
// machine takes is not on the account of what is tested.
func startLag() (stop func() time.Duration) {
	const every = 2 * time.Millisecond
	end, lag := make(chan struct{}), make(chan time.Duration)
	go func() {
		var sum time.Duration
		tick := time.NewTicker(every)
		defer tick.Stop()
		for last := time.Now(); ; {
			select {
			case <-end:
				lag <- sum + max(time.Since(last)-every, 0)
				return
			case <-tick.C:
			}
			sum += max(time.Since(last)-every, 0)
			last = time.Now()
		}
	}()
	return func() time.Duration {
		close(end)
		return <-lag
	}
}

// peers are goroutines of the servers and relays in this test.
func peers() goleak.Option {
	return goleak.IgnoreAnyFunction("lwc/transport/device.listen.func2.1")
}

// A device that is done leaves no goroutine but those of the shared bastions;
// they go with the Dialer.
func TestNoGoroutineOutlivesItsDevice(t *testing.T) {
	b, dev := startSSHD(t), startSSHD(t, echo)
	before := goleak.IgnoreCurrent()
	d := quick(t)
	to := Target{Device: dev.hop("r1"), Via: []Hop{b.hop("b")}}
	first, err := d.Dial(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	first.Close()
	shared := goleak.IgnoreCurrent()
	for range 5 {
		c, err := d.Dial(t.Context(), to)
		if err != nil {
			t.Fatal(err)
		}
		roundTrip(t, c)
		c.Close()
		direct, err := d.Dial(t.Context(), Target{Device: to.Device})
		if err != nil {
			t.Fatal(err)
		}
		direct.Close()
		goleak.VerifyNone(t, shared)
	}
	d.Close()
	goleak.VerifyNone(t, before)
}

// Close ends within 100 ms a Read and a Write that are under way and the session
// that waits for them, also where the bastion hangs; and no goroutine is left when
// the Dialer is closed.
func TestCloseReleases(t *testing.T) {
	b, dev := startSSHD(t), startSSHD(t, echo)
	for _, way := range []string{"direct", "bastion", "frozen bastion", "two frozen bastions"} {
		t.Run(way, func(t *testing.T) {
			r, d := newRelay(t, b.addr()), quick(t)
			leak := goleak.IgnoreCurrent()
			d.Timeouts.KeepAlive = time.Minute // it must not help
			hop, to := b.hop("b"), Target{Device: dev.hop("r1")}
			hop.Port = r.port
			if way != "direct" {
				to.Via = []Hop{hop}
			}
			if way == "two frozen bastions" {
				to.Via = append(to.Via, b.hop("b2"))
			}
			c, err := d.Dial(t.Context(), to)
			if err != nil {
				t.Fatal(err)
			}
			roundTrip(t, c)
			r.frozen.Store(strings.Contains(way, "frozen"))
			closeBusy(t, c)
			lag, began := startLag(), time.Now()
			d.Close()
			if took := time.Since(began); took > time.Second+lag() {
				t.Errorf("closing the dialer took %v", took)
			}
			goleak.VerifyNone(t, leak, peers())
		})
	}
}

// closeBusy closes a connection at which a Read and a Write are under way: at one that
// hangs, the one waits for bytes and the other for the window.
func closeBusy(t *testing.T, c *Conn) {
	t.Helper()
	var busy sync.WaitGroup
	var read, wrote error
	busy.Go(func() { _, read = io.Copy(io.Discard, c) })
	busy.Go(func() {
		for wrote == nil {
			_, wrote = c.Write(make([]byte, 1<<20))
		}
	})
	<-time.After(100 * time.Millisecond) // until they are: nothing tells
	lag, began := startLag(), time.Now()
	c.Close()
	busy.Wait()
	if took := time.Since(began); took > 100*time.Millisecond+lag() {
		t.Errorf("released after %v", took)
	}
	if _, ok := errors.AsType[*Error](read); ok || wrote == nil {
		t.Errorf("read ended with %v, write with %v", read, wrote)
	}
	if n, err := c.Read(make([]byte, 1<<10)); n == 0 && err == nil {
		t.Error("a Read after Close brings neither bytes nor an error")
	}
}
