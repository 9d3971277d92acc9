package site

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// kept is a program that is started anew whenever it ends, as systemd does.
type kept struct {
	name  string
	start func(context.Context) error // until it serves
	say   func(string, ...any)        // into the log of the acts

	mu      sync.Mutex    // guards what follows
	now     *proc         // started last
	killed  *proc         // that was ended by us
	forced  *proc         // that was killed
	down    time.Duration // before the next start
	started time.Time     // of now
	strange int           // ends that nobody asked for
	serves  bool
}

const (
	// startTime is how long a program may take to serve before it is started anew,
	// as systemd's TimeoutStartSec says.
	startTime  = 60 * time.Second
	startPause = time.Second // after a start that failed
)

// saw is told of every program that the site starts.
func (k *kept) saw(p *proc) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.now, k.started = p, time.Now()
}

// run keeps the program until ctx ends. One runs when it is called.
func (k *kept) run(ctx context.Context) {
	for {
		k.mu.Lock()
		p := k.now
		k.mu.Unlock()
		select {
		case <-p.done:
		case <-ctx.Done():
			return
		}
		pause := k.ended(p)
		for {
			if !rest(ctx, pause) {
				return
			}
			starting, cancel := context.WithTimeout(ctx, startTime)
			err := k.start(starting)
			cancel()
			if err == nil {
				break
			}
			k.say("%s does not start: %v", k.name, err)
			k.end(0)
			pause = startPause
		}
		k.mu.Lock()
		k.serves = true
		k.mu.Unlock()
		k.say("%s serves", k.name)
	}
}

// ended notes how a program ended and returns how long it stays down.
func (k *kept) ended(p *proc) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.serves = false
	if k.killed != p {
		k.strange++
		k.say("%s ENDED BY ITSELF: %v%s", k.name, p.err, tail(p.log.Name()))
		return startPause
	}
	return k.down
}

// end kills the program, if it runs, and has it stay down that long.
func (k *kept) end(down time.Duration) {
	k.mu.Lock()
	p := k.now
	k.killed, k.forced, k.down = p, p, down
	k.mu.Unlock()
	p.kill()
}

// stop ends it politely. Another act may kill it meanwhile.
func (k *kept) stop(down time.Duration) error {
	k.mu.Lock()
	p := k.now
	k.killed, k.down = p, down
	k.mu.Unlock()
	err := p.stop()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.forced == p {
		return nil
	}
	return err
}

// rest waits, and tells whether ctx lives on.
func rest(ctx context.Context, pause time.Duration) bool {
	select {
	case <-time.After(pause):
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// killHalf ends the collector half of lwcd, which the supervisor starts anew. It is
// no error that there is none just now.
func (k *kept) killHalf() error {
	k.mu.Lock()
	pid := k.now.cmd.Process.Pid
	k.mu.Unlock()
	halves, err := children(pid)
	for _, half := range halves {
		if end := unix.Kill(half, unix.SIGKILL); end != nil && !errors.Is(end, unix.ESRCH) {
			err = errors.Join(err, fmt.Errorf("killing the half: %w", end))
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.started = time.Now()
	return err
}

// up tells whether the program serves, and has not just been killed.
func (k *kept) up() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.serves && k.now != k.killed
}

// since is when the program that runs was started, or its half was killed.
func (k *kept) since() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.started
}

// endsByItself is how often nobody asked for an end that came.
func (k *kept) endsByItself() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.strange
}
