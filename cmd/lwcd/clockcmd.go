package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"lwc/cmd/lwcd/hand"
	"lwc/transport/clock"
)

// handOf is what sets the clock: the kernel's, or the process behind a socket.
func handOf(socket string) (clock.Setter, func() bool) {
	if socket == "" {
		return clock.System{}, synchronized
	}
	r := hand.Remote{Path: socket}
	return r, r.Kept
}

// serveClock is the subcommand that sets the clock, once, for the connection that
// it has as its standard input: lwc-clock.socket starts it. It keeps the one right
// that this takes.
func serveClock(_ context.Context, args []string, _, stderr io.Writer) int {
	log := slog.New(slog.NewJSONHandler(stderr, nil))
	conn, err := net.FileConn(os.Stdin)
	if len(args) > 0 || err != nil {
		fmt.Fprintln(stderr, "usage: lwcd clock\nSets the clock of an appliance for the connection that is its standard input (lwc-clock.socket).")
		return exitUsage
	}
	confineOrTell(1<<unix.CAP_SYS_TIME, log)
	if err := hand.Serve(conn, hand.Clock{Setter: clock.System{}, Kept: synchronized, Believed: believed}); err != nil {
		log.Error("setting the clock", "error", err)
		return exitFailed
	}
	return exitStopped
}

// believed tells whether it may be that time: after this program was made, and not
// too long after.
func believed(at time.Time) bool {
	from := built()
	return !at.Before(from) && !at.After(from.Add(lastYears))
}
