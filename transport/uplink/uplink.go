package uplink

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"lwc/transport/wire"
)

// Config is what an Uplink is made of.
type Config struct {
	// Identity is what Enrol or Load gave.
	Identity
	// Dial makes the connections. Without it none is made.
	Dial DialFunc
	// Boot is the id of this boot, a ULID; empty makes one.
	Boot string
	// BootKey is the HPKE key of this boot; its public half goes into hello.
	BootKey wire.BootKey
	// Firmware is the version of the daemon.
	Firmware string
	// Box is asked what the machine is, for each hello; nil means that there is
	// nothing to say.
	Box func() wire.Box
	// Capabilities go into hello; items it knows are "item:NAME".
	Capabilities []string
	// Handler gets what comes down.
	Handler Handler
	// Logger may be nil for silence.
	Logger *slog.Logger
	// BlockedTimeout is how long a writer waits for memory before documents of
	// older runs are dropped; 0 means 10 min.
	BlockedTimeout time.Duration
	// Ports is asked for the state of the ports, for hello and health; nil
	// means that there is nothing to say. It must not block.
	Ports func() wire.PortState
	// Health is asked for a heartbeat; what this package knows (collector,
	// boot, time, configuration, queue, ports) is filled in. It may be nil and
	// must not block.
	Health func() wire.Health
}

// Handler gets what the cloud sends, after it was verified. Its methods are
// never called at the same time as each other; a done function may be. They must
// return soon, and must not use a Lane, which may wait for memory.
type Handler interface {
	// Welcomed says that a connection is up.
	Welcomed(wire.Welcome)
	// Desired hands over a configuration that is newer than all before. The
	// credentials in it are still sealed.
	Desired(d wire.Desired, ref wire.ConfigRef)
	// Job hands over a command, each one once.
	Job(wire.Job)
}

// timing holds the intervals of the protocol, so that tests against real peers
// can shorten them.
type timing struct {
	dial      time.Duration // name, TCP and TLS
	answer    time.Duration // CONNACK and SUBACK
	welcome   time.Duration // hello to welcome
	write     time.Duration // one packet
	acked     time.Duration // a packet to its PUBACK
	resend    time.Duration // document to its first redelivery
	resendMax time.Duration
	retry     time.Duration // first ceiling between two rounds of connecting
	retryMax  time.Duration
	steady    time.Duration // a session this old resets the back-off
	silence   time.Duration // the broker owes an answer and says nothing
	ill       time.Duration // that a way which failed stands behind the others, the first time
	illMost   time.Duration // so that a way that was closed for days is not forgotten
	lost      time.Duration // without a session, until the cloud is asked for its ways again
	heartbeat time.Duration // where the welcome says nothing
	farewell  time.Duration // of a clean stop, all together
}

func defaultTiming() timing {
	return timing{
		dial: 30 * time.Second, answer: 15 * time.Second, welcome: 15 * time.Second,
		write: 30 * time.Second, acked: 60 * time.Second,
		resend: 30 * time.Second, resendMax: 10 * time.Minute,
		retry: time.Second, retryMax: 5 * time.Minute, steady: 30 * time.Second, silence: silence,
		ill: time.Minute, illMost: time.Hour, lost: 5 * time.Minute,
		heartbeat: time.Minute, farewell: 3 * time.Second,
	}
}

// Uplink is the session with the cloud. Its methods are safe for concurrent use.
type Uplink struct {
	cfg    Config
	time   timing
	log    *slog.Logger
	topics wire.Topics
	key    ed25519.PublicKey // signs what comes down; pinned at enrolment
	keyErr error

	out     *outbox
	notices *noticeBoard
	events  eventBoard
	jobs    jobLog
	wake    chan struct{}     // to the sender: something is due; capacity 1
	renew   chan chan<- error // to the renewal: now, and tell how it ended
	again   chan struct{}     // to supervise: connect now; capacity 1

	seq     atomic.Uint64  // of the next frame
	handing sync.WaitGroup // calls of the library that a session did not wait for

	born   time.Time
	pulse  atomic.Int64  // when the supervisor or a sender last moved on, since born: nobody sets that clock; 0: never
	conns  atomic.Uint64 // connections of this boot
	inbox  receiver      // used by the receiving goroutine only
	offset cloudTime

	learning sync.Mutex // held by whoever asks for the ways, until they are saved

	mu       sync.Mutex // guards what follows
	id       Identity   // with the newest certificate
	welcome  *wire.Welcome
	accepted wire.ConfigRef // newest desired configuration taken in this boot
	before   wire.ConfigRef // the one taken before it
	applied  wire.ConfigRef // the one that the Handler said it runs
	manifest string         // hash of the newest manifest of this boot
	trouble  error          // why there is no session; nil while there is one
	state    *wire.State    // newest
}

// New makes an Uplink that does nothing until Run.
func New(c Config) *Uplink {
	if c.Dial == nil {
		c.Dial = noDial
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Boot == "" {
		c.Boot = wire.NewID()
	}
	if c.Ports == nil {
		c.Ports = func() wire.PortState { return wire.PortState{} }
	}
	if c.Health == nil {
		c.Health = func() wire.Health { return wire.Health{} }
	}
	u := &Uplink{cfg: c, born: time.Now(), time: defaultTiming(), log: c.Logger, id: c.Identity,
		topics: wire.Topics{Prefix: c.Bootstrap.Prefix},
		wake:   make(chan struct{}, 1), renew: make(chan chan<- error), again: make(chan struct{}, 1)}
	u.key, u.keyErr = configKey(c.Bootstrap)
	u.notices = newNoticeBoard(u.poke)
	u.events.wake = u.poke
	u.out = newOutbox(u.poke)
	if c.BlockedTimeout > 0 {
		u.out.blocked = c.BlockedTimeout
	}
	u.inbox.init(u)
	return u
}

// Boot returns the id of this boot.
func (u *Uplink) Boot() string { return u.cfg.Boot }

// QueueBytes returns the bytes of documents and manifests without receipt.
func (u *Uplink) QueueBytes() int64 { return u.out.bytes() }

// poke wakes the sender.
func (u *Uplink) poke() {
	select {
	case u.wake <- struct{}{}:
	default:
	}
}

// check refuses a configuration that can never work.
func (u *Uplink) check() error {
	if u.cfg.Handler == nil {
		return errors.New("starting the uplink: no handler")
	}
	if u.keyErr != nil {
		return fmt.Errorf("starting the uplink: %w", u.keyErr)
	}
	if err := wire.CheckID(u.cfg.Boot); err != nil {
		return fmt.Errorf("starting the uplink: boot: %w", err)
	}
	if err := checkBootstrap(u.cfg.Bootstrap, u.cfg.Collector); err != nil {
		return fmt.Errorf("starting the uplink: the bootstrap answer: %w", err)
	}
	return nil
}

// Run keeps a session until ctx ends, and then takes leave of the cloud. It
// returns an error only if the configuration can never work. It is called once.
func (u *Uplink) Run(ctx context.Context) error {
	if err := u.check(); err != nil {
		return err
	}
	u.beat()
	var wg sync.WaitGroup
	wg.Go(func() { u.keepCertificate(ctx) })
	u.supervise(ctx)
	wg.Wait()
	u.letGo()
	return nil
}

// letGo waits for calls of the library that no session waited for. They end by
// themselves after its write time-out, for which a stop does not wait.
func (u *Uplink) letGo() {
	over := make(chan struct{})
	go func() {
		u.handing.Wait()
		close(over)
	}()
	select {
	case <-over:
	case <-time.After(u.time.farewell):
	}
}

// supervise makes one connection after another, by the way that the ladder says. A
// wait follows a whole round of failures, and every session that was there. When no
// way leads to the broker for long, it may have moved: the cloud is asked.
func (u *Uplink) supervise(ctx context.Context) {
	known := u.identity().Bootstrap.Endpoints
	ways := newLadder(known, u.time.ill, u.time.illMost)
	wait := backoff{least: u.time.retry, most: u.time.retryMax}
	lost := time.Now() // since when there was no session, or since the cloud was asked
	for {
		if now := u.identity().Bootstrap.Endpoints; !slices.Equal(now, known) {
			known, ways = now, newLadder(now, u.time.ill, u.time.illMost)
		}
		r := ways.next(time.Now())
		u.beat()
		lived, err := u.session(ctx, r)
		if ctx.Err() != nil {
			return
		}
		u.setTrouble(err)
		if lived > 0 {
			lost = time.Now()
			u.waited() // what was gone before this session says nothing now
			ways.served(r, time.Now(), lived, u.time.steady, err)
			ways.round()
		} else {
			ways.failed(r, time.Now())
		}
		if lived >= u.time.steady {
			wait.reset()
		}
		if lived == 0 && ways.next(time.Now()) != nil {
			u.log.Warn("the connection failed, trying the next way", "kind", r.ep.Kind, "endpoint", r.ep.Host, "error", err)
			continue
		}
		ways.round()
		if time.Since(lost) >= u.time.lost {
			if u.learnWays(ctx) {
				wait.reset()
			}
			lost = time.Now()
		}
		u.beat()
		pause := wait.next()
		u.log.Warn("the connection failed", "kind", r.ep.Kind, "endpoint", r.ep.Host, "lived", lived.String(), "retry_in", pause.String(), "error", err)
		if u.pause(ctx, pause) {
			wait.reset()
			ways.forget()
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// Reconnect says that what kept connections from being made may be gone. A pause
// between attempts ends at once, the next ones are short again, and what failed
// before is tried in its place.
func (u *Uplink) Reconnect() {
	select {
	case u.again <- struct{}{}:
	default:
	}
}

// pause waits between two attempts; true means that Reconnect ended it.
func (u *Uplink) pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-u.again:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

// waited forgets a Reconnect that nobody waits for any more.
func (u *Uplink) waited() {
	select {
	case <-u.again:
	default:
	}
}

func (u *Uplink) beat() { u.pulse.Store(int64(max(time.Since(u.born), 1))) }

// ErrStuck says that the uplink has not moved on for longer than any of its
// waits can last.
var ErrStuck = errors.New("the uplink does not move on")

// Alive returns nil while Run makes progress, connected or not; it is what a
// watchdog asks. Before Run it returns nil.
func (u *Uplink) Alive() error {
	last := u.pulse.Load()
	if last == 0 {
		return nil
	}
	// The longest of: a pause between attempts, one attempt, one heartbeat with
	// a packet that is not acknowledged.
	t := u.time
	limit := 2*t.retryMax + t.dial + t.answer + t.welcome + u.heartbeat() + t.write + t.acked
	if silent := time.Since(u.born) - time.Duration(last); silent > limit {
		return fmt.Errorf("for %s: %w", silent.Round(time.Second), ErrStuck)
	}
	return nil
}

// Trouble says why there is no session with the cloud: what the last connection,
// or the last attempt to make one, ended with. It is nil while there is a
// session, and before the first attempt has ended.
func (u *Uplink) Trouble() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.trouble
}

func (u *Uplink) setTrouble(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.trouble = err
}

// identity returns the identity with its newest certificate.
func (u *Uplink) identity() Identity {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.id
}

// serverNow is the time as the cloud tells it.
func (u *Uplink) serverNow() time.Time { return u.offset.now() }
