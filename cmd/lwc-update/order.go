package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"lwc/image/release"
	"lwc/transport/wire"
)

// order is what lwcd asks for: one line of JSON, as docs/lwcd.md tells. What it says
// of the running release, of the source and of the place of the files is not believed.
type order struct {
	V        int       `json:"v"`
	Job      string    `json:"job"`
	Release  string    `json:"release"`
	Files    string    `json:"files"` // not empty: the release lies in the spool
	RebootAt time.Time `json:"reboot_at"`
	// RebootBefore is until when a release is installed; zero: for ever.
	RebootBefore time.Time `json:"reboot_before"`
	Reset        bool      `json:"factory_reset"`
}

// maxOrder bounds an order.
const maxOrder = 16 << 10

// readWithin reads an order from a connection of systemd's, which is closed for reading
// when the limit has passed: a file that is given to a program as a blocking one takes
// no deadline (os.File.SetReadDeadline), and to change that would change the answers'
// way, too. What is no connection is read without a limit.
func readWithin(in io.Reader, limit time.Duration) (order, error) {
	f, ok := in.(*os.File)
	if !ok {
		return readOrder(in)
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return order{}, fmt.Errorf("reading the order: %w", err)
	}
	late := make(chan struct{})
	timer := time.AfterFunc(limit, func() {
		defer close(late)
		_ = conn.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_RD) }) // ENOTSOCK: no connection
	})
	o, err := readOrder(f)
	if timer.Stop() {
		return o, err
	}
	<-late
	if err != nil {
		return order{}, fmt.Errorf("reading the order: it did not come within %v", limit)
	}
	return o, nil
}

// readOrder reads one line.
func readOrder(r io.Reader) (order, error) {
	line, err := bufio.NewReader(io.LimitReader(r, maxOrder)).ReadBytes('\n')
	if err != nil {
		return order{}, fmt.Errorf("reading the order: %w", err)
	}
	var o order
	if err := json.Unmarshal(line, &o); err != nil {
		return order{}, fmt.Errorf("reading the order: %w", err)
	}
	switch {
	case o.V != 1:
		return order{}, fmt.Errorf("reading the order: its format is %d, known here is 1", o.V)
	case wire.CheckID(o.Job) != nil:
		return order{}, errors.New("reading the order: it has no job")
	case o.Release != "":
		return o, release.CheckVersion(o.Release)
	}
	return o, nil
}

const (
	// maxAhead is how far ahead the start of a release may lie.
	maxAhead = 14 * 24 * time.Hour
	// clockLimit is how long a start that lies further ahead waits for the clock of a
	// machine that keeps none without power: the order comes with the same welcome of
	// the cloud that sets it, and a time server may answer a little later.
	clockLimit = 2 * time.Minute
	clockPoll  = time.Second
)

// inTime waits until the start of a release lies as far ahead as it may by the clock of
// this machine. The clock may be set at any moment, so that it is looked at anew.
func (o order) inTime(ctx context.Context, m mouth) error {
	limit := time.After(clockLimit)
	for told := false; o.RebootAt.After(time.Now().Add(maxAhead)); {
		if !told {
			m.say(running, "the start at %s lies more than %d days ahead of the clock of this machine: waiting for the clock to be set", stamp(o.RebootAt), maxAhead/day)
			told = true
		}
		select {
		case <-limit:
			return fmt.Errorf("nothing was changed: the start at %s lies more than %d days ahead of the clock of this machine, which says %s: where that is wrong, the box needs a time server (external.ntp)",
				stamp(o.RebootAt), maxAhead/day, stamp(time.Now()))
		case <-time.After(clockPoll):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

const day = 24 * time.Hour

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// said is one line of an answer.
type said struct {
	State string `json:"state"`
	Text  string `json:"text"`
}

// The states of said. All but the first are the last word.
const (
	running = "running"
	done    = "done"
	failed  = "failed"
	fetch   = "fetch"   // ask again when the files are in the spool
	waiting = "waiting" // a restart is to come; ask again after it
)

// mouth says lines, also where nobody listens any more.
type mouth struct{ out io.Writer }

func (m mouth) say(state, format string, args ...any) {
	line, err := json.Marshal(said{state, fmt.Sprintf(format, args...)})
	if err != nil {
		return // two strings always can be
	}
	_, _ = m.out.Write(append(line, '\n'))
}
