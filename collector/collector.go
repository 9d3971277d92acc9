package collector

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"lwc/junos"
	"lwc/transport/wire"
)

// The defaults of Config and of wire.CollectLimits.
const (
	DefaultConcurrency      = 32
	DefaultPerBastion       = 64      // devices that share one connection of a bastion
	DefaultLoginsPerSecond  = 10      // with one credential: what an AAA server bears
	DefaultMaxCPU           = 85      // per cent
	DefaultMaxDocumentBytes = 1 << 30 // a document is never held, so memory does not bound it
	DefaultBudgetBytes      = 64 << 20
	DefaultDeviceTimeout    = 15 * time.Minute
	DefaultBlockedTimeout   = 10 * time.Minute
)

// Config joins a Collector to its surroundings.
type Config struct {
	Collector string       // id of the identity
	Boot      string       // ULID of this start of the daemon
	BootKey   wire.BootKey // opens the credentials of a configuration
	Dialer    Dialer
	Uplink    Uplink
	Machine   Machine      // optional: without it jobs reach devices alone
	Logger    *slog.Logger // nil means slog.Default

	// BudgetBytes bounds the documents that have no receipt yet where the
	// configuration does not; 0 means DefaultBudgetBytes.
	BudgetBytes int64
	// Session bounds the waits within a NETCONF session. MaxReply is set from
	// the configuration.
	Session junos.Options
	// DeviceTimeout bounds the collection of one device, without the time it
	// waits for memory; 0 means DefaultDeviceTimeout.
	DeviceTimeout time.Duration
	// Forgotten is called when credentials have been wiped, once for each
	// configuration: copies that others made of them, and dropped, can be overwritten
	// then. It may be nil, and must not wait for the Collector.
	Forgotten func()
	// BlockedTimeout is when the uplink makes room by dropping documents of older
	// runs. An open session that waits for memory is ended half a minute later; 0
	// means DefaultBlockedTimeout.
	BlockedTimeout time.Duration
}

// Collector collects. It is made by New, works in Run, and is the Handler of an
// uplink.
type Collector struct {
	conf     Config
	log      *slog.Logger
	clock    clock
	slots    *budget // sessions
	bastions *bastions
	buffers  *beginnings // of replies
	busy     *busy
	refusals *refusals
	pins     *pins
	pace     *pace
	records  *records
	weak     told   // weak algorithms, in this boot
	maskKey  []byte // of the pseudonyms where the configuration has none
	inbox    *inbox
	counters counters
	chain    *chain
	plan     *plan
	machines machineJobs
	tasks    sync.WaitGroup // devices, runs and jobs

	// mu guards fleet, which only the main loop replaces. A holder of a fleet
	// took it while mu was held, so that it cannot be wiped in between.
	mu    sync.Mutex
	fleet *fleet

	main mainState
}

// mainState belongs to the main loop.
type mainState struct {
	timetable timetable
	wanted    uint64    // version that the cloud wants to be used
	later     *desired  // not yet valid
	held      []heldJob // jobs that wait for a configuration
	jobs      *jobLog
}

// New returns a Collector that has no configuration yet. It starts nothing.
func New(conf Config) *Collector {
	conf.BudgetBytes = orDefault(conf.BudgetBytes, DefaultBudgetBytes)
	conf.DeviceTimeout = orDefault(conf.DeviceTimeout, DefaultDeviceTimeout)
	conf.BlockedTimeout = orDefault(conf.BlockedTimeout, DefaultBlockedTimeout)
	if conf.Logger == nil {
		conf.Logger = slog.Default()
	}
	return &Collector{
		conf: conf, log: conf.Logger,
		slots: newBudget(DefaultConcurrency), buffers: newBeginnings(),
		bastions: newBastions(), busy: newBusy(), refusals: newRefusals(), pins: newPins(),
		pace: newPace(), records: newRecords(), maskKey: newMaskKey(),
		inbox: newInbox(), chain: newChain(), plan: newPlan(conf.Collector),
		main: mainState{timetable: timetable{runs: map[string]*run{}, begun: map[string]*atomic.Int64{}}, jobs: newJobLog()},
	}
}

func orDefault[T int | int64 | float64 | time.Duration](v, def T) T {
	if v <= 0 {
		return def
	}
	return v
}

// Run collects until ctx ends; then it ends every session, wipes the
// credentials and returns nil. Runs that are not finished are given up: the
// cloud asks the next boot for what is missing.
func (c *Collector) Run(ctx context.Context) error {
	defer c.stop()
	c.conf.Uplink.SetBudget(c.conf.BudgetBytes)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.inbox.ready:
			for _, event := range c.inbox.take() {
				event(ctx)
			}
		case <-timer.C:
		}
		timer.Reset(c.tick(ctx))
	}
}

func (c *Collector) stop() {
	c.tasks.Wait()
	clear(c.maskKey)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fleet != nil {
		c.fleet.retire()
	}
}

// idleTick is how often the main loop looks at the clock when nothing is due:
// a step of the clock is noticed so much later at most.
const idleTick = time.Minute

// tick does what is due and returns the time until it should be called again.
func (c *Collector) tick(ctx context.Context) time.Duration {
	now := c.clock.now()
	next := now.Add(idleTick)
	earlier := func(t time.Time) {
		if !t.IsZero() && t.Before(next) {
			next = t
		}
	}
	earlier(c.applyLater(now))
	earlier(c.expireHeld(now))
	due := c.schedule(ctx, now)
	earlier(due)
	c.counters.noteNext(due)
	c.watchClock()
	return max(next.Sub(now), time.Millisecond)
}

// current returns the fleet in use, nil before the first configuration.
func (c *Collector) current() *fleet {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fleet
}

// holdCurrent is current, held until drop.
func (c *Collector) holdCurrent() *fleet {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fleet == nil || !c.fleet.hold() {
		return nil
	}
	return c.fleet
}
