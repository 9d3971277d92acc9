package junos

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// several returns the first n items of the catalogue.
func several(t *testing.T, n int) []Item {
	t.Helper()
	all := Catalogue()
	if len(all) < n {
		t.Fatalf("a catalogue of %d", len(all))
	}
	return all[:n]
}

// read calls an item and reads its whole reply.
func read(t *testing.T, s *Session, item Item) (string, error) {
	t.Helper()
	r, err := s.Call(t.Context(), item)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(r)
	if err == nil && r.Result().Outcome != OK {
		t.Errorf("%s: %+v", item.Name, r.Result())
	}
	return string(b), err
}

// inBulk serves requests in groups, none before all of its group have come.
func inBulk(group int, fn func(request string) string) func(*peer) {
	return func(p *peer) {
		for {
			var replies []string
			for range group {
				r := p.recv()
				if r == "" {
					return
				}
				if strings.Contains(r, "close-session") {
					p.reply(replyTo(idOf(r), "<ok/>"))
					return
				}
				replies = append(replies, fn(r))
			}
			for _, r := range replies {
				p.reply(r)
			}
		}
	}
}

func echo(request string) string {
	_, operation, _ := strings.Cut(request, ">")
	return replyTo(idOf(request), "<a>"+strings.TrimSuffix(operation, "</rpc>")+"</a>")
}

func holds(item Item) string { return "<a>" + item.RPC() + "</a>" }

// Every request is answered by its own reply, in both framings, although the
// device answers none before it has several.
func TestAhead(t *testing.T) {
	items := several(t, 24)
	for _, hello := range []string{hello10, hello11} {
		s := open(t, Options{Depth: 4}, hello, inBulk(2, echo))
		for i, item := range items {
			if err := s.Ahead(t.Context(), items[i:]...); err != nil {
				t.Fatal(err)
			}
			if got, err := read(t, s, item); err != nil || !strings.Contains(got, holds(item)) {
				t.Fatalf("%s: %q, %v", item.Name, got, err)
			}
		}
		if !s.Pipelined() || len(s.queue) != 0 {
			t.Errorf("pipelined %v, under way %d", s.Pipelined(), len(s.queue))
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Told once, the session goes on by itself.
func TestAheadOnce(t *testing.T) {
	items := several(t, 20)
	s := open(t, Options{Depth: 8}, hello11, inBulk(4, echo))
	if err := s.Ahead(t.Context(), items...); err != nil {
		t.Fatal(err)
	}
	for _, item := range items {
		if got, err := read(t, s, item); err != nil || !strings.Contains(got, holds(item)) {
			t.Fatalf("%s: %q, %v", item.Name, got, err)
		}
	}
}

// At a depth of one nothing is sent before its Call, and never more than the
// depth is under way.
func TestDepth(t *testing.T) {
	for _, depth := range []int{0, 1, 2, 3, 7} {
		most, seen := 0, 0
		s := open(t, Options{Depth: depth}, hello10, func(p *peer) {
			for {
				// Whole requests arrive together; what is in the buffer is under way.
				r := p.recv()
				if r == "" {
					return
				}
				seen++
				most = max(most, 1+strings.Count(string(p.in.buf[p.in.r:p.in.w]), "</rpc>"))
				p.reply(replyTo(idOf(r), "<a>1</a>"))
			}
		})
		items := several(t, 20)
		if err := s.Ahead(t.Context(), items...); err != nil {
			t.Fatal(err)
		}
		for _, item := range items {
			if _, err := read(t, s, item); err != nil {
				t.Fatal(err)
			}
		}
		s.Close()
		if want := max(1, depth); most > want || depth > 1 && most < 2 || s.Pipelined() != (depth > 1) {
			t.Errorf("depth %d: %d at once, pipelined %v", depth, most, s.Pipelined())
		}
	}
}

// Requests share a Write only while it stays under 4096 bytes, and none is split.
func TestWrites(t *testing.T) {
	items := Catalogue()
	s := open(t, Options{Depth: 2 * len(items)}, hello10, func(p *peer) {
		b := make([]byte, 1<<16)
		for n := 0; n < len(items); {
			k, err := p.conn.Read(b)
			if err != nil {
				p.t.Errorf("after %d requests: %v", n, err)
				return
			}
			got := string(b[:k])
			if k >= 4096 || !strings.HasPrefix(got, "<rpc") || !strings.HasSuffix(got, delimiter) {
				p.t.Errorf("a write of %d bytes: %.40q … %q", k, got, got[max(0, k-20):])
			}
			n += strings.Count(got, delimiter)
		}
	})
	if err := s.Ahead(t.Context(), items...); err != nil {
		t.Fatal(err)
	}
	s.writes.Wait()
}

// A device may give up the session when a second request comes. The error says
// that this may be why.
func TestDeviceObjects(t *testing.T) {
	items := several(t, 3)
	for name, serve := range map[string]func(*peer){
		"ends the session": func(p *peer) { p.recv() },
		"ends in a reply":  func(p *peer) { p.recv(); p.send("<rpc-reply><a>") },
		"loses the others": func(p *peer) { r := p.recv(); p.reply(echo(r)); p.recv(); p.recv(); p.recv() },
		"swaps replies": func(p *peer) {
			a, b := p.recv(), p.recv()
			p.reply(echo(b))
			p.reply(echo(a))
			p.recv()
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, Options{Depth: 3, StallTimeout: 50 * time.Millisecond}, hello10, serve)
			if err := s.Ahead(t.Context(), items...); err != nil {
				t.Fatal(err)
			}
			var err error
			for i := 0; i < len(items) && err == nil; i++ {
				_, err = read(t, s, items[i])
			}
			e, ok := err.(*Error)
			if !ok || !e.Pipelined {
				t.Errorf("error %#v", err)
			}
			if kind := map[string]Kind{"loses the others": KindRPCTimeout, "swaps replies": KindMessageID}[name]; kind != "" {
				wantKind(t, err, kind)
			}
		})
	}
	s := open(t, Options{}, hello10, func(p *peer) { p.recv() })
	_, err := read(t, s, items[0])
	if e := err.(*Error); e.Pipelined {
		t.Errorf("one request, error %+v", e)
	}
}

// mishaps are what may befall the reply to the first of the items.
func mishaps(items []Item) map[string]func(*testing.T, *Session) {
	return map[string]func(*testing.T, *Session){
		"a reply that is not read": func(t *testing.T, s *Session) {
			if _, err := s.Call(t.Context(), items[0]); err != nil {
				t.Fatal(err)
			}
		},
		"a reply that is discarded": func(t *testing.T, s *Session) {
			r, err := s.Call(t.Context(), items[0])
			if err == nil {
				err = r.Discard()
			}
			if err != nil {
				t.Fatal(err)
			}
		},
		"a cancelled call": func(t *testing.T, s *Session) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err := s.Call(ctx, items[0])
			wantKind(t, err, KindCancelled)
		},
		"a cancelled read": func(t *testing.T, s *Session) {
			ctx, cancel := context.WithCancel(t.Context())
			r, err := s.Call(ctx, items[0])
			if err != nil {
				t.Fatal(err)
			}
			cancel()
			for err == nil {
				_, err = r.Read(make([]byte, 1<<16))
			}
			if err != io.EOF {
				wantKind(t, err, KindCancelled)
			}
		},
		"a reply over the limit": func(t *testing.T, s *Session) {
			_, err := read(t, s, items[0])
			wantKind(t, err, KindTooLarge)
		},
		"items passed over": func(t *testing.T, s *Session) {},
	}
}

// What befalls one reply of several leaves the others alone: each item then gets
// its own.
func TestAheadAfter(t *testing.T) {
	items := several(t, 6)
	big := strings.Repeat("<x>y</x>", 30_000)
	for name, first := range mishaps(items) {
		for _, hello := range []string{hello10, hello11} {
			t.Run(name, func(t *testing.T) {
				s := open(t, Options{Depth: 4, MaxReply: 100_000}, hello, answerAll(func(r string) string {
					if idOf(r) == "1" {
						return replyTo("1", big)
					}
					return echo(r)
				}))
				if err := s.Ahead(t.Context(), items...); err != nil {
					t.Fatal(err)
				}
				first(t, s)
				for _, item := range items[3:] {
					if got, err := read(t, s, item); err != nil || !strings.Contains(got, holds(item)) {
						t.Fatalf("%s: %q, %v", item.Name, got, err)
					}
				}
				// One that was passed over can still be asked for.
				if got, err := read(t, s, items[1]); err != nil || !strings.Contains(got, holds(items[1])) {
					t.Fatalf("%q, %v", got, err)
				}
			})
		}
	}
}

func answerAll(fn func(request string) string) func(*peer) { return inBulk(1, fn) }

// A late reply to a cancelled request is checked too: it may not stand for
// another.
func TestLateReplyOfAnother(t *testing.T) {
	items := several(t, 3)
	sent := make(chan struct{})
	s := open(t, Options{Depth: 3}, hello11, func(p *peer) {
		p.recv()
		p.recv()
		<-sent
		p.reply(replyTo("2", "<a>x</a>"))
		p.reply(replyTo("3", "<a>x</a>"))
		p.recv()
	})
	if err := s.Ahead(t.Context(), items...); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Call(ctx, items[0])
	wantKind(t, err, KindCancelled)
	close(sent)
	_, err = read(t, s, items[1])
	wantKind(t, err, KindMessageID)
}

// Several replies in one stream, cut at every place: none gets a byte of another.
func TestAheadSplits(t *testing.T) {
	items := several(t, 3)
	for _, hello := range []string{hello10, hello11} {
		var wire strings.Builder
		for i := range items {
			wire.Write(frame(replyTo(fmt.Sprint(i+1), "<a>"+items[i].Name+"</a>"), hello == hello11))
		}
		w := wire.String()
		for cut := range len(w) {
			s := open(t, Options{Depth: 3}, hello, func(p *peer) {
				p.recv()
				p.recv()
				p.recv()
				p.send(w[:cut])
				p.send(w[cut:])
				p.recv()
			})
			checkInTurn(t, s, items)
		}
		s := open(t, Options{Depth: 3}, hello, func(p *peer) {
			p.recv()
			p.recv()
			p.recv()
			for i := range w {
				p.send(w[i : i+1])
			}
			p.recv()
		})
		checkInTurn(t, s, items)
	}
}

func checkInTurn(t *testing.T, s *Session, items []Item) {
	t.Helper()
	if err := s.Ahead(t.Context(), items...); err != nil {
		t.Fatal(err)
	}
	for i, item := range items {
		if got, err := read(t, s, item); err != nil || got != replyTo(fmt.Sprint(i+1), "<a>"+item.Name+"</a>") {
			t.Fatalf("%q, %v", got, err)
		}
	}
	s.Close()
}

// Close, Ahead and Calls from everywhere end, whatever the moment.
func TestAheadCloseRaces(t *testing.T) {
	items := several(t, 10)
	for i := range 60 {
		s := open(t, Options{Depth: 4}, hello11, answer(func(id string) string { return replyTo(id, strings.Repeat("<x>y</x>", 3_000)) }))
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				for n := 0; ; n++ {
					s.Ahead(t.Context(), items[n%7:]...)
					r, err := s.Call(t.Context(), items[n%10])
					if err != nil {
						return
					}
					io.Copy(io.Discard, r)
					r.Result()
				}
			})
		}
		for range 2 {
			wg.Go(func() {
				for range i * 30 {
					runtime.Gosched()
				}
				s.Close()
			})
		}
		wg.Wait()
	}
}

func TestAheadNotInCatalogue(t *testing.T) {
	s := open(t, Options{Depth: 2}, hello10, answer(func(id string) string { return replyTo(id, "") }))
	if err := s.Ahead(t.Context(), Item{Name: "request-system-reboot"}); err == nil {
		t.Fatal("an item that is not of the catalogue was announced")
	}
}
