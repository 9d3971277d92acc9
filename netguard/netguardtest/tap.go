package netguardtest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrDropped: the machine was too busy for the sniffer to take every frame. What
// it counted is the least that there was; nothing can be said of silence.
var ErrDropped = errors.New("frames were dropped because the machine is too busy")

// A tap keeps ringFrames frames of up to ringSlot bytes, headers included: 400 ms
// at 20,000 frames a second. The ring is memory of its own, not charged to the
// socket's receive buffer, whose size only real root may raise.
const (
	ringFrames = 8192
	ringSlot   = 2048
	ringBlock  = 1 << 16
)

// tap is a packet socket on one link. It sends frames as they are and, once
// started, hands every frame that the link receives to a function.
type tap struct {
	fd, stop int
	ring     []byte
	done     chan struct{}
	failure  error       // set before done is closed
	idle     atomic.Bool // everything received has been seen
}

// openTap opens the socket in the namespace of the calling thread.
func openTap(link int) (t *tap, err error) {
	t = &tap{fd: -1, stop: -1}
	defer func() {
		if err != nil {
			t.release()
			t, err = nil, fmt.Errorf("opening packet socket: %w", err)
		}
	}()
	if t.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
		return t, os.NewSyscallError("socket", err)
	}
	// Protocol 0: it can send, and receives nothing until listen binds it again.
	if err := t.bind(link, 0); err != nil {
		return t, err
	}
	t.stop, err = unix.Eventfd(0, unix.EFD_CLOEXEC)
	return t, os.NewSyscallError("eventfd", err)
}

func (t *tap) bind(link int, protocol uint16) error {
	a := &unix.SockaddrLinklayer{Ifindex: link, Protocol: protocol<<8 | protocol>>8}
	return os.NewSyscallError("bind", unix.Bind(t.fd, a))
}

// listen starts to hand each received frame to see, which must not keep it.
func (t *tap) listen(link int, see func(frame []byte)) error {
	if err := t.mapRing(); err != nil {
		return err
	}
	if err := t.bind(link, unix.ETH_P_ALL); err != nil {
		return err
	}
	t.done = make(chan struct{})
	go t.read(see)
	return nil
}

// mapRing shares a ring of frames with the kernel: Documentation/networking/
// packet_mmap.rst, version 2.
func (t *tap) mapRing() (err error) {
	set := func(option, value int) {
		if err == nil {
			err = os.NewSyscallError("setsockopt", unix.SetsockoptInt(t.fd, unix.SOL_PACKET, option, value))
		}
	}
	set(unix.PACKET_VERSION, unix.TPACKET_V2)
	set(unix.PACKET_IGNORE_OUTGOING, 1)
	if err != nil {
		return err
	}
	req := &unix.TpacketReq{Block_size: ringBlock, Block_nr: ringFrames * ringSlot / ringBlock, Frame_size: ringSlot, Frame_nr: ringFrames}
	if err := unix.SetsockoptTpacketReq(t.fd, unix.SOL_PACKET, unix.PACKET_RX_RING, req); err != nil {
		return os.NewSyscallError("setsockopt PACKET_RX_RING", err)
	}
	t.ring, err = unix.Mmap(t.fd, 0, ringFrames*ringSlot, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	return os.NewSyscallError("mmap", err)
}

func (t *tap) read(see func([]byte)) {
	defer close(t.done)
	for slot := 0; ; slot = (slot + 1) % ringFrames {
		at := t.ring[slot*ringSlot : (slot+1)*ringSlot]
		head := (*unix.Tpacket2Hdr)(unsafe.Pointer(&at[0]))
		for atomic.LoadUint32(&head.Status)&unix.TP_STATUS_USER == 0 {
			more, err := t.await()
			if err != nil || !more && atomic.LoadUint32(&head.Status)&unix.TP_STATUS_USER == 0 {
				t.failure = err
				return
			}
		}
		see(at[head.Mac : uint32(head.Mac)+head.Snaplen])
		atomic.StoreUint32(&head.Status, unix.TP_STATUS_KERNEL)
	}
}

// await waits for a frame; more is false when the tap is to stop.
func (t *tap) await() (more bool, err error) {
	fds := []unix.PollFd{{Fd: int32(t.fd), Events: unix.POLLIN}, {Fd: int32(t.stop), Events: unix.POLLIN}}
	t.idle.Store(true)
	defer t.idle.Store(false)
	if _, err := unix.Poll(fds, -1); err != nil && !errors.Is(err, unix.EINTR) {
		return false, os.NewSyscallError("poll", err)
	}
	if fds[0].Revents&unix.POLLERR != 0 { // the link went down: reading the error clears it
		_, err = unix.GetsockoptInt(t.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	}
	return fds[1].Revents == 0, err
}

// send puts one frame on the link.
func (t *tap) send(frame []byte) error {
	for {
		_, err := unix.Write(t.fd, frame)
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.ENOBUFS) {
			continue
		}
		return os.NewSyscallError("sending frame", err)
	}
}

// close ends the reading and returns what went wrong: a frame that the kernel
// had to drop makes every count worthless.
func (t *tap) close() error {
	defer t.release()
	if t.done == nil {
		return nil
	}
	if _, err := unix.Write(t.stop, []byte{0, 0, 0, 0, 0, 0, 0, 1}); err != nil {
		return os.NewSyscallError("stopping a sniffer", err)
	}
	<-t.done
	if t.failure != nil {
		return fmt.Errorf("sniffing: %w", t.failure)
	}
	stats, err := unix.GetsockoptTpacketStats(t.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err == nil && stats.Drops > 0 {
		err = fmt.Errorf("%w: %d of %d", ErrDropped, stats.Drops, stats.Packets)
	}
	if err != nil {
		return fmt.Errorf("sniffing: %w", err)
	}
	return nil
}

func (t *tap) release() {
	if t.ring != nil {
		_ = unix.Munmap(t.ring)
	}
	for _, fd := range []int{t.fd, t.stop} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

// linkHere finds a link in the namespace of the calling thread.
func linkHere(name string) (*net.Interface, error) {
	l, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("finding link %q: %w", name, err)
	}
	return l, nil
}
