package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// place is a file to be: what comes into it can be had only once, so the room for it is
// taken before it is asked for.
type place struct {
	path string
	f    *os.File // beside it, made with mode 0600
}

// reserve takes the room for so many bytes beside path. What is at path stays until
// write.
func reserve(path string, room int) (_ *place, err error) {
	switch info, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, fmt.Errorf("%s is a folder: name a file in it", path)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no plain file: name another one", path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".lwc-token-*")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the folder %s does not exist: make it first", filepath.Dir(path))
	} else if err != nil {
		return nil, fmt.Errorf("nothing can be written to the folder %s: %w", filepath.Dir(path), err)
	}
	p := &place{path, f}
	_, err = f.Write(make([]byte, room)) // a full disk, or a quota, says so now
	if err = errors.Join(err, f.Sync()); err != nil {
		return nil, errors.Join(fmt.Errorf("there is no room in the folder %s: %w", filepath.Dir(path), err), p.leave())
	}
	return p, nil
}

// write makes the file, whole or not at all.
func (p *place) write(b []byte) error {
	_, err := p.f.WriteAt(b, 0)
	if err == nil {
		err = p.f.Truncate(int64(len(b)))
	}
	err = errors.Join(err, p.f.Sync(), p.f.Close())
	if err == nil {
		err = os.Rename(p.f.Name(), p.path)
	}
	if err != nil {
		return errors.Join(err, p.leave())
	}
	return nil
}

// leave gives the room back, where it was not used.
func (p *place) leave() error {
	_ = p.f.Close() // it may be closed already
	if err := os.Remove(p.f.Name()); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
