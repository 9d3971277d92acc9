package netguard

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// How the ports are asked whether they are in one network segment. A frame that
// leaves one of them and arrives at the other proves it; silence proves nothing
// for good, so that the question is asked again: 5 s after a carrier came, 35 s
// after (a port of a switch with spanning tree forwards nothing for two times 15 s,
// IEEE 802.1D-2004 table 17-1), and then each ten minutes.
const (
	probeFrames = 3
	probeGap    = 100 * time.Millisecond
	// probeTime is how long one probe lasts: the last frame has 300 ms, and a
	// frame crosses a building's network in less than one.
	probeTime  = 500 * time.Millisecond
	probeSoon  = 5 * time.Second
	probeLater = 35 * time.Second
	probeEvery = 10 * time.Minute
)

// probeType is an EtherType for local experiments (IEEE 802-2014 section 9.2.3).
// Switches forward it; no host understands it.
const probeType = 0x88b5

const (
	headerLen  = 14 // Ethernet: destination, source, type
	nonceLen   = 16
	probeMagic = "lwc same-segment probe "
	minFrame   = 60 // IEEE 802.3-2018 section 4.2.2, without the check sequence
)

// probeFrame returns the frame that carries the nonce from mac to all.
func probeFrame(mac net.HardwareAddr, nonce []byte) []byte {
	b := bytes.Repeat([]byte{0xff}, 6)
	b = append(b, mac...)
	b = binary.BigEndian.AppendUint16(b, probeType)
	b = append(b, probeMagic...)
	b = append(b, nonce...)
	return append(b, make([]byte, max(0, minFrame-len(b)))...)
}

// carriesNonce reports whether the frame is one that probeFrame made with nonce.
func carriesNonce(frame, nonce []byte) bool {
	if len(frame) < headerLen || binary.BigEndian.Uint16(frame[headerLen-2:]) != probeType {
		return false
	}
	body, ok := bytes.CutPrefix(frame[headerLen:], []byte(probeMagic))
	return ok && bytes.HasPrefix(body, nonce)
}

// tap sends and receives frames of probeType at one link.
type tap struct {
	side  Side
	mac   net.HardwareAddr
	nonce []byte
	file  *os.File
}

// openTap opens a tap at the link of m.
func (m *member) openTap(ctx context.Context) (*tap, error) {
	mac, err := net.ParseMAC(m.link.mac)
	if err != nil || len(mac) != 6 {
		return nil, fmt.Errorf("%w: link %s has no Ethernet address", ErrUnsupported, m.link.name)
	}
	t := &tap{side: m.plan.side, mac: mac, nonce: make([]byte, nonceLen)}
	rand.Read(t.nonce) // never fails
	t.file, err = m.wake(ctx, ProbePackets, func(fd int) error { return preparePacket(fd, m.link.index) })
	if err != nil {
		return nil, fmt.Errorf("opening packet socket on %s: %w", m.link.name, err)
	}
	return t, nil
}

// closeTap keeps the socket of t for the next one.
func (m *member) closeTap(t *tap) {
	_ = m.kept[ProbePackets].put(t.file) // one that cannot rest is closed: the next tap asks for another
}

// preparePacket has the socket take frames of every type and filter them itself, because
// the kernel gives them to such a socket before the ingress chain drops what is not IP, to
// a socket of one type after it (__netif_receive_skb_core, net/core/dev.c).
func preparePacket(fd, index int) error {
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: headerLen - 2},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: probeType},
		{Code: unix.BPF_RET | unix.BPF_K, K: minFrame},
		{Code: unix.BPF_RET | unix.BPF_K},
	}
	if err := attachFilter(fd, filter); err != nil {
		return err
	}
	// Frames go to the driver at once, past queues and egress chain.
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1); err != nil {
		return os.NewSyscallError("setsockopt PACKET_QDISC_BYPASS", err)
	}
	return bindPacket(fd, index, unix.ETH_P_ALL)
}

func attachFilter(fd int, filter []unix.SockFilter) error {
	program := &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, program)
	return os.NewSyscallError("setsockopt SO_ATTACH_FILTER", err)
}

// bindPacket has a packet socket take the frames of one EtherType at one link.
func bindPacket(fd, index int, etherType uint16) error {
	protocol := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, etherType))
	return os.NewSyscallError("bind", unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: index}))
}

// hears reads until the frame that t sent with its nonce arrives at o, or until
// the deadline. A link that goes down is as silent as one that is up; a socket that cannot
// be read says nothing about the ports, which is an error.
func (o *tap) hears(t *tap) (bool, error) {
	b := make([]byte, minFrame)
	for {
		n, err := o.file.Read(b)
		switch {
		case errors.Is(err, unix.ENETDOWN): // told once, until the deadline
		case errors.Is(err, os.ErrDeadlineExceeded):
			return false, nil
		case err != nil:
			return false, fmt.Errorf("listening at the %s port: %w", o.side, err)
		case carriesNonce(b[:n], t.nonce):
			return true, nil
		}
	}
}

// sameSegment sends frames out of each of the two links and listens at the
// other. It returns a violation when one arrives.
func sameSegment(ctx context.Context, sides [2]*member) (*Violation, error) {
	var taps [2]*tap
	for i, m := range sides {
		t, err := m.openTap(ctx)
		if err != nil {
			return nil, fmt.Errorf("probing for a shared segment: %w", err)
		}
		defer m.closeTap(t)
		taps[i] = t
	}
	v, err := listenAndSend(ctx, taps)
	if err != nil && v == nil { // what was heard says more
		return nil, fmt.Errorf("probing for a shared segment: %w", err)
	}
	return v, ctx.Err()
}

// listenAndSend returns what the taps hear of each other within probeTime, which begins
// once both are there: the second may have been waited for. A card that sends nothing any
// more is waited for no longer.
func listenAndSend(ctx context.Context, taps [2]*tap) (*Violation, error) {
	type word struct {
		shared *Violation
		err    error
	}
	until := time.Now().Add(probeTime)
	for _, t := range taps {
		if err := t.file.SetDeadline(until); err != nil {
			return nil, err
		}
	}
	heard := make(chan word, 2)
	for i, t := range taps {
		go func() {
			v, err := t.verdict(taps[1-i])
			heard <- word{v, err}
		}()
	}
	send(ctx, taps)
	a, b := <-heard, <-heard
	if a.shared == nil {
		a.shared = b.shared
	}
	return a.shared, errors.Join(a.err, b.err)
}

// verdict listens at t for what was sent at from.
func (t *tap) verdict(from *tap) (*Violation, error) {
	heard, err := t.hears(from)
	if !heard {
		return nil, err
	}
	return &Violation{Kind: KindSegment, Port: t.side, At: time.Now(), Detail: fmt.Sprintf(
		"%v: a frame that the %s port sent came in here: connect the two ports to separate networks", ErrSameSegment, from.side)}, nil
}

// send sends the frames of both taps. What a link without carrier refuses does
// not matter: then there is no segment.
func send(ctx context.Context, taps [2]*tap) {
	for i := range probeFrames {
		if i > 0 {
			pause(ctx, probeGap)
		}
		for _, t := range taps {
			_, _ = t.file.Write(probeFrame(t.mac, t.nonce))
		}
	}
	if ctx.Err() != nil {
		for _, t := range taps {
			_ = t.file.SetReadDeadline(time.Now())
		}
	}
}
