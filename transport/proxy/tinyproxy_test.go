package proxy

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lwc/testdata/need"
	"lwc/transport/secret"
)

// startTinyproxy runs a real proxy on a port of 127.0.0.1, with more lines of
// configuration, and returns its URL.
func startTinyproxy(t *testing.T, more string) URL {
	t.Helper()
	program := need.Program(t, "tinyproxy")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().(*net.TCPAddr)
	_ = l.Close()
	conf := filepath.Join(t.TempDir(), "tinyproxy.conf")
	text := fmt.Sprintf("Port %d\nListen 127.0.0.1\nTimeout 20\nLogLevel Critical\nMaxClients 20\n%s\n", address.Port, more)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-d", "-c", conf)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	awaitListener(t, address.String())
	return URL{Host: "127.0.0.1", Port: uint16(address.Port)}
}

func awaitListener(t *testing.T, address string) {
	t.Helper()
	deadline := time.After(testTime)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if c, err := net.Dial("tcp", address); err == nil {
			_ = c.Close()
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("nothing listens at %s", address)
		}
	}
}

func TestTinyproxy(t *testing.T) {
	echo := echoServer(t)
	_, port, err := net.SplitHostPort(echo)
	if err != nil {
		t.Fatal(err)
	}
	u := startTinyproxy(t, "BasicAuth site hunter2\nConnectPort "+port)
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
