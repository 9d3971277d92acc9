package netguard

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// stagger is the pause before the next address is tried besides those under way
// (RFC 8305 section 5, Connection Attempt Delay).
const stagger = 250 * time.Millisecond

// interleave orders addresses as RFC 8305 section 4 says: the families take
// turns, IPv6 first. net.Dialer does this only for names that it resolves
// itself. A family of which the port has no address comes last: its dials fail
// at once.
func (o outlet) interleave(addrs []netip.AddrPort) []netip.AddrPort {
	var first, second []netip.AddrPort
	for _, a := range addrs {
		if a.Addr().Is6() {
			first = append(first, a)
		} else {
			second = append(second, a)
		}
	}
	has6 := slices.ContainsFunc(o.subnets, func(p netip.Prefix) bool { return p.Addr().Is6() })
	if !has6 {
		return append(second, first...)
	}
	all := make([]netip.AddrPort, 0, len(addrs))
	for i := range max(len(first), len(second)) {
		all = append(all, first[min(i, len(first)):min(i+1, len(first))]...)
		all = append(all, second[min(i, len(second)):min(i+1, len(second))]...)
	}
	return all
}

// attempt connects to one address.
type attempt func(context.Context, netip.AddrPort) (net.Conn, error)

type finish struct {
	place int
	conn  net.Conn
	err   error
}

// race returns the first connection of those to addrs. They are tried in this
// order, each one stagger after the one before, or as soon as that one failed.
// When it returns, every attempt has ended and every other connection is closed.
func race(ctx context.Context, addrs []netip.AddrPort, dial attempt) (net.Conn, error) {
	if len(addrs) == 1 {
		return dial(ctx, addrs[0])
	}
	ctx, cancel := context.WithCancel(ctx)
	r := racer{dial: dial, addrs: addrs, finished: make(chan finish, len(addrs)), errs: make([]error, len(addrs))}
	conn := r.run(ctx)
	cancel()
	r.settle()
	if conn == nil {
		return nil, raceError(r.errs[:r.started])
	}
	return conn, nil
}

type racer struct {
	dial              attempt
	addrs             []netip.AddrPort
	finished          chan finish
	errs              []error // by the place of their address
	started, underway int
}

func (r *racer) run(ctx context.Context) net.Conn {
	next := time.NewTimer(0)
	defer next.Stop()
	for r.started < len(r.addrs) || r.underway > 0 {
		select {
		case <-next.C:
			if r.start(ctx) {
				next.Reset(stagger)
			}
		case f := <-r.finished:
			r.underway--
			if f.err == nil {
				return f.conn
			}
			r.errs[f.place] = f.err
			if ctx.Err() != nil {
				return nil
			}
			next.Reset(0)
		}
	}
	return nil
}

// start begins the next attempt, if there is one.
func (r *racer) start(ctx context.Context) bool {
	if r.started == len(r.addrs) {
		return false
	}
	place := r.started
	r.started++
	r.underway++
	go func() {
		conn, err := r.dial(ctx, r.addrs[place])
		r.finished <- finish{place, conn, err}
	}()
	return true
}

// settle waits for the attempts that lost, and closes what they got.
func (r *racer) settle() {
	for ; r.underway > 0; r.underway-- {
		f := <-r.finished
		r.errs[f.place] = f.err
		if f.conn != nil {
			_ = f.conn.Close() // nobody has used it
		}
	}
}

// raceError says why none of several addresses could be reached.
type raceError []error

// Error tells all reasons in one line.
func (e raceError) Error() string {
	var all []string
	for _, err := range e {
		if err != nil && !slices.Contains(all, err.Error()) {
			all = append(all, err.Error())
		}
	}
	return strings.Join(all, "; ")
}

// Unwrap returns the errors in the order in which the addresses were tried.
func (e raceError) Unwrap() []error {
	return slices.DeleteFunc(slices.Clone(e), func(err error) bool { return err == nil })
}
