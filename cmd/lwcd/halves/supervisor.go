package halves

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"sync/atomic"

	"lwc/netguard"
)

// Offer is all that the supervisor does for its collector half.
type Offer struct {
	Ports   netguard.Upstream
	Tokens  Tokens
	Desk    Desk
	Machine Machine
}

// Collector is the collector half as the supervisor sees it.
type Collector struct {
	peer *peer
	last atomic.Pointer[endingArgs]
}

// Serve makes the supervisor's end of a connection. Run has to be called.
func Serve(conn net.Conn, o Offer) *Collector {
	c := &Collector{}
	c.peer = newPeer(conn, MaxUp, func(ctx context.Context, call string, args json.RawMessage) (any, error) {
		if call != callEnding {
			return o.serve(ctx, call, args)
		}
		last, err := reads[endingArgs](args)
		if err == nil {
			c.last.Store(&last)
		}
		return nil, err
	})
	return c
}

// LastWords are what the half said of its end, empty when it ended as it was asked to;
// it has not said that it ends unless said is true.
func (c *Collector) LastWords() (failure string, said bool) {
	last := c.last.Load()
	if last == nil {
		return "", false
	}
	return last.Failure, true
}

// Run serves the collector half until ctx ends or the connection does, and
// closes it. The error is nil when ctx ended.
func (c *Collector) Run(ctx context.Context) error { return c.peer.run(ctx) }

// Alive asks the half where it stands.
func (c *Collector) Alive(ctx context.Context) (Report, error) {
	var r Report
	err := c.peer.call(ctx, quickLimit, callAlive, nil, &r)
	return r, err
}

// Stop asks the half to end. It returns when the half has heard it.
func (c *Collector) Stop(ctx context.Context) error {
	return c.peer.call(ctx, quickLimit, callStop, nil, nil)
}

// serve answers one request.
func (o Offer) serve(ctx context.Context, call string, args json.RawMessage) (any, error) {
	limit := quickLimit
	switch call {
	case callView, callNotices, callUpdate:
		limit = pollLimit
	case callPermit:
		limit = permitLimit
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	switch call {
	case callView, callPermit:
		return o.ports(ctx, call, args)
	case callRestart, callUpdate, callClock:
		return o.machine(ctx, call, args)
	case callStamp:
		return o.Tokens.Stamp(ctx)
	case callToken:
		return o.Tokens.Read(ctx)
	case callErase:
		return nil, o.Tokens.Erase(ctx)
	case callSetup:
		return o.Desk.Setup(ctx)
	case callNotices:
		after, err := reads[serialArgs](args)
		if err != nil {
			return nil, err
		}
		return o.Desk.Notices(ctx, after.Serial)
	}
	return nil, ErrUnknownCall
}

func (o Offer) ports(ctx context.Context, call string, args json.RawMessage) (any, error) {
	if call == callView {
		known, err := reads[serialArgs](args)
		if err != nil {
			return nil, err
		}
		return o.Ports.View(ctx, known.Serial)
	}
	to, err := reads[endpointArgs](args)
	if err != nil {
		return nil, err
	}
	return o.Ports.Permit(ctx, to.endpoint())
}

// pollAgain tells whether a long poll came to its end with nothing to tell.
func pollAgain(ctx context.Context, err error) bool {
	return errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil
}
