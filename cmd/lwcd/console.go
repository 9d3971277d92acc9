package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"lwc/netguard"
)

// console keeps one line on a terminal of the appliance, for whoever stands in
// front of it. It only ever writes: there is nothing to log in to.
type console struct {
	path func() string // empty: there is none
	line func() string
	log  *slog.Logger

	shown string
	lost  bool // the last write failed, and that was told
}

// defaultColumns is the width of a terminal that does not tell its own.
const defaultColumns = 80

// run rewrites the line when it changes, until ctx ends.
func (c *console) run(ctx context.Context) {
	for {
		if path, line := c.path(), c.line(); path != "" && line != c.shown {
			c.show(path, line)
		}
		if !sleep(ctx, statusEvery) {
			return
		}
	}
}

// show writes a line. What cannot be written now is tried again with the next look.
func (c *console) show(path, line string) {
	err := writeLine(path, line)
	if err == nil {
		c.shown = line
	}
	if failed := err != nil && !errors.Is(err, unix.EAGAIN); failed != c.lost {
		c.lost = failed
		if failed {
			c.log.Warn("writing to the console", "error", err)
		}
	}
}

// writeLine opens the terminal anew each time: one that was taken away and came
// back is another one. It does not become the controlling terminal of anybody
// (O_NOCTTY), and neither opening nor writing waits (O_NONBLOCK): a serial line
// without a reader must not hold up the daemon.
func writeLine(path, line string) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_APPEND, 0)
	if err != nil {
		return fmt.Errorf("opening the console: %w", os.NewSyscallError("open "+path, err))
	}
	defer unix.Close(fd)
	text := line + "\n"
	if size, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ); err == nil {
		columns := int(size.Col)
		if columns == 0 {
			columns = defaultColumns
		}
		if len(line) >= columns {
			line = line[:columns-1]
		}
		text = "\r" + line + eraseToEnd
	}
	if _, err := unix.Write(fd, []byte(text)); err != nil {
		return fmt.Errorf("writing the console: %w", err)
	}
	return nil
}

// eraseToEnd takes the rest of an older, longer line away (ECMA-48, EL).
const eraseToEnd = "\x1b[K"

// printable keeps what a peer's words could do to a terminal from it.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, oneLine(s))
}

// consoleLine says the state of the daemon in one line: ports, collector,
// addresses, cloud, and what went wrong last.
func (s *supervisor) consoleLine() string {
	t, detail := s.current()
	if t == nil {
		return printable("lwcd: " + detail)
	}
	st := t.guard.State()
	r, text := t.half.last()
	parts := []string{"lwcd: ports " + string(st.Status), named(r.Collector, "not enrolled"),
		"int " + t.address(netguard.InternalSide), "ext " + t.address(netguard.ExternalSide),
		"cloud: " + named(r.Cloud, named(text, r.Status))}
	if p := t.lastProblem(); p != "" {
		parts = append(parts, "last problem: "+p)
	}
	return printable(strings.Join(parts, " | "))
}

func named(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
