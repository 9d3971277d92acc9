package collector

import (
	"context"
	"fmt"
	"slices"

	"lwc/junos"
	"lwc/transport/wire"
)

// The items that the collector reads itself, whether it publishes them or not.
const (
	itemVersion       = "show-version"
	itemLoad          = "show-chassis-routing-engine"
	itemAuthorization = "show-cli-authorization"
)

// first puts an item of todo at its front. It returns false where it is not.
func (v *visit) first(name string) bool {
	i := slices.IndexFunc(v.todo, func(it junos.Item) bool { return it.Name == name })
	if i < 0 {
		return false
	}
	it := v.todo[i]
	v.todo = slices.Insert(slices.Delete(v.todo, i, i+1), 0, it)
	return true
}

// identify asks for one item by itself, so that the release is known before
// anything is decided by it: for show-version where it is wanted, whatever is
// remembered, or else for the first that is asked in any case.
func (v *visit) identify(ctx context.Context, s talk) error {
	if v.release != (release{}) || len(v.todo) == 0 {
		return nil
	}
	if !v.first(itemVersion) {
		i := slices.IndexFunc(v.todo, func(it junos.Item) bool { return !v.unsupported(it) && !gated(it) })
		if i < 0 {
			return nil
		}
		v.first(v.todo[i].Name)
	}
	return v.item(ctx, s)
}

// unsupported tells whether the device has said, in this release and this boot
// and to this account, that it does not know the item. Somebody who asks for one device wants to see
// for himself.
func (v *visit) unsupported(it junos.Item) bool {
	_, known := v.record.unsupported[it.Name]
	return known && !v.r.single
}

// gated tells whether an item is left out on a busy device.
func gated(it junos.Item) bool { return it.Size == junos.Large }

func maxCPU(f *fleet) int { return orDefault(f.limits.MaxCPU, DefaultMaxCPU) }

// weigh learns the load of the device when large items are to follow, before
// the session itself adds to it. A device that does not tell is not spared.
func (v *visit) weigh(ctx context.Context, f *fleet, s talk) error {
	heavy := slices.ContainsFunc(v.todo, func(it junos.Item) bool { return gated(it) && !v.unsupported(it) })
	if _, mute := v.record.unsupported[itemLoad]; !heavy || mute || v.weighed || maxCPU(f) >= 100 {
		return nil
	}
	v.weighed = true
	if v.first(itemLoad) {
		return v.item(ctx, s)
	}
	a, err := v.aside(ctx, s, itemLoad)
	if err != nil && (!itemOnly(err) || ctx.Err() != nil) {
		return err
	}
	if a != nil {
		v.learn(a)
	}
	return nil
}

// leaveOut accounts for the items that are not asked for.
func (v *visit) leaveOut(f *fleet) {
	v.todo = slices.DeleteFunc(v.todo, func(it junos.Item) bool {
		why := v.reasonAgainst(f, it)
		if why != "" {
			v.r.enter(wire.ManifestEntry{Device: v.id, Item: it.Name, Status: wire.EntrySkipped, Reason: why})
		}
		return why != ""
	})
}

func (v *visit) reasonAgainst(f *fleet, it junos.Item) string {
	switch {
	case v.early[it.Name] != nil || v.half != nil && v.half.item == it.Name:
		return "" // asked in this visit already: answered with "later", or begun
	case v.unsupported(it):
		return fmt.Sprintf("not asked: the device said before that it does not support this in %s; it is asked again when it runs another, when the collector has restarted, or when this device alone is collected", v.record.release)
	case gated(it) && v.load > maxCPU(f):
		return fmt.Sprintf("not asked: a routing engine is at %d %% CPU, over the limit of %d %% for large commands; it is asked again with the next run", v.load, maxCPU(f))
	}
	return ""
}

// The most that first answers are kept for, in bytes: those of a process that is
// not ready are a few lines.
const (
	maxEarly    = 16 << 10 // one
	maxAllEarly = 64 << 10 // all of a visit
)

// answered takes a whole reply to the next item of todo.
func (v *visit) answered(it junos.Item, a *answer) error {
	v.todo = v.todo[1:]
	if older, ok := it.Older(); ok && a.result.Outcome == junos.Unsupported {
		v.todo = append(v.todo, older) // behind those that may be under way
		a.drop()
		return nil
	}
	v.learn(a)
	if v.tooEarly(a) {
		if v.early == nil {
			v.early = map[string]*answer{}
		}
		v.early[it.Name] = a.keep()
		v.again = append(v.again, it)
		return nil
	}
	return v.publish(a)
}

// tooEarly tells whether the item is to be asked for once more.
func (v *visit) tooEarly(a *answer) bool {
	if _, before := v.early[a.item]; before || a.result.Outcome != junos.RetryLater || a.stream != nil || a.size > maxEarly {
		return false
	}
	sum := a.size
	for _, other := range v.early {
		sum += other.size
	}
	return sum <= maxAllEarly
}

// runs takes the release from the first reply that tells it.
func (v *visit) runs(a *answer) {
	if v.release != (release{}) {
		return
	}
	if v.release = releaseOf(a.item, a.doc, a.result); v.release != (release{}) {
		v.record.runs(v.release)
	}
}

// learn reads from a reply what the collector itself wants to know.
func (v *visit) learn(a *answer) {
	v.runs(a)
	if a.item == itemLoad {
		v.load, _ = junos.ParseLoad(a.doc)
		v.weighed = true
	}
	if lasting(a.result) {
		v.record.unsupported[a.item] = struct{}{}
	} else {
		delete(v.record.unsupported, a.item)
	}
}
