package collector

import (
	"context"
	"io"
	"time"

	"lwc/transport/wire"
)

// outlet is where the documents of a visit go.
type outlet struct {
	c      *Collector
	run    string
	device string
	v      *visit // whose time is not spent while the outlet waits
	egress egress // of the session under way, or of the last one

	// ctx is that of the run, and not of the device: what a device gave before its
	// time was over is handed on after it.
	ctx    context.Context
	cancel context.CancelCauseFunc

	lane Lane // nil: no seat
}

func newOutlet(ctx context.Context, v *visit) *outlet {
	ctx, cancel := context.WithCancelCause(ctx)
	return &outlet{c: v.c, run: v.r.id, device: v.id, v: v, ctx: ctx, cancel: cancel}
}

// fits takes what the next session may let leave. It reports false where that
// session needs a seat.
func (o *outlet) fits(e egress) bool {
	o.egress = e
	return o.lane != nil || o.dry()
}

// dry tells whether nothing leaves.
func (o *outlet) dry() bool { return o.egress.mode == wire.EgressDryRun }

// seat takes a place in the memory for documents, before a session is opened:
// none is, that would at once wait for it. While nothing is in hand and nobody
// is logged in, there is no hurry.
func (o *outlet) seat(ctx context.Context) error {
	l, err := o.c.conf.Uplink.Lane(ctx, o.run, o.device, o.waiting)
	if err != nil {
		return err
	}
	o.lane = l
	return nil
}

// blockedGrace is how much longer than BlockedTimeout a session waits for memory:
// the uplink makes room by then, where documents of older runs can go.
const blockedGrace = 30 * time.Second

// waiting is called when the lane begins to wait for memory. That time is not the
// device's, and is bounded by itself while a session is open.
func (o *outlet) waiting() (resumed func()) {
	o.c.counters.memoryWaits.Add(1)
	counted := o.v.patience.running()
	o.v.patience.stop()
	stop := func() bool { return true }
	if o.lane != nil {
		stop = time.AfterFunc(o.c.conf.BlockedTimeout+blockedGrace, func() { o.cancel(errBlocked) }).Stop
	}
	return func() {
		stop()
		if counted {
			o.v.resume()
		}
	}
}

func (o *outlet) add(h wire.Header, doc []byte, hold bool, done func(wire.Delivery)) error {
	return o.cause(o.lane.Add(o.ctx, h, doc, hold, done))
}

func (o *outlet) stream(h wire.Header, hold bool) (Stream, error) {
	s, err := o.lane.Stream(o.ctx, h, hold)
	return s, o.cause(err)
}

// into is a writer into a stream.
func (o *outlet) into(s Stream) io.Writer { return outletWriter{o, s} }

type outletWriter struct {
	o *outlet
	s Stream
}

// Write implements io.Writer.
func (w outletWriter) Write(p []byte) (int, error) {
	n, err := w.s.Write(p)
	return n, w.o.cause(err)
}

func (o *outlet) commit(s Stream, last wire.Header, done func(wire.Delivery)) error {
	return o.cause(s.Commit(last, done))
}

// cause tells why the outlet was closed, where that is why something failed.
func (o *outlet) cause(err error) error {
	if err != nil && o.ctx.Err() != nil {
		return context.Cause(o.ctx)
	}
	return err
}

// leave gives the seat back. A probe has no outlet, and no seat.
func (o *outlet) leave() {
	if o != nil && o.lane != nil {
		o.lane.Close()
		o.lane = nil
	}
}

// close ends the outlet.
func (o *outlet) close() {
	o.leave()
	o.cancel(context.Canceled)
}
