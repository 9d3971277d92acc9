package netguard

import (
	"encoding/binary"
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// nextCarrier returns whether the link with the index has a carrier, after the
// next message that says so. Lost messages count as a lost carrier: what comes
// next then counts as its return.
func (r *reader) nextCarrier(index func() int) (bool, error) {
	raw, err := r.file.SyscallConn()
	if err != nil {
		return false, err
	}
	b := make([]byte, 1<<15)
	for {
		var n int
		var failed error
		err := raw.Read(func(fd uintptr) bool {
			n, _, failed = unix.Recvfrom(int(fd), b, 0)
			return !errors.Is(failed, unix.EAGAIN)
		})
		switch {
		case err != nil:
			return false, err
		case errors.Is(failed, unix.ENOBUFS):
			return false, nil
		case errors.Is(failed, unix.EINTR):
			continue
		case failed != nil:
			return false, os.NewSyscallError("recvfrom", failed)
		}
		if has, ok := carrierOf(b[:n], index()); ok {
			return has, nil
		}
	}
}

// carrierOf looks for the last message of the datagram that is about the link
// with that index (rtnetlink(7): ifinfomsg has the index at 4 and the flags at 8).
func carrierOf(datagram []byte, index int) (has, ok bool) {
	const indexAt, flagsAt = syscall.NLMSG_HDRLEN + 4, syscall.NLMSG_HDRLEN + 8
	for len(datagram) >= syscall.NLMSG_HDRLEN {
		size := int(binary.NativeEndian.Uint32(datagram))
		if size < syscall.NLMSG_HDRLEN || size > len(datagram) {
			return has, ok
		}
		kind := binary.NativeEndian.Uint16(datagram[4:])
		if (kind == unix.RTM_NEWLINK || kind == unix.RTM_DELLINK) && size >= flagsAt+4 &&
			int(int32(binary.NativeEndian.Uint32(datagram[indexAt:]))) == index {
			flags := binary.NativeEndian.Uint32(datagram[flagsAt:])
			has, ok = kind == unix.RTM_NEWLINK && flags&unix.IFF_LOWER_UP != 0, true
		}
		datagram = datagram[min((size+3)&^3, len(datagram)):]
	}
	return has, ok
}
