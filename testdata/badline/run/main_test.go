package main

import (
	"bufio"
	"context"
	"io"
	"strings"
	"testing"
)

func TestWords(t *testing.T) {
	out, w := io.Pipe()
	in, say := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- run(context.Background(), []string{"127.0.0.1:9"}, in, w) }()
	lines := bufio.NewScanner(out)
	if lines.Scan(); !strings.HasPrefix(lines.Text(), "127.0.0.1:") {
		t.Fatalf("it listens at %q", lines.Text())
	}
	for _, c := range []struct{ word, answer string }{
		{"cut", "ok"}, {"black-hole", "ok"}, {"delay 20ms", "ok"}, {"rate 1000", "ok"}, {"heal", "ok"}, {"target 127.0.0.1:10", "ok"},
		{"delay soon", "error"}, {"cut 3", "error"}, {"melt", "error"},
	} {
		if _, err := io.WriteString(say, c.word+"\n"); err != nil {
			t.Fatal(err)
		}
		if lines.Scan(); !strings.HasPrefix(lines.Text(), c.answer) {
			t.Errorf("%q is answered by %q", c.word, lines.Text())
		}
	}
	say.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
