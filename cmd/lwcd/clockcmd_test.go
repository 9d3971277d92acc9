package main

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"lwc/cmd/lwcd/hand"
	"lwc/transport/clock"
)

// lwcd clock, started for each connection as systemd does (Accept=yes), answers
// one wish and ends. The tests have no right to the clock, and so it says; a time
// that cannot be it refuses before it tries.
func TestClockBehindASocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clock.sock")
	l := must[*net.UnixListener](t)(net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"}))
	served := make(chan error, 10)
	go func() {
		for {
			conn, err := l.AcceptUnix()
			if err != nil {
				close(served)
				return
			}
			served <- runClock(conn)
		}
	}()
	r := hand.Remote{Path: path}
	if err := r.Set(clock.Correction{Offset: time.Hour, Step: true, Distance: time.Second, Poll: time.Hour}); !errors.Is(err, clock.ErrNotPermitted) {
		t.Errorf("setting it: %v", err)
	}
	if err := r.Set(clock.Correction{Offset: -2 * lastYears, Step: true}); err == nil || errors.Is(err, clock.ErrNotPermitted) {
		t.Errorf("setting it to a time that has passed: %v", err)
	}
	if got, want := r.Kept(), synchronized(); got != want {
		t.Errorf("kept: %v, want %v", got, want)
	}
	l.Close()
	for err := range served {
		if err != nil {
			t.Error(err)
		}
	}
}

// runClock is what systemd does with a connection.
func runClock(conn *net.UnixConn) error {
	defer conn.Close()
	in, err := conn.File()
	if err != nil {
		return err
	}
	defer in.Close()
	cmd := exec.Command(os.Args[0], "clock")
	cmd.Env, cmd.Stdin, cmd.Stderr = append(os.Environ(), envMain+"=1"), in, os.Stderr
	return cmd.Run()
}
