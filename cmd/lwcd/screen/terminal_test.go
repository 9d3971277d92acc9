package screen

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// openLine makes a terminal (pts(4)) and returns both its ends.
func openLine(t *testing.T) (path string, far *os.File) {
	t.Helper()
	far, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	n, err := unix.IoctlGetUint32(int(far.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(far.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("/dev/pts/%d", n), far
}

// read takes what came until the words were there.
func read(t *testing.T, far *os.File, words string) string {
	t.Helper()
	var got strings.Builder
	for b := make([]byte, 4096); !strings.Contains(got.String(), words); {
		fds := []unix.PollFd{{Fd: int32(far.Fd()), Events: unix.POLLIN}}
		if n, err := unix.Poll(fds, 5000); err != nil || n == 0 {
			t.Fatalf("%q did not come: %v: %q", words, err, got.String())
		}
		n, err := far.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		got.Write(b[:n])
	}
	return got.String()
}

// What is typed is not echoed and does nothing; a screen that is the same is not
// shown again, and no line is lost on a slow one.
func TestSerialLine(t *testing.T) {
	path, far := openLine(t)
	line := NewTerminal(path)
	defer line.Close()
	if err := line.Show([]string{"one", "two"}); err != nil {
		t.Fatal(err)
	}
	if got := read(t, far, "two"); !strings.HasPrefix(got, "\r") || strings.Contains(got, "\x1b") {
		t.Errorf("%q", got)
	}
	if _, err := far.WriteString("\x03\x13root\n"); err != nil {
		t.Fatal(err)
	}
	long := make([]string, 0, Rows)
	for i := range Rows {
		long = append(long, fmt.Sprintf("line %d %s", i, strings.Repeat("x", Columns-10)))
	}
	line.at = time.Now().Add(-calmSerial)
	for range 20 { // nobody reads: the line takes what it holds, and nothing waits
		if err := line.Show(append(long, "the end")); err != nil {
			t.Fatal(err)
		}
	}
	got := read(t, far, "line 1 ")
	for !strings.Contains(got, "the end") {
		if err := line.Show(long[:1]); err != nil { // the rest of the screen goes first
			t.Fatal(err)
		}
		got += read(t, far, "\n")
	}
	for i := range Rows {
		if strings.Count(got, fmt.Sprintf("line %d ", i)) != 1 {
			t.Errorf("line %d stands there %d times", i, strings.Count(got, fmt.Sprintf("line %d ", i)))
		}
	}
	if strings.Contains(got, "root") {
		t.Error("what is typed is echoed")
	}
}

// A terminal that goes away is told, and one that comes back gets its screen.
func TestTerminalGoesAway(t *testing.T) {
	path, far := openLine(t)
	line := NewTerminal(path)
	defer line.Close()
	if err := line.Show([]string{"one"}); err != nil {
		t.Fatal(err)
	}
	far.Close()
	line.at = time.Now().Add(-calmSerial)
	if err := line.Show([]string{"two"}); err == nil {
		t.Error("nobody is there, and no error")
	}
	if err := NewTerminal("/dev/null").Show([]string{"x"}); err == nil {
		t.Error("a device that is no terminal")
	}
}

// A display is drawn in place, at once when it changes, and now and then to heal
// it; a serial line gets its screens slowly.
func TestWhenToShow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		display, serial := NewTerminal("/dev/tty1"), NewTerminal("/dev/ttyS0")
		if !display.display || serial.display {
			t.Fatal("a display is taken for a line, or the other way round")
		}
		for _, c := range []struct {
			after           time.Duration
			text            string
			onDisplay, line bool
		}{{0, "a", true, true}, {time.Second, "a", false, false}, {time.Second, "b", true, false}, {2 * time.Second, "b", false, true},
			{healEvery, "b", true, false}, {repeatSerial, "b", true, true}} {
			time.Sleep(c.after) // of the bubble's clock
			for term, want := range map[*Terminal]bool{display: c.onDisplay, serial: c.line} {
				got := term.due(c.text)
				if got != want {
					t.Errorf("%q after %v on %s: %v", c.text, c.after, term, got)
				}
				if got {
					term.shown, term.at = c.text, time.Now()
				}
			}
		}
		form := string(display.form([]string{"title", "State       " + kindOf(ready).State}))
		if strings.Contains(form, "\n") || strings.Contains(form, "\x1b[2J") || !strings.Contains(form, goodState+"READY") || !strings.Contains(form, "\x1b[3;1H"+eraseBelow) {
			t.Errorf("%q", form)
		}
	})
}
