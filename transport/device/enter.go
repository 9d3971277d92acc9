package device

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http/httptrace"
	"strings"
	"sync"
	"time"

	"lwc/transport/secret"
)

// hop is a Hop that was read: what can be known to be wrong is found before any
// packet.
type hop struct {
	Hop
	pins pins
	key  *opened // held by who prepared the hop
	// address tells hops apart by the way there and the address; base by the
	// credential too, and exact by the pins as well.
	address, base, exact digest
}

// maxHops bounds a chain of bastions.
const maxHops = 8

// prepare reads the hops of a target, the device last.
func (d *Dialer) prepare(t Target) ([]*hop, *Error) {
	var hops []*hop
	for i, raw := range append(append([]Hop(nil), t.Via...), t.Device) {
		h, err := d.read(raw)
		if err == nil && i > maxHops {
			err = fmt.Errorf("more than %d bastions", maxHops)
		}
		if err != nil {
			return hops, (&Error{Phase: PhaseConfig, Kind: KindConfig, Err: err}).blame(i)
		}
		if i < len(t.Via) && h.Port == 0 {
			h.Port = sshPort
		}
		d.identify(h, hops)
		hops = append(hops, h)
	}
	return hops, nil
}

func (d *Dialer) read(raw Hop) (*hop, error) {
	switch {
	case raw.Address == "":
		return nil, errors.New("no address")
	case raw.Auth.User == "":
		return nil, errors.New("no user name")
	}
	h := &hop{Hop: raw}
	var err error
	if h.pins, err = parsePins(raw.HostKeys); err != nil {
		return nil, err
	}
	h.pins.principals = []string{raw.Address, raw.Name}
	h.key = d.keys.open(d.pool.digest(raw.Auth.PrivateKey.Reveal(), raw.Auth.Passphrase.Reveal(), raw.Auth.Certificate.Reveal()), raw.Auth, d.idle())
	if h.key.err != nil {
		h.key.drop()
		return nil, h.key.err
	}
	return h, nil
}

// own returns a hop for a goroutine that may outlive the caller, who wipes the
// password when he is done.
func (h *hop) own() *hop {
	own := *h
	own.Auth = Auth{User: h.Auth.User, Password: secret.New(bytes.Clone(h.Auth.Password.Reveal()))}
	own.key.hold()
	return &own
}

// wipe ends what own or read returned.
func (h *hop) wipe() {
	h.Auth.Password.Wipe()
	h.key.drop()
}

// bare returns the hop without what logs in.
func (h *hop) bare() *hop {
	bare := *h
	bare.Auth, bare.key = Auth{}, nil
	return &bare
}

// identify makes the names under which the pool knows a bastion, and the memory
// every hop.
func (d *Dialer) identify(h *hop, before []*hop) {
	var base, exact digest
	if n := len(before); n > 0 {
		base, exact = before[n-1].base, before[n-1].exact
	}
	a := h.Auth
	h.address = d.pool.digest(base[:], []byte(h.Address))
	h.base = d.pool.digest(h.address[:], fmt.Append(nil, h.Port, h.Legacy), []byte(a.User),
		a.Password.Reveal(), a.PrivateKey.Reveal(), a.Passphrase.Reveal(), a.Certificate.Reveal())
	var names string // matter to certificates only
	if len(h.pins.authorities) > 0 {
		names = strings.Join(h.pins.principals, "\n")
	}
	h.exact = d.pool.digest(exact[:], h.base[:], fmt.Append(nil, h.TrustFirst), []byte(strings.Join(h.HostKeys, "\n")), []byte(names))
}

// enter connects and logs in at a hop. A fingerprint does not say of which type
// its key is, and pins may be of several types: a hop that shows a key of one
// type that is not pinned is asked again for the others.
func (d *Dialer) enter(ctx context.Context, h *hop, via *link, rec *record) (*client, *Error) {
	var wrong []string
	var changed *Error
	for {
		s := &handshake{hop: h, wrong: wrong, times: d.Timeouts.withDefaults(), rec: &record{}}
		c, e := d.attempt(ctx, s, via)
		steps := append(rec.steps, s.rec.steps...)
		*rec = *s.rec
		rec.steps = steps
		switch {
		case e == nil:
			return c, nil
		case e.Kind == KindAlgorithms && changed != nil:
			return nil, changed
		case e.Kind != KindHostKeyChanged:
			return nil, e
		}
		changed, wrong = e, append(wrong, s.badType)
		if len(h.pins.types(wrong, h.Legacy)) == 0 {
			return nil, changed
		}
	}
}

func (d *Dialer) attempt(ctx context.Context, s *handshake, via *link) (*client, *Error) {
	conn, e := d.connect(ctx, s, via)
	if e != nil {
		return nil, e
	}
	c, e := s.run(ctx, newLine(conn, via))
	if e != nil && via != nil && (isCut(e.Err) || e.Kind == KindTimeout) {
		e = via.guilty(ctx, e.Phase, e)
	}
	at := place{s.hop.address, s.hop.Port}
	switch said, greeted := s.greeting.heardOf(); {
	case greeted:
		d.memory.spoke(at)
	case e != nil && e.Kind == KindThrottled && e.at == 0 && !said && d.memory.cut(at):
		e.Kind, e.Err = KindProtocol, errWordless
	}
	return c, e
}

// connect makes the connection to a hop: TCP, or by the bastion before.
func (d *Dialer) connect(ctx context.Context, s *handshake, via *link) (net.Conn, *Error) {
	h, began := s.hop, time.Now()
	if via == nil {
		return d.dial(ctx, s)
	}
	conn, e := via.forward(ctx, s.times.Connect, h.Address, h.Port)
	stage := StageConnect
	var err error
	if e != nil {
		err = e.Err
		if e.Kind == KindResolve {
			stage = StageResolve
		}
	}
	s.rec.step(stage, began, "through the bastion to "+hostPort(plain(h.Address, maxDetail), h.Port), err)
	return conn, e
}

// dial makes the TCP connection to the first hop.
func (d *Dialer) dial(ctx context.Context, s *handshake) (net.Conn, *Error) {
	timed, cancel := context.WithTimeoutCause(ctx, s.times.Connect, errTime)
	defer cancel()
	dial := d.Net
	if dial == nil {
		dial = noNet
	}
	look := &lookup{}
	began := time.Now()
	conn, err := dial(look.watch(timed, s.hop.Address), "tcp", hostPort(s.hop.Address, s.hop.Port))
	look.tell(s.rec, began, err)
	if err == nil {
		s.rec.step(StageConnect, look.end(began), conn.RemoteAddr().String(), nil)
		return conn, nil
	}
	phase, kind := connectKind(err)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
		if phase, kind = PhaseConnect, causeKind(err); kind == KindTimeout {
			kind = KindConnect // nothing answered
		}
	}
	if phase != PhaseResolve {
		s.rec.step(StageConnect, look.end(began), hostPort(plain(s.hop.Address, maxDetail), s.hop.Port), err)
	}
	return nil, &Error{Phase: phase, Kind: kind, Err: err}
}

// lookup watches the resolver of the standard library at work within a dial.
type lookup struct {
	mu    sync.Mutex // guards all: resolvers outlive a dial that is given up
	name  string     // empty: there is nothing to resolve
	found []string
	done  time.Time
}

func (l *lookup) watch(ctx context.Context, address string) context.Context {
	if !isName(address) {
		return ctx
	}
	l.name = address
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{DNSDone: func(i httptrace.DNSDoneInfo) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if i.Err == nil && l.done.IsZero() {
			for _, a := range i.Addrs {
				l.found = append(l.found, a.String())
			}
			l.done = time.Now()
		}
	}})
}

// end is when the name was known.
func (l *lookup) end(began time.Time) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done.IsZero() {
		return began
	}
	return l.done
}

// tell records how the name was resolved, of a hop that has one.
func (l *lookup) tell(rec *record, began time.Time, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, dns := errors.AsType[*net.DNSError](err)
	switch {
	case dns:
		rec.step(StageResolve, began, "", err)
	case l.name != "" && !l.done.IsZero():
		rec.steps = append(rec.steps, Step{Stage: StageResolve, Took: l.done.Sub(began), Detail: plain(strings.Join(l.found, ", "), maxDetail)})
	}
}

// noNet refuses: which port a connection leaves by is never left to chance.
func noNet(context.Context, string, string) (net.Conn, error) {
	return nil, errors.New("there is nothing to dial through")
}
