package download

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Wanted is a file to fetch.
type Wanted struct {
	URL    string // https
	Path   string // where it goes; a file that lies there is taken for its beginning
	Size   int64
	SHA256 string // lower case hex
}

// errBroken: a connection ended, or fell silent, in mid-file.
var errBroken = errors.New("the connection broke")

// part is a file that is being fetched.
type part struct {
	Wanted
	file *os.File
	hash hash.Hash // of what is there
	have int64
	etag string // strong; of the server's file that this is a part of
	tell func(have int64)
}

// File fetches a file. tell, which may be nil, hears after each piece how many bytes
// are there. The file is readable by its owner alone. Should the server have another
// file, the error is ErrContent and what came is removed.
func (c Client) File(ctx context.Context, w Wanted, tell func(have int64)) error {
	p, err := openPart(w, tell)
	if err != nil {
		return fmt.Errorf("fetching %s: %w", shown(w.URL), err)
	}
	s, done := c.open()
	defer done()
	found := p.have
	err = s.whole(ctx, p)
	if found > 0 && errors.Is(err, ErrContent) {
		// What lay there may be what is wrong.
		if err = p.restart(); err == nil {
			err = s.whole(ctx, p)
		}
	}
	err = errors.Join(err, p.file.Close())
	if errors.Is(err, ErrContent) {
		err = errors.Join(err, os.Remove(w.Path))
	}
	if err != nil {
		return fmt.Errorf("fetching %s: %w", shown(w.URL), err)
	}
	return nil
}

// whole fetches what is missing, by as many requests as it takes, and looks at the
// whole.
func (s *session) whole(ctx context.Context, p *part) error {
	err := s.persist(ctx, func(ctx context.Context) (bool, error) {
		before := p.have
		err := s.more(ctx, p)
		return p.have > before, err
	})
	if err != nil {
		return err
	}
	return p.check()
}

// openPart takes over what lies there already.
func openPart(w Wanted, tell func(int64)) (*part, error) {
	f, err := os.OpenFile(w.Path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if tell == nil {
		tell = func(int64) {}
	}
	p := &part{Wanted: w, file: f, hash: sha256.New(), tell: tell}
	p.have, err = io.Copy(p.hash, io.LimitReader(f, w.Size+1))
	if err == nil && p.have > w.Size {
		err = p.restart()
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return p, nil
}

// restart forgets what is there.
func (p *part) restart() error {
	p.hash.Reset()
	p.have, p.etag = 0, ""
	_, err := p.file.Seek(0, io.SeekStart)
	return errors.Join(err, p.file.Truncate(0))
}

func (p *part) check() error {
	if hex.EncodeToString(p.hash.Sum(nil)) != p.SHA256 {
		return fmt.Errorf("%w: its SHA-256 is another one", ErrContent)
	}
	return nil
}

// more fetches what is missing, with one request.
func (s *session) more(ctx context.Context, p *part) error {
	if p.have == p.Size {
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	resp, err := s.get(ctx, p.URL, p.ask)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := p.fits(resp); err != nil {
		return err
	}
	limit := or(s.Silence, silence)
	quiet := time.AfterFunc(limit, func() { cancel(fmt.Errorf("%w: nothing came for %v", errBroken, limit)) })
	defer quiet.Stop()
	return p.take(ctx, resp.Body, func() { quiet.Reset(limit) })
}

// ask adds what is wanted to a request.
func (p *part) ask(h http.Header) {
	if p.have == 0 {
		return
	}
	h.Set("Range", fmt.Sprintf("bytes=%d-", p.have))
	if p.etag != "" {
		h.Set("If-Range", p.etag)
	}
}

// fits looks at an answer: it has to go on where the file ends, or bring it whole.
func (p *part) fits(resp *http.Response) error {
	etag := resp.Header.Get("ETag")
	if strings.HasPrefix(etag, "W/") {
		etag = "" // a weak one does not say that the bytes are the same (RFC 9110, section 8.8.1)
	}
	switch resp.StatusCode {
	case http.StatusOK:
		if err := p.restart(); err != nil {
			return err
		}
		if resp.ContentLength >= 0 && resp.ContentLength != p.Size {
			return fmt.Errorf("%w: it has %d bytes instead of %d", ErrContent, resp.ContentLength, p.Size)
		}
	case http.StatusPartialContent:
		if p.etag != "" && etag != p.etag {
			return p.again("the file has changed on the server")
		}
		if want := fmt.Sprintf("bytes %d-%d/%d", p.have, p.Size-1, p.Size); resp.Header.Get("Content-Range") != want {
			return p.again(fmt.Sprintf("the server sent %.60q instead of %q", resp.Header.Get("Content-Range"), want))
		}
	case http.StatusRequestedRangeNotSatisfiable:
		return p.again("the server does not have so much")
	default:
		return &laterError{err: fmt.Errorf("the server answered %s", resp.Status)}
	}
	p.etag = etag
	return nil
}

// again begins from the start, with the next request.
func (p *part) again(why string) error {
	if err := p.restart(); err != nil {
		return err
	}
	return &laterError{err: errors.New(why)}
}

// take writes what comes, up to the size.
func (p *part) take(ctx context.Context, body io.Reader, alive func()) error {
	piece := make([]byte, 128<<10)
	for {
		n, err := body.Read(piece)
		if over := p.have + int64(n) - p.Size; over > 0 {
			return fmt.Errorf("%w: it has more than %d bytes", ErrContent, p.Size)
		}
		if n > 0 {
			alive()
			if err := p.write(piece[:n]); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF) && p.have == p.Size:
			return nil
		case errors.Is(err, io.EOF):
			return &laterError{err: fmt.Errorf("%w after %d of %d bytes", errBroken, p.have, p.Size)}
		case err != nil && ctx.Err() != nil:
			return &laterError{err: context.Cause(ctx)}
		case err != nil:
			return &laterError{err: fmt.Errorf("%w: %w", errBroken, err)}
		}
	}
}

// write appends. A disk that is full stays so: that is no error that passes.
func (p *part) write(b []byte) error {
	if _, err := p.file.Write(b); err != nil {
		return err
	}
	p.hash.Write(b) // never fails
	p.have += int64(len(b))
	p.tell(p.have)
	return nil
}
