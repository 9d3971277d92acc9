package junos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
)

// link is the receiving side of a channel: bytes that come, cut into documents,
// and the turn to read them.
type link struct {
	pump   *pump
	frames *frames
	close  func() error // closes the channel; only its first call does
	// spans returns the next bytes of the document, and errEnd at its end.
	spans func(context.Context) ([]byte, error)

	// ended is told what a document ended with, errEnd or another.
	ended func(error)

	// turn holds one token: whoever has it may read, and use what the turn is
	// said to guard. It is a channel so that a context can end the wait for it.
	turn chan struct{}

	mu     sync.Mutex // held for broken only
	broken error      // why the link is over
}

var (
	errEnded = errors.New("the device ended the channel")
	errOver  = errors.New("the session ended before")
)

func newLink(rw io.ReadCloser, o Options) *link {
	return &link{pump: startPump(rw, o.StallTimeout, o.MinRate), close: sync.OnceValue(rw.Close),
		turn: make(chan struct{}, 1)}
}

// read is the source of frames.
func (l *link) read(ctx context.Context, b []byte) (int, error) {
	n, err := l.pump.read(ctx, b)
	if err == io.EOF {
		err = errEnded
	}
	return n, err
}

// acquire waits for the turn; it fails when the link is over.
func (l *link) acquire(ctx context.Context) error {
	select {
	case <-l.turn: // most often it is free
	default:
		select {
		case <-l.turn:
		case <-ctx.Done():
			return because(ctx)
		case <-l.pump.quit:
			return l.over()
		}
	}
	if err := l.over(); err != nil {
		l.release()
		return err
	}
	if err := ctx.Err(); err != nil {
		l.release()
		return because(ctx)
	}
	return nil
}

func (l *link) release() { l.turn <- struct{}{} }

// fail ends the link for a reason that the calls after this one tell.
func (l *link) fail(err error) {
	l.mu.Lock()
	if l.broken == nil {
		l.broken = err
	}
	l.mu.Unlock()
	l.pump.stop()
	l.close()
}

func (l *link) reason() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broken
}

// over returns nil while the link can be used, and an error of KindClosed after
// that, whatever it ended for.
func (l *link) over() error {
	switch err := l.reason(); err {
	case nil, errClosed:
		return err
	default:
		return fmt.Errorf("%w: %w", errOver, err)
	}
}

// shut closes the channel and waits for the reader to be gone.
func (l *link) shut() error {
	err := l.close()
	l.pump.join()
	return err
}
