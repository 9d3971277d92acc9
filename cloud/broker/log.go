package broker

import (
	"context"
	"log/slog"
	"slices"
)

// quiet passes on what the embedded broker logs, without the packets that it
// logs along: of attributes only a known few are kept, of levels none above
// what it means to an operator here.
type quiet struct{ slog.Handler }

// kept are the attributes that hold no content of a message.
var kept = []string{"client", "error", "keepalive", "listener", "remote", "old_remote", "new_remote"}

func newQuiet(l *slog.Logger) *slog.Logger { return slog.New(quiet{l.Handler()}) }

// Enabled implements slog.Handler.
func (q quiet) Enabled(ctx context.Context, l slog.Level) bool {
	return q.Handler.Enabled(ctx, quietLevel(l))
}

// quietLevel lowers informational records to debug: starting and hooks are
// details of the library.
func quietLevel(l slog.Level) slog.Level {
	if l == slog.LevelInfo {
		return slog.LevelDebug
	}
	return l
}

// Handle implements slog.Handler.
func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	out := slog.NewRecord(r.Time, quietLevel(r.Level), "mqtt: "+r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		out.AddAttrs(quietAttr(a))
		return true
	})
	return q.Handler.Handle(ctx, out)
}

func quietAttr(a slog.Attr) slog.Attr {
	if slices.Contains(kept, a.Key) {
		return a
	}
	return slog.String(a.Key, "[redacted]")
}

// WithAttrs implements slog.Handler.
func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler {
	safe := make([]slog.Attr, 0, len(attrs))
	for _, a := range attrs {
		safe = append(safe, quietAttr(a))
	}
	return quiet{q.Handler.WithAttrs(safe)}
}

// WithGroup implements slog.Handler.
func (q quiet) WithGroup(name string) slog.Handler { return quiet{q.Handler.WithGroup(name)} }
