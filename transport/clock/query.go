package clock

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/beevik/ntp"
)

const (
	// queryTime bounds one exchange, without the dial.
	queryTime = 5 * time.Second
	// maxDistance is how wrong a server's time may be for it to be listened to
	// (RFC 5905 section 7.2, MAXDIST).
	maxDistance = 1500 * time.Millisecond
	// minDistance stands for what an exchange does not show (RFC 5905 appendix
	// A.5.5.2, MINDISP, of a packet that waits in a queue).
	minDistance = 5 * time.Millisecond
)

// What keeps a server from being listened to.
var (
	errNotAsked = errors.New("nothing could be sent")
	errAbsurd   = errors.New("its time is absurd")
)

// server is one of those that are asked.
type server struct {
	address string
	// What it said when it was asked too often or not at all, RFC 5905 section
	// 7.4. Of the goroutine of one query at a time.
	refused string
	wait    time.Duration
	until   time.Time
}

// silence returns why the server must not be asked now.
func (s *server) silence(now time.Time) error {
	switch {
	case s.refused != "":
		return fmt.Errorf("it said %s: it is not asked again", s.refused)
	case now.Before(s.until):
		return fmt.Errorf("it said RATE: it is asked again in %v", s.until.Sub(now).Round(time.Second))
	}
	return nil
}

// kissed obeys a kiss of death. A code that is not known says that there is no
// time to be had, and no more.
func (s *server) kissed(code string, now time.Time) error {
	switch code {
	case "DENY", "RSTR":
		s.refused = code
	case "RATE":
		s.wait = min(max(2*s.wait, 2*minPoll), maxPoll)
		s.until = now.Add(s.wait)
	}
	return fmt.Errorf("it said %q instead of the time", printable(code))
}

// sample is one good answer.
type sample struct {
	offset, distance time.Duration
	stratum          uint8
}

// query asks one server.
func (k *Clock) query(ctx context.Context, s *server) (sample, error) {
	dialled := func(_, address string) (net.Conn, error) {
		c, err := k.cfg.Dial(ctx, "udp", address)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errNotAsked, err)
		}
		return &exchange{c, context.AfterFunc(ctx, func() { _ = c.Close() })}, nil
	}
	// The library asks with a random time stamp and takes no answer without it.
	r, err := ntp.QueryWithOptions(s.address, ntp.QueryOptions{Timeout: queryTime, Dialer: dialled})
	if err != nil {
		return sample{}, fmt.Errorf("asking for the time: %w", err)
	}
	return k.judge(s, r)
}

// exchange is the connection of one query, which the end of a context closes.
type exchange struct {
	net.Conn
	stop func() bool
}

// maxExponent bounds the poll interval and the precision of a message, which are
// powers of two of a second (RFC 5905 section 7.3). Beyond it is nonsense, and
// -128 makes the library shift by a negative amount, which panics.
const maxExponent = 40

// Read reads one message and refuses what the library must not see.
func (c *exchange) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil || n < 4 {
		return n, err
	}
	for _, exponent := range b[2:4] {
		if e := int8(exponent); e < -maxExponent || e > maxExponent {
			return 0, fmt.Errorf("%w: an interval of 2^%d s", errAbsurd, e)
		}
	}
	return n, nil
}

// Close closes the connection, unless the context did.
func (c *exchange) Close() error {
	if !c.stop() {
		return nil
	}
	return c.Conn.Close()
}

// judge refuses an answer that says itself that it is no time, and one that
// cannot be true.
func (k *Clock) judge(s *server, r *ntp.Response) (sample, error) {
	if r.IsKissOfDeath() {
		return sample{}, s.kissed(r.KissCode, time.Now())
	}
	s.wait = 0
	if err := r.Validate(); err != nil {
		return sample{}, fmt.Errorf("judging the answer: %w", err)
	}
	distance := r.RootDistance + minDistance
	at := r.Timestamps.ServerXmit
	switch {
	case r.RootDelay < 0 || r.RootDispersion < 0 || distance > maxDistance:
		return sample{}, fmt.Errorf("judging the answer: it may be wrong by %v, more than %v", distance, maxDistance)
	case at.Before(k.cfg.NotBefore), at.After(k.cfg.NotBefore.Add(latest)):
		return sample{}, fmt.Errorf("%w: %s", errAbsurd, at.UTC().Format(time.RFC3339))
	case r.Timestamps.ServerRecv.After(at.Add(time.Second)), at.Sub(r.Timestamps.ServerRecv) > queryTime:
		return sample{}, fmt.Errorf("%w: it answered %v after it was asked", errAbsurd, at.Sub(r.Timestamps.ServerRecv))
	}
	return sample{offset: r.ClockOffset, distance: distance, stratum: r.Stratum}, nil
}

// printable keeps what a stranger said from acting on a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s[:min(len(s), 8)])
}
