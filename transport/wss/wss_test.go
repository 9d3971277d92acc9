package wss

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"lwc/testdata/badline"
)

const testTime = 10 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func ask(t *testing.T, addr, path string) (net.Conn, error) {
	t.Helper()
	raw, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), testTime)
	defer cancel()
	c, err := Client(ctx, raw, "cloud.example:8443", path)
	if err == nil {
		t.Cleanup(func() { _ = c.Close() })
	}
	return c, err
}

func TestBytesThereAndBack(t *testing.T) {
	asked := make(chan *http.Request, 1)
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked <- r
		c, err := Server(w, r)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		_, _ = io.Copy(c, c)
	})
	c, err := ask(t, addr, Path)
	if err != nil {
		t.Fatal(err)
	}
	if r := <-asked; r.Host != "cloud.example:8443" || r.URL.Path != Path {
		t.Errorf("asked %s for %s", r.Host, r.URL)
	}
	if c.RemoteAddr().String() != addr {
		t.Errorf("the peer is %s", c.RemoteAddr())
	}
	sent := make([]byte, 3<<20)
	_, _ = rand.Read(sent)
	go func() {
		for b := sent; len(b) > 0; b = b[120<<10:] {
			if len(b) <= 120<<10 {
				_, _ = c.Write(b)
				return
			}
			_, _ = c.Write(b[:120<<10])
		}
	}()
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("3 MiB came back changed (%v)", err)
	}
}

func TestWhoIsNoBroker(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"another page": http.NotFound,
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://elsewhere.example/", http.StatusFound)
		},
		"no subprotocol": func(w http.ResponseWriter, r *http.Request) { _, _ = websocket.Accept(w, r, nil) },
	} {
		if c, err := ask(t, serve(t, h), Path); !errors.Is(err, ErrRefused) || c != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := ask(t, serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X", strings.Repeat("x", maxHeader))
	}), Path)
	if err == nil || errors.Is(err, ErrRefused) {
		t.Errorf("a header without end was read: %v", err)
	}
}

func TestWhoIsNoCollector(t *testing.T) {
	errs := make(chan error, 1)
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		c, err := Server(w, r)
		if err == nil {
			_, err = c.Read(make([]byte, 1))
			_ = c.Close()
		}
		errs <- err
	})
	ctx, cancel := context.WithTimeout(t.Context(), testTime)
	defer cancel()
	_, answer, err := websocket.Dial(ctx, "ws://"+addr+Path, nil)
	if err == nil || answer.StatusCode != http.StatusBadRequest || <-errs == nil {
		t.Errorf("without the subprotocol: %v", err)
	}
	_, answer, err = websocket.Dial(ctx, "ws://"+addr+Path, &websocket.DialOptions{Subprotocols: []string{Subprotocol},
		HTTPHeader: http.Header{"Origin": {"https://elsewhere.example"}}})
	if err == nil || answer.StatusCode != http.StatusForbidden || <-errs == nil {
		t.Errorf("a browser on the page of another: %v", err)
	}
	ws, _, err := websocket.Dial(ctx, "ws://"+addr+Path, &websocket.DialOptions{Subprotocols: []string{"other", Subprotocol}})
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	if err := ws.Write(ctx, websocket.MessageText, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := <-errs; err == nil {
		t.Error("text was taken for MQTT")
	}
}

// A line on which nothing moves any more does not hold up who closes.
func TestCloseDoesNotWait(t *testing.T) {
	stop := make(chan struct{})
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if c, err := Server(w, r); err == nil {
			defer c.Close()
			<-stop
		}
	})
	line := badline.Start(t, addr)
	t.Cleanup(func() { close(stop) })
	c, err := ask(t, line.Addr(), Path)
	if err != nil {
		t.Fatal(err)
	}
	line.BlackHole()
	read := make(chan error, 1)
	go func() { _, err := c.Read(make([]byte, 1)); read <- err }()
	at := time.Now()
	if err := c.Close(); err != nil {
		t.Errorf("closing: %v", err)
	}
	if took := time.Since(at); took > time.Second {
		t.Errorf("closing took %s", took)
	}
	if err := <-read; err == nil {
		t.Error("reading went on")
	}
	if _, err := c.Write([]byte("x")); err == nil {
		t.Error("writing went on")
	}
}

func TestDeadlines(t *testing.T) {
	stop := make(chan struct{})
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if c, err := Server(w, r); err == nil {
			defer c.Close()
			<-stop
		}
	})
	t.Cleanup(func() { close(stop) })
	c, err := ask(t, addr, Path)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("reading outlived its deadline")
	}
}
