package junos

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The acceptance table: what a device sends after a request, and what the
// session makes of it.
func TestReplyFraming(t *testing.T) {
	doc := replyTo("1", "<software-information><host-name>r1</host-name></software-information>")
	plain := "<rpc-reply><a>1</a></rpc-reply>"
	prefixed := `<nc:rpc-reply xmlns:nc="urn:ietf:params:xml:ns:netconf:base:1.0" nc:message-id="1"><nc:a>1</nc:a></nc:rpc-reply>`
	chunks := func(parts ...string) string {
		var b strings.Builder
		for _, p := range parts {
			fmt.Fprintf(&b, "\n#%d\n%s", len(p), p)
		}
		return b.String() + "\n##\n"
	}
	for _, c := range []struct{ name, hello, wire, want string }{
		{"1.1 one chunk", hello11, chunks(doc), doc},
		{"1.1 start tag over two chunks", hello11, chunks(doc[:25], doc[25:]), doc},
		{"1.1 declaration in a chunk of its own", hello11, chunks(`<?xml version="1.0"?>`, doc), `<?xml version="1.0"?>` + doc},
		{"1.1 chunks of one byte", hello11, chunks(strings.Split(doc, "")...), doc},
		{"1.1 delimiter of 1.0 inside", hello11, chunks("<rpc-reply><a>]]>]]&gt;</a></rpc-reply>"), "<rpc-reply><a>]]>]]&gt;</a></rpc-reply>"},
		{"1.0", hello10, doc + delimiter, doc},
		{"1.0 line feed before", hello10, "\n\n" + doc + delimiter, doc},
		{"1.0 byte order mark", hello10, "\xef\xbb\xbf" + doc + delimiter, doc},
		{"1.0 near delimiters", hello10, "<a>]]>]]</a>]]>]" + delimiter, "<a>]]>]]</a>]]>]"},
		{"no namespace, no message-id", hello10, plain + delimiter, plain},
		{"nc: prefix", hello11, chunks(prefixed), prefixed},
		{"comment before", hello10, "<!-- x -->" + plain + delimiter, "<!-- x -->" + plain},
		{"empty", hello10, delimiter, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t, Options{}, c.hello, func(p *peer) { p.recv(); p.send(c.wire); p.recv() })
			checkDocument(t, s, c.want)
		})
		t.Run(c.name+"/one byte at a time", func(t *testing.T) {
			s := open(t, Options{}, c.hello, func(p *peer) {
				p.recv()
				for i := range c.wire {
					p.send(c.wire[i : i+1])
				}
				p.recv()
			})
			checkDocument(t, s, c.want)
		})
		for cut := range len(c.wire) {
			s := open(t, Options{}, c.hello, func(p *peer) { p.recv(); p.send(c.wire[:cut]); p.send(c.wire[cut:]); p.recv() })
			checkDocument(t, s, c.want)
			s.Close()
		}
	}
}

func checkDocument(t *testing.T, s *Session, want string) {
	t.Helper()
	got, res, err := collect(t, s)
	if err != nil || got != want {
		t.Fatalf("got %q, %v\nwant %q", got, err, want)
	}
	if sum := sha256.Sum256([]byte(want)); res.SHA256 != hex.EncodeToString(sum[:]) || res.Size != int64(len(want)) {
		t.Errorf("hash or size of %q: %+v", want, res)
	}
}

func TestManyCalls(t *testing.T) {
	for _, hello := range []string{hello10, hello11} {
		s := open(t, Options{}, hello, answer(func(id string) string { return replyTo(id, "<a>"+id+"</a>") }))
		if want := strings.Contains(hello, "base:1.1"); s.Base11() != want || s.SessionID() == "" {
			t.Errorf("base11 %v, session %q", s.Base11(), s.SessionID())
		}
		for i := range 5 {
			got, res, err := collect(t, s)
			if err != nil || got != replyTo(fmt.Sprint(i+1), fmt.Sprintf("<a>%d</a>", i+1)) {
				t.Fatalf("call %d: %q, %v", i, got, err)
			}
			if res.Outcome != OK || res.Release != "23.4R2-S7.4" || len(res.Flags) != 0 {
				t.Errorf("result %+v", res)
			}
		}
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		_, _, err := collect(t, s)
		wantKind(t, err, KindClosed)
	}
}

// One Write for a request, whatever its framing: older releases lose a
// delimiter that comes in two.
func TestOneWrite(t *testing.T) {
	s := open(t, Options{}, hello10, func(p *peer) {
		b := make([]byte, 4096)
		n, _ := p.conn.Read(b)
		if got := string(b[:n]); !strings.HasPrefix(got, "<rpc") || !strings.HasSuffix(got, "</rpc>"+delimiter) {
			p.t.Errorf("first write %q", got)
		}
		p.reply(replyTo("1", "<a/>"))
	})
	if _, _, err := collect(t, s); err != nil {
		t.Fatal(err)
	}
}

func TestForeignMessageID(t *testing.T) {
	s := open(t, Options{}, hello11, answer(func(string) string { return replyTo("99", "<a>x</a>") }))
	_, _, err := collect(t, s)
	wantKind(t, err, KindMessageID)
	_, _, err = collect(t, s)
	wantKind(t, err, KindClosed)
}

func TestDeviceDiesInReply(t *testing.T) {
	for _, hello := range []string{hello10, hello11} {
		part := replyTo("1", "<a>x</a>")[:120]
		s := open(t, Options{}, hello, func(p *peer) {
			p.recv()
			wire := string(frame(replyTo("1", "<a>x</a>"), p.v11))
			p.send(wire[:strings.Index(wire, part)+len(part)])
		})
		got, res, err := collect(t, s)
		wantKind(t, err, KindClosed)
		if got != part || res.Outcome != Partial || !slices.Contains(res.Flags, FlagPartial) || res.Size != int64(len(part)) {
			t.Errorf("got %q, %+v", got, res)
		}
	}
}

// A cancelled call does not end the session, and its late reply is nobody's.
func TestCancelThenLateReply(t *testing.T) {
	for _, hello := range []string{hello10, hello11} {
		late := make(chan struct{})
		s := open(t, Options{}, hello, func(p *peer) {
			id := idOf(p.recv())
			<-late
			p.reply("<rpc-reply><a>late " + id + "</a></rpc-reply>")
			p.recv()
			p.reply("<rpc-reply><a>next</a></rpc-reply>")
			p.recv()
		})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(10*time.Millisecond, cancel)
		_, err := s.Call(ctx, version(t))
		wantKind(t, err, KindCancelled)
		close(late)
		if got, _, err := collect(t, s); err != nil || !strings.Contains(got, "next") {
			t.Fatalf("after a cancelled call: %q, %v", got, err)
		}
	}
}

func TestCancelWhileReading(t *testing.T) {
	s := open(t, Options{}, hello10, func(p *peer) {
		p.recv()
		p.send("<rpc-reply><a>")
		p.send("begun")
		p.recv()
	})
	ctx, cancel := context.WithCancel(t.Context())
	r, err := s.Call(ctx, version(t))
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	_, err = io.ReadAll(r)
	wantKind(t, err, KindCancelled)
	if res := r.Result(); res.Outcome != Partial {
		t.Errorf("result %+v", res)
	}
}

// A reply that is not read to its end neither blocks the next request nor
// leaks into its reply.
func TestUnreadReply(t *testing.T) {
	big := strings.Repeat("<x>y</x>", 100_000)
	s := open(t, Options{}, hello11, answer(func(id string) string { return replyTo(id, big+"<n>"+id+"</n>") }))
	old, err := s.Call(t.Context(), version(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(old, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	got, _, err := collect(t, s)
	if err != nil || !strings.Contains(got, "<n>2</n>") || strings.Contains(got, "<n>1</n>") {
		t.Fatalf("second reply of %d bytes: %v", len(got), err)
	}
	_, err = old.Read(make([]byte, 10))
	wantKind(t, err, KindClosed)
}

func TestUnreadReplyThatNeverEnds(t *testing.T) {
	s := open(t, Options{StallTimeout: 50 * time.Millisecond}, hello10, func(p *peer) {
		p.recv()
		for p.send("<rpc-reply><a>and on</a>") {
		}
	})
	if _, err := s.Call(t.Context(), version(t)); err != nil {
		t.Fatal(err)
	}
	// The kind is not one of the item that was not even asked for.
	_, err := s.Call(t.Context(), version(t))
	wantKind(t, err, KindClosed)
	if _, _, advice := err.(*Error).Diagnosis(); !strings.Contains(advice, "not asked") {
		t.Errorf("advice %q", advice)
	}
	_, _, err = collect(t, s)
	wantKind(t, err, KindClosed)
}

func TestTimeouts(t *testing.T) {
	o := Options{StallTimeout: 20 * time.Millisecond}
	s := open(t, o, hello10, func(p *peer) { p.recv(); p.recv() })
	_, _, err := collect(t, s)
	wantKind(t, err, KindRPCTimeout)

	s = open(t, o, hello10, func(p *peer) { p.recv(); p.send("<rpc-reply><a>"); p.recv() })
	_, res, err := collect(t, s)
	wantKind(t, err, KindStalled)
	if res.Outcome != Partial || res.Size != 14 {
		t.Errorf("result %+v", res)
	}
}

func TestMaxReply(t *testing.T) {
	doc := replyTo("1", strings.Repeat("<x>y</x>", 1000))
	s := open(t, Options{MaxReply: 500}, hello11, answer(func(id string) string { return doc }))
	got, res, err := collect(t, s)
	wantKind(t, err, KindTooLarge)
	if got != doc[:500] || res.Size != 500 || res.Outcome != Partial {
		t.Errorf("got %d bytes, %+v", len(got), res)
	}
}

func TestBadFraming(t *testing.T) {
	for _, wire := range []string{"<rpc-reply/>]]>]]>", "\n#0\n", "\n#x\n", "\n#4294967296\nx", "\n#2\nab#1\nc", "\n#2\nab\n##x", "\n#012\n", "#1\nx"} {
		s := open(t, Options{}, hello11, func(p *peer) { p.recv(); p.send(wire); p.recv() })
		_, _, err := collect(t, s)
		wantKind(t, err, KindFraming)
		s.Close()
	}
}

// Close while a call, a read or nothing is under way ends it and returns.
func TestCloseRaces(t *testing.T) {
	for i := range 60 {
		s := open(t, Options{}, hello11, answer(func(id string) string { return replyTo(id, strings.Repeat("<x>y</x>", 10_000)) }))
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for {
					ctx, cancel := context.WithCancel(t.Context())
					r, err := s.Call(ctx, version(t))
					if err == nil {
						io.Copy(io.Discard, r)
						r.Result()
					}
					cancel()
					if err != nil {
						return
					}
				}
			})
		}
		for range 2 {
			wg.Go(func() {
				for range i * 20 {
					runtime.Gosched()
				}
				s.Close()
			})
		}
		wg.Wait()
	}
}

func TestNotInCatalogue(t *testing.T) {
	s := open(t, Options{}, hello10, answer(func(id string) string { return replyTo(id, "") }))
	good := version(t)
	for what, i := range map[string]Item{
		"zero":              {},
		"unknown":           {Name: "request-system-reboot", rpc: "<request-reboot/>"},
		"name only":         {Name: good.Name},
		"another operation": {Name: good.Name, CLI: good.CLI, rpc: "<get-configuration/>"},
		"another command":   {Name: good.Name, CLI: "request system reboot", rpc: good.rpc},
		"another name":      {Name: "show-system-uptime", CLI: good.CLI, rpc: good.rpc},
	} {
		if _, err := s.Call(t.Context(), i); err == nil || !strings.Contains(err.Error(), "not an item of the catalogue") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// 200 MB flow through without the memory growing with them.
func TestHugeReply(t *testing.T) {
	const rounds = hugeReply
	block := []byte(strings.Repeat("<interface><name>ge-0/0/0</name><description>x &amp; y</description></interface>\n", 1<<20/82))
	s := open(t, Options{}, hello10, func(p *peer) {
		p.recv()
		p.send(`<rpc-reply message-id="1"><interface-information>`)
		for range rounds {
			p.conn.Write(block)
		}
		p.send("</interface-information></rpc-reply>" + delimiter)
		p.recv()
	})
	r, err := s.Call(t.Context(), version(t))
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n, err := io.Copy(io.Discard, r)
	runtime.ReadMemStats(&after)
	if res := r.Result(); err != nil || res.Outcome != OK || res.Size != n || n < rounds*int64(len(block)) {
		t.Fatalf("%d bytes, %v, %+v", n, err, res)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 8<<20 {
		t.Errorf("reading %d bytes allocated %d", n, grown)
	}
}
