package gate

import (
	"context"
	"log/slog"
	"net/http"
	"sync"

	"lwc/transport/wss"
)

// server makes the HTTP server. Its WebSockets end with ctx and are counted in
// sockets, because the server itself does not know them any more.
func (g *Gate) server(ctx context.Context, sockets *sync.WaitGroup) *http.Server {
	handler := g.cfg.HTTP
	if g.cfg.Broker != nil {
		handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != wss.Path {
				g.cfg.HTTP.ServeHTTP(w, r)
				return
			}
			sockets.Add(1)
			defer sockets.Done()
			g.webSocket(ctx, w, r)
		})
	}
	return &http.Server{
		Handler: handler, ErrorLog: slog.NewLogLogger(g.cfg.Logger.Handler(), slog.LevelDebug),
		ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
	}
}

// webSocket lets a collector speak MQTT over WebSocket (MQTT 3.1.1 section 6). The
// handshake has checked its certificate, if it has one; the registry is asked here,
// as it is in the handshake of plain MQTT. The deadlines are the broker's.
func (g *Gate) webSocket(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		http.Error(w, "the certificate of a collector is needed", http.StatusForbidden)
		return
	}
	id, err := g.admit(r.Context(), r.TLS.PeerCertificates[0], r.RemoteAddr)
	if err != nil {
		http.Error(w, "this collector is not admitted", http.StatusForbidden)
		return
	}
	c, err := wss.Server(w, r)
	if err != nil {
		g.cfg.Logger.Debug("a WebSocket was not made", "collector", id, "error", err)
		return
	}
	g.serveMQTT(ctx, c, id)
}
