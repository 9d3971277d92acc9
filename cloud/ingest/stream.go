package ingest

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"lwc/cloud/edp"
	"lwc/junos"
	"lwc/transport/wire"
)

// chargeAbove is the size from which a frame counts against the common memory
// budget; smaller ones are bounded by the batch.
const chargeAbove = 64 << 10

// Stream takes the frames of one collector. It is not safe for concurrent use.
type Stream struct {
	in        *Ingest
	collector string
	key       crypto.PublicKey
	boot      string // of the newest hello; empty: not known
	asm       wire.Assembler
	ledger    ledger
	window    window

	docs    []edp.Document
	parts   []edp.Part
	frames  int   // of the batch
	bytes   int64 // of the batch
	charged int64 // of the batch, to the common budget
	answers []answer
	first   time.Time // when the oldest of batch and answers came
}

// answer is a receipt that waits for its batch.
type answer struct {
	boot string
	wire.Receipt
}

// SetKey changes the key that manifests must be signed by.
func (s *Stream) SetKey(key crypto.PublicKey) { s.key = key }

// SetBoot tells which boot of the collector is its newest: only that one goes on
// with the chain of manifests.
func (s *Stream) SetBoot(boot string) { s.boot = boot }

// Window is how many bytes the collector may send without a receipt, as things
// stand.
func (s *Stream) Window() int64 { return s.window.now }

// Overrun says that more came than could be taken: the window becomes smaller.
func (s *Stream) Overrun() { s.window.refused() }

// Deadline is when Flush is due; zero when nothing waits.
func (s *Stream) Deadline() time.Time {
	if s.first.IsZero() {
		return time.Time{}
	}
	return s.first.Add(maxDelay)
}

var (
	// names is the form of device ids and items, which end up in file names.
	names   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:@-]*$`)
	digests = regexp.MustCompile(`^[0-9a-f]{64}$`) // SHA-256
	// words is the form of outcomes and flags, which end up on terminals.
	words = regexp.MustCompile(`^[a-z0-9-]{1,40}$`)
)

// Take takes one frame that came on the topic of kind k. The error says, without
// repeating content, why a frame was refused or could not be stored; it is for
// the log, the collector has its answer.
func (s *Stream) Take(ctx context.Context, k wire.Kind, frame []byte) error {
	h, body, err := wire.ParseFrame(frame)
	if err != nil {
		s.refuseUnread(frame)
		return err
	}
	if err := s.check(k, h); err != nil {
		s.refuseAll(h, CodeHeader, false)
		return err
	}
	switch {
	case k == wire.KindRun:
		return s.account(ctx, h, body)
	case len(h.Docs) > 0:
		return s.shared(ctx, h, body)
	case bare(h):
		return s.header(ctx, h, body)
	case h.Parts == 1 && h.Size <= wholeBytes:
		return s.whole(ctx, h, body)
	}
	return s.part(ctx, h, body)
}

// bare tells whether a document comes without its body.
func bare(h wire.Header) bool {
	return slices.Contains(h.Flags, wire.FlagUnchanged) || slices.Contains(h.Flags, wire.FlagHeld)
}

func (s *Stream) check(k wire.Kind, h wire.Header) error {
	switch {
	case h.Collector != s.collector:
		return fmt.Errorf("reading a frame: it is of collector %.80q", h.Collector)
	case h.Type != k:
		return fmt.Errorf("reading a frame: a %.20q on the topic of a %s", h.Type, k)
	}
	if err := wire.CheckID(h.Run); err != nil {
		return fmt.Errorf("reading a frame: run: %w", err)
	}
	if k != wire.KindFact {
		return nil
	}
	if len(h.Docs) == 0 {
		return checkDocument(h.Device, wire.DocOf(h))
	}
	for _, d := range h.Docs {
		if err := checkDocument(h.Device, d); err != nil {
			return err
		}
	}
	return nil
}

func checkDocument(device string, d wire.Doc) error {
	if !names.MatchString(device) || !names.MatchString(d.Item) {
		return fmt.Errorf("reading a frame: device %.80q or item %.80q is not a name", device, d.Item)
	}
	if (d.RawSHA256 != "" && !digests.MatchString(d.RawSHA256)) || d.RawSize < 0 {
		return errors.New("reading a frame: its raw_sha256 or raw_size is none")
	}
	if d.SHA256 != "" && !digests.MatchString(d.SHA256) {
		return errors.New("reading a frame: its sha256 is none")
	}
	for _, w := range append([]string{d.Outcome}, d.Flags...) {
		if w != "" && !words.MatchString(w) {
			return fmt.Errorf("reading a frame: outcome or flag %.80q is not a word", w)
		}
	}
	return nil
}

// shared takes a frame of several documents.
func (s *Stream) shared(ctx context.Context, h wire.Header, body []byte) error {
	if h.Size > sharedBytes {
		s.refuseAll(h, CodeTooLarge, false)
		return fmt.Errorf("reading a frame: %d bytes share it, more than %d: %w", h.Size, sharedBytes, wire.ErrTooLarge)
	}
	w, charge, err := s.inflate(ctx, h, body)
	if err != nil {
		return err
	}
	docs, err := wire.Docs(*w)
	if err != nil {
		s.in.memory.Release(charge)
		s.refuseAll(h, CodeFrame, false)
		return err
	}
	s.charged += charge
	for _, d := range docs {
		s.docs = append(s.docs, s.document(d))
	}
	return s.added(ctx, h.Size)
}

// whole takes a small document in one frame.
func (s *Stream) whole(ctx context.Context, h wire.Header, body []byte) error {
	w, charge, err := s.inflate(ctx, h, body)
	if err != nil {
		return err
	}
	s.charged += charge
	d := s.document(*w)
	if h.Enc == wire.EncZstd {
		d.Packed = body // it is kept as it came
	}
	s.docs = append(s.docs, d)
	return s.added(ctx, h.Size)
}

// header takes a document that comes without its body.
func (s *Stream) header(ctx context.Context, h wire.Header, body []byte) error {
	if len(body) > 0 && h.Enc == wire.EncIdentity || !digests.MatchString(h.SHA256) || h.Parts > 1 {
		s.refuse(h.Boot, h.ID, CodeHeader, false)
		return errors.New("reading a frame: a document without a body has one, or no hash")
	}
	s.docs = append(s.docs, s.document(wire.Whole{Header: h}))
	return s.added(ctx, 0)
}

// part takes a piece of a document, or a large one, as it is.
func (s *Stream) part(ctx context.Context, h wire.Header, body []byte) error {
	open, err := wire.OpenBody(h, body, s.in.cfg.IngestKey)
	if err != nil {
		code, retry := s.fault(err)
		s.refuse(h.Boot, h.ID, code, retry)
		return err
	}
	charge, err := s.charge(ctx, int64(len(open)))
	if err != nil {
		return err
	}
	s.charged += charge
	s.parts = append(s.parts, edp.Part{Header: h, Body: open, Max: s.in.cfg.MaxDocument, ReceivedAt: time.Now()})
	return s.added(ctx, int64(len(open)))
}

func (s *Stream) document(w wire.Whole) edp.Document {
	d := edp.Document{
		ID: w.ID, Collector: s.collector, Boot: w.Boot, Run: w.Run, Device: w.Device, Item: w.Item,
		Outcome: w.Outcome, SHA256: w.SHA256, Flags: w.Flags, Size: w.Size,
		RawSHA256: w.RawSHA256, RawSize: w.RawSize,
		CollectedAt: w.CollectedAt, ReceivedAt: time.Now(), Body: w.Plain,
		Unchanged: slices.Contains(w.Flags, wire.FlagUnchanged), Held: slices.Contains(w.Flags, wire.FlagHeld),
	}
	if d.Unchanged || d.Held || (d.Outcome != string(junos.OK) && d.Outcome != string(junos.Partial)) {
		return d
	}
	// One that is no XML tells nothing; it is stored all the same.
	if id, err := junos.ParseIdentity(d.Item, d.Body); err == nil && (id.HostName != "" || id.Model != "" || id.Version != "" || len(id.Serials) > 0) {
		d.Identity = &id
	}
	return d
}

// inflate returns the body of a frame, and what it was charged.
func (s *Stream) inflate(ctx context.Context, h wire.Header, body []byte) (*wire.Whole, int64, error) {
	charge, err := s.charge(ctx, h.Size)
	if err != nil {
		return nil, 0, err
	}
	w, err := s.asm.Add(time.Now(), h, body)
	if err == nil && w == nil {
		err = wire.ErrFrame // one part is always whole
	}
	if err != nil {
		s.in.memory.Release(charge)
		code, retry := s.fault(err)
		s.refuseAll(h, code, retry)
		return nil, 0, err
	}
	return w, charge, nil
}

// charge takes size from the common budget, after giving back what this stream
// holds: a stream that waits holds nothing, so that none waits for ever.
func (s *Stream) charge(ctx context.Context, size int64) (int64, error) {
	if size < chargeAbove {
		return 0, nil
	}
	if s.in.memory.TryAcquire(size) {
		return size, nil
	}
	flushed := s.Flush(ctx)
	if err := s.in.memory.Acquire(ctx, size); err != nil {
		return 0, errors.Join(flushed, fmt.Errorf("waiting for memory: %w", err))
	}
	return size, flushed
}

// added counts a frame into the batch.
func (s *Stream) added(ctx context.Context, bytes int64) error {
	s.frames++
	s.bytes += bytes
	s.touch()
	if s.frames >= maxBatch || s.bytes >= maxBatchBytes {
		return s.Flush(ctx)
	}
	return nil
}

func (s *Stream) touch() {
	if s.first.IsZero() {
		s.first = time.Now()
	}
}
