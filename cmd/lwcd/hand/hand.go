// Package hand lets lwcd set the machine's clock without the right to: another
// process does, behind a Unix socket that only root can reach.
//
// [Remote] asks, one connection for each wish; [Serve] answers one connection. The
// server believes little: it sets no time that its caller of [Serve] does not believe.
package hand

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"lwc/transport/clock"
)

const (
	// limit is how long a wish may take; the kernel takes none.
	limit = 5 * time.Second
	// maxLine bounds a line of either side: they have some 150 bytes.
	maxLine = 1 << 10
)

// The wishes.
const (
	wishSet  = "set"
	wishKept = "kept"
)

type wish struct {
	V          int              `json:"v"`
	Op         string           `json:"op"`
	Correction clock.Correction `json:"correction,omitzero"`
}

type answer struct {
	Kept         bool   `json:"kept,omitempty"`
	Error        string `json:"error,omitempty"`
	NotPermitted bool   `json:"not_permitted,omitempty"`
}

// Remote is the clock behind the socket of that path. It implements clock.Setter.
type Remote struct{ Path string }

// Set implements clock.Setter.
func (r Remote) Set(c clock.Correction) error {
	a, err := r.ask(wish{V: 1, Op: wishSet, Correction: c})
	switch {
	case err != nil:
		return fmt.Errorf("asking for the clock to be set: %w", err)
	case a.NotPermitted:
		return fmt.Errorf("%w: %s", clock.ErrNotPermitted, a.Error)
	case a.Error != "":
		return errors.New(a.Error)
	}
	return nil
}

// Kept tells whether the kernel knows of somebody who keeps the clock right. One
// that cannot be asked is left alone.
func (r Remote) Kept() bool {
	a, err := r.ask(wish{V: 1, Op: wishKept})
	return err != nil || a.Error != "" || a.Kept
}

func (r Remote) ask(w wish) (answer, error) {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: r.Path, Net: "unix"})
	if err != nil {
		return answer{}, err
	}
	defer conn.Close()
	if err := errors.Join(conn.SetDeadline(time.Now().Add(limit)), write(conn, w)); err != nil {
		return answer{}, err
	}
	var a answer
	return a, read(conn, &a)
}

// Clock is what Serve works on.
type Clock struct {
	clock.Setter
	Kept func() bool
	// Believed tells whether it may be that time. A step to one that is not believed
	// is refused.
	Believed func(time.Time) bool
}

// Serve answers one wish.
func Serve(conn net.Conn, c Clock) error {
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(limit)); err != nil {
		return fmt.Errorf("serving the clock: %w", err)
	}
	var w wish
	if err := read(conn, &w); err != nil {
		return fmt.Errorf("serving the clock: %w", err)
	}
	if err := write(conn, c.grant(w, time.Now())); err != nil {
		return fmt.Errorf("serving the clock: %w", err)
	}
	return nil
}

func (c Clock) grant(w wish, now time.Time) answer {
	switch {
	case w.V == 1 && w.Op == wishKept:
		return answer{Kept: c.Kept()}
	case w.V != 1 || w.Op != wishSet:
		return answer{Error: "that wish is not known"}
	case w.Correction.Step && !c.Believed(now.Add(w.Correction.Offset)):
		return answer{Error: fmt.Sprintf("it cannot be %s", now.Add(w.Correction.Offset).UTC().Format(time.DateTime))}
	}
	err := c.Set(w.Correction)
	if err == nil {
		return answer{}
	}
	return answer{Error: err.Error(), NotPermitted: errors.Is(err, clock.ErrNotPermitted)}
}

func write(w io.Writer, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(text, '\n'))
	return err
}

func read(r io.Reader, v any) error {
	line, err := bufio.NewReaderSize(io.LimitReader(r, maxLine), maxLine).ReadBytes('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, v)
}
