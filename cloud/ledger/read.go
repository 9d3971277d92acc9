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

// Bounds of an export: a file of a kilobyte can claim to hold more than any disk.
const (
	maxHead     = 16 << 20 // 250,000 runs
	maxManifest = 64 << 20 // as the cloud takes
	maxRecords  = 16 << 20
	maxBody     = 1 << 30 // the largest document that a collector takes
	maxKeys     = 256     // each signature may be tried with all of them
	// maxObjects is what one file may have of JSON objects: the account of 10,000
	// devices that came in one section has half of it.
	maxObjects = 1 << 20
	// objectCost is what an object costs in memory beyond its text. It makes a file
	// of empty ones as dear as it is.
	objectCost = 256
	// maxKept bounds what is kept: the accounts of 10 million documents.
	maxKept = 8 << 30
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
	return (&walk{tar: tar.NewReader(z), visitor: v, room: maxKept}).all(z)
}

// all reads every file, and z to its end.
func (w *walk) all(z io.Reader) error {
	for {
		h, err := w.tar.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = w.entry(h)
		}
		if err != nil {
			return fmt.Errorf("reading the ledger: %w", outside(err))
		}
	}
	err := w.emit()
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
	room    int64 // for what is kept in memory
}

// entry reads one file of the tar. Holes of a sparse file read as zeros that no disk
// holds: nobody who exports makes one.
func (w *walk) entry(h *tar.Header) error {
	for name := range h.PAXRecords {
		if strings.HasPrefix(name, "GNU.sparse.") {
			return fmt.Errorf("%.80q has holes: %w", h.Name, ErrFormat)
		}
	}
	if h.Typeflag != tar.TypeReg {
		return fmt.Errorf("%.80q is not an ordinary file: %w", h.Name, ErrFormat)
	}
	return w.file(h.Name)
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
		return w.readBody(strings.TrimSuffix(strings.TrimPrefix(name, bytesDir), ".xml"))
	}
	return fmt.Errorf("%.80q is no file of an export: %w", name, ErrFormat)
}

// readBody hashes the bytes of a document, and keeps none.
func (w *walk) readBody(id string) error {
	if wire.CheckID(id) != nil {
		return fmt.Errorf("%s%.80s is named by no document: %w", bytesDir, id, ErrFormat)
	}
	if err := w.keep(1, 0); err != nil {
		return err
	}
	sum := sha256.New()
	n, err := io.Copy(sum, io.LimitReader(w.tar, maxBody+1))
	if err == nil && n > maxBody {
		err = fmt.Errorf("document %s has more than %d bytes: %w", id, maxBody, ErrFormat)
	}
	if err != nil {
		return err
	}
	return w.visitor.bytes(id, hex.EncodeToString(sum.Sum(nil)), n)
}

// whole reads a JSON file whose contents are kept.
func (w *walk) whole(limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(w.tar, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("a file of more than %d bytes: %w", limit, ErrFormat)
	}
	if err != nil {
		return nil, err
	}
	objects := bytes.Count(b, []byte("{"))
	if objects > maxObjects {
		return nil, fmt.Errorf("a file of more than %d entries: %w", maxObjects, ErrFormat)
	}
	return b, w.keep(objects, len(b))
}

// errRoom says what to do with a ledger that is too large for one check.
var errRoom = errors.New("it accounts for more documents than can be checked at once: export and check run by run, with --run")

// keep takes the room for objects with so many bytes of text.
func (w *walk) keep(objects, text int) error {
	if w.room -= int64(objects)*objectCost + int64(text); w.room < 0 {
		return errRoom
	}
	return nil
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
	case wire.CheckCollectorID(h.Collector) != nil || !h.Documents.Known() || len(h.Keys) > maxKeys:
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
