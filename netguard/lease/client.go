package lease

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// The client's patience.
const (
	// firstWait doubles with each message that stays unanswered, up to longestWait,
	// each time a second more or less (RFC 2131 section 4.1).
	firstWait   = 4 * time.Second
	longestWait = 64 * time.Second
	jitter      = time.Second
	// afterRefusal is the least time before a new start when what was lent cannot
	// be used (RFC 2131 section 3.1 step 5).
	afterRefusal = 10 * time.Second
	// settle gathers the changes of a link that has just come back.
	settle = 100 * time.Millisecond
	// confirmations is how often a lease is asked to be confirmed before the
	// server counts as silent.
	confirmations = 2
	// requests is how often an offer is asked for before another is looked for.
	requests = 3
	// openAgain is the longest time after which a renewal that had no way to the servers
	// is tried again.
	openAgain = 10 * time.Second
	// leastRetry is the least time between two attempts to renew (RFC 2131 section
	// 4.4.5).
	leastRetry = 60 * time.Second
)

// Client keeps one lease. The exported fields are set before Run and not changed
// after it; the functions are called from Run's goroutine, one at a time.
type Client struct {
	// MAC is the hardware address of the link.
	MAC net.HardwareAddr
	// Open makes a way to the servers that passes on what is meant for that
	// transaction. It is called for each exchange; an error counts as silence, and a
	// renewal is soon tried again. Its context ends with the lease that is held.
	Open func(context.Context, dhcpv4.TransactionID) (Conn, error)
	// Accept says what is wrong with a lease, or nil.
	Accept func(Lease) error
	// Bound tells of a lease to be used from now on: a new one, or one whose times
	// or configuration changed. When it fails the lease is declined.
	Bound func(context.Context, Lease) error
	// Lost tells that the lease must not be used any more, and why.
	Lost func(context.Context, error)
	// Waiting tells why there is no lease yet. Optional.
	Waiting func(error)
	// Links receives a value when the link came back. Optional.
	Links <-chan struct{}
	// Last is the address that was had before; it is asked for first. Optional.
	Last netip.Addr

	last   netip.Addr // asked for at the next start
	held   *Lease
	server Peer      // who lent it
	next   time.Time // when held needs something
}

// What the client tells by Lost and Waiting.
var (
	// ErrExpired: the lease ended and no server renewed it.
	ErrExpired = errors.New("the lease expired")
	// ErrWithdrawn: a server says that the address may not be used any more (DHCPNAK).
	ErrWithdrawn = errors.New("the server withdrew the address")
	// ErrNoServer: no DHCP server answers.
	ErrNoServer = errors.New("no DHCP server answers")
	// ErrRefused: what a server offers cannot be used here.
	ErrRefused = errors.New("the lease is refused")
)

// Run keeps a lease until ctx ends, and returns nil then. The lease is not given
// back: the next Client asks for the same address.
func (c *Client) Run(ctx context.Context) error {
	c.last = c.Last
	for ctx.Err() == nil {
		if c.held == nil {
			c.acquire(ctx)
		} else {
			c.hold(ctx)
		}
	}
	return nil
}

// acquire looks for a lease until there is one or the link came back, after
// which all starts again.
func (c *Client) acquire(ctx context.Context) {
	if c.last.IsValid() && c.confirm(ctx, c.last) {
		return
	}
	start := time.Now()
	for wait := firstWait; ctx.Err() == nil; wait = min(2*wait, longestWait) {
		patience, stop := c.untilLink(ctx)
		err := c.attempt(ctx, patience, time.Since(start), wait)
		back := stop()
		if err == nil && back && c.settled(ctx) {
			c.confirm(ctx, c.last) // it came back after the server's word
		}
		if err == nil || ctx.Err() != nil {
			return
		}
		if !back {
			c.waiting(err)
			back = c.pauseAfter(ctx, err, wait)
		}
		if back {
			c.settled(ctx)
			return
		}
	}
}

// pauseAfter keeps a failed attempt from being followed by another too soon. One
// without an answer has waited already.
func (c *Client) pauseAfter(ctx context.Context, err error, wait time.Duration) bool {
	switch {
	case errors.Is(err, ErrRefused):
		c.last = netip.Addr{}
		return c.pause(ctx, max(wait, afterRefusal))
	case errors.Is(err, ErrNoServer):
		return false
	}
	return c.pause(ctx, wait)
}

// untilLink returns a context that ends when the link comes back; stop says
// whether it did.
func (c *Client) untilLink(ctx context.Context) (limited context.Context, stop func() bool) {
	limited, cancel := context.WithCancel(ctx)
	back := make(chan bool, 1)
	go func() {
		select {
		case <-c.Links:
			back <- true
		case <-limited.Done():
			back <- false
		}
		cancel()
	}()
	return limited, func() bool { cancel(); return <-back }
}

func (c *Client) waiting(err error) {
	if c.Waiting != nil {
		c.Waiting(err)
	}
}

// attempt is one round of DHCPDISCOVER, DHCPOFFER, DHCPREQUEST, DHCPACK. It
// listens no longer than patience lasts.
func (c *Client) attempt(ctx, patience context.Context, elapsed, wait time.Duration) error {
	x, err := c.begin(ctx)
	if err != nil {
		return err
	}
	defer x.close()
	offer, err := x.offer(patience, elapsed, wait)
	if err != nil {
		return err
	}
	// The time of the lease counts from the request, not from the last repetition.
	asked := time.Now()
	for i := range requests {
		ack, err := x.ask(patience, c.request(x.xid, elapsed, offer), broadcast(), spread(firstWait<<i), func(r reply) bool {
			return r.kind != dhcpv4.MessageTypeOffer && r.server == offer.Server
		})
		if errors.Is(err, ErrNoServer) {
			continue
		}
		if err != nil {
			return err
		}
		return c.conclude(ctx, x, ack, asked)
	}
	return fmt.Errorf("%w any more: %s offered %s", ErrNoServer, offer.Server, offer.Address)
}

// conclude takes a server's last word: a lease or none.
func (c *Client) conclude(ctx context.Context, x *exchange, r reply, asked time.Time) error {
	if r.kind == dhcpv4.MessageTypeNak {
		err := withdrawn(r)
		c.last = netip.Addr{}
		c.lose(ctx, err)
		return err
	}
	l, err := r.lease(asked)
	if err == nil {
		err = c.bind(ctx, l, r.from)
	}
	if err == nil {
		return nil
	}
	if l.Address.IsValid() {
		x.send(c.decline(x.xid, l), broadcast()) // lost, it runs out on the server by itself
	}
	err = fmt.Errorf("%w: %w", ErrRefused, err)
	c.last = netip.Addr{}
	c.lose(ctx, err)
	return err
}

func withdrawn(r reply) error {
	if r.text == "" {
		return fmt.Errorf("%w: %s", ErrWithdrawn, r.server)
	}
	return fmt.Errorf("%w: %s says %q", ErrWithdrawn, r.server, r.text)
}

// bind hands the lease to the owner, and remembers it when the owner uses it.
func (c *Client) bind(ctx context.Context, l Lease, from Peer) error {
	if err := c.Accept(l); err != nil {
		return err
	}
	if err := c.Bound(ctx, l); err != nil {
		return err
	}
	c.next = l.Renew
	c.held, c.last, c.server = &l, l.Address.Addr(), Peer{Addr: l.Server, MAC: from.MAC}
	return nil
}

// lose tells the owner that the lease is over, if there is one.
func (c *Client) lose(ctx context.Context, err error) {
	if c.held == nil {
		return
	}
	c.held = nil
	c.Lost(ctx, err)
}

// hold waits for the next time at which the lease needs something.
func (c *Client) hold(ctx context.Context) {
	l := *c.held
	now := time.Now()
	switch {
	case !now.Before(l.Expires):
		c.lose(ctx, fmt.Errorf("%w: %s, from %s", ErrExpired, l.Address, l.Server))
	case !now.Before(c.next):
		c.extendNow(ctx, l, now)
	case c.pause(ctx, earliest(c.next, l.Expires).Sub(now)) && c.settled(ctx):
		c.confirm(ctx, l.Address.Addr())
	}
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// extendNow asks once for more time: the server that lent until T2, then any.
func (c *Client) extendNow(ctx context.Context, l Lease, now time.Time) {
	to, limit, same := c.server, l.Rebind, true
	if !now.Before(l.Rebind) {
		to, limit, same = broadcast(), l.Expires, false
	}
	// Half the time that is left, but not too often, and not past the limit.
	wait := max(limit.Sub(now)/2, min(leastRetry, l.Expires.Sub(l.Renew)/8))
	c.next = earliest(now.Add(wait), limit)
	x, err := c.begin(ctx)
	if err != nil {
		c.next = earliest(time.Now().Add(openAgain), c.next)
		return
	}
	defer x.close()
	m := c.extend(x.xid, now.Sub(l.Renew), l.Address.Addr())
	r, err := x.askFrom(ctx, l.Address.Addr(), m, to, min(firstWait, c.next.Sub(now)), func(r reply) bool {
		return r.kind != dhcpv4.MessageTypeOffer && (!same || r.server == l.Server)
	})
	if err == nil {
		_ = c.conclude(ctx, x, r, now) // what is wrong was told by Lost
	}
}

// confirm asks whether the address may still be used (INIT-REBOOT). It returns
// whether a lease is held afterwards: a held one stays when nobody answers
// (RFC 2131 section 3.2 step 4).
func (c *Client) confirm(ctx context.Context, a netip.Addr) bool {
	x, err := c.begin(ctx)
	if err != nil {
		return c.held != nil
	}
	defer x.close()
	asked := time.Now()
	for i := range confirmations {
		if c.held != nil && !asked.Before(c.held.Expires) {
			break
		}
		r, err := x.ask(ctx, c.reboot(x.xid, time.Since(asked), a), broadcast(), spread(firstWait<<i), func(r reply) bool {
			return r.kind != dhcpv4.MessageTypeOffer
		})
		if err == nil {
			if err = c.conclude(ctx, x, r, asked); err != nil {
				c.waiting(err)
			}
			return c.held != nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	return c.held != nil
}

// pause waits, and returns true at once when the link came back meanwhile.
func (c *Client) pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	case <-c.Links:
		return true
	}
	return false
}

// settled waits until the link has been quiet for a moment.
func (c *Client) settled(ctx context.Context) bool {
	for {
		t := time.NewTimer(settle)
		select {
		case <-ctx.Done():
			t.Stop()
			return false
		case <-t.C:
			return true
		case <-c.Links:
			t.Stop()
		}
	}
}

// spread varies a wait by up to a second, so that many clients that start
// together do not ask together.
func spread(d time.Duration) time.Duration {
	return d - jitter + rand.N(2*jitter)
}
