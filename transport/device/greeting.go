package device

import (
	"bytes"
	"errors"
	"net"
	"sync"
)

// greeting reads along what a server sends first: to tell one that is not SSH
// from one that is at its limit, since both end the connection early, and to see
// when its version comes.
type greeting struct {
	net.Conn
	heard func(version string) // called once

	mu    sync.Mutex // held for the rest: the reader may outlive the handshake
	begin []byte     // of the current line
	said  bool       // something that is neither version nor limit
	full  bool       // a word of limitWords came
	total int
	done  bool // the version came
}

const (
	maxGreeting = 256      // of a line (RFC 4253 §4.2)
	maxPreamble = 16 << 10 // before the version
)

var errNoise = errors.New("it sends much, and no SSH version")

// Read implements io.Reader.
func (g *greeting) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.done {
		return n, err
	}
	g.total += n
	for _, c := range p[:n] {
		g.see(c)
	}
	if !g.done && g.total > maxPreamble {
		return 0, errNoise
	}
	return n, err
}

func (g *greeting) see(c byte) {
	switch {
	case g.done:
	case c != '\n':
		if len(g.begin) < maxGreeting {
			g.begin = append(g.begin, c)
		}
	case bytes.HasPrefix(g.begin, []byte("SSH-")):
		g.done = true
		g.heard(string(bytes.TrimRight(g.begin, "\r")))
	default:
		g.line()
		g.begin = g.begin[:0]
	}
}

// limitWords are what OpenSSH says instead of its version when it is at a limit.
var limitWords = [][]byte{[]byte("Exceeded MaxStartups"), []byte("Not allowed at this time")}

// line notes what a line that is no version says.
func (g *greeting) line() {
	for _, w := range limitWords {
		if bytes.Contains(g.begin, w) {
			g.full = true
			return
		}
	}
	g.said = g.said || len(bytes.TrimSpace(g.begin)) > 0 && !bytes.HasPrefix(g.begin, []byte("SSH-"))
}

// heardOf tells whether the server said anything, and whether its version.
func (g *greeting) heardOf() (said, version bool) {
	if g == nil { // it did not come to that
		return false, false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.total > 0 || g.done, g.done
}

// foreign tells whether the server said something that is neither SSH nor a limit.
func (g *greeting) foreign() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.done {
		g.line()
	}
	return g.said && !g.full && !g.done
}
