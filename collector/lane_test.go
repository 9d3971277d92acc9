package collector

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"lwc/transport/wire"
)

// recordedLane is a Lane of the recorder. It checks that it is used as a Lane is.
type recordedLane struct {
	r       *recorder
	run     string
	device  string
	waiting func() func()
	stream  *recordedStream // open
	closed  bool
}

func (r *recorder) Lane(ctx context.Context, run, device string, waiting func() (resumed func())) (Lane, error) {
	l := &recordedLane{r: r, run: run, device: device, waiting: waiting}
	if err := l.memory(ctx); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seats++
	return l, nil
}

// memory waits for memory where there is none.
func (l *recordedLane) memory(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if l.r.full == nil {
		return nil
	}
	select {
	case <-l.r.full:
		return nil
	default:
	}
	defer l.waiting()()
	select {
	case <-l.r.full:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (l *recordedLane) wrongIf(bad bool, format string, args ...any) {
	if bad {
		l.r.mu.Lock()
		defer l.r.mu.Unlock()
		l.r.wrong = append(l.r.wrong, l.device+": "+fmt.Sprintf(format, args...))
	}
}

func (l *recordedLane) Add(ctx context.Context, h wire.Header, plain []byte, hold bool, done func(wire.Delivery)) error {
	l.wrongIf(l.closed, "an Add after Close")
	l.wrongIf(len(plain) > WholeDocument, "an Add of %d bytes", len(plain))
	if err := l.memory(ctx); err != nil {
		return err
	}
	l.take(h, slices.Clone(plain), hold, done)
	return nil
}

func (l *recordedLane) take(h wire.Header, plain []byte, hold bool, done func(wire.Delivery)) {
	l.wrongIf(h.SHA256 != wire.Digest(plain) || h.Size != int64(len(plain)), "%s: the hash is of other bytes", h.Item)
	l.wrongIf(h.ID == "" || h.Item == "" || h.CollectedAt.IsZero() || h.Outcome == "", "a header lacks something: %+v", h)
	if hold {
		l.r.mu.Lock()
		l.r.approve = append(l.r.approve, h.Item)
		l.r.mu.Unlock()
	}
	h.Run, h.Device = l.run, l.device
	l.r.answered(h, plain, done)
}

func (l *recordedLane) Stream(ctx context.Context, h wire.Header, hold bool) (Stream, error) {
	l.wrongIf(l.closed || l.stream != nil, "a Stream after Close or during another")
	l.stream = &recordedStream{l: l, ctx: ctx, h: h, hold: hold}
	l.r.mu.Lock()
	defer l.r.mu.Unlock()
	l.r.streams++
	return l.stream, nil
}

func (l *recordedLane) Close() {
	l.wrongIf(l.closed || l.stream != nil, "a second Close, or one during a Stream")
	l.closed = true
	l.r.mu.Lock()
	defer l.r.mu.Unlock()
	l.r.seats--
}

type recordedStream struct {
	l    *recordedLane
	ctx  context.Context
	h    wire.Header
	hold bool
	body bytes.Buffer
	over bool
}

func (s *recordedStream) Write(p []byte) (int, error) {
	if err := s.l.memory(s.ctx); err != nil {
		return 0, err
	}
	return s.body.Write(p)
}

func (s *recordedStream) Commit(last wire.Header, done func(wire.Delivery)) error {
	if err := s.l.memory(s.ctx); err != nil {
		return err
	}
	s.l.wrongIf(s.over || last.ID != s.h.ID, "a Commit after the end, or of another document")
	s.l.wrongIf(s.body.Len() <= WholeDocument, "a Stream of %d bytes", s.body.Len())
	s.end()
	s.l.take(last, s.body.Bytes(), s.hold, done)
	return nil
}

func (s *recordedStream) Abort() {
	if s.over {
		return
	}
	s.end()
	s.l.r.mu.Lock()
	defer s.l.r.mu.Unlock()
	s.l.r.aborted++
}

func (s *recordedStream) end() {
	s.over, s.l.stream = true, nil
	s.l.r.mu.Lock()
	defer s.l.r.mu.Unlock()
	s.l.r.streams--
}

func (r *recorder) DropHeld(run string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dropped = append(r.dropped, run)
}

func (r *recorder) SetBudget(n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.budget = n
}

// Budget tells of the seats: what is in a cloud's hands is not of interest here.
func (r *recorder) Budget() (used, held, limit int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return int64(r.seats+r.streams) * WholeDocument, 0, r.budget
}
