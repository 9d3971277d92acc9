package collector

import (
	"maps"
	"slices"
	"sync"
)

// bastions bounds the sessions through each bastion.
type bastions struct {
	mu  sync.Mutex // guards use
	use map[string]*budget
}

func newBastions() *bastions { return &bastions{use: map[string]*budget{}} }

// on returns the budgets of the bastions on the way to a device, by their ids.
func (b *bastions) on(f *fleet, device string) []*budget {
	if f == nil || f.devices[device] == nil {
		return nil
	}
	limits := map[string]int64{}
	for _, h := range f.devices[device].via {
		limits[h.id] = int64(f.through(h))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []*budget
	for _, id := range slices.Sorted(maps.Keys(limits)) {
		if b.use[id] == nil {
			b.use[id] = newBudget(limits[id])
		}
		b.use[id].setLimit(limits[id])
		out = append(out, b.use[id])
	}
	return out
}
