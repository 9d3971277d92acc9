package edp

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/alexedwards/scs/v2"
)

// Sessions keeps the sessions of the portal, by the SHA-256 of their tokens.
type Sessions struct{ s *Store }

// SessionStore returns the store's side of scs.
func (s *Store) SessionStore() scs.CtxStore { return &Sessions{s} }

// DeleteCtx implements scs.CtxStore.
func (x *Sessions) DeleteCtx(ctx context.Context, token string) error {
	if _, err := exec(ctx, x.s.write, `DELETE FROM sessions WHERE hash = $1`, digest([]byte(token))); err != nil {
		return fmt.Errorf("deleting a session: %w", err)
	}
	return nil
}

// FindCtx implements scs.CtxStore.
func (x *Sessions) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	scan := func(r row) (b []byte, err error) { return b, r.Scan(&b) }
	b, err := one(ctx, x.s.read, scan, `SELECT data FROM sessions WHERE hash = $1 AND expires_at > $2`,
		digest([]byte(token)), micros(time.Now()))
	if errors.Is(err, ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("finding a session: %w", err)
	}
	return b, true, nil
}

// CommitCtx implements scs.CtxStore.
func (x *Sessions) CommitCtx(ctx context.Context, token string, data []byte, expiry time.Time) error {
	_, err := exec(ctx, x.s.write, `INSERT INTO sessions (hash, data, expires_at) VALUES ($1, $2, $3)
		ON CONFLICT (hash) DO UPDATE SET data = excluded.data, expires_at = excluded.expires_at`,
		digest([]byte(token)), data, micros(expiry))
	if err != nil {
		return fmt.Errorf("keeping a session: %w", err)
	}
	return nil
}

// Delete implements scs.Store.
func (x *Sessions) Delete(token string) error { return x.DeleteCtx(context.Background(), token) }

// Find implements scs.Store.
func (x *Sessions) Find(token string) ([]byte, bool, error) {
	return x.FindCtx(context.Background(), token)
}

// Commit implements scs.Store.
func (x *Sessions) Commit(token string, data []byte, expiry time.Time) error {
	return x.CommitCtx(context.Background(), token, data, expiry)
}
