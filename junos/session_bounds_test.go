package junos

import (
	"context"
	"errors"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// drip opens a session in whose replies the device sends piece after piece.
func drip(t *testing.T, o Options, think time.Duration, every time.Duration, piece string) *Session {
	return open(t, o, hello10, func(p *peer) {
		p.recv()
		time.Sleep(think)
		for p.send(piece) {
			time.Sleep(every)
		}
	})
}

// A device that drips is stalled, one that is merely slow is not.
func TestMinRate(t *testing.T) {
	for _, c := range []struct {
		name   string
		rate   int64
		think  time.Duration
		every  time.Duration
		piece  string
		stalls bool
		after  time.Duration // how long it is borne at most, after the thinking
	}{
		{"a byte a second", 0, 0, time.Second, "x", true, 122 * time.Second},
		{"a byte just in time", 0, 0, 59 * time.Second, "x", true, 121 * time.Second},
		{"after long thinking", 0, 59 * time.Second, time.Second, "x", true, 122 * time.Second},
		{"nothing more", 0, 0, time.Hour, "<rpc-reply>", true, 60 * time.Second},
		{"5 KiB a minute", 0, 30 * time.Second, 55 * time.Second, strings.Repeat("x", 5<<10), false, 0},
		{"100 bytes a second", 0, 0, time.Second, strings.Repeat("x", 100), false, 0},
		{"100 bytes a second, 200 asked", 200, 0, time.Second, strings.Repeat("x", 100), true, 240 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := drip(t, Options{StallTimeout: time.Minute, MinRate: c.rate, MaxReply: 1 << 20}, c.think, c.every, c.piece)
				start := time.Now()
				_, _, err := collect(t, s)
				took := time.Since(start) - c.think
				if !c.stalls {
					wantKind(t, err, KindTooLarge)
				} else if wantKind(t, err, KindStalled); took > c.after {
					t.Errorf("borne for %v, want %v", took, c.after)
				}
				s.Close()
				time.Sleep(time.Hour) // the peer wakes up
			})
		})
	}
}

// A device may think again after the start tag, and between the parts of a small
// reply: for each member of a stack, and for one that is dead.
func TestPauses(t *testing.T) {
	for name, pauses := range map[string][]time.Duration{
		"after the start tag": {59 * time.Second, 40 * time.Second},
		"ten members":         slices.Repeat([]time.Duration{10 * time.Second}, 10),
		"a dead member":       {5 * time.Second, 5 * time.Second, 55 * time.Second, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := open(t, Options{StallTimeout: time.Minute}, hello10, func(p *peer) {
					p.recv()
					time.Sleep(40 * time.Second)
					p.send("<rpc-reply>")
					for _, pause := range pauses {
						time.Sleep(pause)
						p.send("<a>" + strings.Repeat("x", 500) + "</a>")
					}
					p.send("</rpc-reply>" + delimiter)
					p.recv()
				})
				if _, res, err := collect(t, s); err != nil || res.Outcome != OK {
					t.Errorf("%v, %+v", err, res)
				}
				s.Close()
			})
		})
	}
}

// A caller that reads slowly does not make the device slow.
func TestSlowCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := drip(t, Options{StallTimeout: time.Minute, MaxReply: 20}, 0, time.Second, "x")
		r, err := s.Call(t.Context(), version(t))
		for err == nil {
			time.Sleep(30 * time.Second)
			_, err = r.Read(make([]byte, 1))
		}
		wantKind(t, err, KindTooLarge)
		s.Close()
		time.Sleep(time.Minute)
	})
}

// A stall is told when it is due, however the waits before it were.
func TestStallIsOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Options{StallTimeout: 10 * time.Second}, hello10, func(p *peer) {
			for _, wait := range []time.Duration{9 * time.Second, 5 * time.Second} {
				r := p.recv()
				time.Sleep(wait)
				p.reply(echo(r))
			}
			p.recv()
			p.recv()
		})
		for range 2 {
			if _, _, err := collect(t, s); err != nil {
				t.Fatal(err)
			}
			time.Sleep(7 * time.Second) // between the calls nothing is waited for
		}
		start := time.Now()
		_, _, err := collect(t, s)
		wantKind(t, err, KindRPCTimeout)
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("told after %v", took)
		}
		s.Close()
	})
}

// What has no end is cut off without being held: white space, headers, hellos.
func TestFloods(t *testing.T) {
	for name, c := range map[string]struct{ hello, head, flood string }{
		"white space before a document":   {hello10, "", strings.Repeat(" \n", 4096)},
		"white space in a chunk":          {hello11, "", "\n#4\n \n\n "},
		"line feeds before a chunk":       {hello11, "", strings.Repeat("\n", 4096)},
		"line feeds between chunks":       {hello11, "\n#1\n<", strings.Repeat("\n", 4096)},
		"digits of a chunk size":          {hello11, "\n#1", strings.Repeat("1", 4096)},
		"a start tag":                     {hello10, "<rpc-reply ", strings.Repeat("a=\"b\" ", 1000)},
		"comments before the root":        {hello10, "", "<!-- x -->"},
		"text that never becomes a reply": {hello10, "", strings.Repeat("text ", 1000)},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, Options{MaxReply: 1 << 20}, c.hello, func(p *peer) {
				p.recv()
				for ok := p.send(c.head); ok; ok = p.send(c.flood) {
				}
			})
			r, err := s.Call(t.Context(), version(t))
			if err == nil {
				_, err = io.Copy(io.Discard, r)
			}
			var e *Error
			if !errors.As(err, &e) || e.Kind != KindFraming && e.Kind != KindTooLarge {
				t.Errorf("error %v", err)
			}
		})
	}
}

// The number of a reply that hides behind much else is checked all the same.
func TestForeignMessageIDLate(t *testing.T) {
	s := open(t, Options{}, hello10, answer(func(string) string {
		return "<!--" + strings.Repeat("x", 3*maxMarkup) + "-->" + replyTo("99", "<a>x</a>")
	}))
	got, _, err := collect(t, s)
	wantKind(t, err, KindMessageID)
	if strings.Contains(got, "<a>") {
		t.Error("another's document was handed on")
	}
}

// Delimiters and headers at the edges of both read buffers.
func TestBufferEdges(t *testing.T) {
	for _, chunked := range []bool{false, true} {
		for _, edge := range []int{firstSize, bufferSize, firstSize + bufferSize, 2 * bufferSize} {
			for size := edge - 20; size <= edge+2; size++ {
				first, second := strings.Repeat("a", size), strings.Repeat("b", 10)
				wire := appendFrame(frame(first, chunked), second, chunked)
				for _, n := range []int{len(wire), bufferSize - 1, 1000} {
					all, _ := messages(pieces(wire, n), chunked)
					if len(all) != 3 || string(all[0]) != first || string(all[1]) != second {
						t.Fatalf("size %d, chunked %v, %d at a time: %d messages", size, chunked, n, len(all))
					}
				}
			}
		}
	}
}

// A session between replies holds no read buffer, also after large ones, and one
// that waits for a reply only the small one.
func TestIdleBuffer(t *testing.T) {
	for _, hello := range []string{hello10, hello11} {
		waiting := make(chan struct{})
		s := open(t, Options{}, hello, func(p *peer) {
			p.reply(echoOf(p, strings.Repeat("<x>y</x>", 100_000)))
			p.recv()
			<-waiting
		})
		if _, _, err := collect(t, s); err != nil {
			t.Fatal(err)
		}
		if s.frames.buf != nil || s.frames.large != nil {
			t.Error("an idle session holds a buffer")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if _, err := s.Call(ctx, version(t)); err == nil || s.frames.large != nil {
			t.Errorf("waiting: %v, large buffer %v", err, s.frames.large != nil)
		}
		close(waiting)
	}
}

func echoOf(p *peer, payload string) string { return replyTo(idOf(p.recv()), payload) }

// What a session costs beside its channel while it is idle.
func TestIdleMemory(t *testing.T) {
	const sessions = 200
	all := make([]*Session, sessions)
	before := inUse()
	for i := range all {
		s, err := Open(t.Context(), &idleChannel{Reader: strings.NewReader(hello10 + delimiter), done: make(chan struct{})}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		all[i] = s
	}
	if each := (inUse() - before) / sessions; each > 16<<10 {
		t.Errorf("an idle session holds %d bytes", each)
	}
	for _, s := range all {
		s.fail(errClosed)
		s.Close()
	}
}

func inUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// idleChannel says hello and then nothing.
type idleChannel struct {
	io.Reader
	done chan struct{}
}

func (c *idleChannel) Read(b []byte) (int, error) {
	if n, err := c.Reader.Read(b); n > 0 || err != io.EOF {
		return n, err
	}
	<-c.done
	return 0, io.EOF
}

func (c *idleChannel) Write(b []byte) (int, error) { return len(b), nil }

func (c *idleChannel) Close() error {
	close(c.done)
	return nil
}

// A writer gets what a reader would, and its error ends the copy.
func TestWriteTo(t *testing.T) {
	doc := func(id string) string { return replyTo(id, strings.Repeat("<x>y</x>", 50_000)) }
	s := open(t, Options{}, hello11, answer(doc))
	r, err := s.Call(t.Context(), version(t))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if n, err := r.WriteTo(&b); err != nil || n != int64(b.Len()) || b.String() != doc("1") {
		t.Fatalf("%d bytes of %d, %v", n, len(doc("1")), err)
	}
	if r, err = s.Call(t.Context(), version(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.WriteTo(failing{}); err == nil {
		err = r.Discard()
		t.Errorf("a writer's error is lost; discarding: %v", err)
	}
	if got, _, err := collect(t, s); err != nil || got != doc("3") {
		t.Fatalf("after an error of the writer: %d bytes, %v", len(got), err)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("disk full") }
