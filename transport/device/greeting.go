package device

import (
	"bytes"
	"net"
	"sync"
)

// greeting keeps the first bytes that a server sent, to tell one that is not SSH
// from one that is at its limit: both end the connection early.
type greeting struct {
	net.Conn

	mu    sync.Mutex // held for begin: the reader may outlive the handshake
	begin []byte
}

const maxGreeting = 256

// Read implements io.Reader.
func (g *greeting) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	g.mu.Lock()
	defer g.mu.Unlock()
	if room := maxGreeting - len(g.begin); room > 0 {
		g.begin = append(g.begin, p[:min(n, room)]...)
	}
	return n, err
}

// limitWords are what OpenSSH says instead of its version when it is at a limit.
var limitWords = [][]byte{[]byte("Exceeded MaxStartups"), []byte("Not allowed at this time")}

// foreign tells whether the server said something that is neither SSH nor a limit.
func (g *greeting) foreign() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, w := range limitWords {
		if bytes.Contains(g.begin, w) {
			return false
		}
	}
	return len(bytes.TrimSpace(g.begin)) > 0 && !bytes.Contains(g.begin, []byte("SSH-"))
}
