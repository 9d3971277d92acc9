package wall

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// message is one netlink message of the kernel. Its bytes are valid until the
// next read.
type message struct {
	kind, flags uint16
	seq         uint32
	family      byte   // of struct nfgenmsg
	body        []byte // what follows the header; attributes start behind nfgenmsg
}

var errTruncated = errors.New("truncated netlink message")

// splitMessages hands over each message of a datagram.
func splitMessages(b []byte, visit func(message) error) error {
	for len(b) >= unix.NLMSG_HDRLEN {
		length := int(binary.NativeEndian.Uint32(b))
		if length < unix.NLMSG_HDRLEN || length > len(b) {
			return errTruncated
		}
		m := message{
			kind:  binary.NativeEndian.Uint16(b[4:]),
			flags: binary.NativeEndian.Uint16(b[6:]),
			seq:   binary.NativeEndian.Uint32(b[8:]),
			body:  b[unix.NLMSG_HDRLEN:length],
		}
		if len(m.body) > 0 {
			m.family = m.body[0]
		}
		if err := visit(m); err != nil {
			return err
		}
		b = b[min(align(length), len(b)):]
	}
	return nil
}

// attrs returns the attributes behind struct nfgenmsg.
func (m message) attrs() []byte {
	if len(m.body) < 4 {
		return nil
	}
	return m.body[4:]
}

// refusal is what the kernel says in a message of type NLMSG_ERROR.
type refusal struct {
	errno syscall.Errno
	note  string // NLMSGERR_ATTR_MSG
}

func (r *refusal) Error() string {
	if r.note == "" {
		return r.errno.Error()
	}
	return fmt.Sprintf("%s (%s)", r.errno.Error(), r.note)
}

func (r *refusal) Unwrap() error { return r.errno }

// errno returns what a message of type NLMSG_ERROR or NLMSG_DONE says, nil for
// an acknowledgement.
func (m message) errno() error {
	if len(m.body) < 4 {
		return errTruncated
	}
	code := int32(binary.NativeEndian.Uint32(m.body))
	if code == 0 {
		return nil
	}
	r := &refusal{errno: syscall.Errno(-code)}
	const echoed = 4 + unix.NLMSG_HDRLEN // the errno and the header of the request
	if m.kind == unix.NLMSG_ERROR && m.flags&unix.NLM_F_ACK_TLVS != 0 && m.flags&unix.NLM_F_CAPPED != 0 && len(m.body) >= echoed {
		_ = eachAttr(m.body[echoed:], func(kind uint16, value []byte) error {
			if kind == unix.NLMSGERR_ATTR_MSG {
				r.note = text(value)
			}
			return nil
		})
	}
	return r
}

// typeMask is NLA_TYPE_MASK of include/uapi/linux/netlink.h.
const typeMask = 0x3fff

// align rounds up to the 4 bytes of NLMSG_ALIGN and NLA_ALIGN.
func align(n int) int { return (n + 3) &^ 3 }

// eachAttr hands over the attributes in b (struct nlattr). Kinds come without
// the flags NLA_F_NESTED and NLA_F_NET_BYTEORDER.
func eachAttr(b []byte, visit func(kind uint16, value []byte) error) error {
	for len(b) >= unix.SizeofNlAttr {
		length := int(binary.NativeEndian.Uint16(b))
		if length < unix.SizeofNlAttr || length > len(b) {
			return errTruncated
		}
		kind := binary.NativeEndian.Uint16(b[2:]) & typeMask
		if err := visit(kind, b[unix.SizeofNlAttr:length]); err != nil {
			return err
		}
		b = b[min(align(length), len(b)):]
	}
	return nil
}

// attr appends one attribute, padded.
func attr(b []byte, kind uint16, value []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(unix.SizeofNlAttr+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, value...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func attr32(b []byte, kind uint16, value uint32) []byte {
	return attr(b, kind, binary.BigEndian.AppendUint32(nil, value))
}

func attr64(b []byte, kind uint16, value uint64) []byte {
	return attr(b, kind, binary.BigEndian.AppendUint64(nil, value))
}

func attrText(b []byte, kind uint16, value string) []byte {
	return attr(b, kind, append([]byte(value), 0))
}

func nested(b []byte, kind uint16, value []byte) []byte {
	return attr(b, kind|unix.NLA_F_NESTED, value)
}

// number reads an attribute that holds a 32-bit number in network order.
func number(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}

// milliseconds reads an attribute that holds a 64-bit number of them in network
// order. One too large for a Duration is as good as for ever.
func milliseconds(b []byte) time.Duration {
	if len(b) < 8 {
		return forever
	}
	n := binary.BigEndian.Uint64(b)
	if n > uint64(forever/time.Millisecond) {
		return forever
	}
	return time.Duration(n) * time.Millisecond
}

// text reads an attribute that holds a zero-terminated string.
func text(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}
