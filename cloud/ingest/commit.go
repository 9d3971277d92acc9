package ingest

import (
	"context"
	"errors"
	"fmt"

	"lwc/cloud/edp"
	"lwc/junos"
	"lwc/transport/wire"
)

// Flush commits the batch, then sends the receipts that wait. The error is for
// the log: what could not be stored was answered as retryable.
func (s *Stream) Flush(ctx context.Context) error {
	err := s.commit(ctx)
	return errors.Join(err, s.answer(ctx))
}

// commit stores the batch in one transaction. If that fails, each document has
// a transaction of its own, so that one that cannot be stored does not hold up
// the others.
func (s *Stream) commit(ctx context.Context) error {
	batch := s.batch
	s.batch, s.bytes = nil, 0
	defer s.discharge()
	if len(batch) == 0 {
		return nil
	}
	whole := s.store(ctx, batch)
	if whole == nil {
		return s.identifyAll(ctx, batch)
	}
	var last error
	for i := range batch {
		one := whole
		if len(batch) > 1 {
			one = s.store(ctx, batch[i:i+1])
		}
		if one != nil {
			last = one
			s.refuse(batch[i].Boot, batch[i].ID, CodeStore, true)
		}
	}
	return last
}

func (s *Stream) discharge() {
	s.in.memory.Release(s.charged)
	s.charged = 0
}

// store commits documents and notes what became of each.
func (s *Stream) store(ctx context.Context, docs []edp.Document) error {
	statuses, err := s.in.cfg.Store.PutDocuments(ctx, docs)
	if err != nil {
		return fmt.Errorf("storing %d documents: %w", len(docs), err)
	}
	for i, d := range docs {
		s.answers = append(s.answers, answer{d.Boot, receipt(d.ID, statuses[i])})
	}
	return nil
}

func receipt(id string, p edp.PutStatus) wire.Receipt {
	switch p {
	case edp.PutStored:
		return wire.Receipt{ID: id, Status: wire.Stored}
	case edp.PutDuplicate:
		return wire.Receipt{ID: id, Status: wire.Duplicate}
	}
	return wire.Receipt{ID: id, Status: wire.Rejected, Code: CodeRefused}
}

// identifyAll keeps the facts by which the devices of a committed batch are
// known. A duplicate says what was said before.
func (s *Stream) identifyAll(ctx context.Context, docs []edp.Document) error {
	var all error
	for _, d := range docs {
		all = errors.Join(all, s.identify(ctx, d))
	}
	return all
}

func (s *Stream) identify(ctx context.Context, d edp.Document) error {
	if d.Outcome != string(junos.OK) && d.Outcome != string(junos.Partial) {
		return nil
	}
	id, err := junos.ParseIdentity(d.Item, d.Body)
	if err != nil { // its text may quote the document
		return fmt.Errorf("device %s: the reply to %s is not XML that tells who it is", d.Device, d.Item)
	}
	if id.HostName == "" && id.Model == "" && id.Version == "" && len(id.Serials) == 0 {
		return nil
	}
	return s.in.cfg.Store.SetIdentity(ctx, s.collector, d.Device, id)
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
	m := wire.Receipts{V: wire.Version, Collector: s.collector, Boot: as[0].boot}
	for _, a := range as {
		m.Receipts = append(m.Receipts, a.Receipt)
	}
	return s.in.send(ctx, s.collector, wire.KindReceipt, m)
}
