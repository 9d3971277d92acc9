// Package wss carries MQTT over WebSocket (MQTT 3.1.1 section 6, RFC 6455), for
// sites whose way out lets nothing but HTTPS pass.
//
// A collector calls [Client] on a connection that is secured already, with the
// application protocol [ALPN]; a cloud end calls [Server] in an HTTP handler. Both
// give a net.Conn on which each Write is one binary message.
//
// It guarantees that a connection closes at once, without the closing handshake,
// for which a dead line would be waited; MQTT has a leave-taking of its own. A peer
// that does not speak the subprotocol mqtt, or sends text, is refused, and a redirect
// is not followed. As with TLS, a deadline that passes ends the connection.
package wss
