package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"lwc/junos/junostest"
)

// The depth of pipelined clients, and how many devices at once the first part
// measures.
const (
	pipelined = 8
	atOnce    = 32
)

// contender is one client of a part.
type contender struct {
	name  string
	order order
}

// compete lets the contenders take turns and returns the cheapest turn of each.
// also, when not nil, has its turn in each round.
func (b *bench) compete(ctx context.Context, all []contender, also func() error) (map[string]measure, error) {
	best := map[string]measure{}
	for round := range b.rounds {
		for _, c := range all {
			if b.profiles != "" && round == b.rounds-1 {
				c.order.Profile = filepath.Join(b.profiles, strings.ReplaceAll(c.name, " ", "-")+".pprof")
			}
			m, err := runOrder(ctx, c.order, b.stderr)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			best[c.name] = better(best[c.name], m, round == 0)
		}
		if also != nil {
			if err := also(); err != nil {
				return nil, err
			}
		}
		b.say("round %d of %d", round+1, b.rounds)
	}
	b.say("%-28s %9s %9s %9s %8s", "client", "ms CPU", "devices/s", "peak MiB", "MB")
	for _, c := range all {
		b.row(c.name, best[c.name])
	}
	return best, nil
}

// better takes the least of each figure: what the machine does beside it only
// makes them larger.
func better(a, m measure, first bool) measure {
	if first {
		return m
	}
	m.CPU, m.Seconds = min(a.CPU, m.CPU), min(a.Seconds, m.Seconds)
	m.PeakMiB, m.RestMiB = max(a.PeakMiB, m.PeakMiB), min(a.RestMiB, m.RestMiB)
	return m
}

func (b *bench) row(name string, m measure) {
	b.say("%-28s %9.2f %9.1f %9.1f %8.2f", name, m.perDevice(), m.rate(), m.PeakMiB, float64(m.Bytes)/1e6/float64(max(m.Devices, 1)))
}

// cpu measures the processor time of a device.
func (b *bench) cpu(ctx context.Context) error {
	s, err := b.sim(ctx, b.devices)
	if err != nil {
		return err
	}
	defer s.stop()
	devices := s.inventory.Devices
	var pyez measure
	best, err := b.compete(ctx, []contender{
		{"raw, sequential", b.order("raw", 1, atOnce, devices)},
		{"ours, sequential", b.order("ours", 1, atOnce, devices)},
		{"whole path, sequential", b.order("whole", 1, atOnce, devices)},
		{"raw, pipelined", b.order("raw", pipelined, atOnce, devices)},
		{"ours, pipelined", b.order("ours", pipelined, atOnce, devices)},
		{"whole path, pipelined", b.order("whole", pipelined, atOnce, devices)},
	}, func() error { return b.pyez(ctx, devices, &pyez) })
	if err != nil {
		return err
	}
	b.row("PyEZ, one at a time", pyez)
	ratio := func(x, y string) float64 { return best[x].perDevice() / best[y].perDevice() }
	b.goal("collect-sequential-to-raw", ratio("ours, sequential", "raw, sequential"), 1.15)
	b.goal("collect-pipelined-to-raw", ratio("ours, pipelined", "raw, pipelined"), 1.15)
	b.goal("whole-sequential-to-raw", ratio("whole path, sequential", "raw, sequential"), 2.2)
	b.goal("whole-pipelined-to-raw", ratio("whole path, pipelined", "raw, pipelined"), 2.2)
	b.goal("whole-to-pyez", best["whole path, sequential"].perDevice()/pyez.perDevice(), 1.0/12)
	return nil
}

// pyez gives PyEZ one turn with a few devices: its cost does not depend on their
// number.
func (b *bench) pyez(ctx context.Context, devices []junostest.InventoryHost, best *measure) error {
	m, err := runPyEZ(ctx, devices[:min(12, len(devices))], b.items, b.stderr)
	if err == nil && (best.Devices == 0 || m.perDevice() < best.perDevice()) {
		*best = m
	}
	return err
}

// inFlight measures rate and memory at 1, 32 and 256 devices at once.
func (b *bench) inFlight(ctx context.Context) error {
	s, err := b.sim(ctx, max(b.devices, 512))
	if err != nil {
		return err
	}
	defer s.stop()
	devices := s.inventory.Devices
	best, err := b.compete(ctx, []contender{
		{"raw, 256 at once", b.order("raw", 1, 256, devices)},
		{"whole path, 256 at once", b.order("whole", 1, 256, devices)},
		{"whole path, 32 at once", b.order("whole", 1, 32, devices)},
		{"whole path, 1 at once", b.order("whole", 1, 1, devices[:min(64, len(devices))])},
	}, nil)
	if err != nil {
		return err
	}
	whole := best["whole path, 256 at once"]
	b.goalAtLeast("rate-256-to-raw", whole.rate()/best["raw, 256 at once"].rate(), 0.9)
	b.goal("rss-256-mib", whole.PeakMiB, 120)
	return nil
}

// fleet measures whether the thousandth device costs what the first does.
func (b *bench) fleet(ctx context.Context) error {
	const largest = 10_000
	s, err := b.sim(ctx, largest)
	if err != nil {
		return err
	}
	defer s.stop()
	sizes := []int{100, 1000, largest}
	cost := map[int]measure{}
	for round := range b.rounds {
		for _, size := range sizes {
			m, err := runOrder(ctx, b.order("whole", 1, 256, s.inventory.Devices[:size]), b.stderr)
			if err != nil {
				return err
			}
			cost[size] = better(cost[size], m, round == 0)
		}
		b.say("round %d of %d", round+1, b.rounds)
	}
	for _, size := range sizes {
		b.row(fmt.Sprintf("whole path, %d devices", size), cost[size])
	}
	b.goal("rss-10000-devices-mib", cost[largest].PeakMiB, 150)
	b.goal("cost-10000-to-100", cost[largest].perDevice()/cost[100].perDevice(), 1.1)
	return nil
}

// huge measures one reply of 50 and one of 200 MB.
func (b *bench) huge(ctx context.Context) error {
	s, err := b.sim(ctx, 2, "--models", "mx-dual-re", "--fault", "mx-0001=huge:50MB:show-interfaces-extensive", "--fault", "mx-0002=huge:200MB:show-interfaces-extensive")
	if err != nil {
		return err
	}
	defer s.stop()
	var turns []contender
	for i, name := range []string{"50 MB", "200 MB"} {
		o := b.order("whole", 1, 1, s.inventory.Devices[i:i+1])
		o.Items = []string{"show-interfaces-extensive"}
		turns = append(turns, contender{name, o})
	}
	best, err := b.compete(ctx, turns, nil)
	if err != nil {
		return err
	}
	small, large := best["50 MB"], best["200 MB"]
	b.goal("rss-200-mb-reply-adds-mib", large.PeakMiB-large.RestMiB, 48)
	b.goal("time-200-mb-to-50-mb", large.Seconds/small.Seconds, 4.5)
	return nil
}

// idleSessions measures what a session holds while nothing goes on.
func (b *bench) idleSessions(ctx context.Context) error {
	s, err := b.sim(ctx, 1000)
	if err != nil {
		return err
	}
	defer s.stop()
	m, err := runOrder(ctx, b.order("idle", 1, 32, s.inventory.Devices), b.stderr)
	if err != nil {
		return err
	}
	each := (m.HeldMiB - m.RestMiB) * 1024 / float64(m.Sessions)
	b.say("%d idle sessions hold %.1f MiB", m.Sessions, m.HeldMiB-m.RestMiB)
	b.goal("idle-session-kib", each, 100)
	return nil
}

// bastion measures the way through one OpenSSH bastion beside the direct one.
func (b *bench) bastion(ctx context.Context) error {
	s, err := b.sim(ctx, b.devices)
	if err != nil {
		return err
	}
	defer s.stop()
	hop, stop, err := startBastion(ctx, b.stderr)
	if err != nil {
		return err
	}
	defer stop()
	through := b.order("ours", 1, atOnce, s.inventory.Devices)
	through.Bastion = &hop
	best, err := b.compete(ctx, []contender{
		{"direct", b.order("ours", 1, atOnce, s.inventory.Devices)},
		{"through a bastion", through},
	}, nil)
	if err != nil {
		return err
	}
	b.goal("bastion-to-direct", best["through a bastion"].perDevice()/best["direct"].perDevice(), 1.5)
	return nil
}

// stalled measures whether devices that stop or drip keep the others waiting. The
// two fleets differ in that only; their clients take turns.
func (b *bench) stalled(ctx context.Context) error {
	const size = 1000
	best := map[string]measure{}
	for round := range b.rounds {
		for _, share := range []string{"0", "0.05"} {
			m, err := b.productTurn(ctx, size, "--faulty", share+"=stall,drip,stall-mid,stall-hello,silent")
			if err != nil {
				return err
			}
			best[share] = better(best[share], m, round == 0)
		}
		b.say("round %d of %d", round+1, b.rounds)
	}
	b.row("collector, all healthy", best["0"])
	b.row("collector, 5 % stalled", best["0.05"])
	b.goalAtLeast("rate-with-5-percent-stalled", best["0.05"].rate()/best["0"].rate(), 0.95)
	return nil
}

func (b *bench) productTurn(ctx context.Context, size int, args ...string) (measure, error) {
	s, err := b.sim(ctx, size, args...)
	if err != nil {
		return measure{}, err
	}
	defer s.stop()
	o := b.order("product", 1, 256, s.inventory.Devices)
	o.Limit = productLimit
	if b.profiles != "" {
		o.Profile = filepath.Join(b.profiles, "product.pprof")
	}
	return runOrder(ctx, o, b.stderr)
}

// healthy returns the devices that have no fault.
func healthy(all []junostest.InventoryHost) []junostest.InventoryHost {
	return slices.DeleteFunc(slices.Clone(all), func(d junostest.InventoryHost) bool { return d.Fault != junostest.NoFault })
}
