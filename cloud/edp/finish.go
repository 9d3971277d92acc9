package edp

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"lwc/junos"
	"lwc/transport/wire"
)

const (
	// freeInflation is what any document may inflate to. Beyond it, a byte that came
	// may stand for maxRatio bytes: repeated lines reach 2,000, replies of devices
	// 100, and a bomb of one repeated byte 30,000.
	freeInflation = 16 << 20
	maxRatio      = 4096
	// headBytes is how much of a large document is looked at for the identity of
	// its device.
	headBytes = 4 << 20
)

// Finish makes a document of parts that are all there: it inflates them piece by
// piece, checks size and hash, and stores the document. PutMalformed says that the
// bytes are not those of the header, PutTooLarge that they are more than max or
// swell too much, PutLost that the database lost some; then the parts are gone. ErrNotFound says that there are none.
// Memory does not grow with the document.
func (s *Store) Finish(ctx context.Context, collector, id string, max int64) (PutStatus, error) {
	st, err := s.finish(ctx, collector, id, max)
	if err != nil {
		return "", fmt.Errorf("finishing document %.40q: %w", id, err)
	}
	return st, nil
}

func (s *Store) finish(ctx context.Context, collector, id string, max int64) (PutStatus, error) {
	a, err := loadArriving(ctx, s.read, collector, id)
	if err != nil {
		return "", err
	}
	if a.parts == 0 || a.kept < a.parts {
		return "", fmt.Errorf("%d parts of %d are there: %w", a.kept, a.parts, ErrConflict)
	}
	st, head, err := s.inspect(ctx, id, a, max)
	if err != nil {
		return "", err
	}
	if st != "" {
		return st, s.txCached(ctx, func(c *cached) error { return dropParts(ctx, c, collector, id) })
	}
	err = s.txBatch(ctx, func(b *batch) error {
		st, err = b.adopt(ctx, a, head)
		return err
	})
	return st, err
}

// inspect reads the whole document once. st is empty where it is in order.
func (s *Store) inspect(ctx context.Context, id string, a *arriving, max int64) (st PutStatus, head []byte, err error) {
	source := s.partsReader(ctx, a.collector, id, a.parts)
	r, err := wire.Inflater(a.enc, source)
	if err != nil {
		return broken(source.err)
	}
	defer r.Close()
	limit := min(max, a.header.Size, freeInflation+maxRatio*a.bytes)
	sum, keep := sha256.New(), &firstBytes{room: headBytes}
	n, err := io.Copy(io.MultiWriter(sum, keep), io.LimitReader(r, limit+1))
	switch {
	case err != nil:
		return broken(source.err)
	case n > limit && limit < a.header.Size:
		return PutTooLarge, nil, nil
	case n != a.header.Size, hex.EncodeToString(sum.Sum(nil)) != a.header.SHA256:
		return PutMalformed, nil, nil
	}
	return "", keep.b, nil
}

// broken tells a fault of the store from one of the bytes.
func broken(store error) (PutStatus, []byte, error) {
	switch {
	case errors.Is(store, errMissingPart):
		return PutLost, nil, nil // to ask for its last part for ever brings none back
	case store != nil:
		return "", nil, store
	}
	return PutMalformed, nil, nil
}

// firstBytes is a Writer that keeps the first room bytes.
type firstBytes struct {
	b    []byte
	room int
}

// Write implements io.Writer.
func (f *firstBytes) Write(p []byte) (int, error) {
	f.b = append(f.b, p[:min(len(p), f.room-len(f.b))]...)
	return len(p), nil
}

// adopt turns an arriving document into one that is stored.
func (b *batch) adopt(ctx context.Context, a *arriving, head []byte) (PutStatus, error) {
	h := a.header
	n, err := b.enter(ctx, a.collector, h.Run, h.Boot, h.CollectedAt)
	if err != nil || n.refused {
		return PutRefused, err
	}
	d := Document{ID: h.ID, Collector: a.collector, Boot: h.Boot, Run: h.Run, Device: h.Device, Item: h.Item,
		Outcome: h.Outcome, SHA256: h.SHA256, Flags: h.Flags, Size: h.Size, RawSHA256: h.RawSHA256, RawSize: h.RawSize,
		CollectedAt: h.CollectedAt}
	if d.Outcome == string(junos.OK) || d.Outcome == string(junos.Partial) {
		if id, err := junos.ParseIdentity(d.Item, head); err == nil && tells(id) {
			d.Identity = &id
		}
	}
	st, err := b.insert(ctx, d, content{body: []byte{}, parts: a.parts, enc: a.enc})
	if err != nil {
		return "", err
	}
	if st != PutStored { // its place was taken meanwhile
		return st, dropParts(ctx, b, a.collector, h.ID)
	}
	_, err = exec(ctx, b, `DELETE FROM arriving WHERE collector = $1 AND id = $2`, a.collector, h.ID)
	return st, err
}

// tells says whether there is anything in an identity.
func tells(id junos.Identity) bool {
	return id.HostName != "" || id.Model != "" || id.Version != "" || len(id.Serials) > 0
}

// errMissingPart says that the database lost rows.
var errMissingPart = errors.New("a part of it is missing: the database is damaged")
