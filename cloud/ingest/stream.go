package ingest

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"regexp"
	"time"

	"lwc/cloud/edp"
	"lwc/transport/wire"
)

// chargeAbove is the size from which a document counts against the common
// memory budget; smaller ones are bounded by the batch.
const chargeAbove = 64 << 10

// Stream takes the frames of one collector. It is not safe for concurrent use.
type Stream struct {
	in        *Ingest
	collector string
	key       crypto.PublicKey
	asm       wire.Assembler

	batch   []edp.Document
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
		s.refuse(h.Boot, h.ID, CodeHeader, false)
		return err
	}
	w, err := s.assemble(ctx, h, body)
	if err != nil || w == nil {
		return err
	}
	if k == wire.KindRun {
		return s.manifest(ctx, w)
	}
	return s.add(ctx, w)
}

func (s *Stream) check(k wire.Kind, h wire.Header) error {
	switch {
	case h.Collector != s.collector:
		return fmt.Errorf("reading a frame: it is of collector %.80q", h.Collector)
	case h.Type != k:
		return fmt.Errorf("reading a frame: a %.20q on the topic of a %s", h.Type, k)
	case k == wire.KindFact && (!names.MatchString(h.Device) || !names.MatchString(h.Item)):
		return fmt.Errorf("reading a frame: device %.80q or item %.80q is not a name", h.Device, h.Item)
	}
	if (h.RawSHA256 != "" && !digests.MatchString(h.RawSHA256)) || h.RawSize < 0 {
		return errors.New("reading a frame: its raw_sha256 or raw_size is none")
	}
	if err := wire.CheckID(h.Run); err != nil {
		return fmt.Errorf("reading a frame: run: %w", err)
	}
	return nil
}

// assemble returns the whole body, or nil while parts are missing.
func (s *Stream) assemble(ctx context.Context, h wire.Header, body []byte) (*wire.Whole, error) {
	charge, err := s.charge(ctx, h.Size)
	if err != nil {
		return nil, err
	}
	w, err := s.asm.Add(time.Now(), h, body)
	if w == nil {
		s.in.memory.Release(charge)
	} else {
		s.charged += charge
	}
	if err != nil {
		code, retry := s.fault(h, err)
		s.refuse(h.Boot, h.ID, code, retry)
	}
	return w, err
}

// charge takes size from the common budget, after giving back what this stream
// holds: a stream that waits holds nothing, so that none waits for ever.
func (s *Stream) charge(ctx context.Context, size int64) (int64, error) {
	if size < chargeAbove || size > s.in.cfg.MaxDocument {
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

// add puts a document into the batch.
func (s *Stream) add(ctx context.Context, w *wire.Whole) error {
	s.batch = append(s.batch, edp.Document{
		ID: w.ID, Collector: s.collector, Boot: w.Boot, Run: w.Run, Device: w.Device, Item: w.Item,
		Outcome: w.Outcome, SHA256: w.SHA256, Flags: w.Flags, Size: w.Size,
		RawSHA256: w.RawSHA256, RawSize: w.RawSize,
		CollectedAt: w.CollectedAt, ReceivedAt: time.Now(), Body: w.Plain,
	})
	s.bytes += w.Size
	s.touch()
	if len(s.batch) >= maxBatch || s.bytes >= maxBatchBytes {
		return s.Flush(ctx)
	}
	return nil
}

func (s *Stream) touch() {
	if s.first.IsZero() {
		s.first = time.Now()
	}
}
