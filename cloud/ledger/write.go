package ledger

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// Source is the store that an export is made of.
type Source interface {
	// Manifests calls each with every signed manifest of the export, in the order of
	// the chain.
	Manifests(ctx context.Context, each func(Manifest) error) error
	// Documents calls each with every stored document of the export. Its hash and its
	// size are not relied on.
	Documents(ctx context.Context, each func(Record) error) error
	// Open returns the stored bytes of a document. A Read that fails says that they
	// are damaged.
	Open(ctx context.Context, id string) (io.ReadCloser, error)
}

// batch is how many records one file holds, and maxBatch how many bytes their
// documents have: nothing is written while they are hashed.
const (
	batch    = 500
	maxBatch = 256 << 20
)

// Write writes an export. What came after h.Exported is left out: a document would
// have no manifest that names it, a manifest name documents that are not there.
func Write(ctx context.Context, w io.Writer, h Head, s Source) error {
	z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return fmt.Errorf("exporting the ledger: %w", err)
	}
	x := &writer{tar: tar.NewWriter(z), head: h, source: s}
	err = x.write(ctx)
	if err == nil {
		err = errors.Join(x.tar.Close(), z.Close())
	}
	if err != nil {
		return fmt.Errorf("exporting the ledger of collector %s: %w", h.Collector, err)
	}
	return nil
}

type writer struct {
	tar       *tar.Writer
	head      Head
	source    Source
	manifests int
	files     int      // of records
	pending   []Record // for the next file
	bytes     int64    // of these
}

func (x *writer) write(ctx context.Context) error {
	head, err := json.MarshalIndent(x.head, "", "  ")
	if err != nil {
		return err
	}
	if err := errors.Join(x.file(readmeFile, []byte(readme(x.head))), x.file(headFile, append(head, '\n'))); err != nil {
		return err
	}
	if err := x.source.Manifests(ctx, x.manifest); err != nil {
		return err
	}
	if x.head.Documents == DocumentsNone {
		return nil
	}
	err = x.source.Documents(ctx, func(r Record) error {
		if x.late(r) {
			return nil
		}
		x.pending = append(x.pending, r)
		x.bytes += r.Size
		if len(x.pending) < batch && x.bytes < maxBatch {
			return nil
		}
		return x.flush(ctx)
	})
	if err != nil {
		return err
	}
	return x.flush(ctx)
}

// settling is how long a store may take from a document's receipt to the end of its
// transaction.
const settling = time.Minute

// late tells whether a document came after the moment of the export, or so shortly
// before it that its run was not in the store yet.
func (x *writer) late(r Record) bool {
	if r.Received.After(x.head.Exported.Add(-settling)) {
		return r.Received.After(x.head.Exported) || !slices.ContainsFunc(x.head.Runs, func(k Run) bool { return k.ID == r.Run })
	}
	return false
}

func (x *writer) manifest(m Manifest) error {
	if m.Received.After(x.head.Exported) {
		return nil
	}
	x.manifests++
	if err := x.file(numbered(manifestDir, x.manifests, ".json"), m.Plain); err != nil || len(m.Envelope.Signatures) == 0 {
		return err
	}
	sig, err := json.Marshal(m.Envelope)
	if err != nil {
		return err
	}
	return x.file(numbered(manifestDir, x.manifests, signatureEnd), append(sig, '\n'))
}

// flush writes a file of records, and the bytes of their documents.
func (x *writer) flush(ctx context.Context) error {
	if len(x.pending) == 0 {
		return nil
	}
	var lines bytes.Buffer
	for i := range x.pending {
		if err := x.weigh(ctx, &x.pending[i]); err != nil {
			return err
		}
		line, err := marshalLine(x.pending[i])
		if err != nil {
			return err
		}
		lines.Write(line)
	}
	x.files++
	if err := x.file(numbered(recordDir, x.files, ".jsonl"), lines.Bytes()); err != nil {
		return err
	}
	for _, r := range x.pending {
		if x.head.Documents != DocumentsBytes || r.Unreadable != "" {
			continue
		}
		if err := x.body(ctx, r); err != nil {
			return fmt.Errorf("document %s: %w", r.ID, err)
		}
	}
	x.pending, x.bytes = x.pending[:0], 0
	return nil
}

// weigh hashes and counts the stored bytes. Bytes that cannot be read are no
// reason to stop: whoever checks has to be told.
func (x *writer) weigh(ctx context.Context, r *Record) error {
	body, err := x.source.Open(ctx, r.ID)
	if err == nil {
		sum := sha256.New()
		r.Size, err = io.Copy(sum, body)
		r.SHA256 = hex.EncodeToString(sum.Sum(nil))
		err = errors.Join(err, body.Close())
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		r.Unreadable, r.SHA256, r.Size = err.Error(), "", 0
	}
	return nil
}

func (x *writer) body(ctx context.Context, r Record) error {
	body, err := x.source.Open(ctx, r.ID)
	if err != nil {
		return err
	}
	if err = x.header(bytesDir+r.ID+".xml", r.Size); err == nil {
		_, err = io.Copy(x.tar, body)
	}
	return errors.Join(err, body.Close())
}

func (x *writer) file(name string, b []byte) error {
	if err := x.header(name, int64(len(b))); err != nil {
		return err
	}
	_, err := x.tar.Write(b)
	return err
}

func (x *writer) header(name string, size int64) error {
	return x.tar.WriteHeader(&tar.Header{Name: name, Size: size, Mode: 0o600, Typeflag: tar.TypeReg,
		ModTime: x.head.Exported.Truncate(time.Second), Format: tar.FormatPAX})
}
