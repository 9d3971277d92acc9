package netguard

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// packetPatience is how long a packet socket is waited for that somebody else makes: a
// process has to be started for it, which on a slow, busy machine takes several seconds.
const packetPatience = 90 * time.Second

// errNoPacket says that there is no packet socket to be had. That says nothing about
// the ports.
var errNoPacket = errors.New("no packet socket is to be had")

// kept is where a packet socket rests while it is not used, so that none has to be made
// each time. It belongs to its namespace and outlives every link there. Several may be
// in use at once; one is kept.
type kept struct {
	mu     sync.Mutex // guards what follows
	file   *os.File   // nil while it is in use, or there is none
	out    int        // how many are in use
	closed bool
}

// take returns the socket that is kept, or nil.
func (k *kept) take() *os.File {
	k.mu.Lock()
	defer k.mu.Unlock()
	file := k.file
	k.file = nil
	if file != nil {
		k.out++
	}
	return file
}

// came notes that one is in use which was not kept. Each that is in use ends with put or
// drop.
func (k *kept) came() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.out++
}

// put has a socket rest that was in use. One that is of no use any more is closed.
func (k *kept) put(file *os.File) error {
	err := onDescriptor(file, rest)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.out--
	if err != nil {
		return errors.Join(fmt.Errorf("laying packet socket to rest: %w", err), file.Close())
	}
	if k.closed || k.file != nil {
		return file.Close()
	}
	k.file = file
	return nil
}

// drop closes a socket that was in use and is of none any more.
func (k *kept) drop(file *os.File) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.out--
	_ = file.Close() // it has failed already
}

// has reports whether there is a socket, be it in use: whoever uses it puts it back.
func (k *kept) has() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.file != nil || k.out > 0
}

// close lets the socket go, and those that are in use when they are put back.
func (k *kept) close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	if k.file == nil {
		return nil
	}
	file := k.file
	k.file = nil
	return file.Close()
}

// rest has a packet socket take nothing and hold nothing: its filter lets nothing
// through, and it is bound to lo, for frames of a type that nobody sends there. Bound to
// no link and no protocol it would take the frames of all links: bind(2) keeps the last
// protocol then (packet_bind, net/packet/af_packet.c).
func rest(fd int) error {
	nothing := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K}}
	if err := attachFilter(fd, nothing); err != nil {
		return err
	}
	if err := bindPacket(fd, loIndex, probeType); err != nil {
		return err
	}
	b := make([]byte, 1)
	for {
		_, _, err := unix.Recvfrom(fd, b, unix.MSG_DONTWAIT)
		switch {
		case err == nil, errors.Is(err, unix.EINTR), errors.Is(err, unix.ENETDOWN): // the last one is told once
		case errors.Is(err, unix.EAGAIN):
			return nil
		default:
			return os.NewSyscallError("recvfrom", err)
		}
	}
}

// wake returns a packet socket that prepare has made ready: the one that is kept or, when
// there is none or it is dead, another. The caller puts it back. The error is errNoPacket
// when there is none to be had.
func (m *member) wake(ctx context.Context, kind PacketKind, prepare func(fd int) error) (*os.File, error) {
	k := m.kept[kind]
	if file := k.take(); file != nil {
		err := onDescriptor(file, func(fd int) error { return rouse(fd, prepare) })
		switch {
		case err == nil:
			return file, nil
		case errors.Is(err, unix.ENODEV): // not the socket is gone, the link is
			return nil, errors.Join(err, k.put(file))
		}
		k.drop(file)
	}
	file, err := m.request(ctx, kind)
	if err != nil {
		return nil, err
	}
	if err := onDescriptor(file, prepare); err != nil {
		return nil, errors.Join(err, k.put(file))
	}
	return file, nil
}

// rouse prepares a socket that has rested. An error that it has kept, of a link that went
// down, would meet the first frame.
func rouse(fd int, prepare func(fd int) error) error {
	if _, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR); err != nil {
		return os.NewSyscallError("getsockopt SO_ERROR", err)
	}
	return prepare(fd)
}

// request makes a packet socket, or has it made, within packetPatience. It is in use from
// then on.
func (m *member) request(ctx context.Context, kind PacketKind) (*os.File, error) {
	ctx, cancel := context.WithTimeout(ctx, packetPatience)
	defer cancel()
	file, err := m.packet(ctx, kind)
	if lacks(err) {
		err = &FeatureError{Port: m.ns.side, Feature: "packet sockets", Needs: "CONFIG_PACKET (module af_packet)",
			Effect: "nothing can tell whether both ports are in one network, and no port can use dhcp", Err: err}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoPacket, err)
	}
	m.kept[kind].came()
	return file, nil
}

// stock makes sure that both sides keep the packet sockets that they need, so that nobody
// has to be asked for them while the ports are open. It asks for all at once: whoever
// makes them may have to be started for each.
func (g *Guard) stock(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var asking sync.WaitGroup
	var failing sync.Once
	var first error // the others may have failed for it
	for _, m := range g.sides {
		for kind, k := range m.kept {
			if k.has() {
				continue
			}
			asking.Go(func() {
				if err := m.fill(ctx, kind, k); err != nil {
					failing.Do(func() { first = err; cancel() })
				}
			})
		}
	}
	asking.Wait()
	return first
}

// fill has k keep a socket of that kind.
func (m *member) fill(ctx context.Context, kind PacketKind, k *kept) error {
	file, err := m.request(ctx, kind)
	if err == nil {
		err = k.put(file)
	}
	if err != nil {
		return fmt.Errorf("opening packet socket of the %s port: %w", m.ns.side, err)
	}
	return nil
}

// keeps makes a place for each kind of packet socket that the port needs.
func (p plan) keeps() map[PacketKind]*kept {
	all := map[PacketKind]*kept{ProbePackets: {}}
	if p.port.DHCP {
		all[LeasePackets] = &kept{}
	}
	return all
}

// letGo closes what is kept.
func (m *member) letGo() error {
	var errs []error
	for _, k := range m.kept {
		errs = append(errs, k.close())
	}
	return errors.Join(errs...)
}
