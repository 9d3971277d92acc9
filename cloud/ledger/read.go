package ledger

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"lwc/transport/wire"
)

// Bounds of the files of an export that are read whole.
const (
	maxHead     = 64 << 20
	maxManifest = 64 << 20
	maxRecords  = 16 << 20
)

// ErrFormat says that a file is not an export, or is cut off.
var ErrFormat = errors.New("this is not an export of lwc-cloud ledger export, or not all of it")

// visitor is told what an export holds, in the order of its files.
type visitor interface {
	head(Head) error
	manifest(number int, m Manifest) error
	record(Record) error
	bytes(id, sha256 string, size int64) error
}

// read walks through an export.
func read(r io.Reader, v visitor) error {
	z, err := gzip.NewReader(bufio.NewReaderSize(r, 64<<10))
	if err != nil {
		return fmt.Errorf("reading the ledger: %w", ErrFormat)
	}
	w := &walk{tar: tar.NewReader(z), visitor: v}
	for {
		h, err := w.tar.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && h.Typeflag == tar.TypeReg {
			err = w.file(h.Name)
		}
		if err != nil {
			return fmt.Errorf("reading the ledger: %w", outside(err))
		}
	}
	err = w.emit()
	if err == nil {
		err = drain(z)
	}
	if err != nil {
		return fmt.Errorf("reading the ledger: %w", outside(err))
	}
	if !w.begun {
		return fmt.Errorf("reading the ledger: %w", ErrFormat)
	}
	return nil
}

// maxTail bounds what follows the last file of a tar: blocks of zeros.
const maxTail = 1 << 20

// drain reads to the end of the compressed data, where its checksum stands.
func drain(z io.Reader) error {
	n, err := io.Copy(io.Discard, io.LimitReader(z, maxTail+1))
	if err == nil && n > maxTail {
		err = fmt.Errorf("something follows its last file: %w", ErrFormat)
	}
	return err
}

// outside names what is wrong with a file that is damaged from outside: cut off,
// or not a tar.
func outside(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, tar.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, gzip.ErrHeader) {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return err
}

// walk reads one file after another. A manifest waits for its signature, which is
// the file behind it.
type walk struct {
	tar     *tar.Reader
	visitor visitor
	begun   bool // the head was read
	number  int  // of the manifest that waits
	waiting *Manifest
}

func (w *walk) file(name string) error {
	switch {
	case name == readmeFile:
		return nil
	case name == headFile:
		return w.readHead()
	case !w.begun:
		return fmt.Errorf("%.80q stands before %s: %w", name, headFile, ErrFormat)
	case strings.HasPrefix(name, manifestDir):
		return w.readManifest(strings.TrimPrefix(name, manifestDir))
	case strings.HasPrefix(name, recordDir):
		return w.readRecords()
	case strings.HasPrefix(name, bytesDir):
		sum := sha256.New()
		n, err := io.Copy(sum, w.tar)
		if err != nil {
			return err
		}
		id := strings.TrimSuffix(strings.TrimPrefix(name, bytesDir), ".xml")
		return w.visitor.bytes(id, hex.EncodeToString(sum.Sum(nil)), n)
	}
	return fmt.Errorf("%.80q is no file of an export: %w", name, ErrFormat)
}

func (w *walk) whole(limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(w.tar, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("a file of more than %d bytes: %w", limit, ErrFormat)
	}
	return b, err
}

func (w *walk) readHead() error {
	b, err := w.whole(maxHead)
	if err != nil {
		return err
	}
	var h Head
	if err := json.Unmarshal(b, &h); err != nil {
		return fmt.Errorf("%s: %w", headFile, ErrFormat)
	}
	switch {
	case w.begun:
		return fmt.Errorf("%s stands twice: %w", headFile, ErrFormat)
	case h.V != Version:
		return fmt.Errorf("the export has version %d, this program reads %d: use the newer lwc-cloud", h.V, Version)
	case wire.CheckCollectorID(h.Collector) != nil || !h.Documents.Known():
		return fmt.Errorf("%s: %w", headFile, ErrFormat)
	}
	w.begun = true
	return w.visitor.head(h)
}

func (w *walk) readManifest(name string) error {
	b, err := w.whole(maxManifest)
	if err != nil {
		return err
	}
	digits, signature := strings.CutSuffix(name, signatureEnd)
	n, err := strconv.Atoi(strings.TrimSuffix(digits, ".json"))
	if err != nil {
		return fmt.Errorf("%s%.80s: %w", manifestDir, name, ErrFormat)
	}
	if !signature {
		err := w.emit()
		w.number, w.waiting = n, &Manifest{Plain: b}
		return err
	}
	if w.waiting == nil || w.number != n {
		return fmt.Errorf("%s%.80s does not follow its manifest: %w", manifestDir, name, ErrFormat)
	}
	if err := json.Unmarshal(b, &w.waiting.Envelope); err != nil {
		w.waiting.Envelope = wire.Envelope{} // whoever checks finds no signature
	}
	return nil
}

// emit hands on the manifest that waited.
func (w *walk) emit() error {
	m := w.waiting
	w.waiting = nil
	if m == nil {
		return nil
	}
	return w.visitor.manifest(w.number, *m)
}

func (w *walk) readRecords() error {
	if err := w.emit(); err != nil {
		return err
	}
	b, err := w.whole(maxRecords)
	if err != nil {
		return err
	}
	for line := range bytes.Lines(b) {
		var r Record
		if err := json.Unmarshal(line, &r); err != nil {
			return fmt.Errorf("a record of a document: %w", ErrFormat)
		}
		if err := w.visitor.record(r); err != nil {
			return err
		}
	}
	return nil
}
