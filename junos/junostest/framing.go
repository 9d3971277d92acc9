package junostest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

const (
	eom        = "]]>]]>"  // RFC 6242 section 4.3, and of every hello
	maxRequest = 256 << 10 // more than any request to a device like these
	maxChunk   = 8 << 10   // of what is sent
)

var (
	errTooLong = errors.New("request is longer than the device takes")
	errChunk   = errors.New("chunk framing is broken")
)

// framer reads requests and writes documents on one session.
type framer struct {
	r       *bufio.Reader
	w       io.Writer
	chunked bool
}

func newFramer(rw io.ReadWriter) *framer {
	return &framer{r: bufio.NewReaderSize(rw, 4096), w: rw}
}

// read returns the next request without its framing, at most maxRequest long.
func (f *framer) read() ([]byte, error) {
	if f.chunked {
		return f.readChunks()
	}
	return f.readDelimited()
}

func (f *framer) readDelimited() ([]byte, error) {
	var msg []byte
	for {
		part, err := f.r.ReadSlice('>')
		msg = append(msg, part...)
		switch {
		case len(msg) > maxRequest+len(eom):
			return nil, errTooLong
		case errors.Is(err, bufio.ErrBufferFull):
		case err != nil:
			return nil, err
		case bytes.HasSuffix(msg, []byte(eom)):
			return msg[:len(msg)-len(eom)], nil
		}
	}
}

// readChunks reads chunks up to the end-of-chunks (RFC 6242 section 4.2). More
// line feeds than the grammar has are let pass before a chunk.
func (f *framer) readChunks() ([]byte, error) {
	var msg []byte
	for {
		size, end, err := f.chunkHeader()
		if err != nil || end {
			return msg, err
		}
		if size > maxRequest-len(msg) {
			return nil, errTooLong
		}
		start := len(msg)
		msg = append(msg, make([]byte, size)...)
		if _, err := io.ReadFull(f.r, msg[start:]); err != nil {
			return nil, fmt.Errorf("reading a chunk: %w", err)
		}
	}
}

func (f *framer) chunkHeader() (size int, end bool, err error) {
	c, err := f.r.ReadByte()
	for feeds := 0; err == nil && c == '\n' && feeds < 64; feeds++ {
		c, err = f.r.ReadByte()
	}
	if err != nil {
		return 0, false, err
	}
	if c != '#' {
		return 0, false, errChunk
	}
	var digits []byte
	for len(digits) < 11 { // a chunk-size has at most ten digits
		if c, err = f.r.ReadByte(); err != nil {
			return 0, false, err
		}
		if c == '\n' {
			break
		}
		digits = append(digits, c)
	}
	if string(digits) == "#" {
		return 0, true, nil
	}
	size, err = strconv.Atoi(string(digits))
	if err != nil || size < 1 || digits[0] < '1' || digits[0] > '9' || c != '\n' {
		return 0, false, errChunk
	}
	return size, false, nil
}

// write sends one document in the framing of the session.
func (f *framer) write(doc []byte) error {
	var b bytes.Buffer
	b.Grow(len(doc) + 64)
	if !f.chunked {
		b.Write(doc)
		b.WriteString(eom + "\n")
	}
	for rest := doc; f.chunked; {
		n := min(len(rest), maxChunk)
		if n == 0 {
			b.WriteString("\n##\n")
			break
		}
		fmt.Fprintf(&b, "\n#%d\n", n)
		b.Write(rest[:n])
		rest = rest[n:]
	}
	_, err := f.w.Write(b.Bytes())
	return err
}
