package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// errNotPlain says that a file is not what root would have put there.
var errNotPlain = errors.New("it has to be a file of root's, with one name, and no link")

// openPlain opens a file that the supervisor can believe in: no link, pipe or
// device, root's or our own, and without a second name, by which it would be
// somebody else's file that is read or overwritten.
func openPlain(path string, flags int) (*os.File, fs.FileInfo, error) {
	f, err := os.OpenFile(path, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ELOOP) {
		return nil, nil, fmt.Errorf("%s: %w", path, errNotPlain)
	}
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil {
		err = plain(path, info)
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}

// plain judges what was opened, or found by Lstat.
func plain(path string, info fs.FileInfo) error {
	s, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok || !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a file: %w", path, errNotPlain)
	case s.Uid != 0 && int(s.Uid) != os.Geteuid():
		return fmt.Errorf("%s belongs to user %d: %w (chown root)", path, s.Uid, errNotPlain)
	case s.Nlink != 1:
		return fmt.Errorf("%s has %d names: %w", path, s.Nlink, errNotPlain)
	}
	return nil
}

// readPlain reads a short one.
func readPlain(path string, most int64) ([]byte, fs.FileInfo, error) {
	f, info, err := openPlain(path, os.O_RDONLY)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	if info.Size() > most {
		return nil, nil, fmt.Errorf("%s is not a file of at most %d bytes", path, most)
	}
	text, err := io.ReadAll(io.LimitReader(f, most))
	return text, info, err
}

// kept refuses a path on which the collector half could put something of its own:
// one of the folders that lead there is the half's to write. A folder that is not
// there yet will be root's.
func (who identity) kept(path string) error {
	if path == "" || who == (identity{}) {
		return nil
	}
	whole, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	return who.walk(filepath.Dir(whole), func(dir string, s *syscall.Stat_t) error {
		group, others := int(s.Gid) == who.gid && s.Mode&0o020 != 0, s.Mode&0o002 != 0
		if sticky := s.Mode&unix.S_ISVTX != 0; int(s.Uid) == who.uid || (group || others) && !sticky {
			return fmt.Errorf("%s lies below %s, where the collector half can write: put it elsewhere", path, dir)
		}
		return nil
	})
}

// enters refuses a folder that the collector half cannot come into.
func (who identity) enters(path string) error {
	return who.walk(filepath.Dir(path), func(dir string, s *syscall.Stat_t) error {
		may := s.Mode & 0o001
		if int(s.Gid) == who.gid {
			may = s.Mode & 0o010
		}
		if int(s.Uid) == who.uid {
			may = s.Mode & 0o100
		}
		if may == 0 {
			return fmt.Errorf("the collector half (uid %d) cannot enter %s, which leads to %s: chmod o+x", who.uid, dir, path)
		}
		return nil
	})
}

// walk looks at a folder and those above it.
func (identity) walk(dir string, look func(string, *syscall.Stat_t) error) error {
	dir, err := filepath.EvalSymlinks(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for ; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if s, ok := info.Sys().(*syscall.Stat_t); ok {
			if err := look(dir, s); err != nil {
				return err
			}
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}
