package halves

import (
	"context"
	"encoding/json"
	"net"
	"net/netip"

	"lwc/netguard"
)

// Supervisor is the supervisor as the collector half sees it. It is a
// netguard.Upstream, Tokens, Desk and Machine.
type Supervisor struct{ peer *peer }

// Connect makes the collector's end of a connection. Run has to be called.
func Connect(conn net.Conn, w Worker) *Supervisor {
	return &Supervisor{newPeer(conn, MaxDown, func(ctx context.Context, call string, _ json.RawMessage) (any, error) {
		switch call {
		case callAlive:
			ctx, cancel := context.WithTimeout(ctx, quickLimit)
			defer cancel()
			return w.Alive(ctx), nil
		case callStop:
			w.Stop()
			return nil, nil
		}
		return nil, ErrUnknownCall
	})}
}

// Run serves the supervisor until ctx ends or the connection does, and closes
// it. The error is nil when ctx ended.
func (s *Supervisor) Run(ctx context.Context) error { return s.peer.run(ctx) }

// View implements netguard.Upstream.
func (s *Supervisor) View(ctx context.Context, serial uint64) (netguard.View, error) {
	return poll[netguard.View](ctx, s.peer, callView, serial)
}

// Permit implements netguard.Upstream.
func (s *Supervisor) Permit(ctx context.Context, e netguard.Endpoint) ([]netip.AddrPort, error) {
	var out []netip.AddrPort
	err := s.peer.call(ctx, permitLimit+grace, callPermit, endpointArgs{e.Network, e.Host, e.Port}, &out)
	return out, err
}

// Setup implements Desk.
func (s *Supervisor) Setup(ctx context.Context) (Setup, error) {
	var out Setup
	err := s.peer.call(ctx, quickLimit, callSetup, nil, &out)
	return out, err
}

// Notices implements Desk.
func (s *Supervisor) Notices(ctx context.Context, after uint64) ([]Notice, error) {
	return poll[[]Notice](ctx, s.peer, callNotices, after)
}

// Stamp implements Tokens.
func (s *Supervisor) Stamp(ctx context.Context) (Stamp, error) {
	var out Stamp
	err := s.peer.call(ctx, quickLimit, callStamp, nil, &out)
	return out, err
}

// Read implements Tokens.
func (s *Supervisor) Read(ctx context.Context) (Token, error) {
	var out Token
	err := s.peer.call(ctx, quickLimit, callToken, nil, &out)
	return out, err
}

// Erase implements Tokens.
func (s *Supervisor) Erase(ctx context.Context) error {
	return s.peer.call(ctx, quickLimit, callErase, nil, nil)
}

// Ending says that the half ends now, and why: nil when it was asked to.
func (s *Supervisor) Ending(ctx context.Context, why error) error {
	var args endingArgs
	if why != nil {
		args.Failure = fail(why).Text
	}
	return s.peer.call(ctx, quickLimit, callEnding, args, nil)
}

// poll asks until there is an answer.
func poll[T any](ctx context.Context, p *peer, call string, known uint64) (T, error) {
	for {
		var out T
		err := p.call(ctx, pollLimit+grace, call, serialArgs{known}, &out)
		if !pollAgain(ctx, err) {
			return out, err
		}
	}
}
