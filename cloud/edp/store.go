package edp

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
	"github.com/pressly/goose/v3"

	"lwc/cloud/flock"
)

//go:embed migrations/sqlite/*.sql
var migrations embed.FS

const (
	// readers is how many queries run beside the one writer.
	readers = 4
	// hashers is how many passwords are hashed at the same time: each takes
	// 64 MiB, so log-ins cannot exhaust memory.
	hashers = 2
)

// Store is the database. Make one with Open.
type Store struct {
	write   *sql.DB // one connection: SQLite has one writer
	read    *sql.DB
	enc     *zstd.Encoder
	dec     *zstd.Decoder
	hashing chan struct{} // holds a token for each password being hashed
}

// Open opens the database file at path, which it makes when there is none, and
// brings its tables up to date.
func Open(ctx context.Context, path string) (*Store, error) {
	s, err := open(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("opening the database %s: %w", path, err)
	}
	return s, nil
}

func open(ctx context.Context, path string) (_ *Store, err error) {
	s := &Store{hashing: make(chan struct{}, hashers)}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if err := makeFile(path); err != nil {
		return nil, err
	}
	// FULL: a commit is on disk before it returns, also through a power cut.
	if s.write, err = sql.Open("sqlite", dsn(path, "synchronous(FULL)", "_txlock=immediate")); err != nil {
		return nil, err
	}
	s.write.SetMaxOpenConns(1)
	if err := migrate(ctx, s.write, path); err != nil {
		return nil, err
	}
	if s.read, err = sql.Open("sqlite", dsn(path, "query_only(1)", "")); err != nil {
		return nil, err
	}
	s.read.SetMaxOpenConns(readers)
	s.read.SetMaxIdleConns(readers)
	if s.enc, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest)); err != nil {
		return nil, err
	}
	s.dec, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(readers))
	return s, err
}

// makeFile makes the file for its owner alone; SQLite gives the mode on to the
// files beside it.
func makeFile(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

func dsn(path, pragma, more string) string {
	q := url.Values{"_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "journal_size_limit(67108864)", "foreign_keys(1)", pragma}}
	u := "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
	if more != "" {
		u += "&" + more
	}
	return u
}

// migrate brings the tables up to date, while no other process does so.
func migrate(ctx context.Context, db *sql.DB, path string) (err error) {
	unlock, err := lock(filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".migrate"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	dir, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, dir)
	if err != nil {
		return fmt.Errorf("reading the migrations: %w", err)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("bringing the tables up to date: %w", err)
	}
	return nil
}

// lock waits for an advisory lock on a file.
func lock(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock.Wait(f); err != nil {
		return nil, fmt.Errorf("locking %s: %w", path, errors.Join(err, f.Close()))
	}
	return f.Close, nil
}

// Close waits for queries under way and closes the database.
func (s *Store) Close() error {
	var errs []error
	for _, db := range []*sql.DB{s.read, s.write} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	if s.enc != nil {
		errs = append(errs, s.enc.Close())
	}
	if s.dec != nil {
		s.dec.Close()
	}
	return errors.Join(errs...)
}
