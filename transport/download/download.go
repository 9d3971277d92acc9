package download

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// ErrContent: the server's file is not the one that was asked for.
var ErrContent = errors.New("the server has another file under this name")

// RefusedError is a server's refusal, in its own words: asking again does not help.
type RefusedError struct {
	Status  int    // of HTTP
	Message string // one line of printable text; may be empty
}

// Error implements error.
func (e *RefusedError) Error() string {
	text := fmt.Sprintf("the server refused (%d %s)", e.Status, http.StatusText(e.Status))
	if e.Message != "" {
		text += ": " + e.Message
	}
	return text
}

// Client is how to fetch. Dial and TLS are required.
type Client struct {
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// TLS returns the configuration for a connection to that host: whom to believe, and
	// what to show. It is asked for each connection.
	TLS func(host string) *tls.Config
	// Silence is how long a connection may bring nothing; 0: a minute.
	Silence time.Duration
	// Pause is the first wait after an attempt that brought nothing, doubled up to a
	// minute; 0: a second.
	Pause time.Duration
	// Tries is how many attempts in a row may bring nothing; 0: twelve, some nine
	// minutes.
	Tries int
}

const (
	silence  = time.Minute
	pause    = time.Second
	maxPause = time.Minute
	tries    = 12
	// maxWords bounds what is repeated of a refusal.
	maxWords = 300
)

func or[T comparable](v, unset T) T {
	var zero T
	if v == zero {
		return unset
	}
	return v
}

// laterError is an attempt that failed in a way that may pass.
type laterError struct {
	err  error
	wait time.Duration // that the server asked for; 0: none
}

func (e *laterError) Error() string { return e.err.Error() }
func (e *laterError) Unwrap() error { return e.err }

// session is the connections of one call.
type session struct {
	Client
	http *http.Client
}

func (c Client) open() (*session, func()) {
	t := &http.Transport{
		DialTLSContext:         c.dialTLS,
		DialContext:            func(context.Context, string, string) (net.Conn, error) { return nil, errPlain },
		MaxIdleConnsPerHost:    1,
		DisableCompression:     true,
		ResponseHeaderTimeout:  or(c.Silence, silence),
		MaxResponseHeaderBytes: 64 << 10,
	}
	s := &session{c, &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	return s, t.CloseIdleConnections
}

// errPlain: what is fetched is for this collector alone.
var errPlain = errors.New("only addresses that begin with https:// are fetched from")

func (c Client) dialTLS(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, or(c.Silence, silence))
	defer cancel()
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	raw, err := c.Dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	conf := c.TLS(host)
	conf.NextProtos = []string{"http/1.1"}
	conn := tls.Client(raw, conf)
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, fmt.Errorf("securing the connection to %s: %w", addr, err)
	}
	return conn, nil
}

// Small returns what is at an address, of limit bytes at most.
func (c Client) Small(ctx context.Context, address string, limit int64) ([]byte, error) {
	s, done := c.open()
	defer done()
	var text []byte
	err := s.persist(ctx, func(ctx context.Context) (progress bool, err error) {
		text, err = s.small(ctx, address, limit)
		return false, err
	})
	if err != nil {
		return nil, fmt.Errorf("fetching %s: %w", shown(address), err)
	}
	return text, nil
}

func (s *session) small(ctx context.Context, address string, most int64) ([]byte, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	resp, err := s.get(ctx, address, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, &laterError{err: fmt.Errorf("the server answered %s", resp.Status)}
	}
	// What is short comes at once, or not at all.
	limit := or(s.Silence, silence)
	quiet := time.AfterFunc(limit, func() { cancel(fmt.Errorf("%w: it was not there within %v", errBroken, limit)) })
	defer quiet.Stop()
	text, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, &laterError{err: context.Cause(ctx)}
	case err != nil:
		return nil, &laterError{err: err}
	case int64(len(text)) > most:
		return nil, fmt.Errorf("%w: it has more than %d bytes", ErrContent, most)
	}
	return text, nil
}

// persist tries until it works, ends for good, or Tries attempts in a row brought
// nothing.
func (s *session) persist(ctx context.Context, try func(context.Context) (progress bool, err error)) error {
	wait := or(s.Pause, pause)
	for failed := 0; ; {
		progress, err := try(ctx)
		var later *laterError
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !errors.As(err, &later):
			return err
		}
		if failed++; progress {
			failed, wait = 0, or(s.Pause, pause)
		}
		if failed >= or(s.Tries, tries) {
			return fmt.Errorf("giving up after %d attempts that brought nothing: %w", failed, err)
		}
		if !sleep(ctx, max(wait, later.wait)) {
			return context.Cause(ctx)
		}
		wait = min(2*wait, maxPause)
	}
}

// get sends one request and returns an answer that carries content (2xx, 416). What
// the server refuses, and what may pass, are errors.
func (s *session) get(ctx context.Context, address string, edit func(http.Header)) (*http.Response, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, errPlain
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	if edit != nil {
		edit(req.Header)
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return nil, &laterError{err: plain(err)}
	}
	switch {
	case resp.StatusCode/100 == 2, resp.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		return resp, nil
	}
	defer resp.Body.Close()
	refused := &RefusedError{resp.StatusCode, words(resp.Body)}
	if resp.StatusCode/100 == 5 || resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusRequestTimeout {
		return nil, &laterError{refused, retryAfter(resp.Header.Get("Retry-After"), time.Now())}
	}
	return nil, refused
}

// plain drops the method and the address, which the caller names.
func plain(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// words makes one printable line of an answer's body.
func words(r io.Reader) string {
	b, _ := io.ReadAll(io.LimitReader(r, 2<<10)) // half an answer is as good
	line := strings.Join(strings.FieldsFunc(strings.ToValidUTF8(string(b), "?"), func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r)
	}), " ")
	if r := []rune(line); len(r) > maxWords {
		return string(r[:maxWords]) + "…"
	}
	return line
}

// maxAfter is the longest wait that a server can ask for.
const maxAfter = 10 * time.Minute

// retryAfter reads the two forms of Retry-After (RFC 9110, section 10.2.3).
func retryAfter(v string, now time.Time) time.Duration {
	if secs, err := strconv.Atoi(strings.TrimSpace(v)); err == nil {
		return time.Duration(min(max(secs, 0), int(maxAfter/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return min(max(at.Sub(now), 0), maxAfter)
	}
	return 0
}

// shown is an address as it goes into words: what could be a secret in it is left out.
func shown(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return fmt.Sprintf("%.80q", address)
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// sleep returns false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
