package proxy

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"lwc/transport/secret"
)

// defaultTimeout is what a proxy needs to resolve the name and to connect, with
// a try or two that fail.
const defaultTimeout = 30 * time.Second

// Dialer dials through one proxy. Its fields are not changed by DialContext.
type Dialer struct {
	// Proxy is where the proxy is.
	Proxy URL
	// User and Password are sent with the scheme Basic (RFC 7617), in clear unless
	// Proxy.TLS is set. Optional: without a user none are.
	User     string
	Password secret.Text
	// Dial makes the TCP connection to the proxy. Required.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// TLS is for the connection to a proxy with TLS. Optional: nil trusts the
	// authorities of the system.
	TLS *tls.Config
	// Timeout bounds all that DialContext does. Optional: zero means 30 s.
	Timeout time.Duration
}

// DialContext connects to addr ("host:port") through the proxy. The network is
// tcp, tcp4 or tcp6; which of them the proxy uses is its own matter. The error
// is an *Error, but for a network, an address or credentials with which no proxy
// could be asked.
func (d *Dialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if !strings.HasPrefix(network, "tcp") {
		return nil, net.UnknownNetworkError(network)
	}
	request, err := d.request(addr)
	if err != nil {
		return nil, err
	}
	defer clear(request)
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(max(d.Timeout, 0), defaultTimeout))
	defer cancel()
	conn, err := d.connect(ctx)
	if err != nil {
		return nil, d.failed(addr, KindUnreachable, err)
	}
	tunnel, err := d.open(ctx, conn, addr, request)
	if err != nil {
		return nil, errors.Join(err, ignoreClosed(conn.Close()))
	}
	return tunnel, nil
}

// request returns the CONNECT request. It holds the password.
func (d *Dialer) request(addr string) ([]byte, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("dialing through the proxy %s: %w", d.Proxy, err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || host == "" || len(host) > 253 || strings.ContainsFunc(host, outsideHost) {
		return nil, fmt.Errorf("dialing through the proxy %s: %w", d.Proxy, &net.AddrError{Err: "not a host and a port", Addr: addr})
	}
	addr = net.JoinHostPort(host, port)
	var b bytes.Buffer
	fmt.Fprintf(&b, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n", addr, addr)
	if d.User != "" {
		if err := d.authorize(&b); err != nil {
			return nil, err
		}
	}
	b.WriteString("\r\n")
	return b.Bytes(), nil
}

// authorize writes the credentials. A colon ends the user's name, and control
// characters are in neither (RFC 7617 section 2).
func (d *Dialer) authorize(b *bytes.Buffer) error {
	password := d.Password.Reveal()
	if strings.Contains(d.User, ":") || strings.ContainsFunc(d.User, isControl) || bytes.ContainsFunc(password, isControl) {
		return fmt.Errorf("dialing through the proxy %s: a colon in the user's name, or a control character: the scheme Basic cannot say it", d.Proxy)
	}
	plain := make([]byte, 0, len(d.User)+1+len(password))
	plain = append(append(append(plain, d.User...), ':'), password...)
	defer clear(plain)
	coded := make([]byte, base64.StdEncoding.EncodedLen(len(plain)))
	defer clear(coded)
	base64.StdEncoding.Encode(coded, plain)
	b.Grow(len(coded) + 64) // one array, which the caller wipes
	b.WriteString("Proxy-Authorization: Basic ")
	b.Write(coded)
	b.WriteString("\r\n")
	return nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// connect makes the connection to the proxy itself.
func (d *Dialer) connect(ctx context.Context) (net.Conn, error) {
	if d.Dial == nil {
		return nil, errors.New("nothing to dial the proxy through")
	}
	raw, err := d.Dial(ctx, "tcp", d.Proxy.Address())
	if err != nil || !d.Proxy.TLS {
		return raw, err
	}
	conf := &tls.Config{}
	if d.TLS != nil {
		conf = d.TLS.Clone()
	}
	conf.ServerName = cmp.Or(conf.ServerName, d.Proxy.Host)
	conf.MinVersion = max(conf.MinVersion, tls.VersionTLS12)
	conn := tls.Client(raw, conf)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("securing the connection to the proxy: %w", err), ignoreClosed(raw.Close()))
	}
	return conn, nil
}

// open asks for the tunnel. The end of ctx breaks reading and writing.
func (d *Dialer) open(ctx context.Context, conn net.Conn, addr string, request []byte) (net.Conn, error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	_, err := conn.Write(request)
	var rest []byte
	if err == nil {
		var a answer
		if a, rest, err = readAnswer(conn); err == nil {
			err = d.judge(a, addr)
		}
	}
	if !stop() { // the deadline is in the past, or is about to be
		return nil, d.failed(addr, KindTimeout, context.Cause(ctx))
	}
	if err != nil {
		return nil, d.classified(addr, err)
	}
	if len(rest) > 0 {
		return &prefixed{Conn: conn, rest: rest}, nil
	}
	return conn, nil
}

func (d *Dialer) failed(addr string, kind Kind, err error) error {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		kind = KindTimeout
	}
	return &Error{Kind: kind, Proxy: d.Proxy.String(), Target: addr, Err: err}
}

// classified makes an *Error of what reading the answer gave.
func (d *Dialer) classified(addr string, err error) error {
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	if errors.Is(err, errNotHTTP) {
		return d.failed(addr, KindProtocol, err)
	}
	return d.failed(addr, KindUnreachable, err)
}

// judge returns nil for an answer after which the tunnel is open.
func (d *Dialer) judge(a answer, addr string) error {
	e := &Error{Proxy: d.Proxy.String(), Target: addr, Status: a.status, Detail: a.reason, Sent: d.User != ""}
	switch {
	case a.status >= 200 && a.status < 300:
		return nil
	case a.status == 407, a.status == 401: // tinyproxy says 401 to wrong credentials
		e.Kind, e.Schemes = KindCredentials, a.schemes
	case a.status >= 400 && a.status < 500:
		e.Kind = KindRefused
	case a.status >= 500:
		e.Kind = KindDestination
	default: // a redirect means nothing here
		e.Kind = KindProtocol
	}
	return e
}

// prefixed is a connection of which some bytes were read with the answer.
type prefixed struct {
	net.Conn
	rest []byte
}

// Read returns the bytes that came with the answer first.
func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		return p.Conn.Read(b)
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// NetConn returns the connection that this is.
func (p *prefixed) NetConn() net.Conn { return p.Conn }

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
