package halves

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

var (
	// ErrGone: the other half has ended, or the connection to it.
	ErrGone = errors.New("the other half is gone")
	// ErrProtocol: the other half sent what it must not.
	ErrProtocol = errors.New("breach of protocol")
	// ErrBusy: the other half serves as many requests as it may.
	ErrBusy = errors.New("too many requests")
	// ErrUnknownCall: the other half does not offer that.
	ErrUnknownCall = errors.New("unknown call")
)

const (
	// maxServed is how many requests of the other half are served at once: two
	// long polls, one watch of the token, and a dial each for what the uplink does.
	maxServed = 32
	// perSecond is how many requests of the other half are begun in a second, and
	// burst how many at once. The collector half asks for the token's stamp each
	// second and for a destination with each dial to the cloud; one that asks for
	// more than this is read more slowly, its replies included.
	perSecond, burst = 50, 100
	// writeLimit is how long the other half may leave a line unread.
	writeLimit = 5 * time.Second
)

// handler serves one request. What it returns is sent as JSON.
type handler func(ctx context.Context, call string, args json.RawMessage) (any, error)

// message is one line.
type message struct {
	ID     uint64          `json:"id"`
	Call   string          `json:"call,omitempty"` // empty in a reply
	Args   json.RawMessage `json:"args,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  *failure        `json:"error,omitempty"`
}

// peer is one end of the connection. Its methods may be called concurrently.
type peer struct {
	conn  net.Conn
	most  int // bytes of a line that comes in
	serve handler
	busy  chan struct{}
	gone  chan struct{} // closed when run has read its last

	numbering sync.Mutex // held from numbering a request to its last byte
	writing   sync.Mutex // held while a line is written, so that lines stay whole

	mu      sync.Mutex // guards what follows
	last    uint64     // number of our newest request
	waiting map[uint64]chan<- message
}

func newPeer(conn net.Conn, most int, serve handler) *peer {
	return &peer{conn: conn, most: most, serve: serve, busy: make(chan struct{}, maxServed),
		gone: make(chan struct{}), waiting: map[uint64]chan<- message{}}
}

// run reads until ctx ends or the connection does, closes it, and waits for what
// it serves. It is called once. The error is nil when ctx ended, else ErrGone or
// ErrProtocol.
func (p *peer) run(ctx context.Context) error {
	inner, cancel := context.WithCancel(ctx)
	var served sync.WaitGroup
	stop := context.AfterFunc(ctx, func() { p.conn.Close() })
	err := p.read(inner, &served)
	close(p.gone)
	stop()
	p.conn.Close()
	cancel()
	served.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (p *peer) read(ctx context.Context, served *sync.WaitGroup) error {
	lines := bufio.NewScanner(p.conn)
	lines.Buffer(make([]byte, 0, min(4<<10, p.most)), p.most)
	var requests pace
	for newest := uint64(0); lines.Scan(); {
		m, err := parse(lines.Bytes())
		switch {
		case err != nil:
			return err
		case m.Call == "":
			p.deliver(m)
		case m.ID <= newest:
			return fmt.Errorf("%w: request %d after %d", ErrProtocol, m.ID, newest)
		default:
			newest = m.ID
			if !requests.wait(ctx) {
				return ErrGone
			}
			p.accept(ctx, m, served)
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return fmt.Errorf("%w: a line of more than %d bytes", ErrProtocol, p.most)
	} else if err != nil {
		return fmt.Errorf("%w: %w", ErrGone, err)
	}
	return ErrGone
}

// pace bounds how often something happens: each time takes a share of a second,
// and burst shares may be taken ahead.
type pace struct{ taken time.Time }

// wait returns when it is time for the next one, false when ctx ended.
func (p *pace) wait(ctx context.Context) bool {
	const share = time.Second / perSecond
	now := time.Now()
	if p.taken.Before(now) {
		p.taken = now
	}
	p.taken = p.taken.Add(share)
	ahead := p.taken.Sub(now) - burst*share
	if ahead <= 0 {
		return true
	}
	timer := time.NewTimer(ahead)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// parse reads a line strictly: one object, no unknown field.
func parse(line []byte) (message, error) {
	var m message
	if err := strict(line, &m); err != nil {
		return message{}, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	if m.ID == 0 || m.Call != "" && (m.Error != nil || m.Result != nil) || m.Call == "" && m.Args != nil {
		return message{}, fmt.Errorf("%w: neither a request nor a reply", ErrProtocol)
	}
	return m, nil
}

func strict(text []byte, to any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one value")
	}
	return nil
}

// deliver hands a reply to who waits for it. One that nobody waits for any more
// came too late.
func (p *peer) deliver(m message) {
	p.mu.Lock()
	to := p.waiting[m.ID]
	delete(p.waiting, m.ID)
	p.mu.Unlock()
	if to != nil {
		to <- m // has room for one
	}
}

// accept serves a request, or refuses it when there are too many.
func (p *peer) accept(ctx context.Context, m message, served *sync.WaitGroup) {
	select {
	case p.busy <- struct{}{}:
	default:
		p.answer(m.ID, nil, ErrBusy)
		return
	}
	served.Go(func() {
		defer func() { <-p.busy }()
		result, err := p.serve(ctx, m.Call, m.Args)
		p.answer(m.ID, result, err)
	})
}

// answer sends a reply. One that cannot be sent ends the connection, which is
// how the other side learns of it.
func (p *peer) answer(id uint64, result any, err error) {
	m := message{ID: id}
	if err == nil && result != nil {
		m.Result, err = json.Marshal(result)
	}
	if err != nil {
		m.Error = fail(err)
	}
	if err := p.write(m); err != nil {
		p.conn.Close()
	}
	clear(m.Result) // it may have carried a token
	if t, ok := result.(Token); ok {
		clear(t.Text)
	}
}

func (p *peer) write(m message) error {
	line, err := json.Marshal(m)
	if err != nil {
		return err
	}
	p.writing.Lock()
	defer p.writing.Unlock()
	if err := p.conn.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
		return err
	}
	defer clear(line) // it may have carried a token
	_, err = (&net.Buffers{line, []byte{'\n'}}).WriteTo(p.conn)
	return err
}

// call asks the other half, waits at most limit, and reads its answer into result
// unless that is nil.
func (p *peer) call(ctx context.Context, limit time.Duration, name string, args, result any) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	m, err := p.exchange(ctx, name, args)
	switch {
	case err != nil:
		return fmt.Errorf("asking the other half for %s: %w", name, err)
	case m.Error != nil:
		return m.Error
	case result == nil:
		return nil
	}
	defer clear(m.Result)
	if err := strict(m.Result, result); err != nil {
		return fmt.Errorf("asking the other half for %s: %w: %w", name, ErrProtocol, err)
	}
	return nil
}

func (p *peer) exchange(ctx context.Context, name string, args any) (message, error) {
	m := message{Call: name}
	if args != nil {
		var err error
		if m.Args, err = json.Marshal(args); err != nil {
			return message{}, err
		}
	}
	reply := make(chan message, 1)
	if err := p.request(&m, reply); err != nil {
		return message{}, fmt.Errorf("%w: %w", ErrGone, err)
	}
	select {
	case r := <-reply:
		return r, nil
	case <-p.gone:
		return message{}, ErrGone
	case <-ctx.Done():
		p.forget(m.ID)
		return message{}, ctx.Err()
	}
}

// request numbers m and sends it. Numbers have to arrive in their order, so that
// both happen under one lock.
func (p *peer) request(m *message, reply chan<- message) error {
	p.numbering.Lock()
	defer p.numbering.Unlock()
	p.mu.Lock()
	p.last++
	m.ID = p.last
	p.waiting[m.ID] = reply
	p.mu.Unlock()
	err := p.write(*m)
	if err != nil {
		p.forget(m.ID)
	}
	return err
}

// forget says that nobody waits for that reply any more.
func (p *peer) forget(id uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.waiting, id)
}
