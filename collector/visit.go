package collector

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"lwc/junos"
	"lwc/transport/wire"
)

// visit is the collection of one device in one run.
type visit struct {
	c        *Collector
	r        *run
	id       string
	patience *patience
	begun    time.Time // the first dial, once there was one
	dialled  bool
	ticket   *ticket
	progress *progress
	probe    *probe             // nil: a collection
	steps    []wire.ProbeStep   // of the newest dial
	device   *device            // as it was when the first session began; nil before
	record   *record            // of the device, in a session
	depth    int                // requests under way at once, in a session
	release  release            // of the device, once it is known
	weighed  bool               // the load was asked for
	load     int                // in per cent
	outlet   *outlet            // nil: a probe
	todo     []junos.Item       // the items to ask for, in this order; others are accounted for
	again    []junos.Item       // those to ask for once more, after todo
	early    map[string]*answer // the first answers to these
	half     *answer            // the beginning of the reply that ended with the session before
	skipped  failure            // why items were left out, the session living on
	usable   bool               // a document came with which something can be done
	useless  *junos.Result      // of the last document with which nothing can be done
	timeouts int
	stuck    bool // an item had no whole answer in time, in this session
	res      wire.DeviceResult
}

// collect collects one device and accounts for it in r.
func (c *Collector) collect(outer context.Context, r *run, id string) {
	ctx, p := newPatience(outer, c.conf.DeviceTimeout)
	defer p.end()
	v := &visit{c: c, r: r, id: id, patience: p, begun: time.Now(), res: wire.DeviceResult{Device: id}}
	v.outlet = newOutlet(outer, v)
	defer v.outlet.close()
	unlock, err := c.busy.lock(ctx, id)
	if err != nil {
		v.conclude(diagnose(ctx, err))
		return
	}
	defer unlock()
	if r.schedule != "" && c.plan.has(r.schedule, id, r.window) {
		return // a job was there while this visit was in line
	}
	v.begun = time.Now()
	v.conclude(v.attempts(ctx))
}

// The pauses before the one reconnect of a run. Junos counts connections by the
// minute, so a throttled one waits for the next; a session that broke needs only
// a breath.
const (
	closedPause    = 5 * time.Second
	throttledPause = time.Minute
)

// attempts goes to the device, at once again when it did not bear several
// requests under way, and once more after a failure that passes.
func (v *visit) attempts(ctx context.Context) failure {
	f := v.attempt(ctx)
	if f.pipelined && ctx.Err() == nil {
		v.c.counters.fallbacks.Add(1)
		f = v.attempt(ctx)
	}
	if !f.passing() || ctx.Err() != nil {
		return f
	}
	wait := closedPause
	if f.of(kindThrottled) {
		wait = throttledPause
	}
	v.c.counters.retries.Add(1)
	if err := pause(ctx, wait+rand.N(wait/2)); err != nil {
		return diagnose(ctx, err)
	}
	return v.attempt(ctx)
}

// attempt waits for its turn at the bastions, for a session slot, for memory and
// for leave to log in, and has one session with the device. The zero failure
// means that every item is accounted for.
func (v *visit) attempt(ctx context.Context) failure {
	for {
		release, err := v.turn(ctx)
		if err != nil {
			return diagnose(ctx, err)
		}
		verdict, f := v.attemptNow(ctx)
		if !v.holding() {
			v.outlet.leave() // the seat goes with the slot
		}
		release()
		if !verdict.hold {
			return f
		}
		if err := verdict.pause(ctx); err != nil {
			return diagnose(ctx, err)
		}
	}
}

// holding tells whether answers of a session are in hand that the next one may
// give anew. The visit keeps its seat for them.
func (v *visit) holding() bool { return v.half != nil || len(v.early) > 0 }

// holdingTime is how long a visit without a slot keeps a seat: those who have a
// slot may be waiting for a seat.
const holdingTime = time.Minute

// errTurn is why a turn is waited for without a seat.
var errTurn = errors.New("the turn did not come soon")

// turn is takeTurn for a visit that may have answers in hand: when the turn does
// not come soon, they are published as they are.
func (v *visit) turn(ctx context.Context) (release func(), err error) {
	if !v.holding() {
		return v.takeTurn(ctx)
	}
	soon, cancel := context.WithTimeoutCause(ctx, holdingTime, errTurn)
	defer cancel()
	if release, err = v.takeTurn(soon); !errors.Is(err, errTurn) {
		return release, err
	}
	if err := v.publishHeld(); err != nil {
		return nil, err
	}
	v.outlet.leave()
	return v.takeTurn(ctx)
}

// publishHeld publishes the answers in hand; their items are not asked for again.
func (v *visit) publishHeld() error {
	err := v.publishHalf()
	for _, item := range slices.Sorted(maps.Keys(v.early)) {
		a := v.early[item]
		delete(v.early, item)
		v.todo, v.again = without(v.todo, item), without(v.again, item)
		err = errors.Join(err, v.publish(a))
	}
	return err
}

func without(items []junos.Item, name string) []junos.Item {
	return slices.DeleteFunc(items, func(it junos.Item) bool { return it.Name == name })
}

// takeTurn takes a place on each bastion, then in the line of the credential,
// then a slot: who waits for one of the first keeps nobody else waiting. All take
// them in the same order, so that no two can wait for each other.
func (v *visit) takeTurn(ctx context.Context) (release func(), err error) {
	var held []func()
	release = func() {
		for _, let := range held {
			let()
		}
	}
	fleet := v.c.current()
	leave, err := v.c.bastions.enter(ctx, fleet, v.id)
	if err != nil {
		return nil, err
	}
	held = append(held, leave)
	if v.ticket, err = v.c.pace.enter(ctx, fleet.credentialOf(v.id)); err != nil {
		release()
		return nil, err
	}
	held = append(held, v.ticket.leave)
	slot, err := v.berth(ctx)
	if err != nil {
		release()
		return nil, err
	}
	v.progress = watchProgress(slot, v.patience)
	held = append(held, slot.release, v.progress.end)
	return release, nil
}

// attemptNow is attempt in a slot. When the verdict says to hold, nothing has
// been done yet.
func (v *visit) attemptNow(ctx context.Context) (verdict, failure) {
	fleet, d, f := v.ready(ctx)
	if fleet == nil {
		return verdict{}, f
	}
	defer fleet.drop()
	leave := v.r.logins.try(d.logins())
	if leave.by != "" {
		return verdict{}, notTried(leave.stop, leave.by)
	}
	if leave.hold {
		return leave, failure{}
	}
	v.ticket.use()
	if !v.dialled {
		v.dialled, v.begun = true, time.Now()
	}
	v.resume()
	defer v.patience.stop()
	return verdict{}, v.session(ctx, fleet, d)
}

// ready returns the device as it is configured once there is a seat for it, and
// the fleet that it is of, held; or why it is not to be visited. While a seat is
// waited for, no fleet is held: that may take hours, and the credentials of one
// that is replaced meanwhile are to be wiped.
func (v *visit) ready(ctx context.Context) (*fleet, *device, failure) {
	for {
		fleet := v.c.holdCurrent()
		if fleet == nil {
			return nil, nil, v.unknown()
		}
		d, f := v.visitable(fleet)
		if d != nil && (v.outlet == nil || v.outlet.fits(v.mode(fleet))) {
			return fleet, d, failure{}
		}
		fleet.drop()
		if d == nil {
			return nil, nil, f
		}
		if err := v.outlet.seat(ctx); err != nil {
			return nil, nil, diagnose(ctx, err)
		}
	}
}

// visitable finds the device, and tells why it is not to be visited where it is nil.
func (v *visit) visitable(f *fleet) (*device, failure) {
	d, fail := v.find(f)
	if d == nil {
		return nil, fail
	}
	if v.device == nil {
		v.device, v.todo = d, slices.Clone(d.items)
	}
	if r, ok := v.c.refusals.find(d); ok && v.r.job == "" {
		return nil, refusedEarlier(r)
	}
	return d, failure{}
}

// mode is what may leave: as it was when the run began, so that a run has one
// mode. But a dry run begins at once.
func (v *visit) mode(f *fleet) egress {
	if f.egress.mode == wire.EgressDryRun {
		return f.egress
	}
	return v.r.egress
}

func (v *visit) unknown() failure {
	return failure{phase: phaseConfig, kind: kindUnknownDevice,
		advice: "The device is not in the configuration of this collector. Add it, or take it out of the request."}
}

// unusable accounts for the items of a device that the configuration names and
// that cannot be used.
func (v *visit) unusable(f *fleet) failure {
	bad, ok := f.bad[v.id]
	if !ok {
		return v.unknown()
	}
	fail := failure{phase: phaseConfig, kind: kindBadConfig, advice: "The configuration of the device cannot be used: " + bad.why + "."}
	if v.device == nil {
		for _, item := range bad.items {
			v.failItem(item, fail.advice)
		}
	}
	return fail
}

// conclude accounts for what is left of the device, for the reason f, and tells
// the result.
func (v *visit) conclude(f failure) {
	if v.stuck && f.of(kindClosed) {
		f = v.skipped // why the session was closed
	}
	if d := v.device; d != nil {
		if err := v.publishHalf(); err != nil && f.kind == "" {
			f = diagnose(v.outlet.ctx, err)
		}
		for _, it := range append(v.todo, v.again...) {
			v.failItem(it.Name, f.kind+": "+f.advice)
		}
		for _, item := range d.refused {
			v.failItem(item, "this version does not know the item")
		}
	}
	if f.kind == "" {
		f = v.skipped
	}
	if f.kind == "" && !v.usable && v.useless != nil {
		f = nothingUsable(*v.useless)
	}
	v.res.OK = f.kind == ""
	v.res.Phase, v.res.Kind, v.res.Error = f.phase, f.kind, clip(f.advice, 1000)
	v.res.Seconds = time.Since(v.begun).Seconds()
	if v.res.OK {
		v.c.counters.devicesOK.Add(1)
	} else {
		v.c.counters.devicesFailed.Add(1)
	}
	v.c.log.Info("device collected", "run", v.r.id, "device", v.id, "ok", v.res.OK,
		"phase", f.phase, "kind", f.kind, "documents", v.res.Documents, "seconds", v.res.Seconds)
	v.outlet.close()
	v.r.add(v.c, v.res)
}

// failItem accounts for an item that has no reply, or only the first one of a
// device that was not ready.
func (v *visit) failItem(item, why string) {
	if a := v.early[item]; a != nil {
		delete(v.early, item)
		// Where that fails, the entry of the document says why.
		_ = v.publish(a)
		return
	}
	v.r.enter(wire.ManifestEntry{Device: v.id, Item: item, Status: wire.EntryFailed, Reason: clip(why, 500)})
}
