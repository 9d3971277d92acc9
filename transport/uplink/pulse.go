package uplink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// silence is how long the broker may owe an answer: with a look every lookEvery
	// a dead line is found within 15 s when something is owed.
	silence = 12 * time.Second
	// pingAfter is the silence after which an answer is asked for: a dead line is
	// found within 20 s when nothing is owed.
	pingAfter = 6 * time.Second
	lookEvery = 500 * time.Millisecond
	// stoodStill is a look so late that this process itself was not running, so that
	// the silence says nothing of the line.
	stoodStill = 3 * time.Second
)

// errSilent says that the line carries nothing any more.
var errSilent = errors.New("the broker owes an answer and nothing comes: the line is dead")

// pulse notes what a connection's two directions tell of its health. A TCP
// connection whose peer is gone without a word looks like one that has nothing to
// say, for many minutes.
type pulse struct {
	born  time.Time    // by the clock that nobody sets
	heard atomic.Int64 // when bytes came last, since born
	asked atomic.Int64 // since when an answer is owed, since born; 0: none is
	owed  atomic.Int64 // packets that have not been answered
}

func (p *pulse) now() int64 { return int64(max(time.Since(p.born), 1)) }

// wrote is told of each packet before it leaves.
func (p *pulse) wrote(first byte) {
	if demandsAnswer(first) {
		p.owed.Add(1)
		p.asked.CompareAndSwap(0, p.now())
	}
}

// read is told that bytes came, and how many answers were among them.
func (p *pulse) read(answers int) {
	now := p.now()
	p.heard.Store(now)
	if left := p.owed.Add(-int64(answers)); left <= 0 {
		p.owed.CompareAndSwap(left, 0) // answers to nothing are no credit
		now = 0
	}
	p.asked.Store(now)
}

// demandsAnswer tells whether a packet of ours is answered by one of the broker's.
func demandsAnswer(first byte) bool {
	switch first >> 4 {
	case typeConnect, typeSubscribe, typePingreq:
		return true
	case typePublish:
		return first&0x06 != 0 // QoS 1
	}
	return false
}

// isAnswer tells the packets that answer.
func isAnswer(first byte) bool {
	switch first >> 4 {
	case typeConnack, typePuback, typeSuback, typePingresp:
		return true
	}
	return false
}

// watch returns errSilent once an answer has been owed for longer than patience,
// and nil when ctx ends. After a while without a word it asks for one. What the
// kernel at the other end of the TCP connection acknowledges counts as life: a
// frame takes long to cross a slow line.
func (c *packetConn) watch(ctx context.Context, patience time.Duration) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	flow := progress{of: tcpOf(c.Conn)}
	for last := time.Now(); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		late := time.Since(last) > stoodStill
		last = time.Now()
		asked := c.asked.Load()
		switch {
		case asked == 0:
			if time.Duration(c.pulse.now()-c.heard.Load()) >= pingAfter {
				c.ping()
			}
		case late || flow.moved():
			c.asked.CompareAndSwap(asked, c.pulse.now())
		case time.Duration(c.pulse.now()-asked) >= patience:
			return fmt.Errorf("waiting for the broker for %s: %w", patience, errSilent)
		}
	}
}

// ping asks the broker for a sign of life. The library would do so too, but looks
// at the answer too seldom. An error shows where the session reads.
func (c *packetConn) ping() { _, _ = c.Write([]byte{typePingreq << 4, 0}) }

// progress tells whether a TCP connection gets bytes across.
type progress struct {
	of    syscall.RawConn // nil: nobody knows
	acked uint64
}

// moved tells whether the peer's kernel has acknowledged bytes since the last call.
func (p *progress) moved() bool {
	if p.of == nil {
		return false
	}
	var info *unix.TCPInfo
	err := p.of.Control(func(fd uintptr) {
		info, _ = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	})
	if err != nil || info == nil || info.Bytes_acked == p.acked {
		return false
	}
	p.acked = info.Bytes_acked
	return true
}

// tcpOf finds the TCP connection under others, nil if there is none to be seen.
func tcpOf(c net.Conn) syscall.RawConn {
	for range 8 { // TLS, over a proxy's TLS, over what a port adds
		if sc, ok := c.(syscall.Conn); ok {
			raw, err := sc.SyscallConn()
			if err != nil {
				return nil
			}
			return raw
		}
		under, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		c = under.NetConn()
	}
	return nil
}
