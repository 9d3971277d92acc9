package main

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"lwc/cmd/lwcd/halves"
	"lwc/netguard"
	"lwc/transport/proxy"
	"lwc/transport/secret"
	"lwc/transport/uplink"
	"lwc/transport/wire"
)

// ports is the task that dials through the two ports which the supervisor holds,
// watches them, and passes on what the supervisor tells of them.
type ports struct {
	half     *netguard.Half
	desk     halves.Desk
	degraded []string // what the supervisor could not have
	log      *slog.Logger

	mu   sync.Mutex // guards what follows
	tell func(halves.Notice)
	open func()          // called when the ports have become open
	kept []halves.Notice // until somebody listens
}

func newPorts(h *netguard.Half, d halves.Desk, degraded []string, log *slog.Logger) *ports {
	return &ports{half: h, desk: d, degraded: degraded, log: log}
}

func (p *ports) String() string         { return "ports" }
func (p *ports) Ready() <-chan struct{} { return p.half.Ready() }

// Alive asks for the state: that takes a lock, which nothing may hold for long.
func (p *ports) Alive(context.Context) error {
	p.half.State()
	return nil
}

// Run watches the ports until ctx ends or the supervisor is gone.
func (p *ports) Run(ctx context.Context) error {
	return together(ctx, p.half.Run, p.watch, p.take)
}

// watch logs what this half sees by itself. The supervisor sees it too, and tells
// whether it was put right; that is what the cloud is told.
func (p *ports) watch(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-p.half.Events():
			if !ok {
				return nil
			}
			level := slog.LevelInfo
			if e.Violation != nil {
				level = slog.LevelWarn
			}
			p.log.Log(ctx, level, "ports", "status", string(e.Status), "text", e.Text)
			if e.Violation == nil && e.Status == netguard.Open {
				p.opened()
			}
		}
	}
}

// take passes on the supervisor's notices.
func (p *ports) take(ctx context.Context) error {
	for last := uint64(0); ; {
		list, err := p.desk.Notices(ctx, last)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		for _, n := range list {
			last = n.Number
			p.pass(n)
		}
	}
}

func (p *ports) pass(n halves.Notice) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tell == nil {
		p.kept = append(p.kept, n)
		p.kept = p.kept[max(0, len(p.kept)-noticesKept):]
		return
	}
	p.tell(n)
}

// opened says that what was refused until now can be dialled.
func (p *ports) opened() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open != nil {
		p.open()
	}
}

// listen sets who is told of what happens at the ports and of what happened
// before, and who hears each time that they have become open. Neither may wait.
func (p *ports) listen(tell func(halves.Notice), open func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tell, p.open = tell, open
	for _, n := range p.kept {
		tell(n)
	}
	p.kept = nil
}

// wireState is the state of the ports as it goes into hello and health.
func (p *ports) wireState() wire.PortState {
	s := p.half.State()
	return wire.PortState{Mode: string(s.Mode), State: string(s.Status), Detail: s.Detail, Internal: s.Internal, External: s.External,
		Since: s.Since.Truncate(time.Second), Degraded: slices.Concat(s.Degraded, p.degraded), Latched: s.Latched,
		Violations: s.Violations, Healed: s.Healed}
}

// toCloud makes the connections to the cloud: through the External Port, and the
// proxy where there is one.
func (p *ports) toCloud(by way, password secret.Text, authorities []byte) uplink.DialFunc {
	dial := p.half.External().DialContext
	if by.direct() {
		return dial
	}
	return (&proxy.Dialer{Proxy: by.proxy, User: by.user, Password: password, Dial: dial, TLS: proxyTLS(authorities)}).DialContext
}
