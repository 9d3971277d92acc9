package junostest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// Fleet is a set of simulated devices and bastions.
type Fleet struct {
	cfg      Config
	devices  []*Device
	bastions []*Bastion
	patterns []string // of cfg.Faults, the longest first

	clientPub             ssh.PublicKey
	clientPEM, clientCert string
	authorized            map[string]bool // public keys as they travel
	userCA, hostCA        ssh.Signer

	oldOnce sync.Once // guards old and oldErr
	old     ssh.Signer
	oldErr  error

	sent    sentLog
	recent  recent
	buffers sync.Pool // of *bytes.Buffer: replies with their framing
	cache   replyCache
	byName  map[string]host
	byAddr  map[netip.AddrPort]host // complete once Start has returned

	wg        sync.WaitGroup
	stop      context.CancelFunc
	listeners []net.Listener
}

// NewFleet makes the devices and bastions of a configuration. Nothing listens yet.
func NewFleet(c Config) (*Fleet, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("checking the fleet: %w", err)
	}
	c = c.withDefaults()
	f := &Fleet{cfg: c, sent: sentLog{out: c.Log, off: c.Quiet},
		buffers: sync.Pool{New: func() any { return new(bytes.Buffer) }},
		byName:  map[string]host{}, byAddr: map[netip.AddrPort]host{}}
	f.patterns = c.patterns()
	f.cache.room.Store(c.Cache)
	if err := f.makeKeys(); err != nil {
		return nil, err
	}
	if err := f.populate(); err != nil {
		return nil, err
	}
	if err := f.giveFaults(); err != nil {
		return nil, fmt.Errorf("giving out faults: %w", err)
	}
	if err := f.checkReplies(); err != nil {
		return nil, err
	}
	return f, f.place()
}

func (f *Fleet) populate() error {
	for i := range f.cfg.Devices {
		d, err := newDevice(f, i)
		if err != nil {
			return err
		}
		f.devices = append(f.devices, d)
		f.byName[d.Name], f.byName[d.HostName] = d, d
	}
	for i := range f.cfg.Bastions {
		b, err := newBastion(f, i)
		if err != nil {
			return err
		}
		f.bastions = append(f.bastions, b)
		f.byName[b.Name] = b
	}
	for i, d := range f.devices[f.cfg.Devices-f.cfg.Behind:] {
		d.Behind = f.bastions[i%len(f.bastions)].Name
	}
	return nil
}

func (f *Fleet) someNames() []string {
	var names []string
	for _, d := range f.devices[:min(3, len(f.devices))] {
		names = append(names, d.Name)
	}
	return names
}

func (f *Fleet) checkReplies() error {
	if f.cfg.Replies == "" {
		return nil
	}
	info, err := os.Stat(f.cfg.Replies)
	if err == nil && !info.IsDir() {
		err = fs.ErrInvalid
	}
	if err != nil {
		return fmt.Errorf("opening the folder of replies %s: %w", f.cfg.Replies, err)
	}
	return nil
}

// place gives every host its address. Where the kernel picks the port it is 0
// until Start; a device behind a bastion has an inner address of its own then.
func (f *Fleet) place() error {
	next := addressing(f.cfg)
	for i, d := range f.devices {
		addr, err := next(f.cfg.DevicePort)
		if err != nil {
			return err
		}
		if d.Addr = addr; addr.Port() == 0 && d.Behind != "" {
			d.Addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 83, byte(i >> 8), byte(i)}), 830)
		}
		f.mark(d.Addr, d)
	}
	for _, b := range f.bastions {
		addr, err := next(f.cfg.BastionPort)
		if err != nil {
			return err
		}
		b.Addr = addr
		f.mark(b.Addr, b)
	}
	return nil
}

// mark notes who is at an address, if the address is known yet.
func (f *Fleet) mark(at netip.AddrPort, h host) {
	if at.Port() != 0 {
		f.byAddr[at] = h
	}
}

// addressing returns a function that hands out addresses; port is for hosts
// that have an address of their own.
func addressing(c Config) func(port uint16) (netip.AddrPort, error) {
	addr, within := c.Listen, netip.Prefix{}
	if c.Bind.IsValid() {
		within, addr = c.Bind.Masked(), c.Bind.Addr()
		if addr == within.Addr() {
			addr = addr.Next()
		}
	}
	port := int(c.BasePort)
	return func(own uint16) (netip.AddrPort, error) {
		if c.DevicePort == 0 {
			here := netip.AddrPortFrom(addr, uint16(port))
			if port++; c.BasePort == 0 {
				port = 0
			}
			return here, nil
		}
		for last := addr.AsSlice()[len(addr.AsSlice())-1]; last == 0 || last == 255; last = addr.AsSlice()[len(addr.AsSlice())-1] {
			addr = addr.Next() // network and broadcast addresses of a /24 confuse people
		}
		if !addr.IsValid() || within.IsValid() && !within.Contains(addr) {
			return netip.AddrPort{}, fmt.Errorf("prefix %s has too few addresses for the fleet", c.Bind)
		}
		here := netip.AddrPortFrom(addr, own)
		addr = addr.Next()
		return here, nil
	}
}

// Start opens the ports and serves until ctx ends or Close is called. A device
// behind a bastion, and an unreachable one, have no port.
func (f *Fleet) Start(ctx context.Context) error {
	ctx, f.stop = context.WithCancel(ctx)
	for _, d := range f.devices {
		if d.Behind != "" || d.Fault() == Unreachable {
			continue
		}
		addr, err := f.listen(ctx, d.Addr, d)
		if err != nil {
			return errors.Join(fmt.Errorf("opening the port of %s: %w", d.Name, err), f.Close())
		}
		d.Addr = addr
	}
	for _, b := range f.bastions {
		if b.Fault() == Unreachable {
			continue
		}
		addr, err := f.listen(ctx, b.Addr, b)
		if err != nil {
			return errors.Join(fmt.Errorf("opening the port of %s: %w", b.Name, err), f.Close())
		}
		b.Addr = addr
	}
	f.serveAll(ctx)
	return nil
}

// listen opens a port for a host. Nothing is accepted before serveAll, when
// all addresses are known.
func (f *Fleet) listen(ctx context.Context, at netip.AddrPort, h host) (netip.AddrPort, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", at.String())
	if err != nil {
		return netip.AddrPort{}, err
	}
	addr := l.Addr().(*net.TCPAddr).AddrPort()
	f.mark(addr, h)
	f.listeners = append(f.listeners, l)
	return addr, nil
}

func (f *Fleet) serveAll(ctx context.Context) {
	for _, l := range f.listeners {
		h := f.byAddr[l.Addr().(*net.TCPAddr).AddrPort()]
		f.wg.Go(func() { f.serve(ctx, l, h) })
		context.AfterFunc(ctx, func() { l.Close() })
	}
}

// serve accepts connections for a host until its port closes.
func (f *Fleet) serve(ctx context.Context, l net.Listener, h host) {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			pause(ctx, acceptPause) // out of descriptors: the clients wait until some are free
			continue
		}
		f.wg.Go(func() { h.serveConn(ctx, conn) })
	}
}

const acceptPause = 100 * time.Millisecond

// pause waits, but not after ctx has ended.
func pause(ctx context.Context, t time.Duration) {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// Close ends every connection, closes every port and waits until all is over.
func (f *Fleet) Close() error {
	if f.stop == nil {
		return nil
	}
	f.stop()
	var errs []error
	for _, l := range f.listeners {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, fmt.Errorf("closing a port: %w", err))
		}
	}
	f.wg.Wait()
	return errors.Join(errs...)
}

// Devices returns the devices in the order of their numbers.
func (f *Fleet) Devices() []*Device { return slices.Clone(f.devices) }

// Device returns the device of that name, nil where there is none.
func (f *Fleet) Device(name string) *Device {
	d, _ := f.byName[name].(*Device)
	return d
}

// Bastions returns the jump hosts.
func (f *Fleet) Bastions() []*Bastion { return slices.Clone(f.bastions) }

// Sent returns what was sent, oldest first; of a great many the newest.
func (f *Fleet) Sent() []SentDocument { return f.sent.snapshot() }
