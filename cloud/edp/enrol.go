package edp

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"lwc/cloud/pki"
	"lwc/transport/secret"
)

// NewEnrolToken makes an enrolment token. The secret has 16 raw bytes; it is
// returned once and kept nowhere.
func (s *Store) NewEnrolToken(ctx context.Context, spec EnrolTokenSpec) (id string, sec secret.Text, err error) {
	if spec.Uses == 0 {
		spec.Uses = 1
	}
	if spec.TTL == 0 {
		spec.TTL = 24 * time.Hour
	}
	if err := spec.check(); err != nil {
		return "", secret.Text{}, fmt.Errorf("making an enrolment token: %w", err)
	}
	raw := randomBytes(secretLen)
	id = hex.EncodeToString(randomBytes(8))
	now := time.Now()
	_, err = exec(ctx, s.write, `INSERT INTO enrol_tokens (id, hash, collector, uses_left, created_at, expires_at, made_by, label)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, id, digest(raw), spec.Collector, spec.Uses, micros(now), micros(now.Add(spec.TTL)), spec.By, spec.Label)
	if err != nil {
		return "", secret.Text{}, fmt.Errorf("making an enrolment token: %w", err)
	}
	return id, secret.New(raw), nil
}

// OpenEnrolTokens returns the enrolment tokens that still admit somebody, newest first.
func (s *Store) OpenEnrolTokens(ctx context.Context) ([]OpenEnrolToken, error) {
	scan := func(r row) (t OpenEnrolToken, err error) {
		return t, r.Scan(&t.ID, &t.Collector, &t.UsesLeft, &t.By, &t.Label, moment{&t.Created}, moment{&t.Expires})
	}
	list, err := all(ctx, s.read, scan, `SELECT id, collector, uses_left, made_by, label, created_at, expires_at
		FROM enrol_tokens WHERE uses_left > 0 AND expires_at > $1 ORDER BY created_at DESC, id`, micros(time.Now()))
	if err != nil {
		return nil, fmt.Errorf("listing enrolment tokens: %w", err)
	}
	return list, nil
}

// RevokeEnrolToken makes an enrolment token worthless. A collector that enrolled with it
// stays.
func (s *Store) RevokeEnrolToken(ctx context.Context, id, by string) error {
	err := s.tx(ctx, func(t *sql.Tx) error {
		of, err := one(ctx, t, scanString, `DELETE FROM enrol_tokens WHERE id = $1 RETURNING collector`, id)
		return told(ctx, t, err, EventEnrolTokenRevoked, of, "enrolment token %s was revoked by %s", id, whom(by))
	})
	if err != nil {
		return fmt.Errorf("revoking enrolment token %.80q: %w", id, err)
	}
	return nil
}

// maxLabel is what a line of a table has room for.
const maxLabel = 100

func (spec EnrolTokenSpec) check() error {
	if spec.Uses < 1 || spec.TTL < 0 {
		return fmt.Errorf("uses and life must be positive: %w", ErrInvalid)
	}
	if utf8.RuneCountInString(spec.Label) > maxLabel || strings.ContainsFunc(spec.Label, unicode.IsControl) {
		return fmt.Errorf("a label is one line of at most %d characters: %w", maxLabel, ErrInvalid)
	}
	if spec.Collector == "" {
		return nil
	}
	if spec.Uses != 1 {
		return fmt.Errorf("a token bound to one collector has one use: %w", ErrInvalid)
	}
	return checkCollector(spec.Collector)
}

func checkCollector(id string) error {
	if err := pki.CheckID(id); err != nil {
		return fmt.Errorf("%w: %w", err, ErrInvalid)
	}
	return nil
}

// Admission is a request to enter the registry with an enrolment token.
type Admission struct {
	Token    string
	Secret   secret.Text
	Proposed string // the id that the collector asks for; empty: that of the token
	Default  string // the id if neither names one
	SPKI     string // its public key: PKIX DER in base64
	// Issue makes the certificate once all is found in order. An error undoes
	// the admission.
	Issue func(collector string) (Enrolment, error)
}

// Admit checks an enrolment token, issues a certificate and enters the collector
// in the registry, in one transaction. The same key may come again with the same
// token while it lives: the first answer may have been lost.
func (s *Store) Admit(ctx context.Context, a Admission) error {
	err := s.tx(ctx, func(t *sql.Tx) error {
		tok, err := findEnrolToken(ctx, t, a)
		if err != nil {
			return err
		}
		if err := tok.use(ctx, t, a); err != nil {
			return err
		}
		if err := admissible(ctx, t, tok.name, a.SPKI, tok.bound); err != nil {
			return err
		}
		e, err := a.Issue(tok.name)
		if err != nil {
			return err
		}
		if err := endResetsBefore(ctx, t, e); err != nil {
			return err
		}
		return enter(ctx, t, e)
	})
	if err != nil {
		return fmt.Errorf("enrolling collector %.80q: %w", a.Proposed, err)
	}
	return nil
}

type enrolToken struct {
	id       string
	name     string // of the collector to be
	bound    bool
	usesLeft int
	expires  time.Time
}

func findEnrolToken(ctx context.Context, t *sql.Tx, a Admission) (enrolToken, error) {
	tok := enrolToken{id: a.Token}
	var hash string
	err := t.QueryRowContext(ctx, `SELECT hash, collector, uses_left, expires_at FROM enrol_tokens WHERE id = $1`, a.Token).
		Scan(&hash, &tok.name, &tok.usesLeft, moment{&tok.expires})
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return tok, err
	}
	if !sameDigest(hash, digest(a.Secret.Reveal())) {
		return tok, ErrTokenUnknown
	}
	if !time.Now().Before(tok.expires) {
		return tok, ErrTokenExpired
	}
	tok.bound = tok.name != ""
	switch {
	case tok.bound && a.Proposed != "" && a.Proposed != tok.name:
		return tok, ErrTokenBound
	case !tok.bound:
		tok.name = cmp.Or(a.Proposed, a.Default)
	}
	return tok, checkCollector(tok.name)
}

// use counts a use of the token, but not when this key used it before.
func (tok enrolToken) use(ctx context.Context, t *sql.Tx, a Admission) error {
	before, err := one(ctx, t, scanString, `SELECT collector FROM enrol_uses WHERE token = $1 AND spki = $2`, tok.id, a.SPKI)
	if err == nil && before == tok.name {
		return nil
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	if tok.usesLeft < 1 || err == nil {
		return ErrTokenUsed
	}
	if _, err := exec(ctx, t, `UPDATE enrol_tokens SET uses_left = uses_left - 1 WHERE id = $1`, tok.id); err != nil {
		return err
	}
	_, err = exec(ctx, t, `INSERT INTO enrol_uses (token, spki, collector) VALUES ($1, $2, $3)`, tok.id, a.SPKI, tok.name)
	return err
}

// admissible tells whether a key may have a collector id. With replace it may
// take the place of another key, and of a revoked one.
func admissible(ctx context.Context, q querier, id, spki string, replace bool) error {
	var state CollectorState
	var old string
	err := q.QueryRowContext(ctx, `SELECT state, spki FROM collectors WHERE id = $1`, id).Scan(&state, &old)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return err
	case state == CollectorPending || replace:
		return nil
	case state == CollectorRevoked:
		return ErrRevoked
	case old != spki:
		return ErrIDTaken
	}
	return nil
}

// enter writes an enrolment into the registry.
func enter(ctx context.Context, q querier, e Enrolment) error {
	_, err := exec(ctx, q, `INSERT INTO collectors (id, state, created_at, spki, serial, cert_not_after)
		VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (id) DO UPDATE SET state = excluded.state, spki = excluded.spki,
			serial = excluded.serial, cert_not_after = excluded.cert_not_after`,
		e.Collector, CollectorActive, micros(time.Now()), e.SPKI, e.Serial, micros(e.NotAfter))
	return err
}

// Enrolled enters a collector whose certificate was issued or renewed. It returns
// ErrRevoked or ErrIDTaken when the id must not have that key.
func (s *Store) Enrolled(ctx context.Context, e Enrolment) error {
	err := checkCollector(e.Collector)
	if err == nil {
		err = s.tx(ctx, func(t *sql.Tx) error {
			if err := admissible(ctx, t, e.Collector, e.SPKI, false); err != nil {
				return err
			}
			return enter(ctx, t, e)
		})
	}
	if err != nil {
		return fmt.Errorf("entering collector %.80q: %w", e.Collector, err)
	}
	return nil
}

// Revoke shuts a collector out, spends the tokens bound to it and ends what it
// had to do. The caller ends its session.
func (s *Store) Revoke(ctx context.Context, id, by string) error {
	err := s.tx(ctx, func(t *sql.Tx) error {
		was, err := one(ctx, t, scanString, `SELECT state FROM collectors WHERE id = $1`, id)
		if err != nil {
			return err
		}
		void, err := one(ctx, t, scanInt, `SELECT COUNT(*) FROM enrol_tokens WHERE collector = $1 AND uses_left > 0 AND expires_at > $2`, id, micros(time.Now()))
		if err == nil {
			_, err = exec(ctx, t, `UPDATE collectors SET state = $1, online = 0 WHERE id = $2`, CollectorRevoked, id)
		}
		if err == nil {
			_, err = exec(ctx, t, `DELETE FROM enrol_tokens WHERE collector = $1`, id)
		}
		if err == nil {
			err = abandon(ctx, t, id)
		}
		if err == nil && CollectorState(was) == CollectorRevoked && void == 0 {
			return nil // nothing has changed
		}
		return told(ctx, t, err, EventRevoked, id, "the collector was revoked by %s%s", whom(by), voidTokens(void))
	})
	if err != nil {
		return fmt.Errorf("revoking collector %.80s: %w", id, err)
	}
	return nil
}
