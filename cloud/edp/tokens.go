package edp

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"lwc/transport/secret"
)

// secretLen is 128 bits, so that a plain SHA-256 is enough to keep.
const secretLen = 16

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// digest is the form in which the secret of a token or link is kept.
func digest(b []byte) string {
	d := sha256.Sum256(b)
	return hex.EncodeToString(d[:])
}

func sameDigest(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// NewLink makes the secret of a one-time link, as text for a URL. Whoever opens
// the link within ttl may create one user of that role, or reset its password.
func (s *Store) NewLink(ctx context.Context, role Role, ttl time.Duration) (secret.Text, error) {
	err := checkRole(role)
	if err == nil && ttl <= 0 {
		err = fmt.Errorf("its life must be positive, got %v: %w", ttl, ErrInvalid)
	}
	if err != nil {
		return secret.Text{}, fmt.Errorf("making a link: %w", err)
	}
	raw := randomBytes(secretLen)
	defer clear(raw)
	text := make([]byte, base64.RawURLEncoding.EncodedLen(len(raw)))
	base64.RawURLEncoding.Encode(text, raw)
	_, err = exec(ctx, s.write, `INSERT INTO links (hash, role, expires_at) VALUES ($1, $2, $3)`,
		digest(text), role, micros(time.Now().Add(ttl)))
	if err != nil {
		return secret.Text{}, fmt.Errorf("making a link: %w", err)
	}
	return secret.New(text), nil
}

// CheckLink returns ErrLink unless UseLink would accept the link now.
func (s *Store) CheckLink(ctx context.Context, link secret.Text) error {
	_, err := one(ctx, s.read, scanString, `SELECT role FROM links WHERE hash = $1 AND expires_at > $2`,
		digest(link.Reveal()), micros(time.Now()))
	return linkError(err)
}

func linkError(err error) error {
	if errors.Is(err, ErrNotFound) {
		return ErrLink
	}
	if err != nil {
		return fmt.Errorf("checking a link: %w", err)
	}
	return nil
}

// UseLink creates the user, or gives an existing one the role of the link and a
// new password. It works once for a link. A link for standard users does not
// reset an admin: that is ErrConflict, and leaves the link as it was.
func (s *Store) UseLink(ctx context.Context, link secret.Text, name string, password secret.Text) (User, error) {
	if err := s.CheckLink(ctx, link); err != nil {
		return User{}, err
	}
	if err := checkUser(name, RoleAdmin); err != nil {
		return User{}, fmt.Errorf("using a link: %w", err)
	}
	hash, err := s.hashPassword(ctx, password)
	if err != nil {
		return User{}, fmt.Errorf("using a link: %w", err)
	}
	var u User
	err = s.tx(ctx, func(t *sql.Tx) error {
		role, err := one(ctx, t, scanString, `DELETE FROM links WHERE hash = $1 AND expires_at > $2 RETURNING role`,
			digest(link.Reveal()), micros(time.Now()))
		if err != nil {
			return linkError(err)
		}
		u, err = one(ctx, t, scanUser, `INSERT INTO users (name, role, hash, created_at) VALUES ($1, $2, $3, $4)
			ON CONFLICT (name) DO UPDATE SET role = excluded.role, hash = excluded.hash
			WHERE excluded.role = $5 OR users.role <> $5
			RETURNING `+userColumns, name, role, hash, micros(time.Now()), RoleAdmin)
		if errors.Is(err, ErrNotFound) {
			err = fmt.Errorf("%s is an admin, and this link is for standard users: choose another name: %w", name, ErrConflict)
		}
		return err
	})
	if err != nil {
		return User{}, fmt.Errorf("using a link: %w", err)
	}
	return u, nil
}

// NewAPIToken makes a token for clients of the API. The secret has 16 raw bytes;
// it is returned once and kept nowhere. A ttl of 0 means that it never expires.
func (s *Store) NewAPIToken(ctx context.Context, name string, role Role, ttl time.Duration) (id string, sec secret.Text, err error) {
	if err := checkUser(name, role); err != nil {
		return "", secret.Text{}, fmt.Errorf("making an API token: %w", err)
	}
	raw := randomBytes(secretLen)
	id = hex.EncodeToString(randomBytes(8))
	now := time.Now()
	var expires time.Time
	if ttl > 0 {
		expires = now.Add(ttl)
	}
	_, err = exec(ctx, s.write, `INSERT INTO api_tokens (id, name, role, hash, created_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6)`, id, name, role, digest(raw), micros(now), micros(expires))
	if err != nil {
		return "", secret.Text{}, fmt.Errorf("making an API token: %w", err)
	}
	return id, secret.New(raw), nil
}

// CheckAPIToken returns who holds a token, ErrDenied when nobody does any more.
func (s *Store) CheckAPIToken(ctx context.Context, id string, sec secret.Text) (Principal, error) {
	var p Principal
	var hash string
	err := s.read.QueryRowContext(ctx, `SELECT name, role, hash FROM api_tokens
		WHERE id = $1 AND (expires_at = 0 OR expires_at > $2)`, id, micros(time.Now())).Scan(&p.Name, &p.Role, &hash)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return Principal{}, fmt.Errorf("checking an API token: %w", err)
	}
	if !sameDigest(hash, digest(sec.Reveal())) {
		return Principal{}, fmt.Errorf("the API token is wrong, expired or revoked: %w", ErrDenied)
	}
	return p, nil
}

// APITokens returns all API tokens, newest first.
func (s *Store) APITokens(ctx context.Context) ([]APIToken, error) {
	scan := func(r row) (t APIToken, err error) {
		return t, r.Scan(&t.ID, &t.Name, &t.Role, moment{&t.Created}, moment{&t.Expires})
	}
	list, err := all(ctx, s.read, scan, `SELECT id, name, role, created_at, expires_at
		FROM api_tokens ORDER BY created_at DESC, id`)
	if err != nil {
		return nil, fmt.Errorf("listing API tokens: %w", err)
	}
	return list, nil
}

// DeleteAPIToken revokes an API token.
func (s *Store) DeleteAPIToken(ctx context.Context, id, by string) error {
	err := s.tx(ctx, func(t *sql.Tx) error {
		of, err := one(ctx, t, scanString, `DELETE FROM api_tokens WHERE id = $1 RETURNING name || ' (' || role || ')'`, id)
		return told(ctx, t, err, EventAPITokenRevoked, "", "API token %s of %s was revoked by %s", id, of, whom(by))
	})
	if err != nil {
		return fmt.Errorf("revoking API token %.80q: %w", id, err)
	}
	return nil
}
