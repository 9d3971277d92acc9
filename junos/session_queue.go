package junos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// maxWrite is the most that goes out in one Write, but for a request that alone
// is longer: releases of Junos lose a delimiter that straddles 4096 bytes.
const maxWrite = 4096 - 1

// request is one that was sent. RFC 6241 §4.5 has the device answer in the order
// in which it was asked, so the oldest is the one whose reply comes.
type request struct {
	name   string
	rpc    string
	id     string
	shared bool   // another request was under way during its time
	reply  *Reply // of the Call that took it up; nil: none has
}

// claim makes the item's request the oldest, whether it was sent ahead or is
// sent now. What is under way before it is thrown away.
func (s *Session) claim(ctx context.Context, item Item) (*request, error) {
	at := slices.IndexFunc(s.queue, func(q *request) bool { return q.reply == nil && q.rpc == item.rpc })
	before := at
	if at < 0 {
		before = len(s.queue)
	}
	for range before {
		if err := s.drain(ctx); err != nil {
			return nil, err
		}
	}
	if at < 0 {
		s.sendNext(item)
	}
	if err := s.topUp(ctx); err != nil {
		return nil, err
	}
	return s.queue[0], nil
}

// sendNext puts the item where it is sent first. What was announced before it is
// passed over.
func (s *Session) sendNext(item Item) {
	if at := slices.IndexFunc(s.plan, func(i Item) bool { return i.rpc == item.rpc }); at >= 0 {
		s.plan = s.plan[at:]
		return
	}
	s.plan = slices.Insert(s.plan, 0, item)
}

// announce makes items the plan, but for those that are under way.
func (s *Session) announce(items []Item) {
	s.plan = slices.Clone(items)
	for _, q := range s.queue {
		at := slices.IndexFunc(s.plan, func(i Item) bool { return i.rpc == q.rpc })
		if q.reply == nil && at >= 0 {
			s.plan = slices.Delete(s.plan, at, at+1)
		}
	}
}

// errUnended is why the session ends when a reply that nobody waits for goes on.
var errUnended = errors.New("the reply before did not end")

// drain throws away what is left of the oldest reply.
func (s *Session) drain(ctx context.Context) error {
	q := s.queue[0]
	if q.reply == nil {
		q.reply = newReply(ctx, s.link, q, s.opts)
	}
	timed, cancel := context.WithTimeoutCause(ctx, s.opts.StallTimeout, errStall)
	defer cancel()
	err := q.reply.skip(timed)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return because(ctx)
	}
	err = fmt.Errorf("%w: %w", errUnended, err)
	s.fail(err)
	if kindOf(err, false) == KindRPCTimeout {
		return s.over() // it was the other request that took too long
	}
	return err
}

// topUp sends what was announced, once half of the depth is free, so that several
// requests share a Write. With nothing under way it waits for the Write; else the
// Write goes on beside the reading, since a device may take no request before it
// has got rid of a reply.
func (s *Session) topUp(ctx context.Context) error {
	depth, idle := max(1, s.opts.Depth), len(s.queue) == 0
	if len(s.plan) == 0 || len(s.queue) > depth/2 || !idle && s.writing() {
		return nil
	}
	if err := s.settle(ctx); err != nil {
		if !idle {
			return nil // what was sent may still be answered
		}
		s.fail(err)
		return err
	}
	batches := s.batches(depth)
	if idle {
		if err := s.write(ctx, batches[0]); err != nil {
			s.fail(err)
			return err
		}
		batches = batches[1:]
	}
	s.writeBeside(batches)
	return nil
}

// batches moves items from the plan to the queue until it is full, and returns
// what is to be written for them.
func (s *Session) batches(depth int) (all [][]byte) {
	var b []byte
	for len(s.plan) > 0 && len(s.queue) < depth {
		one := len(b)
		id := s.number()
		b = s.appendRPC(b, id, s.plan[0].rpc)
		if one > 0 && len(b) > maxWrite {
			all = append(all, b[:one:one])
			b = slices.Clone(b[one:])
		}
		s.enqueue(s.plan[0], id)
		s.plan = s.plan[1:]
	}
	return append(all, b)
}

// number returns the next message-id.
func (s *Session) number() string {
	s.seq++
	return strconv.FormatUint(s.seq, 10)
}

func (s *Session) appendRPC(b []byte, id, operation string) []byte {
	return appendFrame(b, `<rpc xmlns="`+base10URN+`" message-id="`+id+`">`+operation+`</rpc>`, s.hello.chunked)
}

func (s *Session) enqueue(item Item, id string) {
	q := &request{name: item.Name, rpc: item.rpc, id: id, shared: len(s.queue) > 0}
	if q.shared {
		s.pipelined.Store(true)
		for _, other := range s.queue {
			other.shared = true
		}
	}
	s.queue = append(s.queue, q)
}

// underWayTogether tells whether a request under way shared the session.
func (s *Session) underWayTogether() bool {
	return slices.ContainsFunc(s.queue, func(q *request) bool { return q.shared })
}

// writing tells whether a Write is still under way.
func (s *Session) writing() bool { return s.wrote != nil && len(s.wrote) == 0 }

// settle waits for the Write that is under way.
func (s *Session) settle(ctx context.Context) error {
	if s.wrote == nil {
		return s.unsent
	}
	select {
	case s.unsent = <-s.wrote:
		s.wrote = nil
		return s.unsent
	case <-ctx.Done():
		return because(ctx)
	case <-s.pump.quit:
		return s.over()
	}
}

// writeBeside writes while replies are read. When that fails, the replies to what
// got through can still be had.
func (s *Session) writeBeside(batches [][]byte) {
	if len(batches) == 0 {
		return
	}
	wrote := make(chan error, 1)
	s.wrote = wrote
	s.writes.Go(func() {
		for _, b := range batches {
			if err := s.write(context.Background(), b); err != nil {
				wrote <- err
				return
			}
		}
		wrote <- nil
	})
}

// write sends whole messages in one Write. A write that does not get through
// leaves half a message behind, so the end of the context closes the channel.
func (s *Session) write(ctx context.Context, b []byte) error {
	s.guard.begin(ctx)
	_, err := s.rw.Write(b)
	s.guard.end()
	switch {
	case s.guard.late.Load():
		return errStall
	case err != nil && ctx.Err() != nil:
		return because(ctx)
	case err != nil:
		return fmt.Errorf("writing: %w", err)
	}
	return nil
}

// because tells why a context ended, both as its owner and as package context
// put it.
func because(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}
