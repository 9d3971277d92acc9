package netguard

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// PacketKind is a kind of packet socket (packet(7)) that the ports need.
type PacketKind string

// The kinds of packet sockets; there are no others.
const (
	// LeasePackets are datagrams of a DHCP client, whose frames the kernel makes.
	LeasePackets PacketKind = "lease"
	// ProbePackets are whole frames, by which the ports are asked whether they are
	// in one network segment.
	ProbePackets PacketKind = "probe"
)

// socketType is what socket(2) calls the kind.
func (k PacketKind) socketType() (int, error) {
	switch k {
	case LeasePackets:
		return unix.SOCK_DGRAM, nil
	case ProbePackets:
		return unix.SOCK_RAW, nil
	}
	return 0, fmt.Errorf("%w: packet sockets of the kind %.20q", ErrUnsupported, string(k))
}

// Packets makes packet sockets for a process that has no CAP_NET_RAW.
type Packets interface {
	// Socket returns a socket of that kind in the network namespace that the file
	// is. It must not block, must be bound to nothing and receive nothing. Several
	// may be asked for at once.
	Socket(ctx context.Context, space *os.File, kind PacketKind) (*os.File, error)
}

// makePacket makes a packet socket in the namespace of the calling thread. Of protocol
// 0, it receives nothing until it is bound.
func makePacket(kind PacketKind) (*os.File, error) {
	typ, err := kind.socketType()
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, typ|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	return os.NewFile(uintptr(fd), "packet"), nil
}

// PacketSocketIn enters the network namespace that the file is, on a thread of its own,
// and makes a packet socket of that kind there. It needs CAP_SYS_ADMIN and CAP_NET_RAW.
// The namespace of the process is refused, and the one with the cookie home
// (SO_NETNS_COOKIE): there are the interfaces of the machine.
func PacketSocketIn(space *os.File, kind PacketKind, home uint64) (*os.File, error) {
	own, err := localCookie()
	if err != nil {
		return nil, err
	}
	type result struct {
		file *os.File
		err  error
	}
	made := make(chan result, 1)
	onOwnThread(func() {
		file, err := enterAndMake(space, kind, own, home)
		made <- result{file, err}
	})
	r := <-made
	return r.file, r.err
}

func enterAndMake(space *os.File, kind PacketKind, homes ...uint64) (*os.File, error) {
	fd := int(space.Fd())
	if typ, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE); err != nil || typ != unix.CLONE_NEWNET {
		return nil, fmt.Errorf("%w: what was handed over is no network namespace", ErrWrongNamespace)
	}
	if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
		return nil, os.NewSyscallError("setns", err)
	}
	here, err := localCookie()
	if err != nil {
		return nil, err
	}
	for _, home := range homes {
		if here == home {
			return nil, fmt.Errorf("%w: it is no namespace of a port", ErrWrongNamespace)
		}
	}
	return makePacket(kind)
}

// localCookie is the cookie of the calling thread's namespace, asked for by a socket that
// even a process may make that has no other family.
func localCookie() (uint64, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	return socketCookie(fd)
}

// packet makes a packet socket in the namespace of m, or has it made. The caller closes it.
func (m *member) packet(ctx context.Context, kind PacketKind) (file *os.File, err error) {
	if m.packets == nil {
		err = m.ns.do(ctx, func() error {
			file, err = makePacket(kind)
			return err
		})
		return file, privilege(err)
	}
	space, err := m.ns.again()
	if err != nil {
		return nil, err
	}
	file, err = m.packets.Socket(ctx, space, kind)
	if err = errors.Join(err, space.Close()); err == nil {
		err = m.ns.madeFor(file, kind)
	}
	if err != nil && file != nil {
		_ = file.Close() // nothing was sent by it
		file = nil
	}
	return file, err
}

// madeFor makes sure that a file is a packet socket of that kind in the namespace.
func (n *namespace) madeFor(file *os.File, kind PacketKind) error {
	typ, err := kind.socketType()
	if err != nil {
		return err
	}
	return onDescriptor(file, func(fd int) error {
		family, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
		if err != nil {
			return os.NewSyscallError("getsockopt SO_DOMAIN", err)
		}
		got, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
		if err != nil {
			return os.NewSyscallError("getsockopt SO_TYPE", err)
		}
		if family != unix.AF_PACKET || got != typ {
			return fmt.Errorf("%w: a socket of family %d and type %d came for packets", ErrWrongNamespace, family, got)
		}
		return n.ownsSocket(fd)
	})
}

// onDescriptor runs f on the descriptor, which stays in the runtime's poller.
func onDescriptor(c syscall.Conn, f func(fd int) error) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = f(int(fd)) }); err != nil {
		return err
	}
	return failed
}
