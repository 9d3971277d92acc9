package collector

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"lwc/transport/wire"
)

// site is a network of scripted devices in memory, for tests in which time is
// simulated. It is the Dialer.
type site struct {
	latency  time.Duration // of each reply
	behave   map[string]behaviour
	password string // that logs in everywhere

	mu    sync.Mutex
	now   map[string]int // sessions of a device
	peak  int            // sessions at once, over all devices
	dials []dialled
	users []string // passwords that were tried, in order
	asked []string
	deep  map[string]int
	tasks sync.WaitGroup
}

type dialled struct {
	device string
	at     time.Time
	ok     bool
	target Target
}

// behaviour is how a device differs from a good one.
type behaviour struct {
	dial     func(attempt int) error
	reply    func(rpc string, attempt int) (body string, cut bool)
	firstUse map[string]string
	slow     time.Duration
	single   bool // ends the session at a second request before the first reply
	access   *wire.Access
	commands func(command string) string // of the command line
}

type dialError struct {
	phase, kind, hop string
	first            map[string]string
}

func (e *dialError) Error() string { return e.phase + ": " + e.kind }
func (e *dialError) Diagnosis() (string, string, string) {
	return e.phase, e.kind, "Advice for " + e.kind + "."
}
func (e *dialError) FailedHop() string           { return e.hop }
func (e *dialError) FirstUse() map[string]string { return e.first }

func (s *site) Dial(ctx context.Context, t Target) (Channel, error) {
	id := t.Device.ID
	s.mu.Lock()
	attempt := 0
	for _, d := range s.dials {
		if d.device == id {
			attempt++
		}
	}
	b := s.behave[id]
	s.dials = append(s.dials, dialled{device: id, at: time.Now(), target: t})
	at := len(s.dials) - 1
	s.mu.Unlock()
	select {
	case <-time.After(200*time.Millisecond + b.slow):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if b.dial != nil {
		if err := b.dial(attempt); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users = append(s.users, string(t.Auth.Password.Reveal()))
	if string(t.Auth.Password.Reveal()) != s.password {
		return nil, &dialError{phase: "auth", kind: "auth", hop: id}
	}
	s.dials[at].ok = true
	if s.now == nil {
		s.now = map[string]int{}
	}
	s.now[id]++
	if s.now[id] > 1 {
		panic("two sessions with " + id)
	}
	sum := 0
	for n := range maps.Values(s.now) {
		sum += n
	}
	s.peak = max(s.peak, sum)
	mine, theirs := net.Pipe()
	s.tasks.Go(func() { s.serve(theirs, id, b, attempt) })
	return &pipeChannel{Conn: mine, first: b.firstUse, access: b.access, run: b.commands, closed: sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.now[id]--
	})}, nil
}

type pipeChannel struct {
	net.Conn
	first  map[string]string
	access *wire.Access
	run    func(string) string
	closed func()
}

func (p *pipeChannel) FirstUse() map[string]string { return p.first }
func (p *pipeChannel) Access() *wire.Access        { return p.access }
func (p *pipeChannel) Steps() []wire.ProbeStep     { return []wire.ProbeStep{{Stage: "auth", OK: true}} }
func (p *pipeChannel) Run(_ context.Context, command string) (io.ReadCloser, error) {
	if p.run == nil {
		return nil, errors.New("no command line")
	}
	return io.NopCloser(strings.NewReader(p.run(command))), nil
}
func (p *pipeChannel) Close() error { p.closed(); return p.Conn.Close() }

var messageID = regexp.MustCompile(`message-id="(\d+)"[^>]*><([a-z-]+)`)

// serve speaks NETCONF 1.0.
func (s *site) serve(c net.Conn, id string, b behaviour, attempt int) {
	defer c.Close()
	requests := make(chan string, 64)
	s.tasks.Go(func() { readRequests(c, requests) })
	fmt.Fprint(c, `<hello xmlns="urn:ietf:params:xml:ns:netconf:base:1.0"><capabilities><capability>urn:ietf:params:netconf:base:1.0</capability></capabilities><session-id>7</session-id></hello>]]>]]>`)
	<-requests // the hello
	for msg := range requests {
		m := messageID.FindStringSubmatch(msg)
		if m == nil || m[2] == "close-session" {
			return
		}
		s.note(id, m[2])
		time.Sleep(s.latency)
		if n := len(requests); n > 0 && b.single {
			return
		} else {
			s.underWay(id, n+1)
		}
		body, cut := "<output>"+id+" "+m[2]+"</output>", false
		if b.reply != nil {
			body, cut = b.reply(m[2], attempt)
		}
		reply := replyOf(m[1], body)
		if cut {
			io.WriteString(c, reply[:len(reply)-len("</rpc-reply>\n")])
			return
		}
		if _, err := io.WriteString(c, reply+"]]>]]>"); err != nil {
			return
		}
	}
}

// readRequests reads until the other side hangs up.
func readRequests(c io.Reader, to chan<- string) {
	defer close(to)
	in := bufio.NewReader(c)
	for {
		msg, err := readMessage(in)
		if err != nil {
			return
		}
		to <- msg
	}
}

func (s *site) note(id, rpc string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, id+" "+rpc)
}

// underWay keeps how many requests a device had before it at once, by session.
func (s *site) underWay(id string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deep[id] = max(s.deep[id], n)
}

// deepest returns how many requests a device had before it at once since the
// last time.
func (s *site) deepest(id string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.deep[id]
	s.deep[id] = 0
	return n
}

// questions returns what was asked since the last time, as "device rpc".
func (s *site) questions() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.asked
	s.asked = nil
	return out
}

func replyOf(id, body string) string {
	return `<rpc-reply xmlns="urn:ietf:params:xml:ns:netconf:base:1.0" message-id="` + id + `">` + body + "</rpc-reply>\n"
}

func readMessage(r *bufio.Reader) (string, error) {
	var b strings.Builder
	for !strings.HasSuffix(b.String(), "]]>]]>") {
		c, err := r.ReadByte()
		if err != nil {
			return "", err
		}
		b.WriteByte(c)
	}
	return b.String(), nil
}

func (s *site) dialledDevices() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, d := range s.dials {
		out = append(out, d.device)
	}
	return out
}

// log returns the dials so far.
func (s *site) log() []dialled {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.dials)
}

// tried returns the passwords that were used so far.
func (s *site) tried() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.users)
}

// open counts the sessions with devices whose ids begin so.
func (s *site) open(prefixes ...string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := 0
	for id, n := range s.now {
		if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(id, p) }) {
			sum += n
		}
	}
	return sum
}
