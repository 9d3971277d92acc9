package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"lwc/cmd/lwcd/halves"
)

// maxToken bounds the token file: a token has about 300 bytes.
const maxToken = 64 << 10

// tokenFile is the file into which somebody puts an enrolment token: the file
// itself, not a link, since what it is will be overwritten. The supervisor alone
// can read it. It implements halves.Tokens.
type tokenFile struct {
	path string
	// given is called with a token before the collector half has it, enrolled
	// once the half has used it.
	given    func(text []byte)
	enrolled func()
}

// Stamp implements halves.Tokens.
func (t tokenFile) Stamp(context.Context) (halves.Stamp, error) {
	info, err := os.Lstat(t.path)
	if err != nil {
		return halves.Stamp{}, err
	}
	return t.stamp(info)
}

func (t tokenFile) stamp(info fs.FileInfo) (halves.Stamp, error) {
	switch {
	case !info.Mode().IsRegular():
		return halves.Stamp{}, fmt.Errorf("reading the enrolment token: %s is not a file (nor may it be a link)", t.path)
	case info.Size() > maxToken:
		return halves.Stamp{}, fmt.Errorf("reading the enrolment token: %s has %d bytes and is no token", t.path, info.Size())
	}
	return halves.Stamp{Changed: info.ModTime().UnixNano(), Size: info.Size()}, nil
}

// Read implements halves.Tokens.
func (t tokenFile) Read(context.Context) (halves.Token, error) {
	text, info, err := readPlain(t.path, maxToken)
	if err != nil {
		return halves.Token{}, fmt.Errorf("reading the enrolment token: %w", err)
	}
	stamp, err := t.stamp(info)
	if err != nil {
		return halves.Token{}, err
	}
	t.given(bytes.Clone(text))
	return halves.Token{Stamp: stamp, Text: text}, nil
}

// Erase implements halves.Tokens.
func (t tokenFile) Erase(context.Context) error {
	t.enrolled()
	return erase(t.path)
}

// erase overwrites a file with zeros and removes it. One that is not there is
// erased already.
func erase(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return errors.Join(err, os.Remove(path))
	}
	info, err := f.Stat()
	if err == nil && info.Mode().IsRegular() {
		_, err = f.Write(make([]byte, info.Size()))
	}
	return errors.Join(err, f.Sync(), f.Truncate(0), f.Close(), os.Remove(path))
}
