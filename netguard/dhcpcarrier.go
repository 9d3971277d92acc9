package netguard

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// followCarrier sends to back when the carrier of the port's link came, also when
// it was away for so short that the kernel never said so: it counts the changes.
func (g *Guard) followCarrier(ctx context.Context, m *member, back chan<- struct{}) error {
	var r *reader
	err := m.ns.do(ctx, func() (err error) {
		r, err = openReader("lease", unix.NETLINK_ROUTE, []int{unix.RTNLGRP_LINK})
		return err
	})
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	defer r.file.Close()
	defer context.AfterFunc(ctx, func() { _ = r.file.Close() })()
	index := func() int { g.mu.Lock(); defer g.mu.Unlock(); return m.link.index }
	known := carrier{index: index()}
	if err := r.askLink(known.index); err != nil {
		return err
	}
	for ctx.Err() == nil {
		now, err := r.nextCarrier(index)
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("following the carrier of the %s port: %w", m.ns.side, err)
		}
		if err == nil && known.returned(now) {
			select {
			case back <- struct{}{}:
			default:
			}
		}
	}
	return nil
}

// carrier is what the kernel says of the link of a port.
type carrier struct {
	index   int
	up      bool
	changes uint32 // of the carrier since the link was made (IFLA_CARRIER_CHANGES)
	seen    bool
}

// returned takes what the kernel says now, and reports whether the carrier came
// since the last time. The first word of a link that was there says nothing.
func (c *carrier) returned(now carrier) bool {
	was := *c
	now.seen = true
	*c = now
	if was.index != now.index {
		return now.up // another card, or the same again
	}
	return was.seen && now.up && (!was.up || was.changes != now.changes)
}

// askLink has the kernel say what the link is like, on the reader's own socket.
func (r *reader) askLink(index int) error {
	b := make([]byte, syscall.NLMSG_HDRLEN+unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	binary.NativeEndian.PutUint16(b[4:], unix.RTM_GETLINK)
	binary.NativeEndian.PutUint16(b[6:], unix.NLM_F_REQUEST)
	binary.NativeEndian.PutUint32(b[syscall.NLMSG_HDRLEN+4:], uint32(index))
	if _, err := r.file.Write(b); err != nil {
		return fmt.Errorf("asking for the link: %w", err)
	}
	return nil
}

// nextCarrier returns the carrier of the link with the index after the next
// message that is about it. When messages were lost the link is asked for again.
func (r *reader) nextCarrier(index func() int) (carrier, error) {
	raw, err := r.file.SyscallConn()
	if err != nil {
		return carrier{}, err
	}
	b := make([]byte, 1<<15)
	for {
		var n int
		var failed error
		err := raw.Read(func(fd uintptr) bool {
			n, _, failed = unix.Recvfrom(int(fd), b, 0)
			return !errors.Is(failed, unix.EAGAIN)
		})
		if err == nil && errors.Is(failed, unix.ENOBUFS) {
			err, failed = r.askLink(index()), unix.EINTR
		}
		switch {
		case err != nil:
			return carrier{}, err
		case errors.Is(failed, unix.EINTR):
			continue
		case failed != nil:
			return carrier{}, os.NewSyscallError("recvfrom", failed)
		}
		if c, ok := carrierOf(b[:n], index()); ok {
			return c, nil
		}
	}
}

// carrierOf looks for the last message of the datagram that is about the link
// with that index (rtnetlink(7): ifinfomsg has the index at 4 and the flags at 8).
func carrierOf(datagram []byte, index int) (c carrier, ok bool) {
	const body = syscall.NLMSG_HDRLEN
	for len(datagram) >= body {
		size := int(binary.NativeEndian.Uint32(datagram))
		if size < body || size > len(datagram) {
			return c, ok
		}
		kind := binary.NativeEndian.Uint16(datagram[4:])
		if (kind == unix.RTM_NEWLINK || kind == unix.RTM_DELLINK) && size >= body+unix.SizeofIfInfomsg &&
			int(int32(binary.NativeEndian.Uint32(datagram[body+4:]))) == index {
			flags := binary.NativeEndian.Uint32(datagram[body+8:])
			c, ok = carrier{index: index, up: kind == unix.RTM_NEWLINK && flags&unix.IFF_LOWER_UP != 0}, true
			c.changes = attribute32(datagram[body+unix.SizeofIfInfomsg:size], unix.IFLA_CARRIER_CHANGES)
		}
		datagram = datagram[min((size+3)&^3, len(datagram)):]
	}
	return c, ok
}

// attribute32 returns the value of a 32-bit attribute (struct rtattr), or 0.
func attribute32(b []byte, kind uint16) uint32 {
	for len(b) >= unix.SizeofRtAttr {
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.SizeofRtAttr || size > len(b) {
			return 0
		}
		if binary.NativeEndian.Uint16(b[2:]) == kind && size == unix.SizeofRtAttr+4 {
			return binary.NativeEndian.Uint32(b[unix.SizeofRtAttr:])
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return 0
}
