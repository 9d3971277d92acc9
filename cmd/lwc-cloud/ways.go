package main

import (
	"cmp"
	"net"
	"net/url"
	"slices"
	"strconv"

	"lwc/transport/wire"
	"lwc/transport/wss"
)

// The ports of the ways to a broker where their URLs name none: IANA's for MQTT over
// TLS, and that of HTTPS.
const (
	mqttsPort = "8883"
	httpsPort = "443"
)

// ways are how collectors reach the broker, in the order to try: as --endpoint says,
// or else MQTT on the port of the public URL, MQTT on the listener beside it, and
// WebSocket on the port of the public URL. A foreign broker has the one way that is
// known of it.
func ways(o serveOptions, public *url.URL, more []net.Listener) ([]wire.Endpoint, error) {
	if len(o.endpoints) > 0 {
		return waysOf(o.endpoints)
	}
	if o.broker != "" {
		e, err := brokerWay(o.broker)
		return []wire.Endpoint{e}, err
	}
	web := hostPort(public, httpsPort)
	list := []wire.Endpoint{{Kind: wire.EndpointMQTT, Host: web, ALPN: true}}
	for _, l := range more {
		_, port, err := net.SplitHostPort(l.Addr().String())
		if err != nil {
			return nil, usageErrorf("--mqtt-listen: %v", err)
		}
		list = append(list, wire.Endpoint{Kind: wire.EndpointMQTT, Host: net.JoinHostPort(public.Hostname(), port)})
	}
	return append(list, wire.Endpoint{Kind: wire.EndpointWSS, Host: web, Path: wss.Path}), nil
}

// brokerWay reads --broker.
func brokerWay(text string) (wire.Endpoint, error) {
	e, err := wayOf(text)
	if err != nil || e.Kind != wire.EndpointMQTT {
		return e, usageErrorf("--broker %q must be mqtts://HOST:PORT", text)
	}
	return e, nil
}

// waysOf reads a list of --endpoint.
func waysOf(texts []string) ([]wire.Endpoint, error) {
	if len(texts) > wire.MaxTokenEndpoints {
		return nil, usageErrorf("--endpoint: at most %d, a token has room for no more", wire.MaxTokenEndpoints)
	}
	var list []wire.Endpoint
	for _, text := range texts {
		e, err := wayOf(text)
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, nil
}

// wayOf reads mqtts://HOST[:PORT][?alpn=mqtt] or wss://HOST[:PORT][/PATH].
func wayOf(text string) (wire.Endpoint, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return wire.Endpoint{}, usageErrorf("--endpoint %q must be mqtts://HOST:PORT, mqtts://HOST:PORT?alpn=mqtt or wss://HOST:PORT/PATH", text)
	}
	if n, err := strconv.ParseUint(cmp.Or(u.Port(), httpsPort), 10, 16); err != nil || n == 0 {
		return wire.Endpoint{}, usageErrorf("%q: the port must be a number from 1 to 65535", text)
	}
	switch {
	case u.Scheme == "wss" && u.RawQuery == "":
		path := u.Path
		if path == "" {
			path = wss.Path
		}
		return wire.Endpoint{Kind: wire.EndpointWSS, Host: hostPort(u, httpsPort), Path: path}, nil
	case u.Scheme == "mqtts" && (u.Path == "" || u.Path == "/") && (u.RawQuery == "" || u.RawQuery == "alpn="+wire.ALPN):
		return wire.Endpoint{Kind: wire.EndpointMQTT, Host: hostPort(u, mqttsPort), ALPN: u.RawQuery != ""}, nil
	}
	return wire.Endpoint{}, usageErrorf("--endpoint %q must be mqtts://HOST:PORT, mqtts://HOST:PORT?alpn=mqtt or wss://HOST:PORT/PATH", text)
}

// addresses are the host:port of ways, each once.
func addresses(list []wire.Endpoint) (out []string) {
	for _, e := range list {
		if !slices.Contains(out, e.Host) {
			out = append(out, e.Host)
		}
	}
	return out
}

// certified are the names and addresses that the server's certificate is for: those
// of the public URLs, and of the ways that lead to the built-in broker.
func certified(urls []*url.URL, list []wire.Endpoint) []string {
	names := hostNames(urls)
	for _, e := range list {
		if host, _, err := net.SplitHostPort(e.Host); err == nil && !slices.Contains(names, host) {
			names = append(names, host)
		}
	}
	return names
}
