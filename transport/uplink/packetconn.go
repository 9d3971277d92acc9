package uplink

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// maxPacket bounds an inbound MQTT packet: a frame of 120 KiB, its topic, and
// room for a broker that adds to them.
const maxPacket = 160 << 10

// errPacket says that the broker sent what no broker may send to a collector.
var errPacket = errors.New("the broker breaks the MQTT rules of this protocol")

// The MQTT 3.1.1 control packets that this package meets (§2.2.1).
const (
	typeConnect   = 1
	typeConnack   = 2
	typePublish   = 3
	typePuback    = 4
	typeSubscribe = 8
	typeSuback    = 9
	typePingreq   = 12
	typePingresp  = 13
)

// packetConn is a connection that reads the fixed headers (MQTT 3.1.1 §2.2) of
// what comes in before the MQTT library does. The library reserves the memory
// that a header asks for, up to 256 MB, keeps every QoS 2 message until its
// release, and indexes its subscriptions by a SUBACK's length; so packets that
// do not belong here end the connection. It also gives each write a deadline,
// tells when a PUBLISH has been written, and notes how long the line is silent.
type packetConn struct {
	net.Conn
	pulse
	writeTimeout time.Duration
	written      chan struct{} // a PUBLISH was written; capacity 1
	broken       func(error)   // called with the reason; set before the first use
	scan         packetScan
	err          error // why the connection ended; read and set by the reading goroutine
}

func newPacketConn(c net.Conn, writeTimeout time.Duration) *packetConn {
	return &packetConn{Conn: c, pulse: pulse{born: time.Now()}, writeTimeout: writeTimeout, written: make(chan struct{}, 1), broken: func(error) {}}
}

// Read implements net.Conn.
func (c *packetConn) Read(b []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.Conn.Read(b)
	bad := c.scan.feed(b[:n])
	if n > 0 {
		c.pulse.read(c.scan.takeAnswers())
	}
	if bad != nil {
		c.err = bad
		c.broken(bad)
		return 0, bad
	}
	if errors.Is(err, io.EOF) {
		c.broken(errors.New("the broker closed the connection"))
	} else if err != nil {
		c.broken(fmt.Errorf("reading from the broker: %w", err))
	}
	return n, err
}

// Write implements net.Conn. The library writes one packet at a time, and its
// keep-alive beside it.
func (c *packetConn) Write(b []byte) (int, error) {
	if len(b) > 0 {
		c.wrote(b[0])
	}
	if err := c.SetWriteDeadline(time.Now().Add(c.writeTimeout)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(b)
	if err != nil {
		c.broken(fmt.Errorf("writing to the broker: %w", err))
	}
	if err == nil && len(b) > 0 && b[0]>>4 == typePublish {
		select {
		case c.written <- struct{}{}:
		default:
		}
	}
	return n, err
}

// packetScan follows the packets of a stream.
type packetScan struct {
	inHeader bool
	first    byte // of the packet: type and flags
	length   int  // of the packet's rest, as far as read
	digits   int  // bytes of length read
	skip     int  // bytes left of the packet
	answers  int  // packets that answer one of ours, since they were last taken
}

// takeAnswers returns how many answers have begun since the last call.
func (s *packetScan) takeAnswers() int {
	n := s.answers
	s.answers = 0
	return n
}

// feed takes the next bytes of the stream.
func (s *packetScan) feed(b []byte) error {
	for len(b) > 0 {
		switch {
		case s.skip > 0:
			n := min(s.skip, len(b))
			s.skip -= n
			b = b[n:]
		case !s.inHeader:
			*s = packetScan{inHeader: true, first: b[0], answers: s.answers}
			if isAnswer(b[0]) {
				s.answers++
			}
			if err := s.checkType(); err != nil {
				return err
			}
			b = b[1:]
		default:
			if err := s.lengthByte(b[0]); err != nil {
				return err
			}
			b = b[1:]
		}
	}
	return nil
}

func (s *packetScan) checkType() error {
	switch s.first >> 4 {
	case typePublish:
		if qos := s.first >> 1 & 3; qos > 1 {
			return fmt.Errorf("reading from the broker: a message of QoS %d: %w", qos, errPacket)
		}
	case typeConnack, typePuback, typeSuback, typePingresp:
	default:
		return fmt.Errorf("reading from the broker: a packet of type %d: %w", s.first>>4, errPacket)
	}
	return nil
}

// lengthByte takes one byte of the remaining length (MQTT 3.1.1 §2.2.3).
func (s *packetScan) lengthByte(b byte) error {
	s.length |= int(b&0x7f) << (7 * s.digits)
	s.digits++
	switch {
	case s.length > maxPacket:
		return fmt.Errorf("reading from the broker: a packet of %d bytes or more, the limit is %d: %w", s.length, maxPacket, errPacket)
	case b&0x80 != 0 && s.digits == 4:
		return fmt.Errorf("reading from the broker: a length of more than four bytes: %w", errPacket)
	case b&0x80 != 0:
		return nil
	}
	s.inHeader, s.skip = false, s.length
	return s.checkLength()
}

// checkLength holds the packets of fixed size to it. A collector subscribes to
// one filter, so that a SUBACK has one code.
func (s *packetScan) checkLength() error {
	want := map[byte]int{typeConnack: 2, typePuback: 2, typeSuback: 3, typePingresp: 0}
	if n, ok := want[s.first>>4]; ok && n != s.length {
		return fmt.Errorf("reading from the broker: a packet of type %d with %d bytes, not %d: %w", s.first>>4, s.length, n, errPacket)
	}
	return nil
}
