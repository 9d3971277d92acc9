package netguard

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
)

// View is what the collector half has to know of the Guard in the other process.
// It goes between them as JSON.
type View struct {
	// Serial differs from that of every other View of the same Guard.
	Serial uint64
	// Config is what is applied: a lease is filled in as static addresses, routes
	// and servers. Allow is empty; Upstream.Permit knows it.
	Config Config
	// Paths name the two namespaces, the internal one first, as all pairs here.
	// They are empty in mode unprotected.
	Paths   [2]string
	Cookies [2]uint64
	Links   [2]LinkView
	State   State
}

// LinkView is what the link of a port is known by in its namespace.
type LinkView struct {
	Name  string
	Index int
	MAC   string
}

// Upstream is how a Half asks its Guard; *Guard is one.
type Upstream interface {
	// View returns the present View when its serial differs from the one given,
	// otherwise the next one. An error means that the Guard is gone.
	View(ctx context.Context, serial uint64) (View, error)
	// Permit returns where the External Port may find an endpoint, once the
	// kernel lets it. It returns ErrNotAllowed or ErrBlocked when it may not.
	Permit(ctx context.Context, e Endpoint) ([]netip.AddrPort, error)
}

// views counts the changes of what View returns, and wakes who waits for one.
type views struct {
	mu     sync.Mutex // guards what follows; nothing is locked while it is held
	serial uint64
	next   chan struct{} // closed by the next change
}

func newViews() *views { return &views{serial: 1, next: make(chan struct{})} }

func (v *views) bump() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.serial++
	close(v.next)
	v.next = make(chan struct{})
}

func (v *views) now() (serial uint64, next <-chan struct{}) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.serial, v.next
}

// changed says that State or the applied configuration is another one. It may be
// called with and without Guard.mu held.
func (g *Guard) changed() { g.views.bump() }

// View returns what the collector half has to know: at once when that has
// changed since the View with that serial, otherwise with the next change. Zero
// is the serial of none. The error is ErrClosed once the Guard is closed.
func (g *Guard) View(ctx context.Context, serial uint64) (View, error) {
	for {
		now, next := g.views.now() // before the content: what changes meanwhile gets a new serial
		v := g.view(now)
		if errors.Is(g.refusal(), ErrClosed) {
			return View{}, fmt.Errorf("viewing the two ports: %w", ErrClosed)
		}
		if now != serial {
			return v, nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			return View{}, ctx.Err()
		}
	}
}

func (g *Guard) view(serial uint64) View {
	c, sides := g.effective()
	c.Allow = nil
	v := View{Serial: serial, Config: c, State: g.State()}
	for i, m := range sides {
		if m == nil || m.ns == nil {
			continue
		}
		v.Paths[i], v.Cookies[i] = m.ns.path, m.ns.cookie
		v.Links[i] = LinkView{m.link.name, m.link.index, m.link.mac}
	}
	return v
}

func (l LinkView) identity() identity { return identity{name: l.Name, index: l.Index, mac: l.MAC} }

// errorCodes are the errors that a caller may tell apart on the other side of a
// connection between the two processes.
func errorCodes() map[string]error {
	return map[string]error{"blocked": ErrBlocked, "closed": ErrClosed, "not-allowed": ErrNotAllowed,
		"no-dns": ErrNoDNS, "no-address": ErrNoAddress, "unprotected": ErrUnprotected}
}

// ErrorCode names the error of this package that err is, for a connection
// between the two processes; empty when it is none.
func ErrorCode(err error) string {
	for code, is := range errorCodes() {
		if errors.Is(err, is) {
			return code
		}
	}
	return ""
}

// ErrorFromCode makes an error of what ErrorCode and Error returned on the other
// side. An unknown code gives an error of the text alone.
func ErrorFromCode(code, text string) error {
	return &remoteError{text, errorCodes()[code]}
}

type remoteError struct {
	text string
	is   error
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.is }
