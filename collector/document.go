package collector

import (
	"context"
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

// read takes a reply into memory, exactly as large as it is. When mem cannot
// grow, reading waits, and with it the device. After an error it returns what
// there is.
func (v *visit) read(ctx context.Context, reply io.Reader, mem *lease) ([]byte, error) {
	if v.scratch == nil {
		v.scratch = make([]byte, chunkSize)
	}
	var parts [][]byte
	size, inHand := 0, chunkSize
	for {
		n, err := io.ReadFull(reply, v.scratch)
		if size+n > inHand {
			if gerr := v.grow(ctx, mem, int64(n)); gerr != nil {
				return join(parts, size), gerr
			}
			inHand += n
		}
		if n > 0 {
			parts = append(parts, slices.Clone(v.scratch[:n]))
			size += n
		}
		if err == nil {
			continue
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			err = nil
		}
		return v.assemble(ctx, parts, size, mem, err)
	}
}

// assemble joins the parts of a reply; for a moment that takes its size twice.
func (v *visit) assemble(ctx context.Context, parts [][]byte, size int, mem *lease, err error) ([]byte, error) {
	if len(parts) > 1 {
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
	h := wire.Header{V: wire.Version, ID: wire.NewID(), Type: wire.KindFact, Collector: c.conf.Collector,
		Boot: c.conf.Boot, Run: r.id, Device: v.id, Item: item, CollectedAt: c.clock.now(),
		Outcome: string(res.Outcome), SHA256: wire.Digest(doc), Size: int64(len(doc)), Flags: res.Flags}
	entry := r.enter(wire.ManifestEntry{ID: h.ID, Device: v.id, Item: item, Status: wire.EntryLost,
		Outcome: h.Outcome, SHA256: h.SHA256, Size: h.Size, Reason: "no receipt"})
	v.res.Documents++
	v.res.Bytes += h.Size
	c.counters.documents.Add(1)
	c.counters.bytes.Add(h.Size)
	r.begin()
	c.out.put(outgoing{header: h, plain: doc,
		done: func(rc wire.Receipt, sent int64) {
			r.receipt(entry, rc, sent)
			if rc.Status == wire.Rejected {
				c.counters.rejected.Add(1)
			}
			mem.release()
			r.end()
		},
		failed: func(err error) {
			r.amend(entry, func(e *wire.ManifestEntry) {
				e.Reason = clip("it could not be handed to the uplink: "+err.Error(), 300)
			})
			c.counters.lost.Add(1)
			mem.release()
			r.end()
		}})
}

// publishHalf publishes what there is of the reply that ended too soon.
func (v *visit) publishHalf() {
	if v.half == nil || len(v.half.doc) == 0 {
		v.dropHalf()
		return
	}
	v.publishHalfOf(v.device.items[v.next].Name)
	v.next++
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

func (v *visit) dropHalf() {
	if v.half != nil {
		v.half.mem.release()
		v.half = nil
	}
}
