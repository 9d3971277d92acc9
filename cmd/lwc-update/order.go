package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

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

// maxAhead is how far ahead the start of a release may lie.
const maxAhead = 14 * 24 * time.Hour

// readOrder reads one line.
func readOrder(r io.Reader, now time.Time) (order, error) {
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
	case o.RebootAt.After(now.Add(maxAhead)):
		return order{}, fmt.Errorf("the start at %s lies more than %v ahead", o.RebootAt.UTC().Format(time.RFC3339), maxAhead)
	case o.Release != "":
		return o, release.CheckVersion(o.Release)
	}
	return o, nil
}

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
