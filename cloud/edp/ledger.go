package edp

import (
	"context"
	"fmt"
	"time"

	"lwc/transport/wire"
)

// SignedManifest is a section of the account of a run as its collector signed it.
type SignedManifest struct {
	Hash      string // SHA-256 of Plain
	SPKI      string // PKIX DER in base64 of the key that it was checked with
	Collector string
	Run, Boot string
	Previous  string // hash of the one before; empty: there was none
	Section   int
	Last      bool
	Received  time.Time
	Plain     []byte // the JSON as framed
	// Envelope is that of the frame's header: it signs the digest of Plain. It is
	// zero in manifests that came before signed forms were kept.
	Envelope wire.Envelope
}

func keepManifest(ctx context.Context, q querier, m wire.Manifest, signed SignedManifest, packed []byte) error {
	envelope := ""
	if len(signed.Envelope.Signatures) > 0 {
		var err error
		if envelope, err = asJSON(signed.Envelope); err != nil {
			return err
		}
	}
	_, err := exec(ctx, q, `INSERT INTO manifests (collector, hash, run, boot, previous, received_at, raw, envelope, spki, section, last)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`, m.Collector, signed.Hash, m.Run, m.Boot, m.Previous,
		micros(time.Now()), packed, envelope, signed.SPKI, m.Section, m.Last)
	if err != nil {
		return err
	}
	// One that another follows already came late, and is not the end of the chain.
	_, err = exec(ctx, q, `UPDATE collectors SET last_manifest = $1 WHERE id = $2
		AND NOT EXISTS (SELECT 1 FROM manifests n WHERE n.collector = $2 AND n.previous = $1)`, signed.Hash, m.Collector)
	return err
}

// Chained tells whether a manifest with this previous hash follows the newest of
// its collector.
func (s *Store) Chained(ctx context.Context, collector, hash, previous string) (bool, error) {
	last, err := s.LastManifest(ctx, collector)
	if err != nil || last == previous {
		return true, err
	}
	n, err := one(ctx, s.read, scanInt, `SELECT COUNT(*) FROM manifests WHERE collector = $1 AND hash = $2`, collector, hash)
	return n > 0, err // one that is there already is welcome again
}

// link is a manifest's place in the chain.
type link struct{ hash, previous string }

// EachManifest gives the manifests of a run, or of a whole collector where run is
// empty, in the order of their chain. One whose predecessor is not there stands
// where it came in. The error of each ends it.
func (s *Store) EachManifest(ctx context.Context, collector, run string, each func(SignedManifest) error) error {
	query, args := linkQuery(collector, run)
	links, err := all(ctx, s.read, func(r row) (l link, err error) { return l, r.Scan(&l.hash, &l.previous) }, query, args...)
	if err != nil {
		return fmt.Errorf("listing the manifests of collector %.80q: %w", collector, err)
	}
	for _, hash := range chained(links) {
		m, err := s.manifest(ctx, collector, hash)
		if err != nil {
			return fmt.Errorf("reading manifest %.16s: %w", hash, err)
		}
		if err := each(m); err != nil {
			return err
		}
	}
	return nil
}

// linkQuery lists manifests. Those of a run are few among all of a collector: the
// "+" keeps the index by collector out of it.
func linkQuery(collector, run string) (string, []any) {
	const order = ` ORDER BY received_at, rowid`
	if run == "" {
		return `SELECT hash, previous FROM manifests WHERE collector = $1` + order, []any{collector}
	}
	return `SELECT hash, previous FROM manifests WHERE run = $1 AND +collector = $2` + order, []any{run, collector}
}

// chained orders manifests so that each follows the one that it names.
func chained(links []link) []string {
	there, next := map[string]bool{}, map[string][]string{}
	for _, l := range links {
		there[l.hash] = true
		next[l.previous] = append(next[l.previous], l.hash)
	}
	out, told := make([]string, 0, len(links)), map[string]bool{}
	follow := func(hash string) {
		for todo := []string{hash}; len(todo) > 0; {
			h := todo[0]
			todo = todo[1:]
			if !told[h] {
				told[h] = true
				out = append(out, h)
				todo = append(append([]string{}, next[h]...), todo...)
			}
		}
	}
	for _, l := range links {
		if !there[l.previous] {
			follow(l.hash)
		}
	}
	for _, l := range links {
		follow(l.hash) // of a ring, which no honest sender makes
	}
	return out
}

func (s *Store) manifest(ctx context.Context, collector, hash string) (SignedManifest, error) {
	var packed []byte
	m, err := one(ctx, s.read, func(r row) (m SignedManifest, err error) {
		return m, r.Scan(&m.Hash, &m.SPKI, &m.Collector, &m.Run, &m.Boot, &m.Previous, &m.Section, &m.Last,
			moment{&m.Received}, &packed, jsonColumn{&m.Envelope})
	}, `SELECT hash, spki, collector, run, boot, previous, section, last, received_at, raw, envelope
		FROM manifests WHERE collector = $1 AND hash = $2`, collector, hash)
	if err != nil {
		return m, err
	}
	m.Plain, err = s.dec.DecodeAll(packed, nil)
	return m, err
}
