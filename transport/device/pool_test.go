package device

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// linkTo returns the one connection of a dialer at that depth.
func linkTo(t *testing.T, d *Dialer, depth int) *link {
	t.Helper()
	d.pool.mu.Lock()
	defer d.pool.mu.Unlock()
	for l := range d.pool.all {
		if l.depth == depth {
			return l
		}
	}
	t.Fatalf("no connection at depth %d", depth)
	return nil
}

// A connection that somebody joined while its time was running out lives on; an
// unused one ends.
func TestIdleEndsOnlyWhatIsUnused(t *testing.T) {
	t.Parallel()
	b, dev := startSSHD(t), startSSHD(t, echo)
	d := quick(t)
	to := Target{Device: dev.hop("r1"), Via: []Hop{b.hop("b")}}
	c, err := d.Dial(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	l := linkTo(t, d, 0)
	d.expire(l) // the timer fired too late to be stopped
	roundTrip(t, c)
	c.Close()
	d.expire(l)
	eventually(t, "it ends", func() bool { n, _ := d.tunnels(); return n == 0 })
}

// A bastion behind another one that is kept for later only gives its place up,
// and nobody can join it in between.
func TestUnusedBastionGivesItsPlace(t *testing.T) {
	t.Parallel()
	outer, inner, dev := startSSHD(t), startSSHD(t), startSSHD(t, echo)
	d := quick(t)
	first := outer.hop("outer")
	first.MaxSessions = 1
	c, err := d.Dial(t.Context(), Target{Device: dev.hop("r1"), Via: []Hop{first, inner.hop("inner")}})
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	parent, child := linkTo(t, d, 0), linkTo(t, d, 1)
	c, err = d.Dial(t.Context(), Target{Device: dev.hop("r1"), Via: []Hop{first}})
	if err != nil {
		t.Fatal(err)
	}
	roundTrip(t, c)
	c.Close()
	c, err = d.Dial(t.Context(), Target{Device: dev.hop("r1"), Via: []Hop{first, inner.hop("inner")}})
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	next := linkTo(t, d, 1)
	d.pool.mu.Lock()
	found := parent.unusedChild()
	_, joinable := d.pool.links[next.hop.base]
	d.pool.mu.Unlock()
	if next == child || found != next || joinable {
		t.Errorf("found %p, want %p, not %p; it can be joined: %v", found, next, child, joinable)
	}
	next.kill(errUnused)
}

// A cancel is a cancel, whatever cause the caller gives.
func TestCauseOfACaller(t *testing.T) {
	t.Parallel()
	_, pin := newKey(t, ssh.KeyAlgoED25519)
	cause := errors.New("the day is over")
	for _, phase := range []Phase{PhaseConnect, PhaseKeyExchange, PhaseSubsystem} {
		ctx, cancel := context.WithCancelCause(t.Context())
		d, hop := quick(t), passwordHop(1, pin)
		switch phase {
		case PhaseConnect:
			d.Net = func(ctx context.Context, _, _ string) (net.Conn, error) {
				cancel(cause)
				<-ctx.Done()
				return nil, ctx.Err()
			}
		case PhaseKeyExchange:
			hop.Port = listen(t, func(c net.Conn) {
				c.Read(make([]byte, 1<<10)) // our version
				cancel(cause)
				c.Read(make([]byte, 1))
			})
		default:
			hop = muted(t, func(ssh.NewChannel) { cancel(cause) })
		}
		_, err := d.Dial(ctx, Target{Device: hop})
		if wantError(t, err, phase, KindCancelled, "r1"); !errors.Is(err, cause) {
			t.Errorf("error %v", err)
		}
		cancel(nil)
	}
}

// A server that exchanges keys anew must show the key that it was let in with.
func TestRekeyNeedsTheSameHostKey(t *testing.T) {
	t.Parallel()
	key := func() ssh.PublicKey {
		_, pin := newKey(t, ssh.KeyAlgoED25519)
		k, _, _, _, err := ssh.ParseAuthorizedKey([]byte(pin))
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	first := key()
	h := &handshake{over: true, rec: &record{key: first}, since: time.Now()}
	if err := h.check(first); err != nil {
		t.Error(err)
	}
	if err := h.check(key()); !errors.Is(err, errChanged) {
		t.Errorf("another key: %v", err)
	}
	h.rec.key = nil // given up before there was one
	if err := h.check(first); err == nil {
		t.Error("a key was accepted after the end")
	}
}
