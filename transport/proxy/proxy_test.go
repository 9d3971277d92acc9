package proxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"lwc/transport/secret"
)

const testTime = 10 * time.Second

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), testTime)
	t.Cleanup(cancel)
	return ctx
}

// scripted is a proxy that answers every request with the same bytes, and then
// holds the connection until the test ends. What it was asked comes by the channel.
func scripted(t *testing.T, answer string) (URL, <-chan *http.Request) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	asked := make(chan *http.Request, 8)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = c.Close() })
			go func() {
				r, err := http.ReadRequest(bufio.NewReader(c))
				if err != nil {
					return
				}
				asked <- r
				_, _ = io.WriteString(c, answer)
			}()
		}
	}()
	u, err := ParseURL("http://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return u, asked
}

func TestRequest(t *testing.T) {
	u, asked := scripted(t, "HTTP/1.1 200 Connection established\r\n\r\n")
	d := Dialer{Dial: new(net.Dialer).DialContext, Proxy: u, User: "site", Password: secret.FromString("a:b c")}
	c, err := d.DialContext(within(t), "tcp", "[2001:db8::1]:443")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := <-asked
	user, password, ok := parseProxyAuth(r)
	if r.Method != http.MethodConnect || r.Host != "[2001:db8::1]:443" || r.RequestURI != r.Host || !ok || user != "site" || password != "a:b c" {
		t.Errorf("the proxy was asked %s %s for %s as %q %q", r.Method, r.RequestURI, r.Host, user, password)
	}
}

func parseProxyAuth(r *http.Request) (user, password string, ok bool) {
	return (&http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}).BasicAuth()
}

// Bytes that come in one piece with the answer are the first of the tunnel,
// whatever the fields say of a length.
func TestBytesAfterTheAnswer(t *testing.T) {
	u, _ := scripted(t, "HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\nHTTP/1.0 200 ok\r\nContent-Length: 4\r\nTransfer-Encoding: odd\r\n\r\nSSH-2.0-first\r\n")
	c, err := (&Dialer{Dial: new(net.Dialer).DialContext, Proxy: u}).DialContext(within(t), "tcp", "cloud.example:443")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got := make([]byte, 15)
	if _, err := io.ReadFull(c, got[:3]); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, got[3:]); err != nil || string(got) != "SSH-2.0-first\r\n" {
		t.Errorf("read %q, %v", got, err)
	}
	if err := c.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(got); !isTimeout(err) {
		t.Errorf("reading on: %v, want a deadline of the connection itself", err)
	}
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

func TestRefusals(t *testing.T) {
	with := func(d *Dialer) { d.User, d.Password = "u", secret.FromString("hunter2") }
	for _, c := range []struct {
		answer string
		set    func(*Dialer)
		kind   Kind
		status int
		says   string
	}{
		{answer: "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n", kind: KindCredentials, status: 407, says: "wants a user and a password"},
		{answer: "HTTP/1.1 407 no\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\n\r\n", set: with, kind: KindCredentials, status: 407, says: "Negotiate, NTLM only"},
		{answer: "HTTP/1.1 407 no\r\nproxy-authenticate: basic realm=\"x\"\r\n\r\n", set: with, kind: KindCredentials, status: 407, says: "does not take the user"},
		{answer: "HTTP/1.1 403 Forbidden\r\n\r\nfiltered", kind: KindRefused, status: 403, says: "allow CONNECT"},
		{answer: "HTTP/1.1 405\r\n\r\n", kind: KindRefused, status: 405, says: "allow CONNECT"},
		{answer: "HTTP/1.0 503 Service \x1b[31mUnavailable\r\n\r\n", kind: KindDestination, status: 503, says: "503 Service ?[31mUnavailable"},
		{answer: "HTTP/1.1 302 Found\r\nLocation: http://login.example/\r\n\r\n", kind: KindProtocol, status: 302, says: "no HTTP proxy"},
		{answer: "SSH-2.0-OpenSSH_9.2\r\n", kind: KindProtocol, says: "SSH-2.0-OpenSSH_9.2"},
		{answer: "HTTP/1.1 2000 x\r\n\r\n", kind: KindProtocol, says: "its status is \"2000\""},
		{answer: "HTTP/1.1 200 ok\r\nno colon here\r\n\r\n", kind: KindProtocol, says: "not HTTP"},
		{answer: "HTTP/1.1 200 ok\r\nX: " + strings.Repeat("x", maxHeader) + "\r\n\r\n", kind: KindProtocol, says: "longer than 16384 bytes"},
		{answer: strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", maxInterim), kind: KindProtocol, says: "interim"},
	} {
		u, _ := scripted(t, c.answer)
		d := Dialer{Dial: new(net.Dialer).DialContext, Proxy: u}
		if c.set != nil {
			c.set(&d)
		}
		_, err := d.DialContext(within(t), "tcp", "cloud.example:443")
		var e *Error
		if !errors.As(err, &e) || e.Kind != c.kind || e.Status != c.status || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%.40q: error is %v (%+v), want %s %d and %q", c.answer, err, e, c.kind, c.status, c.says)
		} else if strings.Contains(fmt.Sprintf("%+v", e), "hunter2") || strings.ContainsRune(err.Error(), 0x1b) {
			t.Errorf("%.40q: the error shows too much: %q", c.answer, err)
		}
	}
}

func TestEndsWithoutAnswer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u, err := ParseURL("http://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		c, err := l.Accept()
		if err == nil {
			_, _ = bufio.NewReader(c).ReadString('\n')
			_ = c.Close()
		}
	}()
	_, err = (&Dialer{Dial: new(net.Dialer).DialContext, Proxy: u}).DialContext(within(t), "tcp", "cloud.example:443")
	if e, ok := errors.AsType[*Error](err); !ok || e.Kind != KindProtocol && e.Kind != KindUnreachable {
		t.Errorf("a proxy that hangs up: %v", err)
	}
	_ = l.Close()
	_, err = (&Dialer{Dial: new(net.Dialer).DialContext, Proxy: u}).DialContext(within(t), "tcp", "cloud.example:443")
	if e, ok := errors.AsType[*Error](err); !ok || e.Kind != KindUnreachable {
		t.Errorf("no proxy: %v", err)
	}
}

// A proxy that never answers is left by its time-out, by a deadline of the
// caller, and at once by a cancel; the connection is closed.
func TestSilentProxy(t *testing.T) {
	u, asked := scripted(t, "HTTP/1.1 200")
	long := within(t)
	_, err := (&Dialer{Dial: new(net.Dialer).DialContext, Proxy: u, Timeout: 50 * time.Millisecond}).DialContext(long, "tcp", "cloud.example:443")
	if e, ok := errors.AsType[*Error](err); !ok || e.Kind != KindTimeout || long.Err() != nil {
		t.Errorf("time-out: %v", err)
	}
	<-asked
	ctx, cancel := context.WithCancel(within(t))
	var raw net.Conn
	d := Dialer{Proxy: u, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		raw = c
		return c, err
	}}
	var at time.Time
	go func() {
		<-asked // the request has arrived, so that the answer is waited for
		at = time.Now()
		cancel()
	}()
	_, err = d.DialContext(ctx, "tcp", "cloud.example:443")
	if took := time.Since(at); !errors.Is(err, context.Canceled) || took > 100*time.Millisecond {
		t.Errorf("cancel: %v after %v", err, took)
	}
	if _, err := raw.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the connection is open still: %v", err)
	}
}

func TestTLSToTheProxy(t *testing.T) {
	echo := echoServer(t)
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { connectHandler(t, w, r) }))
	defer s.Close()
	u, err := ParseURL(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (&Dialer{Dial: new(net.Dialer).DialContext, Proxy: u}).DialContext(within(t), "tcp", echo); err == nil || !strings.Contains(err.Error(), "securing the connection to the proxy") {
		t.Errorf("a proxy with a certificate of nobody: %v", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	c, err := (&Dialer{Dial: new(net.Dialer).DialContext, Proxy: u, TLS: &tls.Config{RootCAs: roots}}).DialContext(within(t), "tcp", echo)
	if err != nil {
		t.Fatal(err)
	}
	checkEcho(t, c)
}

func connectHandler(t *testing.T, w http.ResponseWriter, r *http.Request) {
	there, err := net.Dial("tcp", r.RequestURI)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer there.Close()
	w.WriteHeader(http.StatusOK)
	here, ahead, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	defer here.Close()
	go func() { _, _ = io.Copy(there, ahead) }() // the server has read the first bytes, or not
	_, _ = io.Copy(here, there)
}

func echoServer(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	return l.Addr().String()
}

func checkEcho(t *testing.T, c net.Conn) {
	t.Helper()
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(testTime)); err != nil {
		t.Fatal(err)
	}
	sent := bytes.Repeat([]byte("0123456789abcdef"), 4096)
	go func() { _, _ = c.Write(sent) }()
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("64 KiB through the tunnel came back changed (%v)", err)
	}
}

func TestRefusesWhatWouldChangeTheRequest(t *testing.T) {
	d := Dialer{Dial: new(net.Dialer).DialContext, Proxy: URL{Host: "127.0.0.1", Port: 1}}
	for _, addr := range []string{"", "x", "x:", "x:0", "x:70000", ":443", "a b:443", "a\r\nX: y:443", "a/b:443", strings.Repeat("a", 254) + ":443"} {
		if c, err := d.DialContext(within(t), "tcp", addr); err == nil {
			c.Close()
			t.Errorf("%q was dialled", addr)
		}
	}
	if _, err := d.DialContext(within(t), "udp", "cloud.example:443"); err == nil {
		t.Error("udp was dialled")
	}
	d.User = "a:b"
	if _, err := d.DialContext(within(t), "tcp", "cloud.example:443"); err == nil || !strings.Contains(err.Error(), "colon") {
		t.Errorf("a user with a colon: %v", err)
	}
}

func TestParseURL(t *testing.T) {
	for text, want := range map[string]string{
		"http://proxy.example:3128":   "http://proxy.example:3128",
		"http://Proxy.Example/":       "http://proxy.example:80",
		"https://192.0.2.1":           "https://192.0.2.1:443",
		"http://[2001:db8::1]:3128":   "http://[2001:db8::1]:3128",
		"proxy.example:3128":          "",
		"socks5://proxy.example:1080": "",
		"http://":                     "",
		"http://a b:1":                "",
		"http://p:0":                  "",
		"http://p:":                   "",
		"http://p:99999":              "",
		"http://p/path":               "",
		"http://p?q":                  "",
		"http://user:hunter2@p":       "",
		"http://user:hunter2@p:x":     "",
		"http://user:hunter2/x@p":     "",
		"http://user:hunter2?x@p:1":   "",
		"http://user:x%hunter2@p":     "",
	} {
		u, err := ParseURL(text)
		if err != nil && (want != "" || strings.Contains(err.Error(), "hunter2")) {
			t.Errorf("%q: %v", text, err)
		}
		if err == nil && u.String() != want {
			t.Errorf("%q is %q, want %q", text, u, want)
		}
	}
}

// What a stranger answers never makes more of it than is bounded, and what was
// read past a header is kept to the byte.
func FuzzReadAnswer(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 Connection established\r\n\r\nSSH-2.0-x", "HTTP/1.0 407 no\r\nProxy-Authenticate: Basic\r\n\r\n",
		"HTTP/1.1 100 c\r\n\r\nHTTP/1.1 200 \r\n\r\n", "HTTP/1.1 200\n\nx", "\r\n", "HTTP/2 200\r\n\r\n", "HTTP/1.1 200 x\r\n folded\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, rest, err := readAnswer(bytes.NewReader(b))
		if err != nil {
			if a.status != 0 || rest != nil {
				t.Fatalf("an error comes with %+v and %d bytes", a, len(rest))
			}
			return
		}
		if a.status < 200 || a.status > 599 || len(a.reason) > maxDetail || len(a.schemes) > maxSchemes {
			t.Fatalf("got %+v", a)
		}
		if !bytes.Contains(b, rest) || len(rest) > len(b)-len("HTTP/1.1 200\n\n") {
			t.Fatalf("the rest %q is not of the end of %q", rest, b)
		}
	})
}

func FuzzParseURL(f *testing.F) {
	for _, s := range []string{"http://proxy.example:3128", "https://[::1]", "http://u:p@h", "http://%41:1", "http://[fe80::1%25x]:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := ParseURL(s)
		if err != nil {
			return
		}
		if again, err := ParseURL(u.String()); err != nil || again != u {
			t.Fatalf("%q is %+v, which is %+v again (%v)", s, u, again, err)
		}
	})
}
