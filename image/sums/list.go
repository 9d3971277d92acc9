package sums

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Suffix is how the name of a list ends.
const Suffix = ".SHA256SUMS"

const (
	// maxList bounds a list; a release has ten lines.
	maxList = 64 << 10
	// maxNames bounds the names in it.
	maxNames = 256
)

// List is a list of checksums, in the order of its file.
type List []Entry

// Entry is one file and its SHA-256, in lower case hex.
type Entry struct{ Name, SHA256 string }

// line is what sha256sum writes; a star says that the file was read as it is, which it
// always is here. Names have no folder in them.
var line = regexp.MustCompile(`^([0-9a-f]{64}) [ *]([A-Za-z0-9][A-Za-z0-9._+-]{0,199})$`)

// Parse reads a list of checksums. Every line has to be one, and each name to stand
// there once.
func Parse(text []byte) (List, error) {
	if len(text) > maxList {
		return nil, fmt.Errorf("reading checksums: the list has more than %d bytes", maxList)
	}
	var list List
	for in := bufio.NewScanner(bytes.NewReader(text)); in.Scan(); {
		m := line.FindStringSubmatch(strings.TrimSuffix(in.Text(), "\r")) // a list that went through Windows
		if m == nil || len(list) == maxNames {
			return nil, fmt.Errorf("reading checksums: line %d is not one of sha256sum", len(list)+1)
		}
		if _, twice := list.Sum(m[2]); twice {
			return nil, fmt.Errorf("reading checksums: %s stands there twice", m[2])
		}
		list = append(list, Entry{m[2], m[1]})
	}
	if len(list) == 0 {
		return nil, errors.New("reading checksums: the list is empty")
	}
	return list, nil
}

// Sum returns the checksum of a file by its name.
func (l List) Sum(name string) (sum string, ok bool) {
	for _, e := range l {
		if e.Name == name {
			return e.SHA256, true
		}
	}
	return "", false
}

// Text is the list as sha256sum writes it.
func (l List) Text() []byte {
	var b bytes.Buffer
	for _, e := range l {
		fmt.Fprintf(&b, "%s  %s\n", e.SHA256, e.Name)
	}
	return b.Bytes()
}

// Of computes the list of some files. Their names, without the folders, go into it.
func Of(ctx context.Context, files []string) (List, error) {
	var list List
	for _, path := range files {
		name := filepath.Base(path)
		if !line.MatchString(strings.Repeat("0", 64) + "  " + name) {
			return nil, fmt.Errorf("making checksums: %q cannot stand in a list: use letters, digits and . _ + -", name)
		}
		if _, twice := list.Sum(name); twice {
			return nil, fmt.Errorf("making checksums: two files are called %s", name)
		}
		sum, err := digest(ctx, path)
		if err != nil {
			return nil, fmt.Errorf("making checksums: %w", err)
		}
		list = append(list, Entry{name, sum})
	}
	return list, nil
}

// Verify sees that each file of the list lies in a folder and is what the list says.
func (l List) Verify(ctx context.Context, folder string) error {
	for _, e := range l {
		sum, err := digest(ctx, filepath.Join(folder, e.Name))
		if err != nil {
			return fmt.Errorf("comparing checksums: %w", err)
		}
		if sum != e.SHA256 {
			return fmt.Errorf("comparing checksums: %s has %s, the list says %s", e.Name, sum, e.SHA256)
		}
	}
	return nil
}

func digest(ctx context.Context, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // it was only read
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return "", errors.Join(err, fmt.Errorf("%s is no plain file", path))
	}
	h := sha256.New()
	if _, err := io.Copy(h, stoppable{ctx, f}); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// stoppable ends with its context.
type stoppable struct {
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader.
func (s stoppable) Read(p []byte) (int, error) {
	if s.ctx.Err() != nil {
		return 0, context.Cause(s.ctx)
	}
	return s.r.Read(p)
}
