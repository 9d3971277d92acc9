package main

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"lwc/transport/wire"
)

const (
	// maxTroubles is how many of the last warnings and errors a heartbeat carries,
	// and maxTrouble how long each is: together less than a tenth of a frame.
	maxTroubles = 8
	maxTrouble  = 300
)

// troubles are the last warnings and errors of the log, for the heartbeat. The log
// holds neither secrets nor facts, and so neither do they.
type troubles struct {
	mu   sync.Mutex // guards list
	list []wire.Trouble
}

// last returns them, newest first.
func (t *troubles) last() []wire.Trouble {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := slices.Clone(t.list)
	slices.Reverse(out)
	return out
}

// newest returns the last one with its time in one line; empty: there is none.
func (t *troubles) newest() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.list) == 0 {
		return ""
	}
	last := t.list[len(t.list)-1]
	return last.At.Format("2006-01-02 15:04 UTC ") + last.Text
}

func (t *troubles) add(at time.Time, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.list); n > 0 && t.list[n-1].Text == text {
		t.list[n-1].At = at
		return
	}
	t.list = append(t.list, wire.Trouble{At: at, Text: text})
	t.list = t.list[max(0, len(t.list)-maxTroubles):]
}

// watch returns a handler that keeps what is logged at level warn or above.
func (t *troubles) watch(h slog.Handler) slog.Handler { return watched{h, t, nil} }

type watched struct {
	slog.Handler
	kept  *troubles
	attrs []slog.Attr
}

// Handle implements slog.Handler.
func (w watched) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		w.kept.add(r.Time.UTC().Truncate(time.Second), w.words(r))
	}
	return w.Handler.Handle(ctx, r)
}

// words are the message and what tells what it is about.
func (w watched) words(r slog.Record) string {
	var b strings.Builder
	b.WriteString(r.Message)
	tell := func(a slog.Attr) bool {
		switch a.Key {
		case "error", "reason", "text", "device", "run", "job", "advice":
			b.WriteString("; " + a.Key + ": " + a.Value.String())
		}
		return true
	}
	for _, a := range w.attrs {
		tell(a)
	}
	r.Attrs(tell)
	s := b.String()
	if len(s) > maxTrouble {
		s = strings.ToValidUTF8(s[:maxTrouble], "") + "…"
	}
	return s
}

// WithAttrs implements slog.Handler.
func (w watched) WithAttrs(attrs []slog.Attr) slog.Handler {
	return watched{w.Handler.WithAttrs(attrs), w.kept, slices.Concat(w.attrs, attrs)}
}

// WithGroup implements slog.Handler.
func (w watched) WithGroup(name string) slog.Handler {
	return watched{w.Handler.WithGroup(name), w.kept, w.attrs}
}
