package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"lwc/junos"
	"lwc/junos/junostest"
	"lwc/transport/device"
	"lwc/transport/secret"
	"lwc/transport/wire"
)

// ours is the path of the collector: dialer, session, and, when whole, masking,
// compression and frames, which are counted and dropped.
type ours struct {
	dialer *device.Dialer
	items  []junos.Item
	opts   junos.Options
	depth  int
	whole  bool
	via    []device.Hop
}

func newOurs(o order) (*ours, error) {
	items, err := itemsOf(o.Items)
	if err != nil {
		return nil, err
	}
	c := &ours{dialer: &device.Dialer{Net: new(net.Dialer).DialContext}, items: items, depth: max(o.Depth, 1), whole: o.Mode == "whole",
		opts: junos.Options{Depth: o.Depth}}
	if o.Bastion != nil {
		hop := hopOf(o.Bastion.InventoryHost)
		hop.Auth = device.Auth{User: o.Bastion.Username, PrivateKey: secret.FromString(o.Bastion.PrivateKey)}
		hop.MaxSessions = o.InFlight
		c.via = []device.Hop{hop}
	}
	if c.whole {
		c.opts.Mask, err = junos.NewMask(junos.MaskConfig{Key: []byte("0123456789abcdef0123456789abcdef")})
	}
	return c, err
}

func hopOf(h junostest.InventoryHost) device.Hop {
	return device.Hop{Name: h.Name, Address: h.Address, Port: h.Port, HostKeys: []string{h.HostKey},
		Auth: device.Auth{User: h.Username, Password: secret.FromString(h.Password)}}
}

func (c *ours) open(ctx context.Context, d junostest.InventoryHost) (*junos.Session, error) {
	conn, err := c.dialer.Dial(ctx, device.Target{Device: hopOf(d), Via: c.via})
	if err != nil {
		return nil, err
	}
	return junos.Open(ctx, conn, c.opts)
}

func (c *ours) collect(ctx context.Context, d junostest.InventoryHost) (received, sent int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s, err := c.open(ctx, d)
	if err != nil {
		return 0, 0, err
	}
	defer s.Close()
	for i, it := range c.items {
		if err := s.Ahead(ctx, c.items[i:min(i+c.depth, len(c.items))]...); err != nil {
			return received, sent, err
		}
		reply, err := s.Call(ctx, it)
		if err != nil {
			return received, sent, err
		}
		r, w, err := c.take(d.Name, it.Name, reply)
		received, sent = received+r, sent+w
		if err != nil {
			return received, sent, err
		}
	}
	return received, sent, nil
}

// take reads a reply to its end.
func (c *ours) take(dev, item string, reply *junos.Reply) (received, sent int64, err error) {
	if !c.whole {
		return 0, 0, reply.Discard()
	}
	h := wire.Header{ID: wire.NewID(), Boot: wire.NewID(), Collector: benchCollector, Type: wire.KindFact,
		Run: "bench", Device: dev, Item: item, CollectedAt: time.Now()}
	s, err := wire.NewSplitter(h, wire.Packing{}, func(f []byte) error { sent += int64(len(f)); return nil })
	if err != nil {
		return 0, 0, err
	}
	defer s.Abort()
	if _, err = io.Copy(s, reply); err != nil {
		return s.Size(), sent, err
	}
	res := reply.Result()
	err = s.Finish(wire.Header{Outcome: string(res.Outcome), SHA256: res.SHA256, Flags: res.Flags,
		RawSHA256: res.RawSHA256, RawSize: res.RawSize})
	return res.RawSize, sent, err
}

// idle opens a session with each device at once, asks one small question, and
// measures what they hold while nothing goes on.
func idle(ctx context.Context, o order) (measure, error) {
	c, err := newOurs(o)
	if err != nil {
		return measure{}, err
	}
	defer c.dialer.Close()
	settle()
	m := measure{RestMiB: resident("VmRSS:")}
	var mu sync.Mutex // guards the two that follow
	var sessions []io.Closer
	var errs error
	all := measured(ctx, o, func(ctx context.Context, d junostest.InventoryHost) (int64, int64, error) {
		s, err := c.open(ctx, d)
		if err == nil {
			err = ask(ctx, s, c.items[0])
		}
		mu.Lock()
		defer mu.Unlock()
		if s != nil {
			sessions = append(sessions, s)
		}
		errs = errors.Join(errs, err)
		return 0, 0, err
	})
	if errs != nil {
		return m, fmt.Errorf("opening %d sessions: %d failed: %w", len(o.Devices), all.Failed, errs)
	}
	settle()
	m.HeldMiB, m.Sessions, m.Devices = resident("VmRSS:"), len(sessions), len(sessions)
	m.PeakMiB = resident("VmHWM:")
	for _, s := range sessions {
		s.Close()
	}
	return m, nil
}

func ask(ctx context.Context, s *junos.Session, it junos.Item) error {
	reply, err := s.Call(ctx, it)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, reply)
	return err
}

// settle gives back what is not in use, so that what is can be seen.
func settle() {
	runtime.GC()
	debug.FreeOSMemory()
}
