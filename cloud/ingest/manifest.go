package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"lwc/cloud/edp"
	"lwc/cloud/tidy"
	"lwc/transport/wire"
)

// maxNeed is how many ids one need names: 1,500 take 60 KB signed.
const maxNeed = 1500

var noTime time.Time

// manifest stores a manifest and says whether its run is whole.
func (s *Stream) manifest(ctx context.Context, w *wire.Whole) error {
	defer s.discharge()
	m, code, err := s.readManifest(w)
	if err != nil {
		s.refuse(w.Boot, w.ID, code, false)
		return err
	}
	err = s.Flush(ctx) // what the manifest names may wait in the batch
	missing, put := s.in.cfg.Store.PutManifest(ctx, w.Plain, m, w.SHA256)
	switch {
	case errors.Is(put, edp.ErrConflict), errors.Is(put, edp.ErrInvalid):
		s.refuse(w.Boot, w.ID, CodeManifest, false)
		return errors.Join(err, put)
	case put != nil:
		s.refuse(w.Boot, w.ID, CodeStore, true)
		return errors.Join(err, fmt.Errorf("storing the manifest of run %s: %w", m.Run, put))
	case len(missing) > 0:
		return errors.Join(err, s.need(ctx, m, missing))
	}
	s.answers = append(s.answers, answer{w.Boot, wire.Receipt{ID: w.ID, Status: wire.Complete}})
	s.touch()
	return err
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
