package junostest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"sync"

	"golang.org/x/crypto/ssh"
)

const maxForwards = 1024 // channels on one connection to a bastion

// serveConn serves one connection to the bastion until it ends or ctx does.
func (b *Bastion) serveConn(ctx context.Context, conn net.Conn) {
	fault := b.fault.v.Load()
	dr := &door{fleet: b.fleet, signer: b.signer, fault: fault, names: []string{b.Name, b.Addr.Addr().String()},
		login: login{user: b.User, password: b.Password, fleet: b.fleet, fault: fault}}
	dr.serve(ctx, conn, b.serveForwards)
}

// serveForwards runs the channels of one connection and waits for them.
func (b *Bastion) serveForwards(ctx context.Context, v *visit) {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	slots := make(chan struct{}, maxForwards)
	for nc := range v.channels {
		select {
		case slots <- struct{}{}:
			wg.Go(func() { defer func() { <-slots }(); b.forward(ctx, nc) })
		default:
			_ = nc.Reject(ssh.ResourceShortage, "too many channels")
		}
	}
}

// forward joins a direct-tcpip channel to a device of the fleet.
func (b *Bastion) forward(ctx context.Context, nc ssh.NewChannel) {
	var to struct {
		Host       string
		Port       uint32
		OriginHost string
		OriginPort uint32
	}
	if nc.ChannelType() != "direct-tcpip" || ssh.Unmarshal(nc.ExtraData(), &to) != nil {
		_ = nc.Reject(ssh.Prohibited, "administratively prohibited: this host only forwards")
		return
	}
	if b.refusesToForward(nc) {
		return
	}
	target, known := b.fleet.target(to.Host, to.Port)
	if !known {
		_ = nc.Reject(ssh.Prohibited, fmt.Sprintf("administratively prohibited: open to %.60s refused", net.JoinHostPort(to.Host, strconv.Itoa(int(to.Port)))))
		return
	}
	if target.Fault() == Unreachable {
		_ = nc.Reject(ssh.ConnectionFailed, "Connection refused")
		return
	}
	ch, requests, err := nc.Accept()
	if err != nil {
		return
	}
	join(ctx, ch, requests, target)
}

// refusesToForward plays NoForward.
func (b *Bastion) refusesToForward(nc ssh.NewChannel) bool {
	fault := b.fault.v.Load()
	if fault.kind() != NoForward {
		return false
	}
	switch fault.arg() {
	case "shortage":
		_ = nc.Reject(ssh.ResourceShortage, "resource shortage")
	case "connect":
		_ = nc.Reject(ssh.ConnectionFailed, "Connection timed out")
	default:
		_ = nc.Reject(ssh.Prohibited, "administratively prohibited: open failed")
	}
	return true
}

// host is an SSH server of the fleet.
type host interface {
	Fault() Fault
	serveConn(ctx context.Context, conn net.Conn)
}

// join serves a device on a forwarded channel: bytes go to and fro over a pipe
// in memory, and all ends when either side does.
func join(ctx context.Context, ch ssh.Channel, requests <-chan *ssh.Request, target host) {
	near, far := net.Pipe()
	stop := context.AfterFunc(ctx, func() { near.Close() })
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { ssh.DiscardRequests(requests) })
	wg.Go(func() { target.serveConn(ctx, far) })
	wg.Go(func() {
		_, _ = io.Copy(near, ch)
		near.Close()
	})
	_, _ = io.Copy(ch, near)
	near.Close()
	ch.Close()
}

// target finds the device or bastion at an address, or by its name.
func (f *Fleet) target(name string, port uint32) (host, bool) {
	if addr, err := netip.ParseAddr(name); err == nil && port <= 65535 {
		h, ok := f.byAddr[netip.AddrPortFrom(addr.Unmap(), uint16(port))]
		return h, ok
	}
	h, ok := f.byName[name]
	return h, ok
}
