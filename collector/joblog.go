package collector

import (
	"sync"

	"lwc/transport/wire"
)

// jobLog remembers the last status of the newest jobs, so that a job that is
// delivered again is answered and not carried out again.
type jobLog struct {
	mu    sync.Mutex // guards what follows
	seen  map[string]wire.JobStatus
	order []string
}

// maxJobLog is more than the jobs that a cloud keeps open.
const maxJobLog = 1000

func newJobLog() *jobLog { return &jobLog{seen: map[string]wire.JobStatus{}} }

func (l *jobLog) last(id string) (wire.JobStatus, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, ok := l.seen[id]
	return s, ok
}

func (l *jobLog) note(s wire.JobStatus) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.seen[s.ID]; !ok {
		l.order = append(l.order, s.ID)
		if len(l.order) > maxJobLog {
			delete(l.seen, l.order[0])
			l.order = l.order[1:]
		}
	}
	s.Device, s.Probe = nil, nil
	l.seen[s.ID] = s
}
