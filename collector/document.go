package collector

import (
	"fmt"
	"io"
	"slices"
	"sync"

	"lwc/junos"
	"lwc/transport/wire"
)

// WholeDocument is the most of a reply that is held before any of it is handed
// on. A longer one is streamed: what is decided by a reply, it says at its
// beginning.
const WholeDocument = 128 << 10

// beginnings lends the memory that replies are read into.
type beginnings struct{ pool sync.Pool }

func newBeginnings() *beginnings {
	return &beginnings{sync.Pool{New: func() any { b := make([]byte, 0, WholeDocument); return &b }}}
}

func (b *beginnings) take() *[]byte { return b.pool.Get().(*[]byte) }

func (b *beginnings) put(p *[]byte) {
	*p = (*p)[:0]
	b.pool.Put(p)
}

// answer is a reply to an item that is not published yet, or one that ended too
// soon.
type answer struct {
	item   string
	doc    []byte // its beginning; all of it where that fits
	size   int64  // all of it
	result junos.Result
	dry    bool        // it does not leave
	hold   bool        // it waits for an approval
	head   wire.Header // id, item and time
	stream Stream      // that the reply goes to; nil: doc is all, or it does not leave

	buf  *[]byte // that doc lies in; nil: in memory of its own
	from *beginnings
}

// intake takes a reply in: what does not fit into the beginning goes where open
// says.
type intake struct {
	a    *answer
	open func() (io.Writer, error)
	rest io.Writer
}

// Write implements io.Writer.
func (in *intake) Write(p []byte) (int, error) {
	a := in.a
	if in.rest == nil && len(a.doc)+len(p) <= WholeDocument {
		a.doc = append(a.doc, p...)
		a.size += int64(len(p))
		return len(p), nil
	}
	if in.rest == nil {
		rest, err := in.open()
		if err != nil {
			return 0, err
		}
		if _, err := rest.Write(a.doc); err != nil {
			return 0, err
		}
		in.rest = rest
	}
	n, err := in.rest.Write(p)
	a.size += int64(n)
	return n, err
}

// whole tells whether doc is all of the reply.
func (a *answer) whole() bool { return a.size == int64(len(a.doc)) }

// sound tells whether the result is of the bytes that were taken in. It is not
// where a reply turned out to be another's, or could not be handed on.
func (a *answer) sound() bool { return a.result.Size == a.size }

// drop forgets the answer. It may be called after it was published.
func (a *answer) drop() {
	if a == nil {
		return
	}
	if a.stream != nil {
		a.stream.Abort()
		a.stream = nil
	}
	if a.buf != nil {
		a.from.put(a.buf)
	}
	a.buf, a.doc = nil, nil
}

// keep moves the document into memory of its own size, so that the buffer can
// serve others.
func (a *answer) keep() *answer {
	if a.buf != nil {
		a.doc = slices.Clone(a.doc)
		a.from.put(a.buf)
		a.buf = nil
	}
	return a
}

// reply is what is read of a device.
type reply interface {
	io.WriterTo
	Result() junos.Result
}

// take reads a reply. After an error the answer holds what there was of it.
func (v *visit) take(r reply, a *answer, open func() (io.Writer, error)) error {
	a.from = v.c.buffers
	a.buf = a.from.take()
	a.doc = *a.buf
	_, err := r.WriteTo(&intake{a: a, open: open})
	a.result = r.Result()
	return err
}

// read reads the reply to an item that is to be published.
func (v *visit) read(item string, r reply) (*answer, error) {
	a := &answer{item: item, dry: v.outlet.dry(), hold: v.outlet.egress.holds(item),
		head: wire.Header{ID: wire.NewID(), Item: item, CollectedAt: v.c.clock.now()}}
	err := v.take(r, a, func() (io.Writer, error) {
		v.c.counters.streamed.Add(1)
		if a.dry {
			return io.Discard, nil
		}
		s, err := v.outlet.stream(a.head, a.hold)
		if err != nil {
			return nil, err
		}
		a.stream = s
		return v.outlet.into(s), nil
	})
	return a, err
}

// publish hands a document on, and accounts for it.
func (v *visit) publish(a *answer) error {
	defer a.drop()
	v.dropEarly(a.item)
	last := a.head
	res := a.result
	last.Outcome, last.SHA256, last.Size, last.Flags = string(res.Outcome), res.SHA256, res.Size, res.Flags
	last.RawSHA256, last.RawSize = rawOf(res)
	if a.whole() && !a.sound() {
		last.SHA256, last.Size, last.RawSHA256, last.RawSize = wire.Digest(a.doc), a.size, "", 0
	}
	v.judge(res)
	v.res.Documents++
	v.res.Bytes += last.Size
	v.c.counters.documents.Add(1)
	v.c.counters.bytes.Add(last.Size)
	entry := wire.ManifestEntry{ID: last.ID, Device: v.id, Item: a.item, Status: wire.EntryLost, Reason: "no receipt",
		Outcome: last.Outcome, SHA256: last.SHA256, Size: last.Size, RawSHA256: last.RawSHA256, RawSize: last.RawSize, Masked: res.Masked}
	if a.dry || v.outlet.dry() { // a dry run may have begun since the answer came
		v.withheld(entry, wordsOf(res))
		return nil
	}
	return v.handOver(a, last, entry)
}

// withheld accounts for a document that is not to leave.
func (v *visit) withheld(e wire.ManifestEntry, words string) {
	e.ID, e.Status = "", wire.EntryWithheld
	e.Reason = "the egress mode is " + wire.EgressDryRun
	if words != "" {
		e.Reason += "; " + words
	}
	v.c.counters.withheld.Add(1)
	v.r.enter(e)
}

// handOver gives a document to the uplink.
func (v *visit) handOver(a *answer, last wire.Header, e wire.ManifestEntry) error {
	r, n, words := v.r, &v.c.counters, wordsOf(a.result)
	entry := r.await(e)
	done := func(d wire.Delivery) {
		n.delivered(d)
		r.deliver(entry, d, words)
	}
	var err error
	if a.stream != nil {
		err = v.outlet.commit(a.stream, last, done)
	} else {
		err = v.outlet.add(last, a.doc, a.hold, done)
	}
	if err == nil {
		return nil
	}
	why := diagnose(v.outlet.ctx, err)
	done(wire.Delivery{Receipt: wire.Receipt{ID: last.ID, Status: wire.Dropped,
		Code: clip("it could not be handed to the uplink: "+why.kind+": "+why.advice, 400)}})
	return fmt.Errorf("handing over %s: %w", a.item, err)
}

// publishPart publishes what there is of a reply that ended too soon. It returns
// false when that is nothing.
func (v *visit) publishPart(a *answer) (bool, error) {
	if a.size == 0 || a.stream != nil && !a.sound() {
		a.drop()
		return false, nil
	}
	a.result.Outcome = junos.Partial
	if !slices.Contains(a.result.Flags, wire.FlagPartial) {
		a.result.Flags = append(slices.Clone(a.result.Flags), wire.FlagPartial)
	}
	v.c.counters.partial.Add(1)
	return true, v.publish(a)
}

// publishHalf publishes what there is of the reply that ended with the session.
func (v *visit) publishHalf() error {
	a := v.half
	if a == nil {
		return nil
	}
	v.half = nil
	published, err := v.publishPart(a)
	if published {
		v.todo = without(v.todo, a.item)
	}
	return err
}

// rawOf is what stands beside a document that is not as the device sent it.
func rawOf(res junos.Result) (string, int64) {
	if res.RawSHA256 == res.SHA256 {
		return "", 0
	}
	return res.RawSHA256, res.RawSize
}

// judge notes whether anything can be done with a document of the device.
func (v *visit) judge(res junos.Result) {
	switch res.Outcome {
	case junos.Malformed, junos.Denied, junos.DeviceError, junos.RetryLater:
		v.useless = &res
	default:
		v.usable = true
	}
}

// wordsOf is what the manifest says of a document that is an error of the device
// or not whole.
func wordsOf(res junos.Result) string {
	switch res.Outcome {
	case junos.Denied, junos.DeviceError, junos.RetryLater, junos.Malformed, junos.Partial:
		return clip(res.Advice(), 500)
	}
	return ""
}

// dropEarly forgets the first answer to an item, since a later one counts.
func (v *visit) dropEarly(item string) {
	if a := v.early[item]; a != nil {
		delete(v.early, item)
		a.drop()
	}
}

// dropHalf forgets what there is of a reply that ended too soon, since it comes
// anew.
func (v *visit) dropHalf() {
	v.half.drop()
	v.half = nil
}
