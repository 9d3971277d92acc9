package uplink

import (
	"sync"

	"lwc/transport/wire"
)

// jobMemory is how many jobs a boot remembers: more than a cloud keeps open.
const jobMemory = 4096

// jobLog remembers the jobs of this boot, so that each is carried out once, and
// what was last said of each, so that a repeated one is answered with it. Its
// zero value is ready.
type jobLog struct {
	mu    sync.Mutex // guards all below
	last  map[string]*wire.JobStatus
	order []string
}

// meet tells whether a job was met before, with the last status given of it. If
// not it is remembered.
func (l *jobLog) meet(id string) (last *wire.JobStatus, seen bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if last, seen = l.last[id]; seen {
		return last, true
	}
	if l.last == nil {
		l.last = map[string]*wire.JobStatus{}
	}
	if len(l.order) >= jobMemory {
		delete(l.last, l.order[0])
		l.order = l.order[1:]
	}
	l.last[id] = nil
	l.order = append(l.order, id)
	return nil, false
}

// told keeps a status of a job that was met. The result of a single device is
// not kept: the manifest of the run has it.
func (l *jobLog) told(s wire.JobStatus) {
	s.Device = nil
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.last[s.ID]; ok {
		l.last[s.ID] = &s
	}
}
