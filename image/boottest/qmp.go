package boottest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// monitor speaks QMP: one JSON object a line each way, and events between.
type monitor struct {
	near *os.File
	turn chan struct{} // holds one: whose turn it is to ask
	conn net.Conn

	mu      sync.Mutex // guards events and change
	events  []event
	change  chan struct{} // closed at the next event, or the end
	answers chan answer
	done    chan struct{}
}

type event struct {
	Name string `json:"event"`
	Data struct {
		Device string `json:"device"`
		Path   string `json:"path"`
	} `json:"data"`
}

type answer struct {
	event
	Return json.RawMessage `json:"return"`
	Error  *struct {
		Class string `json:"class"`
		Desc  string `json:"desc"`
	} `json:"error"`
}

// socketPair returns both ends of a socket.
func socketPair() (near, far *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	return os.NewFile(uintptr(fds[0]), "monitor"), os.NewFile(uintptr(fds[1]), "monitor"), nil
}

func newMonitor(near *os.File) *monitor {
	return &monitor{near: near, turn: make(chan struct{}, 1), change: make(chan struct{}),
		answers: make(chan answer, 1), done: make(chan struct{})}
}

// open begins the session; the machine runs already.
func (m *monitor) open(ctx context.Context) error {
	var err error
	if m.conn, err = net.FileConn(m.near); err != nil {
		return fmt.Errorf("opening the monitor: %w", err)
	}
	m.near.Close()
	go m.read()
	_, err = m.do(ctx, "qmp_capabilities", nil)
	return err
}

// read sorts what comes until the machine ends.
func (m *monitor) read() {
	defer close(m.done)
	defer m.tell(nil)
	for lines := bufio.NewReader(m.conn); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var a answer
		if json.Unmarshal(line, &a) != nil {
			continue
		}
		switch {
		case a.Name != "":
			m.tell(&a.event)
		case a.Return != nil || a.Error != nil:
			m.answers <- a
		}
	}
}

func (m *monitor) tell(e *event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e != nil {
		m.events = append(m.events, *e)
	}
	close(m.change)
	m.change = make(chan struct{})
}

// do asks for one thing at a time.
func (m *monitor) do(ctx context.Context, command string, arguments any) (json.RawMessage, error) {
	select {
	case m.turn <- struct{}{}:
		defer func() { <-m.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("asking the monitor to %s: %w", command, ctx.Err())
	}
	request := map[string]any{"execute": command}
	if arguments != nil {
		request["arguments"] = arguments
	}
	b, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	if _, err := m.conn.Write(append(b, '\n')); err != nil {
		return nil, fmt.Errorf("asking the monitor to %s: %w", command, err)
	}
	select {
	case a := <-m.answers:
		if a.Error != nil {
			return nil, fmt.Errorf("asking the monitor to %s: %s: %s", command, a.Error.Class, a.Error.Desc)
		}
		return a.Return, nil
	case <-m.done:
		return nil, fmt.Errorf("asking the monitor to %s: %w", command, ErrEnded)
	case <-ctx.Done():
		// An answer that comes later would be taken for another one's.
		return nil, errors.Join(fmt.Errorf("asking the monitor to %s: %w", command, ctx.Err()), m.conn.Close())
	}
}

// await waits for an event about a device, which may have come already: those
// before the mark, of eventMark, do not count.
func (m *monitor) await(ctx context.Context, name, device string, mark int) error {
	for {
		m.mu.Lock()
		change, events := m.change, m.events[mark:]
		m.mu.Unlock()
		for _, e := range events {
			if e.Name == name && (device == "" || e.Data.Device == device) {
				return nil
			}
		}
		select {
		case <-change:
		case <-m.done:
			return fmt.Errorf("waiting for %s of %s: %w", name, device, ErrEnded)
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s of %s: %w", name, device, ctx.Err())
		}
	}
}

// eventMark counts the events so far.
func (m *monitor) eventMark() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.events)
}

func (m *monitor) close() {
	if m.conn != nil {
		_ = m.conn.Close()
		<-m.done
	}
}
