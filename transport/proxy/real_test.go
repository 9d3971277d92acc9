package proxy

import (
	"errors"
	"net"
	"strings"
	"testing"

	"lwc/testdata/outproxy"
	"lwc/transport/secret"
)

func TestTinyproxy(t *testing.T) {
	echo := echoServer(t)
	_, port, err := net.SplitHostPort(echo)
	if err != nil {
		t.Fatal(err)
	}
	at := outproxy.Tinyproxy(t, "site", "hunter2", "ConnectPort "+port)
	testProxy(t, URL{Host: at.Host, Port: at.Port}, echo, port)
}

func TestSquid(t *testing.T) {
	echo := echoServer(t)
	_, port, err := net.SplitHostPort(echo)
	if err != nil {
		t.Fatal(err)
	}
	at := outproxy.Squid(t, "site", "hunter2", port)
	testProxy(t, URL{Host: at.Host, Port: at.Port}, echo, port)
}

// testProxy goes through a proxy that lets the user site pass, with the password
// hunter2, and to one port alone.
func testProxy(t *testing.T, u URL, echo, port string) {
	good := Dialer{Dial: new(net.Dialer).DialContext, Proxy: u, User: "site", Password: secret.FromString("hunter2")}
	c, err := good.DialContext(within(t), "tcp", echo)
	if err != nil {
		t.Fatal(err)
	}
	checkEcho(t, c)

	wrong := good
	wrong.Password = secret.FromString("hunter3")
	for _, s := range []struct {
		what string
		d    Dialer
		addr string
		kind Kind
		says string
	}{
		{"no credentials", Dialer{Dial: new(net.Dialer).DialContext, Proxy: u}, echo, KindCredentials, "give both"},
		{"wrong credentials", wrong, echo, KindCredentials, "does not take"},
		{"port not allowed", good, "127.0.0.1:1", KindRefused, "allow CONNECT"},
		{"name that does not exist", good, "nowhere.invalid:" + port, KindDestination, "cannot reach"},
	} {
		_, err := s.d.DialContext(within(t), "tcp", s.addr)
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Kind != s.kind || !strings.Contains(err.Error(), s.says) {
			t.Errorf("%s: %v", s.what, err)
		}
	}
}
