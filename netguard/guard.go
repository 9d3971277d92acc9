package netguard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"lwc/netguard/wall"
)

// Status is the condition of the ports.
type Status string

// The conditions.
const (
	Open    Status = "open"    // verified; dials go out
	Blocked Status = "blocked" // a violation was found; dials return ErrBlocked
	Down    Status = "down"    // not up yet, or closed
)

// State is what an operator is told of the ports.
type State struct {
	Mode   Mode
	Status Status
	// Detail says in words why the ports are not open, or that they are not protected.
	Detail string
	// Internal and External are the names of the links.
	Internal, External string
	// Since is when Status became what it is.
	Since time.Time
	// Degraded says in words what this kernel cannot do, and which one could.
	Degraded []string
	// Latched says that the ports stay blocked until the guard is made anew: the
	// kernel was tampered with too often.
	Latched bool
	// Violations counts what was found since Up, Healed how many of it is gone.
	Violations, Healed uint64
}

// Event is a change of the ports' condition, or a violation.
type Event struct {
	At     time.Time
	Status Status
	// Violation is nil when the event is a change of the condition alone.
	Violation *Violation
	// Text says it in words.
	Text string
}

// eventBacklog is how many events wait for a slow reader; older ones give way.
const eventBacklog = 64

// Guard holds the two ports. Its methods may be called concurrently.
type Guard struct {
	config   Config
	home     *home      // nil when unprotected
	sides    [2]*member // internal first; nil entries when unprotected or not yet up
	cards    []*member  // those that carry ports as sub-interfaces; none when each port is a card
	internal InternalPort
	external ExternalPort
	events   chan Event
	views    *views
	permits  *permits

	// verifying is held by whoever compares the kernel with the plan or changes
	// either, so that none takes half of another's work for a violation.
	verifying sync.Mutex

	watch  *watch  // nil before Up has brought the ports up, and when unprotected
	patrol *patrol // runs from Up to Close
	stop   context.CancelFunc
	tasks  sync.WaitGroup // the patrol and the leases; Close waits

	mu       sync.Mutex // guards what follows; never held across a system call
	status   Status
	detail   string
	since    time.Time
	paused   string // why dials are refused although the ports are open
	doubtful string // why it is not known whether the ports are in one segment
	found    uint64
	healed   uint64
	latched  bool
	degraded []string
	closed   bool
}

// member is one side as it is in the kernel.
// plan, link, silent and shut change with both Guard.verifying and Guard.mu held; one of
// them is enough to read.
type member struct {
	plan   plan
	ns     *namespace
	link   identity
	silent bool       // the link is kept down: the ports are blocked
	shut   bool       // the wall lets nothing out, while a lease is asked for: the ports are blocked
	wall   *wall.Wall // nil where nftables cannot be reached: in the collector half
	card   *member    // what the port is a sub-interface of; nil when it is a card itself

	packets    Packets              // who makes packet sockets; nil: the process itself
	kept       map[PacketKind]*kept // those that the port needs; of a side alone
	borrower   *borrower            // nil unless the port uses DHCP
	arrivedMTU int                  // of the link before anything was set
}

// learn notes what the link of m is known by now.
func (g *Guard) learn(m *member, link identity) {
	g.mu.Lock()
	defer g.mu.Unlock()
	m.link = link
}

func newGuard(c Config) *Guard {
	g := &Guard{config: c, events: make(chan Event, eventBacklog), status: Down, detail: "not up yet", since: time.Now()}
	g.views, g.permits = newViews(), newPermits(c.Allow)
	g.internal.port = newPort(g, InternalSide, c.Mode)
	g.external.port = newPort(g, ExternalSide, c.Mode)
	return g
}

// Internal returns the port towards the devices.
func (g *Guard) Internal() *InternalPort { return &g.internal }

// External returns the port towards the cloud.
func (g *Guard) External() *ExternalPort { return &g.external }

// State returns the present condition.
func (g *Guard) State() State {
	lacking := g.lacking()
	g.mu.Lock()
	defer g.mu.Unlock()
	s := State{Mode: g.config.Mode, Status: g.status, Detail: g.detail,
		Internal: g.config.Internal.name(), External: g.config.External.name(),
		Since: g.since, Degraded: lacking, Latched: g.latched, Violations: g.found, Healed: g.healed}
	if s.Mode == "" {
		s.Mode = Enforce
	}
	if g.sides[0] != nil && g.sides[1] != nil {
		s.Internal, s.External = g.sides[0].link.name, g.sides[1].link.name
	}
	return s
}

// lacking says in words what the walls and the leases are without.
func (g *Guard) lacking() []string {
	g.mu.Lock()
	all := slices.Clone(g.degraded)
	if g.doubtful != "" {
		all = append(all, g.doubtful)
	}
	g.mu.Unlock()
	for _, m := range g.members() {
		if m.wall == nil {
			continue
		}
		for _, text := range m.wall.Degraded() {
			if !slices.Contains(all, text) {
				all = append(all, text)
			}
		}
	}
	return append(all, g.leaseNotes()...)
}

// degrade notes something that this kernel cannot do.
func (g *Guard) degrade(text string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !slices.Contains(g.degraded, text) {
		g.degraded = append(g.degraded, text)
	}
}

// Events returns the channel of events. It holds the newest 64 and is closed by
// Close; nobody has to read it.
func (g *Guard) Events() <-chan Event { return g.events }

// tell queues an event, dropping the oldest when nobody reads. g.mu is held.
func (g *Guard) tell(e Event) {
	if g.closed {
		return
	}
	e.At, e.Status = time.Now(), g.status
	for {
		select {
		case g.events <- e:
			return
		default:
		}
		select {
		case <-g.events:
		default:
		}
	}
}

// become makes status the condition of the ports, and detail the reason in words.
// It reports whether the condition is another one now, which is to be announced.
func (g *Guard) become(status Status, detail string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	news := g.status != status && !g.closed
	if news {
		g.since = time.Now()
	}
	if !g.closed {
		g.status, g.detail = status, detail
	}
	g.changed()
	return news
}

// tellStatus tells the condition of the ports.
func (g *Guard) tellStatus() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tell(Event{Text: "ports are " + string(g.status)})
}

// poke has everything compared soon.
func (g *Guard) poke() {
	if g.watch != nil {
		g.watch.poke()
	}
}

// report tells of a violation and counts it: found when it is news, healed when
// it is gone.
func (g *Guard) report(v *Violation, healed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	told := *v
	told.Healed = healed
	text := told.Error()
	if healed {
		text += " (healed)"
	}
	g.tell(Event{Violation: &told, Text: text})
}

// count adds to the numbers in State.
func (g *Guard) count(found, healed int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.found += uint64(found)
	g.healed += uint64(healed)
	g.changed()
}

// pauseDials refuses dials for that reason, and allows them again for none, while
// the ports stay open.
func (g *Guard) pauseDials(reason string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.paused = reason
}

func (v *Violation) same(o *Violation) bool {
	return v.Kind == o.Kind && v.Port == o.Port && v.Detail == o.Detail
}

func summary(found []*Violation) string {
	if len(found) == 1 {
		return found[0].Error()
	}
	return fmt.Sprintf("%v (and %d more)", found[0], len(found)-1)
}

// refusal returns why nothing may be dialled now, or nil.
func (g *Guard) refusal() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.closed:
		return ErrClosed
	case g.status != Open:
		return fmt.Errorf("%w: %s", ErrBlocked, g.detail)
	case g.paused != "":
		return fmt.Errorf("%w: %s", ErrBlocked, g.paused)
	}
	return nil
}

// Close ends the watch, sets both ports down, the external one first, and lets
// the namespaces go; their names and tables stay, so that the next Up adopts
// them. Connections that were handed out are closed.
func (g *Guard) Close() error {
	if !g.markClosed() {
		return nil
	}
	var errs []error
	if g.stop != nil {
		g.stop()
		g.tasks.Wait()
	}
	if g.watch != nil {
		errs = append(errs, g.watch.close())
	}
	g.verifying.Lock()
	defer g.verifying.Unlock()
	g.hangUp()
	for _, m := range slices.Backward(g.members()) {
		errs = append(errs, m.close())
	}
	if g.home != nil {
		g.home.close()
	}
	return errors.Join(errs...)
}

func (g *Guard) markClosed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.status, g.detail, g.since = Down, "closed", time.Now()
	g.tell(Event{Text: "ports are down"})
	g.closed = true
	close(g.events)
	g.changed()
	return true
}

// InternalPort dials devices and bastions.
type InternalPort struct{ port *port }

// DialContext connects to addr ("host:port") through the Internal Port. The
// network is tcp, tcp4, tcp6, udp, udp4 or udp6.
func (p *InternalPort) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return p.port.dial(ctx, network, addr)
}

// Resolver resolves names through the DNS servers of the Internal Port.
func (p *InternalPort) Resolver() *net.Resolver { return p.port.resolver }

// ExternalPort dials the cloud. It cannot listen.
type ExternalPort struct{ port *port }

// DialContext connects to addr ("host:port") through the External Port. The
// network is tcp, tcp4, tcp6, udp, udp4 or udp6.
func (p *ExternalPort) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return p.port.dial(ctx, network, addr)
}

// Resolver resolves names through the DNS servers of the External Port.
func (p *ExternalPort) Resolver() *net.Resolver { return p.port.resolver }
