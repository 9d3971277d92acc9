package netguard

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// From linux/sock_diag.h and linux/inet_diag.h.
const (
	sockDiagByFamily = 20
	sockDestroy      = 21
	diagIDLen        = 48 // struct inet_diag_sockid
	diagRequestLen   = 8 + diagIDLen
	diagMessageLen   = 4 + diagIDLen // as far as it is read here
)

// stray identifies a socket to sock_diag.
type stray struct {
	family, protocol byte
	id               [diagIDLen]byte
}

// destroyStrays ends every TCP, UDP and raw socket in the namespace, whoever
// holds it: blocked calls on it return ECONNABORTED. ErrUnsupported means a
// kernel without CONFIG_INET_DIAG_DESTROY (Linux 4.9).
func (m *member) destroyStrays(ctx context.Context) error {
	err := m.ns.do(ctx, func() error {
		d, err := openDiag()
		if err != nil {
			return err
		}
		defer unix.Close(d.fd)
		return d.destroyAll()
	})
	if err != nil {
		return fmt.Errorf("destroying sockets of the %s port: %w", m.plan.side, privilege(err))
	}
	return nil
}

// diag is a sock_diag socket in the namespace of the thread that opened it.
type diag struct {
	fd  int
	seq uint32
}

func openDiag() (*diag, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, fmt.Errorf("%w: sock_diag: %w", ErrUnsupported, err)
	}
	limit := unix.NsecToTimeval(int64(netlinkTimeout))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &diag{fd: fd}, nil
}

// destroyAll repeats until there is nothing left: a socket may be made meanwhile.
func (d *diag) destroyAll() error {
	for range 3 {
		all, err := d.list()
		if err != nil || len(all) == 0 {
			return err
		}
		for _, s := range all {
			if err := d.destroy(s); err != nil {
				return err
			}
		}
	}
	return nil // what is being closed in stages stays listed for a while
}

func (d *diag) list() ([]stray, error) {
	var all []stray
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		for _, protocol := range []byte{unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_RAW} {
			some, err := d.dump(family, protocol)
			if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EINVAL) {
				return nil, err // a kernel without that family or protocol has no such sockets
			}
			all = append(all, some...)
		}
	}
	return all, nil
}

func (d *diag) dump(family, protocol byte) ([]stray, error) {
	if err := d.send(sockDiagByFamily, unix.NLM_F_DUMP, stray{family: family, protocol: protocol}); err != nil {
		return nil, err
	}
	var all []stray
	for {
		messages, err := d.receive()
		if err != nil {
			return nil, err
		}
		some, done, err := parseStrays(messages, protocol)
		if all = append(all, some...); done || err != nil {
			return all, err
		}
	}
}

// parseStrays takes one datagram of a dump apart.
func parseStrays(messages []syscall.NetlinkMessage, protocol byte) (all []stray, done bool, err error) {
	for _, m := range messages {
		switch m.Header.Type {
		case unix.NLMSG_DONE:
			return all, true, nil
		case unix.NLMSG_ERROR:
			return all, true, replied(m.Data)
		case sockDiagByFamily:
			if len(m.Data) < diagMessageLen {
				return all, true, errors.New("reading sockets: short message")
			}
			s := stray{family: m.Data[0], protocol: protocol}
			copy(s.id[:], m.Data[4:])
			all = append(all, s)
		}
	}
	return all, false, nil
}

// replied returns the error in the body of an NLMSG_ERROR, nil for success.
func replied(body []byte) error {
	if len(body) < 4 {
		return errors.New("reading reply: short message")
	}
	if code := int32(binary.NativeEndian.Uint32(body)); code != 0 {
		return syscall.Errno(-code)
	}
	return nil
}

func (d *diag) destroy(s stray) error {
	if err := d.send(sockDestroy, unix.NLM_F_ACK, s); err != nil {
		return err
	}
	messages, err := d.receive()
	if err != nil {
		return err
	}
	for _, m := range messages {
		if m.Header.Type != unix.NLMSG_ERROR {
			continue
		}
		switch err := replied(m.Data); {
		case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ESTALE): // gone already
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EINVAL):
			return fmt.Errorf("%w: destroying sockets (CONFIG_INET_DIAG_DESTROY, Linux 4.9)", ErrUnsupported)
		default:
			return err
		}
	}
	return nil
}

func (d *diag) send(kind, flags uint16, s stray) error {
	d.seq++
	b := make([]byte, 0, unix.NLMSG_HDRLEN+diagRequestLen)
	b = binary.NativeEndian.AppendUint32(b, uint32(cap(b)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST|flags)
	b = binary.NativeEndian.AppendUint32(b, d.seq)
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = append(b, s.family, s.protocol, 0, 0)
	b = binary.NativeEndian.AppendUint32(b, ^uint32(0)) // all states
	b = append(b, s.id[:]...)
	return unix.Sendto(d.fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

func (d *diag) receive() ([]syscall.NetlinkMessage, error) {
	b := make([]byte, 1<<16) // the kernel fills at most 32 KiB at a time
	until := time.Now().Add(netlinkTimeout)
	for time.Now().Before(until) {
		n, from, err := unix.Recvfrom(d.fd, b, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if k, ok := from.(*unix.SockaddrNetlink); !ok || k.Pid != 0 {
			continue // not from the kernel
		}
		return syscall.ParseNetlinkMessage(b[:n])
	}
	return nil, unix.ETIMEDOUT
}
