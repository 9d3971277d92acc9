package collector

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"lwc/transport/wire"
)

// desired is a configuration on its way in.
type desired struct {
	wire.Desired
	ref wire.ConfigRef
}

// desired applies a configuration, or keeps it until it becomes valid.
func (c *Collector) desired(d desired) {
	if f := c.current(); f != nil && d.ref.Version <= f.ref.Version {
		return // overtaken by a newer one
	}
	if d.NotBefore.After(c.clock.now()) {
		c.main.later = &d
		return
	}
	c.main.later = nil
	c.apply(d)
}

// applyLater applies the waiting configuration at its time, which it returns
// when that is still to come.
func (c *Collector) applyLater(now time.Time) time.Time {
	d := c.main.later
	if d == nil {
		return time.Time{}
	}
	if d.NotBefore.After(now) {
		return d.NotBefore
	}
	c.desired(*d)
	return time.Time{}
}

// apply checks everything, then swaps. Collections under way go on with what
// they began with; their credentials are wiped when they end.
func (c *Collector) apply(d desired) {
	c.report(d.ref, wire.ConfigApplying, nil)
	f, checked := accept(d.Desired, d.ref, c.conf.BootKey, c.maskKey)
	f.forgotten = c.conf.Forgotten
	c.mu.Lock()
	old := c.fleet
	c.fleet = f
	c.mu.Unlock()
	if old != nil {
		old.retire()
	}
	c.slots.setLimit(int64(orDefault(f.limits.Concurrency, DefaultConcurrency)))
	c.conf.Uplink.SetBudget(orDefault(f.limits.BudgetBytes, c.conf.BudgetBytes))
	c.pace.setRate(orDefault(f.limits.LoginsPerSecond, DefaultLoginsPerSecond))
	c.pace.keep(f)
	c.records.keep(f)
	c.refusals.keep(f)
	c.plan.configure(f, d.Done, c.clock.now())
	c.reportUnknown(checked.unknown)
	c.log.Info("configuration applied", "version", d.ref.Version, "devices", len(f.devices),
		"left_out", len(checked.faults.items))
	c.report(d.ref, wire.ConfigApplied, checked.faults.report())
	c.runHeld()
}

func (c *Collector) reportUnknown(items []string) {
	slices.Sort(items)
	items = slices.Compact(items)
	if len(items) == 0 {
		return
	}
	c.event(wire.EventUnknownItem, "", clip(fmt.Sprintf(
		"the configuration asks for items that this version does not know; they are not collected: %s",
		strings.Join(items, ", ")), 1000))
}

func (c *Collector) report(ref wire.ConfigRef, s wire.ConfigState, items []wire.ItemError) {
	c.conf.Uplink.SendState(wire.State{V: wire.Version, Collector: c.conf.Collector, Boot: c.conf.Boot,
		Config: ref, Status: s, Items: items})
}
