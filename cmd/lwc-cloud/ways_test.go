package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"

	"lwc/transport/secret"
	"lwc/transport/uplink"
	"lwc/transport/wire"
)

func TestWays(t *testing.T) {
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	public := must(url.Parse("https://cloud.example"))
	mqtt := func(host string, alpn bool) wire.Endpoint {
		return wire.Endpoint{Kind: wire.EndpointMQTT, Host: host, ALPN: alpn}
	}
	wss := func(host, path string) wire.Endpoint {
		return wire.Endpoint{Kind: wire.EndpointWSS, Host: host, Path: path}
	}
	for _, c := range []struct {
		o    serveOptions
		more []net.Listener
		want []wire.Endpoint
	}{
		{want: []wire.Endpoint{mqtt("cloud.example:443", true), wss("cloud.example:443", "/mqtt")}},
		{more: []net.Listener{l}, want: []wire.Endpoint{mqtt("cloud.example:443", true), mqtt("cloud.example:"+port, false), wss("cloud.example:443", "/mqtt")}},
		{o: serveOptions{broker: "mqtts://broker.example"}, want: []wire.Endpoint{mqtt("broker.example:8883", false)}},
		{o: serveOptions{broker: "mqtts://broker.example", endpoints: several{"mqtts://a.example:443?alpn=mqtt", "wss://[2001:db8::1]", "wss://b.example:8443/ws"}},
			want: []wire.Endpoint{mqtt("a.example:443", true), wss("[2001:db8::1]:443", "/mqtt"), wss("b.example:8443", "/ws")}},
	} {
		if got, err := ways(c.o, public, c.more); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%+v: %+v, %v", c.o, got, err)
		}
	}
	for _, bad := range []string{"", "https://a.example", "mqtts://a.example/x", "mqtts://a.example?alpn=x", "wss://u@a.example", "mqtts://:8883", "wss://a.example?x", "wss://a.example:65536", "mqtts://a.example:0"} {
		if got, err := ways(serveOptions{endpoints: several{bad}}, public, nil); err == nil {
			t.Errorf("%q was taken for %+v", bad, got)
		}
	}
	if _, err := ways(serveOptions{endpoints: slices.Repeat(several{"wss://a.example"}, wire.MaxTokenEndpoints+1)}, public, nil); err == nil {
		t.Error("more ways than a token can name")
	}
}

// What a token names is what its holder is led to afterwards, and nothing else.
func TestTokenNamesEveryWay(t *testing.T) {
	dir := t.TempDir()
	p := startServe(t, dir, "--mqtt-listen", "127.0.0.1:0", "--endpoint", "mqtts://localhost:1443?alpn=mqtt", "--endpoint", "mqtts://127.0.0.1:8883", "--endpoint", "wss://mqtt.example:1443/mqtt")
	api, stderr, code := command(t, "api-token", "--data", dir, "--name", "ci", "--role", "admin")
	if code != 0 {
		t.Fatal(stderr)
	}
	t.Setenv("LWC_API_TOKEN", strings.TrimSpace(api))
	text, stderr, code := command(t, "enrol-token", "--collector", "branch-berlin-1")
	if code != 0 {
		t.Fatal(stderr)
	}
	tok := must(wire.ParseToken(wire.EnrolToken, secret.FromString(strings.Fields(text)[0])))
	own := must(wire.URLHostPort(p.ready.URL))
	if reach := must(tok.Reach()); !slices.Equal(reach, []string{own, "localhost:1443", "127.0.0.1:8883", "mqtt.example:1443"}) {
		t.Errorf("the token names %q", reach)
	}
	id, err := uplink.Enrol(t.Context(), uplink.EnrolConfig{Dial: new(net.Dialer).DialContext, Token: tok})
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"kind":"mqtt","host":"localhost:1443","alpn":true},{"kind":"mqtt","host":"127.0.0.1:8883"},{"kind":"wss","host":"mqtt.example:1443","path":"/mqtt"}]`
	if got := string(must(json.Marshal(id.Bootstrap.Endpoints))); got != want {
		t.Errorf("the bootstrap answer says %s", got)
	}
	roots := x509.NewCertPool()
	for _, ca := range id.CA {
		roots.AddCert(ca)
	}
	c, err := tls.Dial("tcp", own, &tls.Config{RootCAs: roots, ServerName: "mqtt.example"})
	if err != nil {
		t.Fatalf("the certificate is not for a way of the list: %v", err)
	}
	c.Close()
}

func TestSecondListenerIsOfTheBuiltInBroker(t *testing.T) {
	_, stderr, code := command(t, "serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--mqtt-listen", "127.0.0.1:0", "--broker", "mqtts://127.0.0.1:1")
	if code == 0 || !strings.Contains(stderr, "--mqtt-listen is for the built-in broker") {
		t.Errorf("%d %s", code, stderr)
	}
}
