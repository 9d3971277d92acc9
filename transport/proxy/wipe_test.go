package proxy

import (
	"bytes"
	"context"
	"net"
	"testing"

	"lwc/transport/secret"
)

// writes keeps what it is given to write, not a copy.
type writes struct {
	net.Conn
	all [][]byte
}

func (w *writes) Write(b []byte) (int, error) {
	w.all = append(w.all, b)
	return w.Conn.Write(b)
}

// The request, in which the password stands, is wiped once it was sent.
func TestRequestIsWiped(t *testing.T) {
	u, asked := scripted(t, "HTTP/1.1 403 no\r\n\r\n")
	w := &writes{}
	d := Dialer{Proxy: u, User: "site", Password: secret.FromString("hunter2"), Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		w.Conn = c
		return w, err
	}}
	if _, err := d.DialContext(within(t), "tcp", "cloud.example:443"); err == nil {
		t.Error("it was let through")
	}
	<-asked
	for _, b := range w.all {
		if len(bytes.Trim(b, "\x00")) > 0 {
			t.Errorf("%q is left in memory", b)
		}
	}
	if len(w.all) == 0 {
		t.Error("nothing was written")
	}
}
