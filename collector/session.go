package collector

import (
	"context"
	"errors"
	"io"

	"lwc/junos"
)

// talk is a way to ask a device: a NETCONF session, or its command line.
type talk interface {
	Call(ctx context.Context, it junos.Item) (*junos.Reply, error)
	Close() error
}

// session logs in and asks for the items that are left.
func (v *visit) session(ctx context.Context, f *fleet, d *device) failure {
	v.stuck = false
	ch, fail := v.dial(ctx, f, d)
	if ch == nil {
		return fail
	}
	defer ch.Close()
	// Whoever stops a collection does not wait for a device that hangs to say goodbye.
	defer context.AfterFunc(ctx, func() { ch.Close() })()
	v.progress.step()
	v.record = v.c.records.of(d)
	v.record.as(d.login)
	if v.probe != nil {
		return v.probe.examine(ctx, v, f, d, ch)
	}
	v.depth = v.record.nextDepth(d.Pipeline)
	s, err := v.open(ctx, f, ch)
	if err != nil {
		return diagnose(ctx, err)
	}
	defer s.Close()
	v.progress.step()
	if err := v.items(ctx, f, s); err != nil {
		return diagnose(ctx, err)
	}
	v.completed(s)
	v.checkAccount(ctx, d, s)
	return failure{}
}

// open begins to talk on a channel.
func (v *visit) open(ctx context.Context, f *fleet, ch Channel) (talk, error) {
	opts := v.c.conf.Session
	opts.MaxReply = orDefault(f.limits.MaxDocumentBytes, DefaultMaxDocumentBytes)
	opts.Mask, opts.Depth = f.mask, v.depth
	if a := ch.Access(); a == nil || a.Mode != ModeCLI {
		return junos.Open(ctx, v.progress.watch(ch), opts)
	}
	run := func(ctx context.Context, command string) (io.ReadCloser, error) {
		out, err := ch.Run(ctx, command)
		if err != nil {
			return nil, err
		}
		return v.progress.watchReader(out), nil
	}
	return junos.OpenCLI(run, opts), nil
}

// completed lets the record of the device grow by a whole session.
func (v *visit) completed(s talk) {
	n, ok := s.(*junos.Session)
	if ok && v.skipped.kind == "" && (v.depth == 1 || n.Pipelined()) {
		v.record.completed(v.depth)
	}
}

// items asks for what is left: first for what tells the release, then for the
// load where large items follow, then for the rest, several at once where the
// device's record allows it, and at the end once more for what was not ready.
func (v *visit) items(ctx context.Context, f *fleet, s talk) error {
	if err := v.identify(ctx, s); err != nil {
		return err
	}
	if err := v.weigh(ctx, f, s); err != nil {
		return err
	}
	v.leaveOut(f)
	if err := v.askAll(ctx, s); err != nil {
		return err
	}
	v.todo, v.again = append(v.todo, v.again...), nil
	return v.askAll(ctx, s)
}

func (v *visit) askAll(ctx context.Context, s talk) error {
	for len(v.todo) > 0 {
		if err := v.announce(ctx, s); err != nil {
			return err
		}
		if err := v.item(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// announce tells the session what comes, so that it can ask ahead.
func (v *visit) announce(ctx context.Context, s talk) error {
	n, ok := s.(*junos.Session)
	if !ok || v.depth == 1 || v.record.nextDepth(v.device.Pipeline) == 1 {
		return nil
	}
	err := n.Ahead(ctx, v.todo...)
	if err != nil && v.objection(ctx, err) {
		return err
	}
	var e *junos.Error
	if errors.As(err, &e) {
		return err
	}
	return nil
}

// maxTimeouts is how many items of a device may time out before the rest is
// given up: each costs minutes, and the device is in trouble.
const maxTimeouts = 3

// item asks for the next item. An error ends the session; a failure of the item
// alone is accounted for here.
func (v *visit) item(ctx context.Context, s talk) error {
	it := v.todo[0]
	r, err := s.Call(ctx, it)
	if err != nil {
		return v.itemError(ctx, it, err, nil)
	}
	if v.half != nil && v.half.item == it.Name {
		v.dropHalf()
	}
	a, err := v.read(it.Name, r)
	if err != nil {
		return v.itemError(ctx, it, err, a)
	}
	v.progress.step()
	return v.answered(it, a)
}

// itemError decides whether the session goes on after err. a is what there is of
// the reply.
func (v *visit) itemError(ctx context.Context, it junos.Item, err error, a *answer) error {
	var e *junos.Error
	if v.objection(ctx, err) || !itemOnly(err) || !errors.As(err, &e) || ctx.Err() != nil {
		return v.ended(err, a)
	}
	if e.Kind != junos.KindTooLarge {
		v.stuck = true
		if v.timeouts++; v.timeouts >= maxTimeouts {
			return v.ended(err, a)
		}
	}
	fail := diagnose(ctx, err)
	why := fail.kind + ": " + fail.advice
	v.skipped = fail
	v.skipped.advice = it.Name + ": " + fail.advice
	v.todo = v.todo[1:]
	if e.Kind == junos.KindTooLarge {
		// What is cut off by a limit of ours is not a document of the device.
		v.c.counters.tooLarge.Add(1)
		a.drop()
		a = nil
	}
	if a == nil && v.half != nil && v.half.item == it.Name {
		a, v.half = v.half, nil // of the session before
	}
	if a != nil {
		if published, err := v.publishPart(a); published {
			return err
		}
	}
	v.failItem(it.Name, why)
	return nil
}

// ended keeps what there is of a reply when the session ends with err. What was
// in hand before stays in its place when there is nothing.
func (v *visit) ended(err error, a *answer) error {
	if a == nil {
		return err
	}
	if a.size == 0 {
		a.drop()
		return err
	}
	v.dropHalf()
	v.half = a
	if a.stream == nil {
		a.keep()
	}
	return err
}

// objection takes note of an error that may come from having asked for several
// items at once: the same session is not tried so again, nor is the release.
func (v *visit) objection(ctx context.Context, err error) bool {
	var e *junos.Error
	if !errors.As(err, &e) || !e.Pipelined || ctx.Err() != nil {
		return false
	}
	v.record.objected = true
	return true
}

// aside asks for an item that is not to be published: it is read and forgotten.
// The answer is nil when the catalogue has no such item. Of a long one, it holds
// the beginning.
func (v *visit) aside(ctx context.Context, s talk, name string) (*answer, error) {
	it, ok := junos.Lookup(name)
	if !ok {
		return nil, nil
	}
	r, err := s.Call(ctx, it)
	if err != nil {
		return nil, err
	}
	a := &answer{item: name}
	err = v.take(r, a, func() (io.Writer, error) { return io.Discard, nil })
	if err != nil {
		a.drop()
		return nil, err
	}
	v.progress.step()
	return a.keep(), nil
}

// resume lets the time count against the device again.
func (v *visit) resume() {
	v.progress.turn()
	v.patience.run()
}
