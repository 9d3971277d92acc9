package device

import (
	"errors"
	"sync"
	"time"
)

// memory is what earlier dials tell about servers: the way in of a device that
// has not the usual one, and who never spoke. It is bounded, and holds no names
// and no addresses.
type memory struct {
	mu   sync.Mutex // guards all
	ways map[place]way
	mute map[place]silence
}

// place is a server: address and bastions before it, and the configured port,
// or the one that was dialled.
type place struct {
	address digest
	port    uint16
}

// way is how a device was entered.
type way struct {
	port uint16
	mode Mode
}

// silence is of a server that closes connections without a word.
type silence struct {
	since time.Time // the first of them
	cuts  int
}

// maxMemory bounds each map: more devices than one collector has.
const maxMemory = 1 << 14

// A server at its limit lets somebody in after a minute or two. One that closed
// this many connections in this time, and never said its version, is no SSH
// server.
const (
	muteCuts = 3
	muteTime = 5 * time.Minute
)

var errWordless = errors.New("it closes each connection without a word")

// keep puts a value into a bounded map, for an arbitrary one where it is full.
func keep[V any](m *map[place]V, p place, v V) {
	if *m == nil {
		*m = map[place]V{}
	}
	if _, known := (*m)[p]; !known && len(*m) >= maxMemory {
		for other := range *m {
			delete(*m, other)
			break
		}
	}
	(*m)[p] = v
}

// wayTo returns how the device was entered last; zero: in the usual way, or not
// yet.
func (m *memory) wayTo(p place) way {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ways[p]
}

// entered notes what worked. What a dial tries first anyway is not kept.
func (m *memory) entered(p place, w way) {
	usual := p.port
	if usual == 0 {
		usual = netconfPort
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if w.port == usual && w.mode == ModeNETCONF {
		delete(m.ways, p)
		return
	}
	keep(&m.ways, p, w)
}

// spoke notes that a server said its version.
func (m *memory) spoke(p place) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.mute, p)
}

// cut notes that a server closed a connection without a word, and tells whether
// it does nothing else.
func (m *memory) cut(p place) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.mute[p]
	if s.cuts == 0 {
		s.since = time.Now()
	}
	s.cuts++
	keep(&m.mute, p, s)
	return s.cuts >= muteCuts && time.Since(s.since) >= muteTime
}
