package screen

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// healEvery is how often a display is drawn anew: the kernel may have written
	// across it.
	healEvery = 10 * time.Second
	// calmSerial is the shortest time between two screens on a serial line, and
	// repeatSerial the longest: a cable may be plugged in later.
	calmSerial   = 3 * time.Second
	repeatSerial = 2 * time.Minute
)

// Terminal is a display or a serial line. It is only ever written to.
type Terminal struct {
	path    string
	display bool
	fd      int // -1: not open

	shown   string
	at      time.Time // of the last screen
	pending []byte    // what the line has not taken yet
}

// NewTerminal returns the terminal of that device. A virtual console (tty1) is
// drawn on in place; anything else is a serial line, which gets whole screens.
func NewTerminal(path string) *Terminal {
	number, ok := strings.CutPrefix(path, "/dev/tty")
	_, err := strconv.Atoi(number)
	return &Terminal{path: path, display: ok && err == nil, fd: -1}
}

// String is its path.
func (t *Terminal) String() string { return t.path }

// Show brings a screen to the terminal when it differs from the one that is there,
// or that one has been there for long. It never waits: what the line does not take
// goes with the next call.
func (t *Terminal) Show(lines []string) error {
	text := strings.Join(lines, "\n")
	if len(t.pending) == 0 && t.due(text) {
		t.shown, t.at = text, time.Now()
		t.pending = t.form(lines)
	}
	if len(t.pending) == 0 {
		return nil
	}
	n, err := t.write(t.pending)
	t.pending = t.pending[n:]
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		t.pending, t.shown = nil, ""
		return errors.Join(err, t.Close()) // one that comes back is another one
	}
	return nil
}

func (t *Terminal) due(text string) bool {
	age := time.Since(t.at)
	switch {
	case t.at.IsZero():
		return true
	case t.display:
		return text != t.shown || age >= healEvery
	case text != t.shown:
		return age >= calmSerial
	}
	return age >= repeatSerial
}

// The control sequences of a display (console_codes(4)).
const (
	hideCursor = "\x1b[?25l"
	noBlanking = "\x1b[9;0]"
	eraseLine  = "\x1b[K"
	eraseBelow = "\x1b[J"
	plain      = "\x1b[0m"
	goodState  = "\x1b[1;32m"
	otherState = "\x1b[1;33m"
)

// form draws line over line, so that nothing is dark in between.
func (t *Terminal) form(lines []string) []byte {
	var b strings.Builder
	if !t.display {
		b.WriteString("\r\n")
		for _, line := range lines {
			b.WriteString(line + "\r\n")
		}
		return []byte(b.String())
	}
	b.WriteString(plain + hideCursor + noBlanking)
	for i, line := range lines {
		fmt.Fprintf(&b, "\x1b[%d;1H", i+1)
		if label, state, ok := strings.Cut(line, "State       "); ok && label == "" {
			colour := otherState
			if strings.HasPrefix(state, kindOf(ready).State) {
				colour = goodState
			}
			line = "State       " + colour + state + plain
		}
		b.WriteString(line + eraseLine)
	}
	if len(lines) < Rows {
		fmt.Fprintf(&b, "\x1b[%d;1H%s", len(lines)+1, eraseBelow)
	}
	return []byte(b.String())
}

// write opens the terminal where that is to be done, and keeps it open: on its last
// close a display takes its old mode back. It becomes nobody's controlling terminal
// (O_NOCTTY), and neither opening nor writing waits (O_NONBLOCK).
func (t *Terminal) write(text []byte) (int, error) {
	if t.fd < 0 {
		fd, err := unix.Open(t.path, unix.O_WRONLY|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return 0, fmt.Errorf("opening the terminal: %w", &os.PathError{Op: "open", Path: t.path, Err: err})
		}
		t.fd = fd
	}
	if err := deafen(t.fd); err != nil {
		return 0, err
	}
	n, err := unix.Write(t.fd, text)
	if err != nil {
		return 0, fmt.Errorf("writing the terminal: %w", os.NewSyscallError("write "+t.path, err))
	}
	return n, nil
}

// Close lets the terminal go. What it shows stays there.
func (t *Terminal) Close() error {
	if t.fd < 0 {
		return nil
	}
	err := os.NewSyscallError("close", unix.Close(t.fd))
	t.fd = -1
	return err
}

// deafen has the terminal echo nothing and make no signals of what is typed: nobody
// reads it.
func deafen(fd int) error {
	mode, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return fmt.Errorf("asking the terminal for its mode: %w", os.NewSyscallError("ioctl TCGETS", err))
	}
	const heard = unix.ECHO | unix.ECHOE | unix.ECHOK | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	const held = unix.IXON | unix.IXOFF | unix.IXANY // a Ctrl-S must not stop the screen
	if mode.Lflag&heard == 0 && mode.Iflag&held == 0 {
		return nil
	}
	mode.Lflag, mode.Iflag = mode.Lflag&^heard, mode.Iflag&^held
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, mode); err != nil {
		return fmt.Errorf("setting the mode of the terminal: %w", os.NewSyscallError("ioctl TCSETS", err))
	}
	return nil
}
