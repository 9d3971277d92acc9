package netguard

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
)

// Half is the collector's half of the two ports: it dials through the namespaces
// that the Guard of another process keeps, and watches them with its own eyes.
// Its methods may be called concurrently.
type Half struct {
	upstream Upstream
	home     *home         // nil when unprotected
	watch    *watch        // nil when unprotected
	changes  chan struct{} // holds a token when there is a new view, when unprotected
	internal InternalPort
	external ExternalPort
	events   chan Event
	ready    chan struct{}
	become   sync.Once // closes ready

	mu     sync.Mutex // guards what follows; never held across a system call
	view   View
	sides  [2]*member // replaced, not changed; nil entries when unprotected
	found  []*Violation
	judged bool  // by this process itself, and by the newest view
	gone   error // why the supervisor does not answer any more
	state  State // as it was told last
	closed bool
}

// Join opens the ports of the Guard that made v for this process, while it still
// has the privileges to enter their namespaces. It verifies nothing yet: dials
// return ErrBlocked until Run has done so. The namespaces must be those of the
// view, or the error is ErrWrongNamespace.
func Join(ctx context.Context, v View, u Upstream) (*Half, error) { return join(ctx, v, nil, u) }

// join enters the namespaces that were handed over or, without any, those of the names.
func join(ctx context.Context, v View, handed []*os.File, u Upstream) (*Half, error) {
	h := &Half{upstream: u, events: make(chan Event, eventBacklog), ready: make(chan struct{}),
		changes: make(chan struct{}, 1), view: v}
	h.internal.port = newPort(h, InternalSide, v.Config.Mode)
	h.external.port = newPort(h, ExternalSide, v.Config.Mode)
	if err := h.enter(ctx, handed); err != nil {
		return nil, fmt.Errorf("joining the two ports: %w", errors.Join(err, h.Close()))
	}
	h.state = h.judgement()
	return h, nil
}

// enter opens the namespaces and what is needed to watch them.
func (h *Half) enter(ctx context.Context, handed []*os.File) (err error) {
	if h.view.Config.Mode == Unprotected {
		return closeAll(handed)
	}
	if h.home, err = openHome(); err != nil {
		return errors.Join(err, closeAll(handed))
	}
	var sides [2]*member
	for i, side := range []Side{InternalSide, ExternalSide} {
		var file *os.File
		if len(handed) > 0 {
			file, handed = handed[0], handed[1:]
		}
		n, err := joinNamespace(ctx, side, h.view.Paths[i], file, h.view.Cookies[i])
		if err != nil {
			return errors.Join(err, closeAll(handed))
		}
		sides[i] = h.view.member(side, n)
		h.sides = sides
	}
	h.watch, err = openWatch(ctx, h.home, sides[:])
	return err
}

// member returns one side as the view describes it, in the namespace n.
func (v View) member(side Side, n *namespace) *member {
	return &member{plan: planOf(v.Config, side), ns: n, link: v.Links[side.place()].identity()}
}

// Internal returns the port towards the devices.
func (h *Half) Internal() *InternalPort { return &h.internal }

// External returns the port towards the cloud.
func (h *Half) External() *ExternalPort { return &h.external }

// Events returns the channel of events. It holds the newest 64 and is closed by
// Close; nobody has to read it.
func (h *Half) Events() <-chan Event { return h.events }

// Ready is closed once Run has found the ports open for the first time.
func (h *Half) Ready() <-chan struct{} { return h.ready }

// DropPrivileges makes the whole process that user and group for good, without
// supplementary groups, capabilities, or a way to get any by exec. Dialling and
// watching go on working. A uid of 0 keeps the user and drops the capabilities
// alone. A binary built with cgo can do neither that nor set no_new_privs on all
// its threads: there it is the change of the user that takes the capabilities,
// and a program with file capabilities or set-uid that is executed could gain
// some. The kernel clears the parent-death signal of the process with it. The
// error is ErrPrivilege when any capability is left.
func (h *Half) DropPrivileges(uid, gid int) error {
	if err := drop(uid, gid); err != nil {
		return fmt.Errorf("%w: dropping privileges to %d:%d: %w", ErrPrivilege, uid, gid, err)
	}
	return nil
}

// Close closes every connection that was handed out and lets the namespaces go.
// Call it when Run has returned.
func (h *Half) Close() error {
	if !h.markClosed() {
		return nil
	}
	h.hangUp()
	var errs []error
	if h.watch != nil {
		errs = append(errs, h.watch.close())
	}
	for _, m := range h.sides {
		if m != nil {
			errs = append(errs, m.ns.close())
		}
	}
	if h.home != nil {
		h.home.close()
	}
	return errors.Join(errs...)
}

func (h *Half) markClosed() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.closed = true
	close(h.events)
	return true
}

// hangUp closes what both ports have handed out.
func (h *Half) hangUp() int {
	return h.external.port.conns.closeAll() + h.internal.port.conns.closeAll()
}
