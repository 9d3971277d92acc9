package uplink

import (
	"sync"
	"time"
)

// reportEvery is how often the same sort of refusal is reported.
const reportEvery = time.Minute

// reports keeps a broker that sends nonsense from filling the log and the event
// list. Its zero value is ready.
type reports struct {
	mu   sync.Mutex // guards last
	last map[string]time.Time
}

// due tells whether a sort of refusal may be reported again. The sorts are
// constants of the callers, so that the table stays small.
func (r *reports) due(sort string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at, ok := r.last[sort]; ok && time.Since(at) < reportEvery {
		return false
	}
	if r.last == nil {
		r.last = map[string]time.Time{}
	}
	r.last[sort] = time.Now()
	return true
}
