package device

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
)

// Ports of a device whose port is not configured, in this order: that of
// NETCONF over SSH (RFC 6242 §4), where the subsystem is alone, and that of SSH.
const (
	netconfPort = 830
	sshPort     = 22
)

// chain is the way to one device while it is built: the connections of the hops,
// each inside the one before.
type chain struct {
	dialer  *Dialer
	times   Timeouts
	info    Info
	root    net.Conn // TCP of the first hop: closing it ends everything
	clients []*ssh.Client
	names   []string       // of the hops that clients are logged in at
	tasks   sync.WaitGroup // forwardings that nobody waits for any more
}

// Dial logs in at each bastion and then at the device, and opens the netconf
// subsystem there. Errors are of type *Error.
func (d *Dialer) Dial(ctx context.Context, t Target) (*Conn, error) {
	c := &chain{dialer: d, times: d.Timeouts.withDefaults(), info: Info{
		FirstUse: map[string]string{}, HostKeys: map[string]string{}, Algorithms: map[string]Algorithms{},
	}}
	conn, err := c.dial(ctx, t)
	if err != nil {
		c.close()
		err.Trusted = c.info.FirstUse
		return nil, err
	}
	return conn, nil
}

func (c *chain) dial(ctx context.Context, t Target) (*Conn, *Error) {
	for _, hop := range t.Via {
		if hop.Port == 0 {
			hop.Port = sshPort
		}
		if err := c.enter(ctx, hop); err != nil {
			return nil, c.blame(err, hop, true)
		}
	}
	port, err := c.enterDevice(ctx, t.Device)
	if err != nil {
		return nil, c.blame(err, t.Device, false)
	}
	c.info.Port = port
	conn, err := c.open(ctx)
	if err != nil {
		return nil, c.blame(err, t.Device, false)
	}
	return conn, nil
}

// blame names the hop, unless the error already names the bastion before it.
func (c *chain) blame(err *Error, hop Hop, bastion bool) *Error {
	if err.Hop == "" {
		err.Hop, err.Bastion = hop.name(), bastion
	}
	return err
}

// enterDevice tries the ports of a device. The second is tried only where the
// first did not answer at all: never after a refused log-in or host key.
func (c *chain) enterDevice(ctx context.Context, hop Hop) (uint16, *Error) {
	if hop.Port != 0 {
		return hop.Port, c.enter(ctx, hop)
	}
	hop.Port = netconfPort
	first := c.enter(ctx, hop)
	if first == nil {
		return hop.Port, nil
	}
	silent := first.Kind == KindRefused || first.Kind == KindConnect
	if !silent || ctx.Err() != nil {
		return 0, first
	}
	hop.Port = sshPort
	second := c.enter(ctx, hop)
	if second != nil {
		second.Err = fmt.Errorf("port %d: %w (port %d before: %w)", sshPort, second.Err, netconfPort, first.Err)
	}
	return hop.Port, second
}

// enter connects and logs in at the next hop. A fingerprint does not say of
// which type its key is, and pins may be of several types: a hop that shows a
// key of one type that is not pinned is asked again for the others.
func (c *chain) enter(ctx context.Context, hop Hop) *Error {
	pins, err := c.check(hop)
	if err != nil {
		return &Error{Phase: PhaseConfig, Kind: KindConfig, Err: err}
	}
	var wrong []string
	var changed *Error
	for {
		h := &handshake{hop: hop, pins: pins, wrong: wrong, times: c.times}
		e := c.attempt(ctx, h)
		switch {
		case e == nil:
			return nil
		case e.Kind == KindAlgorithms && changed != nil:
			return changed
		case e.Kind != KindHostKeyChanged:
			return e
		}
		changed, wrong = e, append(wrong, h.badType)
		if len(pins.types(wrong, hop.Legacy)) == 0 {
			return changed
		}
	}
}

// check finds what can be known to be wrong before any packet.
func (c *chain) check(hop Hop) (pins, error) {
	switch {
	case hop.Address == "":
		return pins{}, errors.New("no address")
	case hop.Auth.User == "":
		return pins{}, errors.New("no user name")
	case len(c.clients) > maxHops:
		return pins{}, fmt.Errorf("more than %d bastions", maxHops)
	}
	return parsePins(hop.HostKeys)
}

// maxHops bounds a chain of bastions.
const maxHops = 8

func (c *chain) attempt(ctx context.Context, h *handshake) *Error {
	conn, e := c.connect(ctx, net.JoinHostPort(h.hop.Address, strconv.Itoa(int(h.hop.Port))))
	if e != nil {
		return e
	}
	client, e := h.run(ctx, conn)
	c.learnKey(h)
	if e != nil {
		return e
	}
	if len(c.clients) == 0 {
		c.root = conn
	}
	c.clients, c.names = append(c.clients, client), append(c.names, h.hop.name())
	c.learn(h, client)
	return nil
}

// learnKey notes the accepted host key, also of a log-in that failed after it.
func (c *chain) learnKey(h *handshake) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.key == nil {
		return
	}
	name := h.hop.name()
	c.info.HostKeys[name] = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(h.key)))
	if h.firstUse {
		c.info.FirstUse[name] = ssh.FingerprintSHA256(h.key)
	}
}

// learn notes what the log-in told about the hop.
func (c *chain) learn(h *handshake, client *ssh.Client) {
	name := h.hop.name()
	if m, ok := client.Conn.(ssh.AlgorithmsConnMetadata); ok {
		a := m.Algorithms()
		c.info.Algorithms[name] = Algorithms{KeyExchange: a.KeyExchange, HostKey: a.HostKey,
			Cipher: a.Write.Cipher, MAC: a.Write.MAC}
	}
}

// connect makes the TCP connection to the next hop: itself, or by the last
// bastion.
func (c *chain) connect(ctx context.Context, addr string) (net.Conn, *Error) {
	timed, cancel := context.WithTimeoutCause(ctx, c.times.Connect, errTime)
	defer cancel()
	if len(c.clients) > 0 {
		return c.forward(timed, c.clients[len(c.clients)-1], addr)
	}
	dial := c.dialer.Net
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	conn, err := dial(timed, "tcp", addr)
	if err == nil {
		return conn, nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	phase, kind := connectKind(err)
	return nil, &Error{Phase: phase, Kind: kind, Err: err}
}

// forward asks a bastion for the next hop. Opening a channel cannot be
// cancelled: one that is given up is closed when it opens after all.
func (c *chain) forward(ctx context.Context, bastion *ssh.Client, addr string) (net.Conn, *Error) {
	type opened struct {
		conn net.Conn
		err  error
	}
	done := make(chan opened)
	c.tasks.Go(func() {
		conn, err := bastion.Dial("tcp", addr)
		select {
		case done <- opened{conn, err}:
		case <-ctx.Done():
			if err == nil {
				conn.Close()
			}
		}
	})
	select {
	case o := <-done:
		if o.err == nil {
			return o.conn, nil
		}
		return nil, c.forwardError(o.err)
	case <-ctx.Done():
		err := context.Cause(ctx)
		e := &Error{Phase: PhaseForward, Kind: KindConnect, Err: err}
		if errors.Is(err, context.Canceled) {
			e.Kind = KindCancelled
		}
		return nil, e
	}
}

// forwardError names the bastion where that is at fault.
func (c *chain) forwardError(err error) *Error {
	kind, ours := forwardKind(err)
	e := &Error{Phase: PhaseForward, Kind: kind, Err: err}
	if ours {
		e.Hop, e.Bastion = c.names[len(c.names)-1], true
	}
	return e
}

// close ends the chain from the outside in, so that nothing waits for a bastion
// that went silent, and returns when all its goroutines are gone.
func (c *chain) close() error {
	var err error
	if c.root != nil {
		err = c.root.Close()
	}
	for _, client := range slices.Backward(c.clients) {
		client.Close()
		client.Wait()
	}
	c.tasks.Wait()
	return err
}
