package chaos

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	_ "modernc.org/sqlite" // the driver named sqlite
)

// Store reads documents, manifests and runs from the database file of the cloud. The
// bytes of every document are unpacked and hashed.
func (c *Case) Store(ctx context.Context, path string) error {
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro&_pragma=busy_timeout(10000)")
	if err != nil {
		return fmt.Errorf("opening the store: %w", err)
	}
	err = errors.Join(c.readDocuments(ctx, db), c.readManifests(ctx, db), c.readRuns(ctx, db))
	return errors.Join(err, db.Close())
}

// body is where the bytes of a document are.
type body struct {
	packed []byte
	enc    string
	parts  int
	sameAs string
}

func (c *Case) readDocuments(ctx context.Context, db *sql.DB) error {
	rows, err := db.QueryContext(ctx, `SELECT id, run, device, item, boot, outcome, sha256, raw_sha256, size, body, enc, parts, same_as
		FROM documents ORDER BY same_as <> '', id`) // those that others are equal to come first
	if err != nil {
		return fmt.Errorf("reading documents: %w", err)
	}
	defer rows.Close()
	at := map[string]int{}
	for rows.Next() {
		var d Document
		var b body
		err := rows.Scan(&d.ID, &d.Run, &d.Device, &d.Item, &d.Boot, &d.Outcome, &d.SHA256, &d.RawSHA256, &d.Size, &b.packed, &b.enc, &b.parts, &b.sameAs)
		if err != nil {
			return fmt.Errorf("reading documents: %w", err)
		}
		if i, ok := at[b.sameAs]; b.sameAs != "" && ok {
			d.Found, d.Length = c.Documents[i].Found, c.Documents[i].Length
		} else if d.Found, d.Length, err = b.digest(ctx, db, d.ID); err != nil {
			d.Found = err.Error() // bytes that cannot be read are wrong bytes
		}
		at[d.ID] = len(c.Documents)
		c.Documents = append(c.Documents, d)
	}
	return rows.Err()
}

// digest unpacks the bytes of a document, wherever they are, and hashes them.
func (b body) digest(ctx context.Context, db *sql.DB, id string) (sum string, size int64, err error) {
	if b.sameAs != "" {
		return "", 0, fmt.Errorf("it has the bytes of %s, which is not stored, or has none itself", b.sameAs)
	}
	if b.parts == 0 {
		return unpackedDigest(bytes.NewReader(b.packed), "zstd")
	}
	rows, err := db.QueryContext(ctx, `SELECT body FROM parts WHERE document = ? ORDER BY part`, id)
	if err != nil {
		return "", 0, err
	}
	defer rows.Close()
	return unpackedDigest(&partReader{rows: rows}, b.enc)
}

// partReader reads one part after the other, so that a large document is never whole
// in memory.
type partReader struct {
	rows *sql.Rows
	left []byte
}

// Read implements io.Reader.
func (p *partReader) Read(b []byte) (int, error) {
	for len(p.left) == 0 {
		if !p.rows.Next() {
			return 0, cmp.Or(p.rows.Err(), io.EOF)
		}
		if err := p.rows.Scan(&p.left); err != nil {
			return 0, err
		}
	}
	n := copy(b, p.left)
	p.left = p.left[n:]
	return n, nil
}

func unpackedDigest(packed io.Reader, enc string) (string, int64, error) {
	plain := packed
	switch enc {
	case "zstd":
		z, err := zstd.NewReader(packed)
		if err != nil {
			return "", 0, err
		}
		defer z.Close()
		plain = z
	case "gzip":
		z, err := gzip.NewReader(packed)
		if err != nil {
			return "", 0, err
		}
		plain = z
	case "identity":
	default:
		return "", 0, fmt.Errorf("nobody packs as %q", enc)
	}
	h := sha256.New()
	size, err := io.Copy(h, plain)
	return hex.EncodeToString(h.Sum(nil)), size, err
}

func (c *Case) readManifests(ctx context.Context, db *sql.DB) error {
	unpack, err := zstd.NewReader(nil)
	if err != nil {
		return err
	}
	defer unpack.Close()
	rows, err := db.QueryContext(ctx, `SELECT hash, raw FROM manifests ORDER BY received_at, rowid`)
	if err != nil {
		return fmt.Errorf("reading manifests: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var m Manifest
		var packed []byte
		if err := rows.Scan(&m.Hash, &packed); err != nil {
			return fmt.Errorf("reading manifests: %w", err)
		}
		raw, err := unpack.DecodeAll(packed, nil)
		if err != nil {
			return fmt.Errorf("unpacking manifest %s: %w", m.Hash, err)
		}
		if err := json.Unmarshal(raw, &m); err != nil {
			return fmt.Errorf("reading manifest %s: %w", m.Hash, err)
		}
		sum := sha256.Sum256(raw)
		m.Found = hex.EncodeToString(sum[:])
		c.Manifests = append(c.Manifests, m)
	}
	return rows.Err()
}

func (c *Case) readRuns(ctx context.Context, db *sql.DB) error {
	rows, err := db.QueryContext(ctx, `SELECT r.id, r.job, r.state, coalesce(j.state, ''), coalesce(j.error, ''), coalesce(j.devices, 'null') FROM runs r LEFT JOIN jobs j ON j.id = r.job ORDER BY r.id`)
	if err != nil {
		return fmt.Errorf("reading runs: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var r Run
		var devices []byte
		if err := rows.Scan(&r.ID, &r.Job, &r.State, &r.JobState, &r.JobError, &devices); err != nil {
			return fmt.Errorf("reading runs: %w", err)
		}
		if err := json.Unmarshal(devices, &r.Devices); err != nil {
			return fmt.Errorf("reading the devices of job %s: %w", r.Job, err)
		}
		c.Runs = append(c.Runs, r)
	}
	return rows.Err()
}
