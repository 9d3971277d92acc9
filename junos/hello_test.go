package junos

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func TestHello(t *testing.T) {
	caps := "<capabilities><capability> urn:ietf:params:netconf:base:1.1 </capability></capabilities><session-id>5</session-id>"
	for _, c := range []struct {
		name, wire string
		v11        bool
	}{
		{"no namespace", "<hello>" + caps + "</hello>", true},
		{"prefix", `<nc:hello xmlns:nc="urn:x"><nc:capabilities><nc:capability>urn:ietf:params:netconf:base:1.1</nc:capability></nc:capabilities><nc:session-id>5</nc:session-id></nc:hello>`, true},
		{"comments before", "<!-- No zombies were killed -->\n<!-- user x, class y -->\n<hello>" + caps + "</hello>\n", true},
		{"declaration", `<?xml version="1.0" encoding="UTF-8"?><hello>` + caps + "</hello>", true},
		{"error inside", "<hello><rpc-error><error-message>odd</error-message></rpc-error>" + caps + "</hello>", true},
		{"error before, same message", "<rpc-error><error-message>odd</error-message></rpc-error><hello>" + caps + "</hello>", true},
		{"error before, own message", "<rpc-error/>" + delimiter + "<hello>" + caps + "</hello>", true},
		{"old URN", "<hello><capabilities><capability>urn:ietf:params:xml:ns:netconf:base:1.0</capability></capabilities><session-id>5</session-id></hello>", false},
		{"banner before", "Unauthorized use is prohibited\n<hello>" + caps + "</hello>", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := dialPeer(t, Options{}, func(p *peer) {
				p.send(c.wire + delimiter)
				if h := p.recv(); !strings.Contains(h, base11) || !strings.Contains(h, base10URN) {
					p.t.Errorf("client hello %q", h)
				}
				p.in.chunked = c.v11
				p.recv()
			})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if s.Base11() != c.v11 || s.SessionID() != "5" {
				t.Errorf("base11 %v, session %q", s.Base11(), s.SessionID())
			}
		})
	}
}

func TestBadHello(t *testing.T) {
	for _, c := range []struct {
		name  string
		kind  Kind
		serve func(*peer)
	}{
		{"silence", KindHello, func(p *peer) { p.recv(); p.recv() }},
		{"garbage", KindHello, func(p *peer) { p.send("login: \x00\xff"); p.recv(); p.recv() }},
		{"garbage and end", KindHello, func(p *peer) { p.send("connection refused by policy\n") }},
		{"end", KindClosed, func(p *peer) {}},
		{"error only", KindHello, func(p *peer) {
			p.send("<rpc-error><error-message>permission denied</error-message></rpc-error>" + delimiter)
		}},
		{"other XML", KindHello, func(p *peer) {
			for range 20 {
				p.send("<html/>" + delimiter)
			}
		}},
		{"endless", KindHello, func(p *peer) {
			for range 40 {
				p.send(strings.Repeat("x", 1<<16))
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			limit := 50 * time.Millisecond
			if c.name == "endless" || c.name == "other XML" { // which end by their bounds
				limit = time.Minute
			}
			_, err := dialPeer(t, Options{HelloTimeout: limit}, c.serve)
			wantKind(t, err, c.kind)
			if limit == time.Minute && errors.Is(err, errEnded) {
				t.Errorf("no bound: %v", err)
			}
			if c.name == "error only" && !strings.Contains(err.Error(), "permission denied") {
				t.Errorf("the device's reason is lost: %v", err)
			}
		})
	}
}

func TestOpenCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r, w := io.Pipe()
	defer w.Close()
	_, err := Open(ctx, pipe{r, io.Discard}, Options{})
	wantKind(t, err, KindCancelled)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

type pipe struct {
	*io.PipeReader
	io.Writer
}

func TestAttributeOf(t *testing.T) {
	for tag, want := range map[string]string{
		`rpc-reply message-id="1"`:                                 "1",
		"rpc-reply\nxmlns='a=b' nc:message-id = '2' x=\"3\"":       "2",
		`rpc-reply odd x=y message-id="4"/`:                        "4",
		`rpc-reply xmlns="message-id='5'"`:                         "",
		`rpc-reply not-message-id="6"`:                             "",
		`message-id="7"`:                                           "",
		`rpc-reply message-id="8`:                                  "",
		`rpc-reply message-id=`:                                    "",
		`rpc-reply message-id=""`:                                  "",
		`rpc-reply xmlns:junos="http://x/junos" message-id="&lt;"`: "&lt;",
	} {
		got := ""
		if v := attributeOf([]byte(tag), "message-id"); v != nil {
			got = *v
		}
		if got != want {
			t.Errorf("%s: %q, want %q", tag, got, want)
		}
	}
}
