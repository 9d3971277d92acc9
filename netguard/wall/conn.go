package wall

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// exchangeTimeout bounds each exchange with the kernel, which answers within
// milliseconds unless its nftables lock is held for very long.
const exchangeTimeout = 5 * time.Second

// The kernel fills at most 32 KiB of a dump into one read (netlink_dump in
// net/netlink/af_netlink.c); a batch is one write, which the send buffer holds.
const (
	readSize   = 64 << 10
	sendBuffer = 4 << 20
)

// conn is a netlink socket of netfilter inside one namespace. It is used by one
// goroutine at a time.
type conn struct {
	nl     *netlink.Conn
	raw    syscall.RawConn
	portID uint32
	seq    uint32
	buf    []byte

	timeout time.Duration // of each read and write
	closed  bool
}

func dial(ns *os.File) (*conn, error) {
	nl, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: int(ns.Fd())})
	if err != nil {
		return nil, openError(err)
	}
	c := &conn{nl: nl, buf: make([]byte, readSize), timeout: exchangeTimeout}
	if c.raw, err = nl.SyscallConn(); err == nil {
		err = c.prepare()
	}
	if err != nil {
		nl.Close()
		return nil, err
	}
	return c, nil
}

// prepare sets the socket's options and reads the port id that the kernel gave it.
func (c *conn) prepare() error {
	var err error
	controlled := c.raw.Control(func(fd uintptr) {
		// The options only make messages better and batches larger; a kernel
		// that refuses them still does all else.
		_ = unix.SetsockoptInt(int(fd), unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
		_ = unix.SetsockoptInt(int(fd), unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendBuffer)
		var sa unix.Sockaddr
		if sa, err = unix.Getsockname(int(fd)); err == nil {
			c.portID = sa.(*unix.SockaddrNetlink).Pid
		}
	})
	return errors.Join(controlled, os.NewSyscallError("getsockname", err))
}

func (c *conn) close() error {
	c.closed = true
	return c.nl.Close()
}

// request is one message to the kernel.
type request struct {
	kind   uint16 // NFT_MSG_…
	flags  uint16 // besides NLM_F_REQUEST
	family byte
	resID  uint16
	attrs  []byte
}

// subsystem is nftables' place in the type of a message.
const subsystem = unix.NFNL_SUBSYS_NFTABLES << 8

// append encodes the request as it goes over the socket (struct nlmsghdr, then
// struct nfgenmsg of include/uapi/linux/netfilter/nfnetlink.h).
func (r request) append(b []byte, seq uint32) []byte {
	return r.encode(b, r.kind|subsystem, seq)
}

func (r request) encode(b []byte, kind uint16, seq uint32) []byte {
	b = binary.NativeEndian.AppendUint32(b, uint32(unix.NLMSG_HDRLEN+4+len(r.attrs)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, r.flags|unix.NLM_F_REQUEST)
	b = binary.NativeEndian.AppendUint32(b, seq)
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = append(b, r.family, unix.NFNETLINK_V0)
	b = binary.BigEndian.AppendUint16(b, r.resID)
	return append(b, r.attrs...) // attributes are padded to 4 bytes already
}

// get sends one request and hands over each message of the answer.
func (c *conn) get(r request, visit func(message) error) error {
	c.seq++
	seq := c.seq
	if err := c.send(r.append(nil, seq)); err != nil {
		return err
	}
	interrupted := false
	for done := false; !done; {
		err := c.receive(func(m message) error {
			if m.seq != seq || done {
				return nil // the rest of an exchange that failed
			}
			interrupted = interrupted || m.flags&unix.NLM_F_DUMP_INTR != 0
			done = m.flags&unix.NLM_F_MULTI == 0
			switch m.kind {
			case unix.NLMSG_DONE, unix.NLMSG_ERROR:
				done = true
				return m.errno()
			}
			return visit(m)
		})
		if err != nil {
			return err
		}
	}
	if interrupted {
		return unix.EINTR
	}
	return nil
}

// transaction sends the requests as one batch, which takes effect whole or not
// at all, and only if the generation of the rules still is gen (else ERESTART).
// failed is the index of the request that the kernel refused, -1 if that was
// the whole.
func (c *conn) transaction(gen uint32, requests []request) (failed int, err error) {
	first := c.seq + 1
	c.seq += uint32(len(requests)) + 2
	last := first + uint32(len(requests))
	begin := request{resID: unix.NFNL_SUBSYS_NFTABLES, attrs: attr32(nil, unix.NFNL_BATCH_GENID, gen)}
	b := begin.encode(nil, unix.NFNL_MSG_BATCH_BEGIN, first)
	for i, r := range requests {
		if i == len(requests)-1 {
			r.flags |= unix.NLM_F_ACK
		}
		b = r.append(b, first+1+uint32(i))
	}
	b = request{resID: unix.NFNL_SUBSYS_NFTABLES}.encode(b, unix.NFNL_MSG_BATCH_END, last+1)
	if err := c.send(b); err != nil {
		return -1, err
	}
	// Refusals come in the order of the requests, the first being the cause, and
	// before the acknowledgement of the last.
	for done := false; !done; {
		received := c.receive(func(m message) error {
			if done || m.kind != unix.NLMSG_ERROR || m.seq-first > last-first {
				return nil
			}
			err = m.errno()
			done = err != nil || m.seq == last
			failed = int(m.seq) - int(first) - 1
			return nil
		})
		if received != nil {
			return -1, received
		}
	}
	return failed, err
}

func (c *conn) send(b []byte) error {
	if c.closed {
		return os.ErrClosed
	}
	if err := c.nl.SetDeadline(time.Now().Add(c.timeout)); err != nil {
		return err
	}
	var err error
	waited := c.raw.Write(func(fd uintptr) bool {
		err = unix.Sendto(int(fd), b, unix.MSG_DONTWAIT, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		return err != unix.EAGAIN && err != unix.EINTR
	})
	if waited != nil {
		return fmt.Errorf("writing to netlink: %w", waited)
	}
	return os.NewSyscallError("sendto", err)
}

// receive waits for one datagram of the kernel and hands over its messages.
func (c *conn) receive(visit func(message) error) error {
	var n int
	var from unix.Sockaddr
	var err error
	waited := c.raw.Read(func(fd uintptr) bool {
		n, from, err = unix.Recvfrom(int(fd), c.buf, unix.MSG_DONTWAIT|unix.MSG_TRUNC)
		return err != unix.EAGAIN && err != unix.EINTR
	})
	if waited != nil {
		return fmt.Errorf("reading from netlink: %w", waited)
	}
	if err != nil {
		return os.NewSyscallError("recvfrom", err)
	}
	if sa, ok := from.(*unix.SockaddrNetlink); !ok || sa.Pid != 0 {
		return nil // not the kernel's
	}
	if n > len(c.buf) {
		return fmt.Errorf("reading from netlink: %d bytes in one datagram, want at most %d", n, len(c.buf))
	}
	return splitMessages(c.buf[:n], visit)
}

// hasLink says ErrNoLink unless the port's link is in the namespace under its
// name and index. The kernel itself takes chains on links that are not there
// since Linux 6.16.
func (c *conn) hasLink(p Port) error {
	if p.closed() {
		return nil
	}
	ifr, err := unix.NewIfreq(p.Link)
	if err != nil {
		return fmt.Errorf("%w: %q", ErrBadPort, p.Link)
	}
	controlled := c.raw.Control(func(fd uintptr) { err = unix.IoctlIfreq(int(fd), unix.SIOCGIFINDEX, ifr) })
	switch {
	case controlled != nil:
		return controlled
	case errors.Is(err, unix.ENODEV):
		return fmt.Errorf("%w: %s", ErrNoLink, p.Link)
	case err != nil:
		return os.NewSyscallError("ioctl SIOCGIFINDEX", err)
	case int(ifr.Uint32()) != p.Index:
		return fmt.Errorf("%w: %s has index %d there, want %d", ErrNoLink, p.Link, ifr.Uint32(), p.Index)
	}
	return nil
}
