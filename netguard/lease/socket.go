package lease

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
	"unsafe"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// socket is a Conn over a packet socket: below the kernel's IP, which needs no
// address for it and no hole in its filters.
type socket struct {
	file  *os.File // in the runtime's poller
	raw   syscall.RawConn
	index int
	// release takes the file back.
	release func() error
}

// Over makes a Conn of a packet socket that Prepare has made ready for the transaction
// on the link with that index. Close calls release, whose the file is then.
func Over(file *os.File, index int, release func() error) (Conn, error) {
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reading packet socket: %w", err), release())
	}
	return &socket{file: file, raw: raw, index: index, release: release}, nil
}

// Prepare has a packet socket (AF_PACKET, SOCK_DGRAM, not blocking) receive the answers
// to the transaction alone, on the link with that index in its network namespace. What it
// sends carries the mark (SO_MARK), unless that is zero, which takes CAP_NET_ADMIN.
// Prepared before, it is to have received nothing since.
func Prepare(fd, index int, xid dhcpv4.TransactionID, mark int) error {
	// bind switches a new one on, behind the filter.
	if err := configure(fd, index, xid, mark); err != nil {
		return fmt.Errorf("preparing packet socket: %w", err)
	}
	return nil
}

func configure(fd, index int, xid dhcpv4.TransactionID, mark int) error {
	program, err := filter(xid)
	if err != nil {
		return err
	}
	if err := attach(fd, program); err != nil {
		return os.NewSyscallError("setsockopt SO_ATTACH_FILTER", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1); err != nil {
		return os.NewSyscallError("setsockopt PACKET_AUXDATA", err)
	}
	if mark != 0 {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, mark); err != nil {
			return os.NewSyscallError("setsockopt SO_MARK", err)
		}
	}
	err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_IP), Ifindex: index})
	return os.NewSyscallError("bind", err)
}

func attach(fd int, program []bpf.RawInstruction) error {
	all := make([]unix.SockFilter, len(program))
	for i, p := range program {
		all[i] = unix.SockFilter{Code: p.Op, Jt: p.Jt, Jf: p.Jf, K: p.K}
	}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(all)), Filter: &all[0]})
}

func networkOrder(v uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return binary.NativeEndian.Uint16(b[:])
}

// Send sends the message in one frame, and waits for nothing: where the queue is full of
// what the card does not send, the frame is as good as lost, and it will be repeated.
func (s *socket) Send(message []byte, from netip.Addr, to Peer) error {
	addr := &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_IP), Ifindex: s.index, Halen: uint8(len(to.MAC))}
	copy(addr.Addr[:], to.MAC)
	datagram := pack(message, from, to.Addr)
	var sent error
	err := s.raw.Write(func(fd uintptr) bool {
		sent = unix.Sendto(int(fd), datagram, 0, addr)
		return true
	})
	if err != nil {
		return err
	}
	return os.NewSyscallError("sendto", sent)
}

// Receive returns the next message that is a whole datagram of a server.
func (s *socket) Receive(ctx context.Context, b []byte) (int, Peer, error) {
	if err := s.file.SetReadDeadline(time.Time{}); err != nil {
		return 0, Peer{}, err
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { defer close(ended); _ = s.file.SetReadDeadline(time.Unix(1, 0)) })
	defer func() {
		if !stop() {
			<-ended // it would end the next wait
		}
	}()
	for ctx.Err() == nil {
		n, checked, mac, err := s.read(b)
		if err != nil {
			return 0, Peer{}, err
		}
		if message, from, ok := unpack(b[:n], checked); ok {
			return copy(b, message), Peer{Addr: from, MAC: mac}, nil
		}
	}
	return 0, Peer{}, ctx.Err()
}

func (s *socket) read(b []byte) (n int, checked bool, mac net.HardwareAddr, err error) {
	oob := make([]byte, unix.CmsgSpace(int(unsafe.Sizeof(unix.TpacketAuxdata{}))))
	var oobn int
	var from unix.Sockaddr
	var failed error
	err = s.raw.Read(func(fd uintptr) bool {
		n, oobn, _, from, failed = unix.Recvmsg(int(fd), b, oob, 0)
		return failed != unix.EAGAIN
	})
	if err == nil {
		err = os.NewSyscallError("recvmsg", failed)
	}
	if err != nil {
		return 0, false, nil, err
	}
	if l, ok := from.(*unix.SockaddrLinklayer); ok {
		mac = append(mac, l.Addr[:min(int(l.Halen), len(l.Addr))]...)
	}
	return n, !unfinished(oob[:oobn]), mac, nil
}

// unfinished reports whether the kernel left the checksum to a card that the
// packet never met.
func unfinished(oob []byte) bool {
	all, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return false
	}
	for _, m := range all {
		if m.Header.Level == unix.SOL_PACKET && m.Header.Type == unix.PACKET_AUXDATA && len(m.Data) >= 4 {
			return binary.NativeEndian.Uint32(m.Data)&unix.TP_STATUS_CSUMNOTREADY != 0
		}
	}
	return false
}

// Close gives the socket back.
func (s *socket) Close() error { return s.release() }
