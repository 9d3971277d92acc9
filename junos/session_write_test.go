package junos

import (
	"strings"
	"testing"
	"time"
)

// A device that takes no further request before it has got rid of its replies is
// read from all the while.
func TestWriteBesideReading(t *testing.T) {
	items := Catalogue()
	s := open(t, Options{Depth: 40, StallTimeout: 5 * time.Second}, hello10, func(p *peer) {
		b := make([]byte, 1<<16)
		n, err := p.conn.Read(b) // one Write, with most of the requests
		if err != nil {
			p.t.Error(err)
		}
		for r := range strings.SplitSeq(strings.TrimSuffix(string(b[:n]), delimiter), delimiter) {
			p.reply(echo(r))
		}
		inBulk(1, echo)(p)
	})
	start := time.Now()
	if err := s.Ahead(t.Context(), items...); err != nil {
		t.Fatal(err)
	}
	for _, item := range items {
		if got, err := read(t, s, item); err != nil || !strings.Contains(got, holds(item)) {
			t.Fatalf("%s: %q, %v", item.Name, got, err)
		}
	}
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("it took %v", took)
	}
}

// The other name of an item is asked for by itself, and none is answered for the
// other.
func TestOlderName(t *testing.T) {
	item, _ := Lookup("show-system-buffers")
	older, ok := item.Older()
	if !ok {
		t.Fatal("no other name")
	}
	s := open(t, Options{Depth: 3}, hello11, answerAll(echo))
	if err := s.Ahead(t.Context(), item, version(t), older); err != nil {
		t.Fatal(err)
	}
	for _, i := range []Item{item, older} {
		if got, err := read(t, s, i); err != nil || !strings.Contains(got, holds(i)) {
			t.Errorf("%q, %v", got, err)
		}
	}
}

// With a reply under way, the session ends without a word: the device would not
// answer before that reply is done.
func TestCloseUnderWay(t *testing.T) {
	said := make(chan string, 1)
	s := open(t, Options{StallTimeout: 20 * time.Millisecond}, hello10, func(p *peer) {
		p.recv()
		said <- p.recv()
	})
	_, err := s.Call(t.Context(), version(t))
	wantKind(t, err, KindRPCTimeout)
	s.Close()
	if word := <-said; word != "" {
		t.Errorf("said %q", word)
	}
}
