package junos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
)

// delimiter ends every message of base:1.0, and both hellos (RFC 6242 §4.3).
const delimiter = "]]>]]>"

// bufferSize is that of the read buffer of a reply: at 64 KiB a megabyte costs
// half of what it costs at 4 KiB. A session that waits for a reply to begin has
// only firstSize, in which the smallest replies fit.
const (
	bufferSize = 64 << 10
	firstSize  = 4 << 10
)

// buffers are those of all sessions, since most sessions wait most of the time.
var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// maxBlank is how many line feeds may stand between two chunks.
const maxBlank = 256

// maxChunk is the largest chunk of RFC 6242 §4.2.
const maxChunk = 1<<32 - 1

var (
	errEnd     = errors.New("end of message")
	errFraming = errors.New("bad framing") // bytes that the framing does not allow
)

// source reads more bytes, as pump.read does.
type source func(ctx context.Context, b []byte) (int, error)

// frames cuts a byte stream into messages and hands each out in spans, without
// ever holding or looking at a byte twice, but for a delimiter that is split.
type frames struct {
	read    source
	buf     []byte            // first or large; nil between messages
	large   *[bufferSize]byte // of buffers; nil: none is needed
	r, w    int               // unread bytes are buf[r:w]
	asked   bool              // a read into buf[w:] was left
	chunked bool
	state   chunkState
	size    int64 // of the chunk being read: what is left of it
	blank   int   // line feeds before the chunk
	first   [firstSize]byte
}

func newFrames(read source) *frames { return &frames{read: read} }

// span returns the next bytes of the current message, and errEnd with no
// bytes at its end; after that the next message begins. The bytes are valid until
// the next call. A call that ended with another error may be repeated.
func (f *frames) span(ctx context.Context) ([]byte, error) {
	for {
		b, ok, err := f.step()
		if err == errEnd {
			f.rest()
		}
		if ok || err != nil {
			return b, err
		}
		if err := f.fill(ctx); err != nil {
			return nil, err
		}
	}
}

// step takes a span or an end out of the buffer. It is not ok when it needs
// more bytes.
func (f *frames) step() (b []byte, ok bool, err error) {
	if f.chunked {
		return f.stepChunked()
	}
	return f.stepDelimited()
}

// fill reads behind the unread bytes, of which step leaves less than a delimiter.
// Repeated after an error it asks for the same part of the buffer.
func (f *frames) fill(ctx context.Context) error {
	if !f.asked {
		f.makeRoom()
		f.asked = true
	}
	n, err := f.read(ctx, f.buf[f.w:])
	f.w += n
	f.asked = n == 0
	return err
}

// makeRoom moves the unread bytes to the beginning of a buffer: of the first one
// when the message has yet to begin.
func (f *frames) makeRoom() {
	unread := f.buf[f.r:f.w]
	switch {
	case f.buf == nil:
		f.buf = f.first[:]
	case f.large == nil:
		f.large = buffers.Get().(*[bufferSize]byte)
		f.buf = f.large[:]
	}
	f.r, f.w = 0, copy(f.buf, unread)
}

// rest gives the buffer back between messages, when no byte of the next one is
// in it.
func (f *frames) rest() {
	if f.r < f.w {
		return
	}
	if f.large != nil {
		buffers.Put(f.large)
	}
	f.buf, f.large, f.r, f.w = nil, nil, 0, 0
}

func (f *frames) take(n int) []byte {
	b := f.buf[f.r : f.r+n]
	f.r += n
	return b
}

func (f *frames) stepDelimited() ([]byte, bool, error) {
	unread := f.buf[f.r:f.w]
	i := bytes.Index(unread, []byte(delimiter))
	switch {
	case i == 0:
		f.take(len(delimiter))
		return nil, true, errEnd
	case i > 0:
		return f.take(i), true, nil
	}
	if n := len(unread) - heldBack(unread, delimiter); n > 0 {
		return f.take(n), true, nil
	}
	return nil, false, nil
}

// heldBack returns the length of the longest end of b that the mark begins with.
func heldBack(b []byte, mark string) int {
	for n := min(len(mark)-1, len(b)); n > 0; n-- {
		if string(b[len(b)-n:]) == mark[:n] {
			return n
		}
	}
	return 0
}

// chunkState is the place in the grammar of RFC 6242 §4.2.
type chunkState int

const (
	beforeChunk chunkState = iota // line feeds, then '#'
	chunkHash                     // after '#': a digit, or '#' of the end
	chunkSize
	chunkData
	chunkEnd // after "##"
)

func (f *frames) stepChunked() ([]byte, bool, error) {
	for f.r < f.w {
		if f.state == chunkData {
			n := int(min(f.size, int64(f.w-f.r)))
			if f.size -= int64(n); f.size == 0 {
				f.state, f.blank = beforeChunk, 0
			}
			return f.take(n), true, nil
		}
		end, err := f.header(f.take(1)[0])
		if end {
			err = errEnd
		}
		if err != nil {
			return nil, true, err
		}
	}
	return nil, false, nil
}

// header takes one byte of what stands between the data of two chunks. RFC 6242
// asks for exactly one line feed there; more, and carriage returns, are borne.
func (f *frames) header(c byte) (end bool, err error) {
	switch {
	case f.state == beforeChunk && (c == '\n' || c == '\r') && f.blank < maxBlank:
		f.blank++
	case f.state == beforeChunk && c == '#' && f.blank > 0:
		f.state, f.size = chunkHash, 0
	case f.state == chunkHash && c == '#':
		f.state = chunkEnd
	case f.state == chunkHash && c >= '1' && c <= '9', f.state == chunkSize && c >= '0' && c <= '9':
		f.state, f.size = chunkSize, f.size*10+int64(c-'0')
		if f.size > maxChunk {
			return false, fmt.Errorf("%w: chunk larger than %d", errFraming, int64(maxChunk))
		}
	case f.state == chunkSize && c == '\n':
		f.state = chunkData
	case f.state == chunkEnd && c == '\n':
		f.state, f.blank = beforeChunk, 0
		return true, nil
	default:
		return false, fmt.Errorf("%w: byte %q in a chunk header", errFraming, c)
	}
	return false, nil
}

// frame makes one message ready for a Write: releases of Junos lose a delimiter
// that straddles two.
func frame(message string, chunked bool) []byte {
	return appendFrame(nil, message, chunked)
}

// appendFrame adds a message to those that go out together.
func appendFrame(b []byte, message string, chunked bool) []byte {
	if !chunked {
		return append(append(b, message...), delimiter...)
	}
	b = strconv.AppendInt(append(b, "\n#"...), int64(len(message)), 10)
	b = append(append(b, '\n'), message...)
	return append(b, "\n##\n"...)
}
