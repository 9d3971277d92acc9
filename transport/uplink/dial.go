package uplink

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"lwc/transport/wire"
	"lwc/transport/wss"
)

// dial makes the connection to an endpoint: TCP by Config.Dial, mutual TLS with the
// cloud's authorities alone, and WebSocket where the endpoint says so.
func (u *Uplink) dial(ctx context.Context, ep wire.Endpoint) (*packetConn, error) {
	protocols, err := protocolsOf(ep)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, u.time.dial)
	defer cancel()
	secured, err := u.secure(ctx, ep.Host, protocols)
	if err != nil {
		return nil, err
	}
	c := newPacketConn(secured, u.time.write)
	if ep.Kind == wire.EndpointWSS {
		if c.Conn, err = wss.Client(ctx, secured, ep.Host, ep.Path); err != nil {
			return nil, fmt.Errorf("dialling %s: %w", ep.Host, err)
		}
	}
	return c, nil
}

// protocolsOf are the application protocols to ask an endpoint for.
func protocolsOf(ep wire.Endpoint) ([]string, error) {
	switch {
	case ep.Kind == wire.EndpointWSS:
		return []string{wss.ALPN}, nil
	case ep.Kind == wire.EndpointMQTT && ep.ALPN:
		return []string{wire.ALPN}, nil
	case ep.Kind == wire.EndpointMQTT:
		return nil, nil
	}
	return nil, fmt.Errorf("dialling %s: this version does not speak %q, only %q and %q", ep.Host, ep.Kind, wire.EndpointMQTT, wire.EndpointWSS)
}

// secure dials and shakes hands.
func (u *Uplink) secure(ctx context.Context, addr string, protocols []string) (*tls.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("dialling %q: %w", addr, err)
	}
	raw, err := u.cfg.Dial(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("dialling %s: %w", addr, err)
	}
	id := u.identity()
	conf := id.tlsConfig(host)
	conf.NextProtos = protocols
	conn := tls.Client(raw, conf)
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, fmt.Errorf("securing the connection to %s: %w", addr, err)
	}
	// An HTTP server may know nothing of ALPN; what it speaks shows soon enough.
	if got := conn.ConnectionState().NegotiatedProtocol; len(protocols) > 0 && got != protocols[0] && protocols[0] != wss.ALPN {
		conn.Close()
		return nil, fmt.Errorf("securing the connection to %s: the server did not agree on the protocol %q, so that a broker is not behind it", addr, protocols[0])
	}
	return conn, nil
}
