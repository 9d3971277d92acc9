package wss

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"

	"github.com/coder/websocket"
)

const (
	// Subprotocol is the WebSocket subprotocol (MQTT 3.1.1 section 6).
	Subprotocol = "mqtt"
	// ALPN is the application protocol of a TLS connection for Client: RFC 6455 is
	// HTTP/1.1, and a server that had the choice would take h2.
	ALPN = "http/1.1"
	// Path is where brokers serve MQTT over WebSocket, unless they say otherwise.
	Path = "/mqtt"

	// maxHeader bounds the answer of a server before anybody knows what it is.
	maxHeader = 16 << 10
)

// ErrRefused says that an HTTP server answered, and does not speak MQTT there.
var ErrRefused = errors.New("the server does not speak MQTT over WebSocket there")

// Client asks the server at the other end of a connection for MQTT at a path of a
// host ("cloud.example" or "cloud.example:8443"). On an error the connection is
// closed. The end of ctx breaks the asking only.
func Client(ctx context.Context, over net.Conn, host, path string) (net.Conn, error) {
	to := url.URL{Scheme: "https", Host: host, Path: path}
	transport := &http.Transport{DialTLSContext: once(over), MaxResponseHeaderBytes: maxHeader, DisableCompression: true}
	ws, answer, err := websocket.Dial(ctx, to.String(), &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		}},
		Subprotocols: []string{Subprotocol},
	})
	if err != nil {
		transport.CloseIdleConnections()
		return nil, errors.Join(refused(ctx, to, answer, err), ignoreClosed(over.Close()))
	}
	if ws.Subprotocol() != Subprotocol {
		return nil, errors.Join(fmt.Errorf("asking for %s: it did not agree on the subprotocol %q: %w", to.Redacted(), Subprotocol, ErrRefused),
			ignoreClosed(ws.CloseNow()))
	}
	return newConn(ws, over), nil
}

// once hands a connection to an HTTP client for its only request.
func once(c net.Conn) func(context.Context, string, string) (net.Conn, error) {
	taken := false
	var mu sync.Mutex // guards taken
	return func(context.Context, string, string) (net.Conn, error) {
		mu.Lock()
		defer mu.Unlock()
		if taken {
			return nil, errors.New("the connection is used already")
		}
		taken = true
		return c, nil
	}
}

// refused says what went wrong in words of an operator.
func refused(ctx context.Context, to url.URL, answer *http.Response, err error) error {
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("asking for %s: %w", to.Redacted(), context.Cause(ctx))
	case answer != nil && answer.StatusCode != http.StatusSwitchingProtocols:
		return fmt.Errorf("asking for %s: status %d %s: %w", to.Redacted(), answer.StatusCode, http.StatusText(answer.StatusCode), ErrRefused)
	}
	return fmt.Errorf("asking for %s: %w", to.Redacted(), err)
}

// Server answers the request of a Client. On an error the request has been answered.
// The handler may return before the connection ends.
func Server(w http.ResponseWriter, r *http.Request) (net.Conn, error) {
	if !offers(r) {
		http.Error(w, "the subprotocol mqtt is needed", http.StatusBadRequest)
		return nil, fmt.Errorf("answering %s: it does not offer the subprotocol %q", r.RemoteAddr, Subprotocol)
	}
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{Subprotocol}})
	if err != nil {
		return nil, fmt.Errorf("answering %s: %w", r.RemoteAddr, err)
	}
	return newConn(ws, nil), nil
}

// offers tells whether a request asks for the subprotocol.
func offers(r *http.Request) bool {
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for _, word := range splitList(line) {
			if word == Subprotocol {
				return true
			}
		}
	}
	return false
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
