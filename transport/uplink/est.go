package uplink

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
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

	"github.com/smallstep/pkcs7"

	"lwc/transport/wire"
)

// DialFunc makes the connections of this package; netguard's dialler of the
// External Port is one.
type DialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// RefusedError is the cloud's refusal of a request, in its own words. The same
// request will be refused again.
type RefusedError struct {
	Request string // what was asked, "enrolling"
	Status  int    // of HTTP
	Message string // what the cloud said, one line of printable text
}

// Error implements error.
func (e *RefusedError) Error() string {
	msg := e.Message
	if msg == "" {
		msg = http.StatusText(e.Status)
	}
	return fmt.Sprintf("%s: the cloud refused (%d): %s", e.Request, e.Status, msg)
}

const (
	// estRequest bounds one request, connection set-up included.
	estRequest = 30 * time.Second
	// estAnswer bounds an answer: a chain of certificates is a few KiB, and the
	// parser of PKCS#7 recurses.
	estAnswer = 64 << 10
	// maxWords bounds what is repeated of a refusal.
	maxWords = 500
)

// client speaks EST (RFC 7030) and fetches the bootstrap answer.
type client struct {
	base *url.URL
	http *http.Client
	tr   *http.Transport
}

func newClient(base string, dial DialFunc, conf *tls.Config) (*client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" {
		return nil, fmt.Errorf("the address %.200q of the cloud is not of the form https://host[:port]", base)
	}
	tr := &http.Transport{DialContext: dial, TLSClientConfig: conf, TLSHandshakeTimeout: estRequest / 2, ForceAttemptHTTP2: true}
	return &client{base: u, tr: tr, http: &http.Client{Transport: tr, Timeout: estRequest,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

func (c *client) close() { c.tr.CloseIdleConnections() }

// laterError is the cloud's wish to be asked again later.
type laterError struct {
	request string
	wait    time.Duration
	message string
}

// Error implements error.
func (e *laterError) Error() string {
	return fmt.Sprintf("%s: the cloud asks to try again in %s: %s", e.request, e.wait, e.message)
}

// do sends one request. what names it in errors.
func (c *client) do(ctx context.Context, what, method, path string, body []byte, edit func(*http.Request)) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base.JoinPath(path).String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if edit != nil {
		edit(req)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, estAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: reading the answer: %w", what, err)
	case len(raw) > estAnswer:
		return nil, fmt.Errorf("%s: the answer has more than %d bytes", what, estAnswer)
	case resp.StatusCode == http.StatusAccepted, resp.StatusCode == http.StatusTooManyRequests:
		return nil, &laterError{what, retryAfter(resp.Header.Get("Retry-After"), time.Now()), words(raw)}
	case resp.StatusCode == http.StatusOK:
		return raw, nil
	case resp.StatusCode >= 400 && resp.StatusCode < 500:
		return nil, &RefusedError{what, resp.StatusCode, words(raw)}
	}
	return nil, fmt.Errorf("%s: the cloud answered %s: %s", what, resp.Status, words(raw))
}

// words makes one printable line of an answer's body.
func words(b []byte) string {
	b = b[:min(len(b), 4*maxWords)]
	line := strings.Join(strings.FieldsFunc(strings.ToValidUTF8(string(b), "?"), func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r)
	}), " ")
	if r := []rune(line); len(r) > maxWords {
		line = string(r[:maxWords]) + "…"
	}
	return line
}

// retryAfter reads the two forms of Retry-After (RFC 9110 §10.2.3), and keeps
// the wait between a second and ten minutes.
func retryAfter(v string, now time.Time) time.Duration {
	d := 30 * time.Second
	if secs, err := strconv.Atoi(strings.TrimSpace(v)); err == nil {
		d = time.Duration(min(max(secs, 0), 86400)) * time.Second
	} else if at, err := http.ParseTime(v); err == nil {
		d = at.Sub(now)
	}
	return min(max(d, time.Second), 10*time.Minute)
}

// caCerts fetches the cloud's authorities (RFC 7030 §4.1).
func (c *client) caCerts(ctx context.Context) ([]*x509.Certificate, error) {
	const what = "fetching the cloud's certification authorities"
	body, err := c.do(ctx, what, http.MethodGet, wire.PathCACerts, nil, nil)
	if err != nil {
		return nil, err
	}
	certs, err := parseCerts(body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return certs, nil
}

// enroll sends a certificate request (RFC 7030 §4.2) and returns the
// certificates of the answer. It waits as often as the cloud asks for it: until
// an administrator approved (202, §4.2.3), or because of too many requests (429).
func (c *client) enroll(ctx context.Context, what, path string, csr []byte, auth func(*http.Request), waiting func(error)) ([]*x509.Certificate, error) {
	body := []byte(base64.StdEncoding.EncodeToString(csr))
	edit := func(r *http.Request) {
		r.Header.Set("Content-Type", "application/pkcs10")
		r.Header.Set("Content-Transfer-Encoding", "base64")
		if auth != nil {
			auth(r)
		}
	}
	for {
		got, err := c.do(ctx, what, http.MethodPost, path, body, edit)
		if err == nil {
			certs, err := parseCerts(got)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", what, err)
			}
			return certs, nil
		}
		var later *laterError
		if !errors.As(err, &later) {
			return nil, err
		}
		waiting(later)
		if ended := sleep(ctx, later.wait); ended != nil {
			return nil, fmt.Errorf("%w: %w", err, ended)
		}
	}
}

// parseCerts reads a certs-only PKCS#7 in base64, as EST answers carry it.
func parseCerts(body []byte) ([]*x509.Certificate, error) {
	// Line breaks are allowed in the base64 (RFC 7030 §4.1.3, RFC 2045).
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(body)), ""))
	if err != nil {
		return nil, fmt.Errorf("the answer is not base64: %w", err)
	}
	p, err := pkcs7.Parse(der)
	if err != nil {
		return nil, fmt.Errorf("the answer is not PKCS#7: %w", err)
	}
	if len(p.Certificates) == 0 {
		return nil, errors.New("the answer holds no certificate")
	}
	return p.Certificates, nil
}

// request makes the PKCS#10 request for a collector. An empty id leaves the
// choice to the token.
func request(id string, key crypto.Signer) ([]byte, error) {
	tmpl := &x509.CertificateRequest{Subject: pkix.Name{CommonName: id}}
	if id != "" {
		if err := wire.CheckCollectorID(id); err != nil {
			return nil, fmt.Errorf("making a certificate request: %w", err)
		}
		tmpl.URIs = []*url.URL{{Scheme: "urn", Opaque: "lwc:" + id}}
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, tmpl, key)
	if err != nil {
		return nil, fmt.Errorf("making a certificate request: %w", err)
	}
	return der, nil
}

// sleep waits for d, or returns the context's error.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// noDial refuses: which port a connection leaves by is never left to chance.
func noDial(context.Context, string, string) (net.Conn, error) {
	return nil, errors.New("there is nothing to dial through")
}
