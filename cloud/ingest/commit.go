package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lwc/cloud/edp"
	"lwc/transport/wire"
)

// Flush commits the batch, then sends the receipts that wait. The error is for
// the log: what could not be stored was answered as retryable.
func (s *Stream) Flush(ctx context.Context) error {
	err := s.commit(ctx)
	return errors.Join(err, s.answer(ctx))
}

// commit stores the batch in one transaction. If that fails for a reason that is
// not the store's, each frame has a transaction of its own, so that one that cannot
// be stored does not hold up the others.
func (s *Stream) commit(ctx context.Context) error {
	docs, parts := s.docs, s.parts
	s.docs, s.parts, s.frames, s.bytes = nil, nil, 0, 0
	defer s.discharge()
	if len(docs)+len(parts) == 0 {
		return nil
	}
	begun := time.Now()
	whole, err := s.store(ctx, docs, parts)
	if err == nil {
		s.window.committed(time.Since(begun))
		return s.finishAll(ctx, whole)
	}
	s.window.refused()
	if !errors.Is(err, edp.ErrUnavailable) && len(docs)+len(parts) > 1 {
		return s.oneByOne(ctx, docs, parts)
	}
	s.refuseBatch(docs, parts)
	return err
}

func (s *Stream) oneByOne(ctx context.Context, docs []edp.Document, parts []edp.Part) error {
	var last error
	for i := range docs {
		if _, err := s.store(ctx, docs[i:i+1], nil); err != nil {
			last = err
			s.refuseBatch(docs[i:i+1], nil)
		}
	}
	for i := range parts {
		whole, err := s.store(ctx, nil, parts[i:i+1])
		if err != nil {
			s.refuseBatch(nil, parts[i:i+1])
		} else {
			err = s.finishAll(ctx, whole)
		}
		if err != nil {
			last = err
		}
	}
	return last
}

// refuseBatch asks for frames again. Of a document in parts one answer is enough.
func (s *Stream) refuseBatch(docs []edp.Document, parts []edp.Part) {
	for _, d := range docs {
		s.refuse(d.Boot, d.ID, CodeStore, true)
	}
	told := map[string]bool{}
	for _, p := range parts {
		if !told[p.Header.ID] {
			told[p.Header.ID] = true
			s.refuse(p.Header.Boot, p.Header.ID, CodeStore, true)
		}
	}
}

func (s *Stream) discharge() {
	s.in.memory.Release(s.charged)
	s.charged = 0
}

// store commits frames and notes what became of each. It returns the documents
// whose parts are all there now.
func (s *Stream) store(ctx context.Context, docs []edp.Document, parts []edp.Part) (whole []wire.Header, err error) {
	statuses, kept, err := s.in.cfg.Store.Put(ctx, docs, parts)
	if err != nil {
		return nil, err
	}
	for i, d := range docs {
		s.answers = append(s.answers, answer{d.Boot, receipt(d.ID, statuses[i])})
	}
	return s.progress(parts, kept), nil
}

// progress answers parts: of each document its newest state, once.
func (s *Stream) progress(parts []edp.Part, kept []edp.PartStatus) (whole []wire.Header) {
	newest := map[string]int{}
	for i, p := range parts {
		newest[p.Header.ID] = i
	}
	for i, p := range parts {
		h, st := p.Header, kept[i]
		switch {
		case newest[h.ID] != i:
			continue
		case st.Status == edp.PutWhole:
			whole = append(whole, h)
		case st.Status == edp.PutKept && st.Kept == 0:
			continue // the first part is to come yet
		case st.Status == edp.PutKept:
			s.answers = append(s.answers, answer{h.Boot, wire.Receipt{ID: h.ID, Status: wire.Kept, Parts: st.Kept}})
		default:
			s.answers = append(s.answers, answer{h.Boot, receipt(h.ID, st.Status)})
		}
	}
	return whole
}

// finishAll has documents checked whose parts are all there. One that cannot be
// says nothing about the batch that it came in, which is on disk.
func (s *Stream) finishAll(ctx context.Context, whole []wire.Header) error {
	var all error
	for _, h := range whole {
		all = errors.Join(all, s.finish(ctx, h))
	}
	return all
}

// finish has a document checked whose parts are all there.
func (s *Stream) finish(ctx context.Context, h wire.Header) error {
	st, err := s.in.cfg.Store.Finish(ctx, s.collector, h.ID, s.in.cfg.MaxDocument)
	if err != nil {
		s.window.refused()
		s.refuse(h.Boot, h.ID, CodeStore, true)
		return fmt.Errorf("storing a large document: %w", err)
	}
	s.answers = append(s.answers, answer{h.Boot, receipt(h.ID, st)})
	s.touch()
	return nil
}

func receipt(id string, p edp.PutStatus) wire.Receipt {
	r := wire.Receipt{ID: id, Status: wire.Rejected}
	switch p {
	case edp.PutStored:
		r.Status = wire.Stored
	case edp.PutDuplicate:
		r.Status = wire.Duplicate
	case edp.PutOffered:
		r.Status = wire.Offered
	case edp.PutBase:
		r.Code = CodeBase
	case edp.PutLost:
		r.Code = CodeParts
	case edp.PutMalformed:
		r.Code = CodeFrame
	case edp.PutTooLarge:
		r.Code = CodeTooLarge
	case edp.PutBusy:
		r.Code, r.Retryable = CodeBusy, true
	default:
		r.Code = CodeRefused
	}
	return r
}

// answer sends the receipts that wait, those of one boot together.
func (s *Stream) answer(ctx context.Context) error {
	var err error
	waiting := s.answers
	for len(waiting) > 0 {
		n := 1
		for n < len(waiting) && n < wire.MaxReceipts && waiting[n].boot == waiting[0].boot {
			n++
		}
		err = errors.Join(err, s.sendReceipts(ctx, waiting[:n]))
		waiting = waiting[n:]
	}
	s.answers, s.first = nil, noTime
	return err
}

func (s *Stream) sendReceipts(ctx context.Context, as []answer) error {
	m := wire.Receipts{V: wire.Version, Collector: s.collector, Boot: as[0].boot, WindowBytes: s.window.now}
	for _, a := range as {
		m.Receipts = append(m.Receipts, a.Receipt)
	}
	return s.in.send(ctx, s.collector, wire.KindReceipt, m)
}
