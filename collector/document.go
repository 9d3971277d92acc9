package collector

import (
	"context"
	"errors"
	"io"
	"slices"

	"lwc/junos"
	"lwc/transport/wire"
)

const (
	// chunkSize is in hand before a reply is asked for, and the step in which it
	// is read: most replies fit into one.
	chunkSize = 64 << 10
	// docOverhead is charged for the accounts of a document.
	docOverhead = 1 << 10
)

// minPart keeps a reply that comes in crumbs from costing a part for each.
const minPart = 4 << 10

// gathering takes a reply into memory, and no more of it than there is. While
// grow waits for memory, Write does, and with it the device.
type gathering struct {
	grow         func(more int) error
	parts        [][]byte
	size, inHand int
}

// Write implements io.Writer.
func (g *gathering) Write(p []byte) (int, error) {
	if more := g.size + len(p) - g.inHand; more > 0 {
		if err := g.grow(more); err != nil {
			return 0, err
		}
		g.inHand += more
	}
	g.size += len(p)
	rest := p
	if n := len(g.parts); n > 0 {
		last := g.parts[n-1]
		room := min(cap(last)-len(last), len(rest))
		g.parts[n-1], rest = append(last, rest[:room]...), rest[room:]
	}
	if len(rest) > 0 {
		g.parts = append(g.parts, append(make([]byte, 0, max(len(rest), minPart)), rest...))
	}
	return len(p), nil
}

// read takes a reply into memory. After an error it returns what there is.
func (v *visit) read(ctx context.Context, reply io.WriterTo, mem *lease) ([]byte, error) {
	g := &gathering{inHand: chunkSize, grow: func(more int) error { return v.grow(ctx, mem, int64(more)) }}
	_, err := reply.WriteTo(g)
	return v.assemble(ctx, g.parts, g.size, mem, err)
}

// assemble joins the parts of a reply; for a moment that takes its size twice.
func (v *visit) assemble(ctx context.Context, parts [][]byte, size int, mem *lease, err error) ([]byte, error) {
	if len(parts) > 1 && !errors.Is(err, errBlocked) {
		if gerr := v.grow(ctx, mem, int64(size)); gerr != nil {
			return nil, gerr
		}
	}
	doc := join(parts, size)
	mem.shrink(int64(size) + docOverhead)
	return doc, err
}

func join(parts [][]byte, size int) []byte {
	if len(parts) == 1 {
		return parts[0]
	}
	doc := make([]byte, 0, size)
	for _, p := range parts {
		doc = append(doc, p...)
	}
	return doc
}

func (v *visit) grow(ctx context.Context, mem *lease, n int64) error {
	_, err := v.blocked(ctx, func(ctx context.Context) (*lease, error) { return nil, mem.grow(ctx, n) })
	return err
}

// publish hands a document to the uplink. Its memory is free when the cloud has
// answered for it.
func (v *visit) publish(item string, doc []byte, res junos.Result, mem *lease) {
	c, r := v.c, v.r
	v.dropEarly(item)
	h := wire.Header{V: wire.Version, ID: wire.NewID(), Type: wire.KindFact, Collector: c.conf.Collector,
		Boot: c.conf.Boot, Run: r.id, Device: v.id, Item: item, CollectedAt: c.clock.now(),
		Outcome: string(res.Outcome), SHA256: res.SHA256, Size: res.Size, Flags: res.Flags}
	if h.RawSHA256, h.RawSize = rawOf(res); h.Size != int64(len(doc)) {
		// Not all of what was scanned was read, for want of memory.
		h.SHA256, h.Size, h.RawSHA256, h.RawSize = wire.Digest(doc), int64(len(doc)), "", 0
	}
	entry := r.await(wire.ManifestEntry{ID: h.ID, Device: v.id, Item: item, Status: wire.EntryLost,
		Outcome: h.Outcome, SHA256: h.SHA256, Size: h.Size, Reason: "no receipt",
		RawSHA256: h.RawSHA256, RawSize: h.RawSize, Masked: res.Masked})
	v.judge(res)
	v.res.Documents++
	v.res.Bytes += h.Size
	words := wordsOf(res)
	c.counters.documents.Add(1)
	c.counters.bytes.Add(h.Size)
	c.out.put(outgoing{header: h, plain: doc,
		done: func(rc wire.Receipt, sent int64) {
			if rc.Status == wire.Rejected {
				c.counters.rejected.Add(1)
			}
			mem.release()
			r.deliver(entry, wire.Delivery{Receipt: rc, Sent: sent}, words)
		},
		failed: func(err error) {
			c.counters.lost.Add(1)
			mem.release()
			why := clip("it could not be handed to the uplink: "+err.Error(), 300)
			r.deliver(entry, wire.Delivery{Receipt: wire.Receipt{Status: wire.Dropped, Code: why}}, "")
		}})
}

// publishHalf publishes what there is of the reply that ended too soon.
func (v *visit) publishHalf() {
	if v.half == nil || len(v.half.doc) == 0 {
		v.dropHalf()
		return
	}
	v.publishHalfOf(v.todo[0].Name)
	v.todo = v.todo[1:]
}

func (v *visit) publishHalfOf(item string) {
	h := v.half
	v.half = nil
	h.result.Outcome = junos.Partial
	if !slices.Contains(h.result.Flags, wire.FlagPartial) {
		h.result.Flags = append(slices.Clone(h.result.Flags), wire.FlagPartial)
	}
	v.publish(item, h.doc, h.result, h.mem)
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
	if h := v.early[item]; h != nil {
		delete(v.early, item)
		h.mem.release()
	}
}

func (v *visit) dropHalf() {
	if v.half != nil {
		v.half.mem.release()
		v.half = nil
	}
}
