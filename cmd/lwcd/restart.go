package main

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"lwc/cmd/lwcd/halves"
)

// errRestart ends a half that a job wants to be restarted.
var errRestart = errors.New("a job asks for a restart")

const (
	// restartEvery keeps a half from having itself restarted without end.
	restartEvery = 30 * time.Second
	// maxRestarts is how many jobs are remembered.
	maxRestarts = 64
)

// restart is a job that asked for one. The half that it ended gets no answer: the
// cloud sends the job to the next one, which asks again and hears that it is done.
type restart struct {
	job   string
	asked time.Time
	done  time.Time // when the next half was started; zero: not yet
}

// restart ends the half and has another one started, once for each job.
func (k *keeper) restart(job string) (halves.Restarted, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if i := slices.IndexFunc(k.asked, func(r restart) bool { return r.job == job }); i >= 0 {
		return halves.Restarted{Done: k.asked[i].done}, nil
	}
	if n := len(k.asked); n > 0 && time.Since(k.asked[n-1].asked) < restartEvery {
		return halves.Restarted{}, fmt.Errorf("%w: the collector half was restarted less than %v ago", halves.ErrRefused, restartEvery)
	}
	k.asked = append(k.asked, restart{job: job, asked: time.Now()})
	k.asked = k.asked[max(0, len(k.asked)-maxRestarts):]
	select {
	case k.again <- struct{}{}:
	default: // the one asked for before has not begun
	}
	return halves.Restarted{}, nil
}

// restarted notes that a half was started.
func (k *keeper) restarted() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := range k.asked {
		if k.asked[i].done.IsZero() {
			k.asked[i].done = time.Now()
		}
	}
	select {
	case <-k.again: // asked of a half that ended by itself meanwhile
	default:
	}
}
