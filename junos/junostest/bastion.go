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
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if turnedAway(ctx, conn, b.Fault()) {
		return
	}
	l := login{user: b.User, password: b.Password, key: b.fleet.clientPub, methods: b.fleet.cfg.Auth, refuse: b.Fault() == RefuseAuth}
	sc, channels, requests := handshake(conn, l.serverConfig(b.signer, ""))
	if sc == nil {
		return
	}
	defer sc.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	wg.Go(func() { ssh.DiscardRequests(requests) })
	slots := make(chan struct{}, maxForwards)
	for nc := range channels {
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
