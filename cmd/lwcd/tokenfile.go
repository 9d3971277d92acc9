package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"lwc/cmd/lwcd/halves"
)

// maxToken bounds the token file: a token has about 300 bytes.
const maxToken = 64 << 10

// tokenFile is the file into which somebody puts an enrolment token, for one
// collector half: a file of root's, since it tells what may be dialled, and no
// link, since what it is will be overwritten. It implements halves.Tokens.
type tokenFile struct {
	path string
	// offer is called with a token before the collector half has it, enrolled once
	// the half says that it has used it. An error of offer withholds the token.
	offer    func(text []byte) error
	enrolled func() error

	mu   sync.Mutex   // guards what follows
	read halves.Stamp // of what the half was given last
}

// Stamp implements halves.Tokens.
func (t *tokenFile) Stamp(context.Context) (halves.Stamp, error) {
	info, err := os.Lstat(t.path)
	if err != nil {
		return halves.Stamp{}, err
	}
	return t.stamp(info)
}

func (t *tokenFile) stamp(info fs.FileInfo) (halves.Stamp, error) {
	if err := plain(t.path, info); err != nil {
		return halves.Stamp{}, fmt.Errorf("reading the enrolment token: %w", err)
	}
	if info.Size() > maxToken {
		return halves.Stamp{}, fmt.Errorf("reading the enrolment token: %s has %d bytes and is no token", t.path, info.Size())
	}
	return halves.Stamp{Changed: info.ModTime().UnixNano(), Size: info.Size()}, nil
}

// Read implements halves.Tokens.
func (t *tokenFile) Read(context.Context) (halves.Token, error) {
	text, info, err := readPlain(t.path, maxToken)
	if err != nil {
		return halves.Token{}, fmt.Errorf("reading the enrolment token: %w", err)
	}
	stamp, err := t.stamp(info)
	if err == nil {
		err = t.offer(bytes.Clone(text))
	}
	if err != nil {
		clear(text)
		return halves.Token{}, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.read = stamp
	return halves.Token{Stamp: stamp, Text: text}, nil
}

// Erase implements halves.Tokens. A token that came after the one that the half
// was given stays.
func (t *tokenFile) Erase(context.Context) error {
	t.mu.Lock()
	used := t.read
	t.mu.Unlock()
	if used == (halves.Stamp{}) {
		return errors.New("erasing the enrolment token: none was asked for")
	}
	return errors.Join(t.enrolled(), erase(t.path, func(info fs.FileInfo) error {
		if now, err := t.stamp(info); err != nil || now != used {
			return errors.Join(fmt.Errorf("erasing the enrolment token: %s holds another one, which is left there", t.path), err)
		}
		return nil
	}))
}

// permitWriting is for a file of ours that is read-only: there is no capability to
// override that.
func permitWriting(path string) error {
	f, _, err := openPlain(path, os.O_RDONLY)
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(0o600), f.Close())
}

// erase overwrites a file with zeros and removes it, unless check, which may be
// nil, objects. One that is not there is erased already.
func erase(path string, check func(fs.FileInfo) error) error {
	f, info, err := openPlain(path, os.O_WRONLY)
	if errors.Is(err, fs.ErrPermission) && permitWriting(path) == nil {
		f, info, err = openPlain(path, os.O_WRONLY)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if check != nil {
		if err := check(info); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	_, err = f.Write(make([]byte, info.Size()))
	return errors.Join(err, f.Sync(), f.Truncate(0), f.Close(), os.Remove(path))
}
