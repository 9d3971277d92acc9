package lease

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Peer is a host on the link, or what the link's broadcast reaches.
type Peer struct {
	Addr netip.Addr
	MAC  net.HardwareAddr
}

// broadcast is how a server is reached that is not known.
func broadcast() Peer {
	return Peer{netip.AddrFrom4([4]byte{255, 255, 255, 255}), net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}
}

// Conn carries DHCP messages between this host's port 68 and a server's port 67.
type Conn interface {
	// Send sends one message; from is the zero Addr while there is no address.
	Send(message []byte, from netip.Addr, to Peer) error
	// Receive returns the next message into b and who sent it. It returns an error
	// at the latest when ctx ends.
	Receive(ctx context.Context, b []byte) (n int, from Peer, err error)
	Close() error
}

// maxStrays is how many messages that fit nothing one wait reads. A server that
// sends more is not listened to until the next message of ours.
const maxStrays = 256

// exchange is one transaction.
type exchange struct {
	client *Client
	conn   Conn
	xid    dhcpv4.TransactionID
}

func (c *Client) begin(ctx context.Context) (*exchange, error) {
	xid, err := dhcpv4.GenerateTransactionID()
	if err != nil {
		return nil, fmt.Errorf("choosing transaction number: %w", err)
	}
	if c.held != nil { // it is over in time, however long the way takes
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, c.held.Expires)
		defer cancel()
	}
	conn, err := c.Open(ctx, xid)
	if err != nil {
		return nil, fmt.Errorf("opening a way to the DHCP servers: %w", err)
	}
	return &exchange{c, conn, xid}, nil
}

func (x *exchange) close() { _ = x.conn.Close() }

func (x *exchange) send(m *dhcpv4.DHCPv4, to Peer) {
	_ = x.conn.Send(m.ToBytes(), netip.IPv4Unspecified(), to)
}

// ask sends m once and waits for an answer that fits. A link that is down makes
// it wait as well: it may come back. ErrNoServer when none came.
func (x *exchange) ask(ctx context.Context, m *dhcpv4.DHCPv4, to Peer, wait time.Duration, fits func(reply) bool) (reply, error) {
	return x.askFrom(ctx, netip.IPv4Unspecified(), m, to, wait, fits)
}

func (x *exchange) askFrom(ctx context.Context, from netip.Addr, m *dhcpv4.DHCPv4, to Peer, wait time.Duration, fits func(reply) bool) (reply, error) {
	sendErr := x.conn.Send(m.ToBytes(), from, to)
	limited, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	r, err := x.listen(limited, fits)
	if ctx.Err() != nil {
		return reply{}, ctx.Err()
	}
	if errors.Is(err, ErrNoServer) && sendErr != nil {
		err = fmt.Errorf("%w: sending: %w", ErrNoServer, sendErr)
	}
	return r, err
}

// listen returns the first message that fits.
func (x *exchange) listen(ctx context.Context, fits func(reply) bool) (reply, error) {
	b := make([]byte, maxDatagram)
	for range maxStrays {
		n, from, err := x.conn.Receive(ctx, b)
		if err != nil {
			<-ctx.Done() // a broken socket is not a reason to ask faster
			return reply{}, ErrNoServer
		}
		if r, ok := parse(b[:n], x.xid, x.client.MAC); ok && fits(r) {
			r.from = from
			return r, nil
		}
	}
	<-ctx.Done()
	return reply{}, ErrNoServer
}

// otherOffers is how long is waited for another server after an offer that
// cannot be used.
const otherOffers = time.Second

// offer sends one DHCPDISCOVER and returns the first offer that can be used. When
// there were only others, the error is ErrRefused and says what was wrong.
func (x *exchange) offer(ctx context.Context, elapsed, wait time.Duration) (best Lease, err error) {
	limited, cancel := context.WithCancel(ctx)
	defer cancel()
	var refused error
	_, err = x.ask(limited, x.client.discover(x.xid, elapsed), broadcast(), spread(wait), func(r reply) bool {
		if r.kind != dhcpv4.MessageTypeOffer {
			return false
		}
		l, err := r.lease(time.Now())
		if err == nil {
			err = x.client.Accept(l)
		}
		if err == nil {
			best = l
			return true
		}
		if refused == nil {
			time.AfterFunc(otherOffers, cancel)
		}
		refused = err
		return false
	})
	if err != nil && refused != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w: %w", ErrRefused, refused)
	}
	return best, err
}
