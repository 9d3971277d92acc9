package ingest

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"lwc/cloud/edp"
	"lwc/cloud/tidy"
	"lwc/transport/wire"
)

const (
	// maxNeed is how many ids one need names: 1,500 take 60 KB signed.
	maxNeed = 1500
	// A manifest that still lacks documents when it came lastAsk times, over at
	// least askFor, is taken without them: its collector does not have them either.
	lastAsk = 3
	askFor  = time.Minute
	// maxOpen bounds the manifests that a stream remembers.
	maxOpen = 256
)

var noTime time.Time

// ledger is what a stream remembers of manifests that it did not take.
type ledger struct {
	asked    map[string]*asked // by id
	unhooked map[string]string // sections that were refused once for their chain: the id then
}

type asked struct {
	since time.Time
	times int
}

// account takes the frame of a manifest, stores the manifest once it is whole, and
// says whether its documents are all there.
func (s *Stream) account(ctx context.Context, h wire.Header, body []byte) error {
	if h.Size > maxManifest {
		s.refuse(h.Boot, h.ID, CodeTooLarge, false)
		return fmt.Errorf("reading a manifest: %d bytes, more than %d: %w", h.Size, maxManifest, wire.ErrTooLarge)
	}
	charge, err := s.charge(ctx, h.Size)
	if err != nil {
		return err
	}
	defer s.in.memory.Release(charge)
	w, err := s.asm.Add(time.Now(), h, body)
	if err != nil {
		code, retry := s.fault(err)
		// The parts of two deliveries may have been mixed; one part cannot be.
		s.refuse(h.Boot, h.ID, code, retry || h.Parts != 1)
		return err
	}
	if w == nil {
		return nil
	}
	m, code, err := s.readManifest(w)
	if err != nil {
		s.refuse(w.Boot, w.ID, code, false)
		return err
	}
	return s.manifest(ctx, w, m)
}

// manifest stores a manifest that is read.
func (s *Stream) manifest(ctx context.Context, w *wire.Whole, m wire.Manifest) error {
	err := s.Flush(ctx) // what the manifest names may wait in the batch
	signed, serr := s.signed(w, m)
	if serr != nil {
		return errors.Join(err, serr)
	}
	if ok, why := s.follows(ctx, w, m); !ok {
		return errors.Join(err, why)
	}
	missing, put := s.in.cfg.Store.PutManifest(ctx, m, signed)
	if put == nil && len(missing) > 0 && s.ledger.again(w.ID) {
		lose(&m, missing)
		missing, put = s.in.cfg.Store.PutManifest(ctx, m, signed)
	}
	switch {
	case errors.Is(put, edp.ErrConflict), errors.Is(put, edp.ErrInvalid):
		s.refuse(w.Boot, w.ID, CodeManifest, false)
		return errors.Join(err, put)
	case put != nil:
		s.window.refused()
		s.refuse(w.Boot, w.ID, CodeStore, true)
		return errors.Join(err, fmt.Errorf("storing a manifest of run %s: %w", m.Run, put))
	case len(missing) > 0:
		return errors.Join(err, s.need(ctx, m, missing))
	}
	delete(s.ledger.asked, w.ID)
	s.answers = append(s.answers, answer{w.Boot, wire.Receipt{ID: w.ID, Status: wire.Complete}})
	s.touch()
	return err
}

// again counts the times that a manifest came without its documents, and tells
// when asking for them is over.
func (l *ledger) again(id string) bool {
	a := l.asked[id]
	if a == nil {
		if l.asked == nil || len(l.asked) >= maxOpen {
			l.asked = map[string]*asked{}
		}
		a = &asked{since: time.Now()}
		l.asked[id] = a
	}
	a.times++
	return a.times >= lastAsk && time.Since(a.since) >= askFor
}

// lose accounts for documents that neither end has. Their ids are sorted.
func lose(m *wire.Manifest, missing []string) {
	for i := range m.Documents {
		e := &m.Documents[i]
		if e.Status != wire.EntryStored && e.Status != wire.EntryDuplicate {
			continue
		}
		if _, is := slices.BinarySearch(missing, e.ID); is {
			e.Status = wire.EntryLost
			e.Reason = "the collector has a receipt for it, and the store does not have it any more: was the database restored from a copy?"
		}
	}
}

// follows refuses a manifest that is not the next of the chain: one of a boot that
// is not the newest always, one of the newest once. Its collector then chains it
// to the newest that the welcome told of, under another id; if that is not the
// newest either, the ledger has a break there, which its verification tells of. The
// same id again is a copy that was under way: were it taken, its section would come
// twice.
func (s *Stream) follows(ctx context.Context, w *wire.Whole, m wire.Manifest) (bool, error) {
	if s.boot != "" && m.Boot != s.boot {
		s.refuse(w.Boot, w.ID, CodeChain, true) // another node may know of a newer hello
		return false, fmt.Errorf("reading a manifest: it is of boot %s, and the newest is %s", m.Boot, s.boot)
	}
	ok, err := s.in.cfg.Store.Chained(ctx, s.collector, w.SHA256, m.Previous)
	if err != nil {
		s.refuse(w.Boot, w.ID, CodeStore, true)
		return false, fmt.Errorf("reading the chain of manifests: %w", err)
	}
	key := fmt.Sprint(m.Boot, m.Run, m.Section)
	before := s.ledger.unhooked[key]
	if ok || before != "" && before != w.ID {
		delete(s.ledger.unhooked, key)
		return true, nil
	}
	if s.ledger.unhooked == nil || len(s.ledger.unhooked) >= maxOpen {
		s.ledger.unhooked = map[string]string{}
	}
	s.ledger.unhooked[key] = w.ID
	s.refuse(w.Boot, w.ID, CodeChain, false)
	return false, fmt.Errorf("reading a manifest: section %d of run %s does not follow the newest manifest", m.Section, m.Run)
}

// signed is the form in which a manifest can be checked again.
func (s *Stream) signed(w *wire.Whole, m wire.Manifest) (edp.SignedManifest, error) {
	der, err := x509.MarshalPKIXPublicKey(s.key)
	if err != nil {
		return edp.SignedManifest{}, fmt.Errorf("encoding the key of a manifest: %w", err)
	}
	return edp.SignedManifest{Hash: w.SHA256, SPKI: base64.StdEncoding.EncodeToString(der), Collector: s.collector,
		Run: m.Run, Boot: m.Boot, Previous: m.Previous, Section: m.Section, Last: m.Last,
		Received: time.Now(), Plain: w.Plain, Envelope: *w.Envelope}, nil
}

// readManifest checks who made the manifest, and that it is of this stream.
func (s *Stream) readManifest(w *wire.Whole) (m wire.Manifest, code string, err error) {
	if _, err := wire.VerifyBody(w.Header, w.Plain, s.key); err != nil {
		return m, CodeSignature, err
	}
	if err := json.Unmarshal(w.Plain, &m); err != nil {
		return m, CodeFrame, errors.New("reading a manifest: it is not the JSON of one")
	}
	switch {
	case m.V != wire.Version:
		return m, CodeHeader, fmt.Errorf("reading a manifest: protocol version %d, this side speaks %d", m.V, wire.Version)
	case m.Collector != s.collector, m.Boot != w.Boot, m.Run != w.Run:
		return m, CodeHeader, errors.New("reading a manifest: its collector, boot or run is not that of its frame")
	}
	tidy.Manifest(&m)
	return m, "", nil
}

// need asks for documents again.
func (s *Stream) need(ctx context.Context, m wire.Manifest, ids []string) error {
	for len(ids) > 0 {
		n := min(len(ids), maxNeed)
		err := s.in.send(ctx, s.collector, wire.KindNeed, wire.Need{
			V: wire.Version, Collector: s.collector, Boot: m.Boot, Run: m.Run, IDs: ids[:n]})
		if err != nil {
			return err
		}
		ids = ids[n:]
	}
	return nil
}
