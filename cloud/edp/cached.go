package edp

import (
	"context"
	"database/sql"
	"errors"
)

// cached is a transaction that prepares each statement once: a batch runs the
// same few for every document, and compiling one takes longer than running it.
type cached struct {
	t     *sql.Tx
	stmts map[string]*sql.Stmt
}

// txCached runs f in the one writing transaction, as tx does.
func (s *Store) txCached(ctx context.Context, f func(*cached) error) error {
	return s.tx(ctx, func(t *sql.Tx) (err error) {
		c := &cached{t: t, stmts: map[string]*sql.Stmt{}}
		defer func() {
			for _, st := range c.stmts {
				err = errors.Join(err, st.Close())
			}
		}()
		return f(c)
	})
}

func (c *cached) prepare(ctx context.Context, query string) (*sql.Stmt, error) {
	if st := c.stmts[query]; st != nil {
		return st, nil
	}
	st, err := c.t.PrepareContext(ctx, query)
	if err == nil {
		c.stmts[query] = st
	}
	return st, err
}

// ExecContext implements querier.
func (c *cached) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	st, err := c.prepare(ctx, query)
	if err != nil {
		return nil, err
	}
	return st.ExecContext(ctx, args...)
}

// QueryContext implements querier.
func (c *cached) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	st, err := c.prepare(ctx, query)
	if err != nil {
		return nil, err
	}
	return st.QueryContext(ctx, args...)
}

// QueryRowContext implements querier.
func (c *cached) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	st, err := c.prepare(ctx, query)
	if err != nil {
		return c.t.QueryRowContext(ctx, query, args...) // it fails alike, and the row says so
	}
	return st.QueryRowContext(ctx, args...)
}
