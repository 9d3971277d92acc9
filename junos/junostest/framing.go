package junostest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"
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

// mode is how documents are told apart.
type mode int

const (
	delimited mode = iota // RFC 6242 section 4.3
	chunked               // section 4.2
	bare                  // not at all: a command of the CLI has one
)

// framer reads requests and writes documents on one session.
type framer struct {
	r        *bufio.Reader
	w        io.Writer
	mode     mode
	buffer   *sync.Pool      // of *bytes.Buffer
	watch    *sync.WaitGroup // who looks for a request that comes too early
	watching bool            // there has been a watch
}

// through is the same session with another way to write to it.
func (f *framer) through(w io.Writer) *framer {
	g := *f
	g.w = w
	return &g
}

func newFramer(rw io.ReadWriter, buffer *sync.Pool) *framer {
	return &framer{r: bufio.NewReaderSize(rw, 4096), w: rw, buffer: buffer, watch: new(sync.WaitGroup)}
}

// read returns the next request without its framing, at most maxRequest long.
func (f *framer) read() ([]byte, error) {
	f.watch.Wait()
	if f.mode == chunked {
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

// write sends one document in the framing of the session, in one write unless
// the writer is one that cuts: that gets the framing on its own.
func (f *framer) write(doc []byte) error {
	s, whole := f.w.(*splitter)
	if whole = !whole; whole {
		b, _ := f.buffer.Get().(*bytes.Buffer)
		defer f.buffer.Put(b)
		b.Reset()
		if err := f.through(b).pieces(doc, func() int { return maxChunk }); err != nil {
			return err
		}
		_, err := f.w.Write(b.Bytes())
		return err
	}
	return f.pieces(doc, func() int { return 1 + s.pick(s.most) })
}

// pieces writes a document and its framing one after the other.
func (f *framer) pieces(doc []byte, chunk func() int) error {
	if f.mode != chunked {
		_, err := f.w.Write(doc)
		return errors.Join(err, f.end())
	}
	for len(doc) > 0 {
		n := min(len(doc), chunk())
		if err := f.begin(doc[:n], n); err != nil {
			return err
		}
		doc = doc[n:]
	}
	return f.end()
}

// begin writes part of a document, in chunked framing as the start of a chunk
// of that size.
func (f *framer) begin(part []byte, size int) error {
	if f.mode == chunked {
		if err := f.header(size); err != nil {
			return err
		}
	}
	_, err := f.w.Write(part)
	return err
}

func (f *framer) header(size int) error {
	_, err := fmt.Fprintf(f.w, "\n#%d\n", size)
	return err
}

// end writes what ends a document.
func (f *framer) end() error {
	_, err := io.WriteString(f.w, [...]string{delimited: eom + "\n", chunked: "\n##\n", bare: ""}[f.mode])
	return err
}

// writeWrong frames a document as a broken device does.
func (f *framer) writeWrong(doc []byte, how string) error {
	head, tail := "", eom+"\n"
	if f.mode == delimited || how != "" {
		head, tail = fmt.Sprintf("\n#%d\n", len(doc)), "\n##\n"
	}
	switch how {
	case "size":
		head = fmt.Sprintf("\n#%d\n", max(1, len(doc)-5))
	case "zero":
		head = "\n#0\n"
	case "header":
		head = "\n#99999999999999999999\n"
	}
	_, err := f.w.Write(slices.Concat([]byte(head), doc, []byte(tail)))
	return err
}
