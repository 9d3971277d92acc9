package netguard

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// portGroups are the multicast groups that tell of what a verification compares.
// Those of neighbours are not among them: nothing is configured there, and they
// talk all the time.
func portGroups() []int {
	return []int{unix.RTNLGRP_LINK, unix.RTNLGRP_TC, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
		unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE,
		unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF, unix.RTNLGRP_IPV4_MROUTE, unix.RTNLGRP_IPV6_MROUTE,
		unix.RTNLGRP_NSID, unix.RTNLGRP_NEXTHOP}
}

// homeGroups are those of the namespace of the process, of which only the links
// are looked at. Addresses are for the canary.
func homeGroups() []int {
	return []int{unix.RTNLGRP_LINK, unix.RTNLGRP_NSID, unix.RTNLGRP_IPV4_IFADDR}
}

// readBuffer is the socket's: a flush of some ten thousand routes fits. The
// kernel takes the memory only while something waits in it.
const readBuffer = 4 << 20

// reader follows one netlink socket in one namespace.
type reader struct {
	where    string // home, internal or external
	protocol int
	file     *os.File
	own      uint32 // the port id of our own changes, which are no news; 0: none
	canary   atomic.Uint32
	born     time.Time
	heard    atomic.Int64 // when the last message came, after born: the clock may be set meanwhile
}

// openReader opens the socket in the namespace of the calling thread.
func openReader(where string, protocol int, groups []int) (*reader, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		return nil, fmt.Errorf("opening watch of the %s namespace: %w", where, err)
	}
	r := &reader{where: where, protocol: protocol, file: os.NewFile(uintptr(fd), "netlink-"+where), born: time.Now()}
	if err := subscribe(fd, groups); err != nil {
		return nil, errors.Join(fmt.Errorf("opening watch of the %s namespace: %w", where, privilege(err)), r.file.Close())
	}
	return r, nil
}

func subscribe(fd int, groups []int) error {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, readBuffer) != nil {
		// Not privileged over the machine, in a user namespace: as much as it lets.
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, readBuffer); err != nil {
			return os.NewSyscallError("setsockopt SO_RCVBUF", err)
		}
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return os.NewSyscallError("bind", err)
	}
	for _, g := range groups {
		err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, g)
		if err != nil && !errors.Is(err, unix.EINVAL) { // EINVAL: this kernel has no such group
			return os.NewSyscallError("setsockopt NETLINK_ADD_MEMBERSHIP", err)
		}
	}
	return nil
}

// read tells w of all that comes, until the socket is closed or broken.
func (r *reader) read(w *watch) error {
	raw, err := r.file.SyscallConn()
	if err != nil {
		return err
	}
	b := make([]byte, 1<<16)
	for {
		var n int
		var failed error
		err := raw.Read(func(fd uintptr) bool {
			n, _, failed = unix.Recvfrom(int(fd), b, 0)
			return !errors.Is(failed, unix.EAGAIN)
		})
		switch {
		case err != nil:
			return err
		case errors.Is(failed, unix.ENOBUFS):
			w.note(func(s *signal) { s.lost = append(s.lost, r.name()) })
		case errors.Is(failed, unix.EINTR):
		case failed != nil:
			return os.NewSyscallError("recvfrom", failed)
		default:
			r.took(w, b[:n])
		}
	}
}

// took looks at a message just far enough to know the canary and our own changes.
func (r *reader) took(w *watch, message []byte) {
	r.heard.Store(int64(time.Since(r.born)))
	if c := r.canary.Load(); c != 0 && r.sings(message, c) {
		r.canary.Store(0)
	}
	if r.own == 0 || !allFrom(message, r.own) {
		w.note(func(s *signal) { s.changed = true })
	}
}

// sings reports whether the message is of the canary: its address, or of the
// tables anything of our own.
func (r *reader) sings(message []byte, canary uint32) bool {
	if r.protocol == unix.NETLINK_NETFILTER {
		return allFrom(message, r.own)
	}
	return bytes.Contains(message, binary.BigEndian.AppendUint32(nil, canary))
}

// allFrom reports whether each netlink message of the datagram was caused by the
// socket with that port id (nlmsghdr, linux/netlink.h: length, type, flags,
// sequence number, port id).
func allFrom(datagram []byte, id uint32) bool {
	if len(datagram) < syscall.NLMSG_HDRLEN {
		return false
	}
	for len(datagram) >= syscall.NLMSG_HDRLEN {
		size := int(binary.NativeEndian.Uint32(datagram))
		if size < syscall.NLMSG_HDRLEN || size > len(datagram) || binary.NativeEndian.Uint32(datagram[12:]) != id {
			return false
		}
		datagram = datagram[min((size+3)&^3, len(datagram)):]
	}
	return true
}
