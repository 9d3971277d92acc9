// Package client is a client of the HTTP API of the cloud end. An API token is
// all it needs: the token holds the address and the key of the certification
// authority, and no other authority is believed.
//
//	token, err := wire.ParseToken(wire.APIToken, text)
//	c, err := client.New(token)
//	devices, err := c.Devices(ctx, "")
package client

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"lwc/cloud/api/apitype"
	"lwc/transport/wire"
)

// Client calls the API. It is safe for concurrent use.
type Client struct {
	base   string
	bearer string
	http   *http.Client
	long   *http.Client // the same, for answers that may take long
}

// callTime bounds one call, the answer's body included.
const callTime = 2 * time.Minute

// maxAnswer bounds an answer that is kept in memory.
const maxAnswer = 1 << 30

// New returns a client for the cloud that a token names. It connects to
// nothing yet.
func New(t wire.Token) (*Client, error) {
	u, err := url.Parse(t.URL)
	if err != nil || u.Scheme != "https" {
		return nil, errors.New("making a client: the token names no https address")
	}
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		TLSClientConfig:     pinned(t.CAPin, u.Hostname()),
		ForceAttemptHTTP2:   true,
		TLSHandshakeTimeout: 15 * time.Second,
		IdleConnTimeout:     30 * time.Second,
	}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{
		base:   strings.TrimSuffix(t.URL, "/") + apitype.Prefix,
		bearer: apitype.Bearer(t),
		http:   &http.Client{Transport: transport, Timeout: callTime, CheckRedirect: stay},
		long:   &http.Client{Transport: transport, CheckRedirect: stay},
	}, nil
}

// URL is the address of the cloud.
func (c *Client) URL() string { return strings.TrimSuffix(c.base, apitype.Prefix) }

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Problem is an error that the API answered (RFC 9457).
type Problem struct {
	Status int    `json:"status"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Errors []struct {
		Message  string `json:"message"`
		Location string `json:"location"`
	} `json:"errors"`
}

// Error implements error: the detail, and each thing that is wrong on a line.
func (p *Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.Detail)
	if p.Detail == "" {
		fmt.Fprintf(&b, "the cloud answered %d %s", p.Status, p.Title)
	}
	for _, e := range p.Errors {
		b.WriteString("\n  ")
		if at := strings.TrimPrefix(strings.TrimPrefix(e.Location, "body"), "."); at != "" {
			b.WriteString(at + ": ")
		}
		b.WriteString(e.Message)
	}
	return b.String()
}

// call sends a request and decodes the answer into out, unless that is nil.
func (c *Client) call(ctx context.Context, method, path string, query url.Values, in, out any) error {
	var body []byte
	var err error
	switch v := in.(type) {
	case nil:
	case plain:
		body = v
	default:
		if body, err = json.Marshal(in); err != nil {
			return fmt.Errorf("encoding a request: %w", err)
		}
	}
	answer, err := c.send(ctx, method, path, query, body)
	if err != nil || out == nil {
		return err
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("reading the answer of %s %s: %w", method, path, err)
	}
	return nil
}

// plain is a body that is JSON already.
type plain []byte

func (c *Client) send(ctx context.Context, method, path string, query url.Values, body []byte) ([]byte, error) {
	target := c.base + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("making a request: %w", err)
	}
	req.Header.Set("Authorization", c.bearer)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, explain(c.base, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("reading the answer of %s: %w", target, err)
	}
	if resp.StatusCode >= 300 {
		return nil, problemOf(resp, answer)
	}
	return answer, nil
}

// silence bounds how long a streamed answer may stand still: the cloud hashes what
// it stores while it writes an export.
const silence = 5 * time.Minute

// stream returns the body of an answer that may be too large for memory. It fails
// when nothing comes for long.
func (c *Client) stream(ctx context.Context, path string, query url.Values) (io.ReadCloser, error) {
	target := c.base + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(silence, func() { cancel(fmt.Errorf("the cloud sent nothing for %v", silence)) })
	stop := func() { timer.Stop(); cancel(nil) }
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		stop()
		return nil, fmt.Errorf("making a request: %w", err)
	}
	req.Header.Set("Authorization", c.bearer)
	resp, err := c.long.Do(req)
	if err != nil {
		stop()
		return nil, explain(c.base, cmp.Or(context.Cause(ctx), err))
	}
	if resp.StatusCode < 300 {
		return &streamed{resp.Body, ctx, timer, stop}, nil
	}
	defer stop()
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("reading the answer of %s: %w", target, err)
	}
	return nil, problemOf(resp, answer)
}

// streamed is a body whose every Read puts off its end by silence.
type streamed struct {
	io.ReadCloser
	ctx   context.Context // of this one request
	timer *time.Timer
	stop  func()
}

// Read implements io.Reader.
func (s *streamed) Read(b []byte) (int, error) {
	n, err := s.ReadCloser.Read(b)
	if n > 0 {
		s.timer.Reset(silence)
	}
	if err != nil && err != io.EOF {
		err = cmp.Or(context.Cause(s.ctx), err)
	}
	return n, err
}

// Close implements io.Closer.
func (s *streamed) Close() error {
	defer s.stop()
	return s.ReadCloser.Close()
}

// problemOf reads an answer that is not a success.
func problemOf(resp *http.Response, answer []byte) error {
	p := &Problem{}
	if json.Unmarshal(answer, p) != nil || p.Status == 0 {
		p = &Problem{Title: http.StatusText(resp.StatusCode)}
	}
	p.Status = resp.StatusCode
	if p.Status == http.StatusUnauthorized {
		p.Detail = "the cloud does not accept this API token: it is wrong, expired or deleted; make a new one with lwc-cloud api-token"
	}
	return p
}

// explain shortens what net/http says of a failed connection.
func explain(base string, err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	host := strings.TrimSuffix(strings.TrimPrefix(base, "https://"), apitype.Prefix)
	var alert tls.AlertError
	if errors.As(err, &alert) {
		return fmt.Errorf("calling the cloud at %s: TLS refused: %w", host, err)
	}
	return fmt.Errorf("calling the cloud at %s: %w", host, err)
}
