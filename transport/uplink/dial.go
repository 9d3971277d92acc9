package uplink

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"lwc/transport/wire"
)

// dial makes the connection to an endpoint: TCP by Config.Dial, then mutual TLS
// with the cloud's authorities alone.
func (u *Uplink) dial(ctx context.Context, ep wire.Endpoint) (*packetConn, error) {
	if ep.Kind != wire.EndpointMQTT {
		return nil, fmt.Errorf("dialling %s: this version does not speak %q, only %q", ep.Host, ep.Kind, wire.EndpointMQTT)
	}
	host, _, err := net.SplitHostPort(ep.Host)
	if err != nil {
		return nil, fmt.Errorf("dialling %q: %w", ep.Host, err)
	}
	ctx, cancel := context.WithTimeout(ctx, u.time.dial)
	defer cancel()
	raw, err := u.cfg.Dial(ctx, "tcp", ep.Host)
	if err != nil {
		return nil, fmt.Errorf("dialling %s: %w", ep.Host, err)
	}
	id := u.identity()
	conf := id.tlsConfig()
	conf.ServerName = host
	if ep.ALPN {
		conf.NextProtos = []string{wire.ALPN}
	}
	conn := tls.Client(raw, conf)
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, fmt.Errorf("securing the connection to %s: %w", ep.Host, explainCert(err, time.Now()))
	}
	if got := conn.ConnectionState().NegotiatedProtocol; ep.ALPN && got != wire.ALPN {
		conn.Close()
		return nil, fmt.Errorf("securing the connection to %s: the server did not agree on the protocol %q, so that a broker is not behind it", ep.Host, wire.ALPN)
	}
	return newPacketConn(conn, u.time.write), nil
}
