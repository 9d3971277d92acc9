package shelf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"lwc/cloud/edp"
	"lwc/image/release"
	"lwc/transport/wire"
)

// Store knows which releases there are; edp.Store is one.
type Store interface {
	// Releases returns all, the newest version first.
	Releases(ctx context.Context) ([]edp.Release, error)
	// Release returns one; edp.ErrNotFound when there is none.
	Release(ctx context.Context, version string) (edp.Release, error)
	// PublishRelease enters one whose files are there; edp.ErrConflict when the
	// version is another release's.
	PublishRelease(ctx context.Context, m release.Manifest, digest, by string) error
	// WithdrawRelease keeps one from the boxes.
	WithdrawRelease(ctx context.Context, version, by, reason string) error
	// Collector returns an entry of the registry; edp.ErrNotFound when there is none.
	Collector(ctx context.Context, id string) (edp.Collector, error)
}

// Config configures a Shelf.
type Config struct {
	Dir   string // of the releases; made when there is none
	Keys  string // file with the keys that may sign releases, in PEM; see Keys
	Store Store
	// Logger gets who adds and loads what; nil discards it.
	Logger *slog.Logger
}

// Shelf keeps releases. It is safe for concurrent use by one process.
type Shelf struct {
	Config
	// adding is held while a bundle comes, which takes as long as its line does: one
	// at a time, so that the disk has to have room for one.
	adding sync.Mutex
	// mu is held while what is published changes, in the store and on the disk, and
	// never while a bundle comes: to withdraw a bad release waits for no upload.
	mu    sync.Mutex
	loads loads
}

const (
	// incoming begins the names of folders that a release is unpacked into; no
	// version begins like that.
	incoming = ".incoming-"
	// loadsAtOnce bounds the files that are served at the same time, loadsOfOne those
	// of them that one box has: it loads one after the other, and one whose line broke
	// leaves some behind.
	loadsAtOnce, loadsOfOne = 64, 4
)

// Open opens the folder, and takes away what is of no release that is published.
func Open(ctx context.Context, c Config) (*Shelf, error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Shelf{Config: c, loads: loads{of: map[string]int{}}}
	if err := s.tidy(ctx); err != nil {
		return nil, fmt.Errorf("opening the releases: %w", err)
	}
	return s, nil
}

func (s *Shelf) tidy(ctx context.Context) error {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return err
	}
	list, err := s.Store.Releases(ctx)
	if err != nil {
		return err
	}
	keep := map[string]bool{}
	for _, r := range list {
		if keep[r.Version] = r.State == edp.ReleasePublished; keep[r.Version] && s.lost(r.Manifest) != "" {
			s.Logger.Error("a file of a published release is lost: add the release again", "version", r.Version, "file", s.lost(r.Manifest))
		}
	}
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		ours := strings.HasPrefix(e.Name(), incoming) || release.CheckVersion(e.Name()) == nil
		if !ours || keep[e.Name()] {
			continue
		}
		s.Logger.Warn("files of a release that is not published are taken away", "folder", e.Name())
		if err := os.RemoveAll(filepath.Join(s.Dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// ErrNoKeys says that the cloud does not know yet who may sign releases.
var ErrNoKeys = fmt.Errorf("the cloud knows no key that may sign releases: on its server, lwc-cloud release-keys --data DIR --add KEYS.pem: %w", edp.ErrConflict)

// Add reads a bundle and publishes its release. The error is edp.ErrInvalid where the
// bundle is bad, edp.ErrConflict where the version is another release's or no key is
// known; nothing is kept then. To add a release again does nothing, unless its files
// are lost: then they are put back.
func (s *Shelf) Add(ctx context.Context, bundle io.Reader, by string) (edp.Release, error) {
	s.adding.Lock()
	defer s.adding.Unlock()
	m, err := s.add(ctx, bundle, by)
	if err != nil {
		return edp.Release{}, fmt.Errorf("adding a release: %w", err)
	}
	s.Logger.Info("release published", "version", m.Version, "security", m.Security, "by", by)
	return s.Store.Release(ctx, m.Version)
}

func (s *Shelf) add(ctx context.Context, bundle io.Reader, by string) (m release.Manifest, err error) {
	trusted, err := Keys(s.Config.Keys)
	if err != nil {
		return m, err
	}
	if len(trusted) == 0 {
		return m, ErrNoKeys
	}
	temp, err := os.MkdirTemp(s.Dir, incoming)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	if m, err = release.ReadBundle(ctx, bundle, temp, trusted); err != nil {
		return m, invalid(err)
	}
	signed, err := os.ReadFile(filepath.Join(temp, release.ManifestName))
	if err != nil {
		return m, err
	}
	return m, s.publish(ctx, temp, m, wire.Digest(signed), by)
}

// publish places the files and tells the store.
func (s *Shelf) publish(ctx context.Context, temp string, m release.Manifest, digest, by string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	there, err := s.there(ctx, m, digest)
	if err != nil || there {
		return err
	}
	if err := s.place(temp, m.Version); err != nil {
		return err
	}
	return s.Store.PublishRelease(ctx, m, digest, by)
}

// invalid marks the errors that are the bundle's.
func invalid(err error) error {
	for _, of := range []error{release.ErrSignature, release.ErrManifest, release.ErrFile, release.ErrBundle} {
		if errors.Is(err, of) {
			return fmt.Errorf("%w: %w", err, edp.ErrInvalid)
		}
	}
	return err
}

// there tells whether just this release is published, and has its files. It is an error
// when another one is, or was, under its version.
func (s *Shelf) there(ctx context.Context, m release.Manifest, digest string) (bool, error) {
	old, err := s.Store.Release(ctx, m.Version)
	switch {
	case errors.Is(err, edp.ErrNotFound):
		return false, nil
	case err == nil && old.Digest != digest:
		return false, fmt.Errorf("release %s was published before, and this is another one: give it a version of its own: %w", m.Version, edp.ErrConflict)
	}
	return old.State == edp.ReleasePublished && s.lost(m) == "", err
}

// lost names a file of a release that is not there whole, as after the database was
// restored from a copy without the folder; empty where there is none.
func (s *Shelf) lost(m release.Manifest) string {
	if _, err := os.Stat(filepath.Join(s.Dir, m.Version, release.ManifestName)); err != nil {
		return release.ManifestName
	}
	for _, f := range m.Files {
		if info, err := os.Stat(filepath.Join(s.Dir, m.Version, f.PackedName)); err != nil || info.Size() != f.PackedSize {
			return f.PackedName
		}
	}
	return ""
}

// place puts the files where they are served from. What lies there was never
// published, or was withdrawn, or is not whole.
func (s *Shelf) place(temp, version string) error {
	if err := syncDir(temp); err != nil {
		return err
	}
	to := filepath.Join(s.Dir, version)
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	if err := os.Rename(temp, to); err != nil {
		return err
	}
	return syncDir(s.Dir)
}

// Withdraw keeps a release from the boxes that do not run it, and deletes its files.
func (s *Shelf) Withdraw(ctx context.Context, version, by, reason string) (edp.Release, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.Store.WithdrawRelease(ctx, version, by, reason); err != nil {
		return edp.Release{}, err
	}
	s.Logger.Warn("release withdrawn", "version", version, "reason", reason, "by", by)
	if err := os.RemoveAll(filepath.Join(s.Dir, version)); err != nil { // a version of the store: no path
		return edp.Release{}, fmt.Errorf("deleting the files of release %s: %w", version, err)
	}
	return s.Store.Release(ctx, version)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("syncing folder %s: %w", dir, err)
	}
	return nil
}
