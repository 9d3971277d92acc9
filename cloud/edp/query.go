package edp

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// querier is a transaction or a pool.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// row is a *sql.Row or *sql.Rows.
type row interface{ Scan(dest ...any) error }

// tx runs f in the one writing transaction. All of it is on disk when tx returns
// nil, nothing of it otherwise.
func (s *Store) tx(ctx context.Context, f func(*sql.Tx) error) error {
	return inTx(ctx, s.write, nil, f)
}

// snapshot runs f over one unchanging state of the database.
func (s *Store) snapshot(ctx context.Context, f func(*sql.Tx) error) error {
	return inTx(ctx, s.read, &sql.TxOptions{ReadOnly: true}, f)
}

func inTx(ctx context.Context, db *sql.DB, o *sql.TxOptions, f func(*sql.Tx) error) error {
	err := tryTx(ctx, db, o, f)
	if unavailable(err) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

// unavailable tells whether an error is of the disk or of another process, and not
// of what was asked for (https://www.sqlite.org/rescode.html).
func unavailable(err error) bool {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code() & 0xff { // the rest tells more of the same
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED,
		sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL:
		return true
	}
	return false
}

func tryTx(ctx context.Context, db *sql.DB, o *sql.TxOptions, f func(*sql.Tx) error) error {
	t, err := db.BeginTx(ctx, o)
	if err != nil {
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	if err := f(t); err != nil {
		if rerr := t.Rollback(); rerr != nil && !errors.Is(rerr, sql.ErrTxDone) {
			err = errors.Join(err, fmt.Errorf("rolling back: %w", rerr))
		}
		return err
	}
	if err := t.Commit(); err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	return nil
}

// all scans every row of a query.
func all[T any](ctx context.Context, q querier, scan func(row) (T, error), query string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

// one scans the only row of a query; no row is ErrNotFound.
func one[T any](ctx context.Context, q querier, scan func(row) (T, error), query string, args ...any) (T, error) {
	v, err := scan(q.QueryRowContext(ctx, query, args...))
	return v, noRows(err)
}

// noRows makes ErrNotFound of the driver's word for it.
func noRows(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	return err
}

// exec runs a statement and returns how many rows it touched.
func exec(ctx context.Context, q querier, query string, args ...any) (int64, error) {
	r, err := q.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// scanString scans a single column.
func scanString(r row) (s string, err error) { return s, r.Scan(&s) }

// scanInt scans a single column.
func scanInt(r row) (n int64, err error) { return n, r.Scan(&n) }

// micros is the form of a time in the database.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// The times that JSON can tell are those of the years 1 to 9999 (RFC 3339 section
// 1), in microseconds since 1970. A zone carries a collector's time a day beyond.
const (
	firstMicro = -62135596800 * 1_000_000
	lastMicro  = 253402300799 * 1_000_000
)

// moment scans a time that micros made. The nearest that JSON can tell stands for
// one that it cannot: one such row would spoil every list that it is in.
type moment struct{ t *time.Time }

// Scan implements sql.Scanner.
func (m moment) Scan(v any) error {
	n, ok := v.(int64)
	if !ok {
		return fmt.Errorf("reading a time: got a %T", v)
	}
	*m.t = time.Time{}
	if n != 0 {
		*m.t = time.UnixMicro(min(max(n, firstMicro), lastMicro)).UTC()
	}
	return nil
}

// jsonColumn scans a JSON column into v; an empty one leaves v alone.
type jsonColumn struct{ v any }

// Scan implements sql.Scanner.
func (j jsonColumn) Scan(v any) error {
	s, ok := v.(string)
	if !ok {
		return fmt.Errorf("reading a JSON column: got a %T", v)
	}
	if s == "" {
		return nil
	}
	return json.Unmarshal([]byte(s), j.v)
}

// asJSON is the form of v in a JSON column.
func asJSON(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("encoding a %T: %w", v, err)
	}
	return string(b), nil
}
