package edp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"lwc/transport/wire"
)

// partsAtOnce is how many parts a reader asks the database for at a time.
const partsAtOnce = 8

var errHash = errors.New("its bytes do not match its hash: the database is damaged")

// DocumentInfo returns one document without its body.
func (s *Store) DocumentInfo(ctx context.Context, id string) (Document, error) {
	d, err := one(ctx, s.read, scanDocument, `SELECT `+documentColumns+` FROM documents d WHERE d.id = $1`, id)
	if err != nil {
		return Document{}, fmt.Errorf("reading document %.40q: %w", id, err)
	}
	return d, nil
}

// Document returns one document with its body, byte for byte as its
// collector sent it. OpenDocument does so for those that may be large.
func (s *Store) Document(ctx context.Context, id string) (Document, error) {
	d, r, err := s.OpenDocument(ctx, id)
	if err != nil {
		return Document{}, err
	}
	defer r.Close()
	out := bytes.NewBuffer(make([]byte, 0, d.Size+bytes.MinRead))
	if _, err := out.ReadFrom(r); err != nil {
		return Document{}, err
	}
	d.Body = out.Bytes()
	return d, nil
}

// OpenDocument returns one document, and a reader of its bytes as its collector
// sent them. Memory does not grow with the document. Instead of io.EOF the reader
// returns an error where the bytes are not those of the document's hash. ctx ends
// the reading.
func (s *Store) OpenDocument(ctx context.Context, id string) (Document, io.ReadCloser, error) {
	d, r, err := s.openDocument(ctx, id)
	if err != nil {
		return Document{}, nil, fmt.Errorf("reading document %.40q: %w", id, err)
	}
	return d, r, nil
}

func (s *Store) openDocument(ctx context.Context, id string) (Document, io.ReadCloser, error) {
	d, err := one(ctx, s.read, scanDocument, `SELECT `+documentColumns+` FROM documents d WHERE d.id = $1`, id)
	if err != nil {
		return d, nil, err
	}
	var collector, root, enc string
	var body []byte
	var parts int
	err = s.read.QueryRowContext(ctx, `SELECT b.collector, b.id, b.body, b.enc, b.parts FROM documents d
		JOIN documents b ON b.collector = d.collector AND b.id = CASE WHEN d.same_as = '' THEN d.id ELSE d.same_as END
		WHERE d.id = $1`, id).Scan(&collector, &root, &body, &enc, &parts)
	if err != nil {
		return d, nil, noRows(err)
	}
	var packed io.Reader = bytes.NewReader(body)
	if parts > 0 {
		packed = s.partsReader(ctx, collector, root, parts)
	}
	plain, err := wire.Inflater(enc, packed)
	if err != nil {
		return d, nil, err
	}
	return d, &checked{ReadCloser: plain, sum: sha256.New(), want: d.SHA256, left: d.Size, id: id}, nil
}

// checked reads a document and compares its hash at the end.
type checked struct {
	io.ReadCloser
	sum  hash.Hash
	want string
	left int64
	id   string
}

// Read implements io.Reader.
func (c *checked) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p[:min(int64(len(p)), max(c.left, 1))])
	c.sum.Write(p[:n])
	c.left -= int64(n)
	switch {
	case c.left < 0, err == io.EOF && (c.left != 0 || hex.EncodeToString(c.sum.Sum(nil)) != c.want):
		err = fmt.Errorf("reading document %.40q: %w", c.id, errHash)
	case err != nil && err != io.EOF:
		err = fmt.Errorf("reading document %.40q: %w", c.id, err)
	}
	return n, err
}

// partsReader returns a reader of the parts of a document, one after the other.
func (s *Store) partsReader(ctx context.Context, collector, id string, parts int) *partsReader {
	fetch := func(from int) ([][]byte, error) {
		list, err := all(ctx, s.read, func(r row) (b []byte, err error) { return b, r.Scan(&b) },
			`SELECT body FROM parts WHERE collector = $1 AND document = $2 AND part >= $3 AND part < $4 ORDER BY part`,
			collector, id, from, min(from+partsAtOnce, parts))
		if err == nil && len(list) < min(partsAtOnce, parts-from) {
			err = errMissingPart
		}
		return list, err
	}
	return &partsReader{fetch: fetch, parts: parts}
}

type partsReader struct {
	fetch func(from int) ([][]byte, error)
	parts int
	next  int
	ready [][]byte
	err   error // of the store
}

// Read implements io.Reader.
func (r *partsReader) Read(p []byte) (int, error) {
	for len(r.ready) == 0 || len(r.ready[0]) == 0 {
		if len(r.ready) > 0 {
			r.ready = r.ready[1:]
			continue
		}
		if r.err != nil {
			return 0, r.err
		}
		if r.next >= r.parts {
			return 0, io.EOF
		}
		if r.ready, r.err = r.fetch(r.next); r.err != nil {
			return 0, r.err
		}
		r.next += len(r.ready)
	}
	n := copy(p, r.ready[0])
	r.ready[0] = r.ready[0][n:]
	return n, nil
}
