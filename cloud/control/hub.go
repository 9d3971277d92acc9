package control

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"lwc/cloud/broker"
	"lwc/cloud/edp"
	"lwc/cloud/ingest"
	"lwc/transport/wire"
)

// Vault opens the credentials of a fleet and the masking key.
type Vault interface {
	// Unseal returns bytes that are no credential. The caller wipes them.
	Unseal(name string, sealed []byte) ([]byte, error)
	// Decrypt returns the secret of a credential. The caller wipes it.
	Decrypt(id string, cipher []byte) (wire.CredentialSecret, error)
}

// Config configures a Hub.
type Config struct {
	Store  *edp.Store
	Bus    broker.Bus
	Vault  Vault
	Ingest *ingest.Ingest
	Topics wire.Topics   // zero: the default prefix
	Key    crypto.Signer // the config-signing key
	// IngestKey is the HPKE public key that collectors seal documents to. Leave
	// it empty where the broker is the process's own.
	IngestKey []byte
	// Heartbeat is how often collectors report, in whole seconds; 0 means 30 s.
	// One that is silent for three of them counts as offline.
	Heartbeat time.Duration
	// SharedBus says that the messages of all collectors come one after the other,
	// as from a broker that is not the process's own: a collector whose queue is
	// full then holds up the others once, and not with each of its messages.
	SharedBus bool
	// Logger gets what an operator should know; nil discards it.
	Logger *slog.Logger
}

const (
	defaultHeartbeat = 30 * time.Second
	missedBeats      = 3
)

// Hub holds the sessions with all collectors.
type Hub struct {
	cfg    Config
	log    *slog.Logger
	starts chan *line    // lines that need a worker
	ended  chan struct{} // closed when Run is over

	// mu guards the rest, and pending, running and online of each line.
	mu      sync.Mutex
	lines   map[string]*line
	unknown notices // of ids that are not admitted
}

// New makes a Hub. It starts nothing.
func New(cfg Config) (*Hub, error) {
	if cfg.Store == nil || cfg.Bus == nil || cfg.Vault == nil || cfg.Ingest == nil || cfg.Key == nil {
		return nil, errors.New("making the hub: a store, a bus, a vault, an ingest and a signing key are needed")
	}
	if cfg.Heartbeat == 0 {
		cfg.Heartbeat = defaultHeartbeat
	}
	if cfg.Heartbeat < time.Second {
		return nil, fmt.Errorf("making the hub: a heartbeat of %v is below one second", cfg.Heartbeat)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Hub{cfg: cfg, log: cfg.Logger, starts: make(chan *line), ended: make(chan struct{}),
		lines: map[string]*line{}}, nil
}

// Run receives from the bus until ctx is cancelled. It is called once, before
// the first connection is let in.
func (h *Hub) Run(ctx context.Context) error {
	defer close(h.ended)
	if err := h.cfg.Store.AllOffline(ctx); err != nil && ctx.Err() == nil {
		return fmt.Errorf("starting the hub: %w", err)
	}
	h.cfg.Bus.Handle(h.receive)
	var workers sync.WaitGroup
	defer workers.Wait()
	workers.Go(func() { h.watch(ctx) })
	for {
		select {
		case l := <-h.starts:
			workers.Go(func() { l.run(ctx) })
		case <-ctx.Done():
			return nil
		}
	}
}

// Online tells whether a collector said hello to this process and was heard
// since.
func (h *Hub) Online(collector string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.lines[collector]
	return l != nil && l.online
}

// FleetChanged makes the hub send a collector its new configuration. It does
// not block.
func (h *Hub) FleetChanged(collector string) { h.wake(collector) }

// JobCreated makes the hub send a collector its open jobs. It does not block.
func (h *Hub) JobCreated(collector string) { h.wake(collector) }

// HeldDecided makes the hub tell a collector which held documents were approved or
// declined. It does not block.
func (h *Hub) HeldDecided(collector string) { h.wake(collector) }

// Revoked ends the session of a collector that was revoked in the store.
func (h *Hub) Revoked(collector string) {
	h.wake(collector)
	h.cfg.Bus.Kick(collector)
}

func (h *Hub) wake(collector string) {
	h.mu.Lock()
	l := h.lines[collector]
	if l == nil || !l.running {
		h.mu.Unlock()
		return // it says hello when it comes, and gets all then
	}
	select {
	case l.poke <- struct{}{}:
	default:
	}
	h.mu.Unlock()
}

// receivePatience is how long a full queue holds up its sender. A broker inside this
// process acknowledges nothing meanwhile, and a collector takes a line that is
// silent for 12 s for a dead one.
const receivePatience = 5 * time.Second

// receive takes one message from the bus. It blocks while the collector's queue
// is full, for receivePatience at most; then the message is dropped. A document has
// no receipt then, and comes again; the window becomes smaller.
func (h *Hub) receive(topic string, payload []byte) {
	id, dir, kind, err := h.cfg.Topics.Parse(topic)
	if err != nil || dir != wire.Up {
		h.log.Debug("a message on an unknown topic is dropped", "topic", topic)
		return
	}
	l, fresh := h.expect(id)
	if fresh {
		select {
		case h.starts <- l:
		case <-h.ended:
			return
		}
	}
	m, queue := message{kind, payload}, l.queueOf(kind)
	select {
	case queue <- m:
		return
	default:
	}
	patience := time.NewTimer(h.patience(l))
	defer patience.Stop()
	select {
	case queue <- m:
	case <-h.ended:
	case <-patience.C:
		l.dropped(kind)
		l.handled()
		h.log.Warn("a message is dropped: the store does not keep up", "collector", id, "kind", kind)
	}
}

// patience is how long a message of a collector may wait for room.
func (h *Hub) patience(l *line) time.Duration {
	if h.cfg.SharedBus && (l.overrun.Load() || l.missed.Load()) {
		return 0
	}
	return receivePatience
}

// expect counts a message in, so that the worker stays for it. It returns
// whether the line needs a worker.
func (h *Hub) expect(id string) (*line, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.lines[id]
	if l == nil {
		l = newLine(h, id)
		h.lines[id] = l
	}
	l.pending++
	fresh := !l.running
	l.running = true
	return l, fresh
}

// leave ends a worker, unless there is something for it. Unfinished documents
// are dropped with it, to be sent again whole; a line of an id that is not
// admitted is forgotten.
func (h *Hub) leave(l *line) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if l.pending > 0 || len(l.poke) > 0 {
		return false
	}
	l.running, l.stream = false, nil
	if l.key == nil {
		delete(h.lines, l.id)
	}
	return true
}

// send signs a message and publishes it to a collector.
func (h *Hub) send(ctx context.Context, collector string, k wire.Kind, v any) error {
	b, err := wire.Sign(k, v, h.cfg.Key)
	if err != nil {
		return err
	}
	return h.publish(ctx, collector, k, b)
}

func (h *Hub) publish(ctx context.Context, collector string, k wire.Kind, b []byte) error {
	if err := h.cfg.Bus.Publish(ctx, h.cfg.Topics.Name(collector, wire.Down, k), b); err != nil {
		return fmt.Errorf("sending a %s: %w", k, err)
	}
	return nil
}
