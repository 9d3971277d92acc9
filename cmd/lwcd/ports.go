package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"lwc/netguard"
	"lwc/transport/wire"
)

// ports is the task that brings up the two ports, and verifies them for as long
// as the daemon lives.
type ports struct {
	conf  netguard.Config
	log   *slog.Logger
	ready chan struct{}

	mu     sync.Mutex // guards what follows
	guard  *netguard.Guard
	detail string // why the ports are not up
	tell   func(text string)
}

// portsError says that the daemon cannot go on because of its ports.
type portsError struct{ err error }

func (e *portsError) Error() string { return e.err.Error() }
func (e *portsError) Unwrap() error { return e.err }

const (
	// verifyEvery is how often the kernel is compared with the configuration.
	verifyEvery = 5 * time.Second
	// portRetry is the pause before a port that is missing is looked for again.
	portRetry = 2 * time.Second
)

func newPorts(conf netguard.Config, log *slog.Logger) *ports {
	return &ports{conf: conf, log: log, ready: make(chan struct{}), detail: "bringing up the two ports"}
}

func (p *ports) String() string         { return "ports" }
func (p *ports) Ready() <-chan struct{} { return p.ready }

// Alive asks for the state: that takes the guard's lock, which nothing may hold
// for long.
func (p *ports) Alive(context.Context) error {
	p.state()
	return nil
}

// Run brings the ports up, waits for an interface that is missing, and then
// verifies until ctx ends. Any other failure ends the daemon: without its ports
// it must not run.
func (p *ports) Run(ctx context.Context) error {
	g, err := p.raise(ctx)
	if g == nil {
		return err
	}
	p.mu.Lock()
	p.guard = g
	p.mu.Unlock()
	close(p.ready)
	s := g.State()
	if s.Mode == netguard.Unprotected {
		p.log.Warn("the two ports are NOT separated: mode unprotected")
	}
	p.log.Info("ports are up", "mode", string(s.Mode), "internal", s.Internal, "external", s.External)
	p.watch(ctx, g)
	return nil
}

func (p *ports) raise(ctx context.Context) (*netguard.Guard, error) {
	for said := ""; ; {
		g, err := netguard.Up(ctx, p.conf)
		if err == nil {
			return g, nil
		}
		if ctx.Err() != nil {
			return nil, nil
		}
		if !errors.Is(err, netguard.ErrNoInterface) {
			return nil, &portsError{err}
		}
		if err.Error() != said {
			said = err.Error()
			p.log.Warn("waiting for a port", "error", err)
		}
		p.mu.Lock()
		p.detail = "waiting for a port: " + err.Error()
		p.mu.Unlock()
		if !sleep(ctx, portRetry) {
			return nil, nil
		}
	}
}

// watch verifies, and reports what the guard finds.
func (p *ports) watch(ctx context.Context, g *netguard.Guard) {
	tick := time.NewTicker(verifyEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-g.Events():
			if !ok {
				return
			}
			p.event(e)
		case <-tick.C:
			if _, err := g.Verify(ctx); err != nil && !errors.Is(err, netguard.ErrUnprotected) && ctx.Err() == nil {
				p.log.Error("verifying the two ports", "error", err)
			}
		}
	}
}

func (p *ports) event(e netguard.Event) {
	if e.Violation == nil {
		p.log.Info("ports", "status", string(e.Status), "text", e.Text)
		return
	}
	p.log.Error("port violation", "status", string(e.Status), "kind", string(e.Violation.Kind), "text", e.Text)
	p.mu.Lock()
	tell := p.tell
	p.mu.Unlock()
	if tell != nil {
		tell(e.Text)
	}
}

// onViolation sets who is told of violations.
func (p *ports) onViolation(tell func(text string)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tell = tell
}

// close leaves the ports down. It is called when nothing dials any more.
func (p *ports) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.guard == nil {
		return nil
	}
	return p.guard.Close()
}

func (p *ports) state() netguard.State {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.guard == nil {
		return netguard.State{Mode: p.conf.Mode, Status: netguard.Down, Detail: p.detail}
	}
	return p.guard.State()
}

// wireState is state as it goes into hello and health.
func (p *ports) wireState() wire.PortState {
	s := p.state()
	return wire.PortState{Mode: string(s.Mode), State: string(s.Status), Detail: s.Detail,
		Internal: s.Internal, External: s.External}
}

func (p *ports) status() string {
	s := p.state()
	if s.Status == netguard.Down {
		return s.Detail
	}
	text := fmt.Sprintf("ports %s (%s)", s.Status, s.Mode)
	if s.Status == netguard.Blocked {
		text += ": " + s.Detail
	}
	return text
}

// internal and external dial through the ports. They are used after Ready.
func (p *ports) internal() *netguard.InternalPort { return p.raised().Internal() }
func (p *ports) external() *netguard.ExternalPort { return p.raised().External() }

func (p *ports) raised() *netguard.Guard {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.guard
}
