package uplink

import (
	"slices"
	"time"

	"lwc/transport/wire"
)

// frameCost and docCost are what the accounts of a frame and of a document are
// counted for, on top of the bytes: those here, and the entry that waits in the
// accounts of its run. Measured with the uplink down and a budget full of small
// documents, a document has some 1 KiB beside its bytes.
const (
	frameCost = 256
	docCost   = 1 << 10
)

// document is one that has no receipt yet. All but its first fields are guarded
// by the outbox.
type document struct {
	id      string
	run     string
	kind    wire.Kind
	facet   facet               // what it is a version of, and which
	bare    bool                // it leaves without its body, being unchanged
	done    func(wire.Delivery) // nil: nobody is told, or not committed yet
	carrier *parcel             // nil: none yet, or its offer has arrived
	share   float64             // of the carrier's bytes
	sent    int64
	body    *body         // waits for an approval
	last    *wire.Receipt // its last word; nil: none yet
}

// served tells whether a document has its last word, or is on its way. The caller
// holds the outbox's mutex.
func (d *document) served() bool { return d.last != nil || d.carrier != nil }

// body is what of a held document stays here.
type body struct {
	frames [][]byte
	cost   int64
}

// parcel is what frames belong to: a document or manifest, or several documents
// that share a frame.
type parcel struct {
	kind   wire.Kind
	docs   []*document // without receipt
	frames []*frame    // not kept by the cloud, in order
	made   int         // frames so far
	open   bool        // more frames come
	cost   int64       // of its documents; frames have their own
	due    time.Time   // when its frames are sent again
	tries  int         // redeliveries since the connection came up
	index  int         // in the heap of those that are due; -1: not in it
}

// frame is one message.
type frame struct {
	kind  wire.Kind
	p     *parcel // nil: nobody waits for it any more
	part  int
	bytes []byte // never changed: the MQTT client keeps references
	order uint64 // of admission
	index int    // in the heap of those to be sent; -1: not in it
	out   bool   // it counts in the window
	left  bool   // it was sent, on this connection or another
	fresh bool   // it is being sent for the first time
}

func (f *frame) cost() int64 { return int64(len(f.bytes)) + frameCost }

// total is what the parcel counts for.
func (p *parcel) total() int64 {
	n := p.cost
	for _, f := range p.frames {
		n += f.cost()
	}
	return n
}

// untouched tells whether nothing of a parcel has left.
func (p *parcel) untouched() bool {
	left := func(f *frame) bool { return f.left }
	return len(p.frames) == p.made && !slices.ContainsFunc(p.frames, left)
}

// final tells whether a receipt ends the waiting. A manifest is done when it is
// complete; that it is stored only means that documents are missing still.
func final(k wire.Kind, r wire.Receipt) bool {
	switch r.Status {
	case wire.Rejected:
		return !r.Retryable
	case wire.Stored:
		return k != wire.KindRun
	case wire.Duplicate, wire.Complete, wire.Withheld, wire.Dropped:
		return true
	}
	return false
}

// byOrder is a heap of frames to be sent, the oldest first.
type byOrder []*frame

// Len implements heap.Interface.
func (h byOrder) Len() int { return len(h) }

// Less implements heap.Interface.
func (h byOrder) Less(i, j int) bool { return h[i].order < h[j].order }

// Swap implements heap.Interface.
func (h byOrder) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *byOrder) Push(x any) {
	f := x.(*frame)
	f.index = len(*h)
	*h = append(*h, f)
}

// Pop implements heap.Interface.
func (h *byOrder) Pop() any {
	old := *h
	f := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	f.index = -1
	return f
}

// byTime is a heap of parcels that wait for receipts, by the time of their
// redelivery.
type byTime []*parcel

// Len implements heap.Interface.
func (h byTime) Len() int { return len(h) }

// Less implements heap.Interface.
func (h byTime) Less(i, j int) bool { return h[i].due.Before(h[j].due) }

// Swap implements heap.Interface.
func (h byTime) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *byTime) Push(x any) {
	p := x.(*parcel)
	p.index = len(*h)
	*h = append(*h, p)
}

// Pop implements heap.Interface.
func (h *byTime) Pop() any {
	old := *h
	p := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	p.index = -1
	return p
}
