package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openTerminal makes a terminal, as wide as that, and collects what is written on
// it (pts(4)).
func openTerminal(t *testing.T, columns uint16) (path string, written *safeBuffer) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetUint32(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	path = fmt.Sprintf("/dev/pts/%d", n)
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 25, Col: columns}); err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0) // a terminal without any is hung up
	if err != nil {
		t.Fatal(err)
	}
	written = &safeBuffer{}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for b := make([]byte, 4<<10); ; {
			n, err := master.Read(b)
			if err != nil {
				return
			}
			written.Write(b[:n]) //nolint:errcheck // memory
		}
	}()
	t.Cleanup(func() { slave.Close(); <-read; master.Close() })
	return path, written
}

// The line on a terminal is rewritten in its place, never longer than the
// terminal is wide, and follows what happens.
func TestConsoleOnATerminal(t *testing.T) {
	const columns = 100
	e := newEnforced(t)
	path, written := openTerminal(t, columns)
	e.configure(func(s string) string { return strings.Replace(s, "[guard]", "[guard]\nconsole = \""+path+"\"", 1) })
	e.start()
	for _, words := range []string{"lwcd: ports open | not enrolled | int lwcint0 10.11.0.2/24 | ext lwcext0 192.0.2.2/24", "| site-0001 |"} {
		until(t, words, 20*time.Second, func() bool { return strings.Contains(written.String(), words) })
		if words[0] == 'l' {
			e.giveToken(e.cloud.token(nil))
		}
	}
	e.stop(syscall.SIGTERM)
	for _, line := range strings.Split(written.String(), "\r")[1:] {
		text, ok := strings.CutSuffix(line, eraseToEnd)
		if !ok || len(text) >= columns || strings.ContainsAny(text, "\n\x1b") {
			t.Errorf("%q", line)
		}
	}
}
