package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"lwc/junos/junostest"
)

const uplinkUsage = `lwc-bench uplink measures what delivery costs, from memory to the cloud's receipt.

  lwc-bench uplink [--rounds 3] [--devices 400] [--only NAME,…]

The client has one core; lwc-cloud, with its broker and its database on disk, and
junosim share the other. Parts:
  speed      documents of simulated devices by the uplink, until each has its receipt;
             beside paho, which publishes the same frames to the same broker with a
             window, and beside copying these frames through TLS
  unchanged  100,000 documents that are what they were
  cycle      collect, mask, compress, publish, receipt: --fleet devices by the collector
             beside the raw SSH client, without and with a soft memory limit

Flags of uplink:
`

// uplinkBench is one run of lwc-bench uplink.
type uplinkBench struct {
	bench
	fleetSize int
	unchanged int
	cloud     string // the program
}

func uplinkParts() map[string]func(*uplinkBench, context.Context) error {
	return map[string]func(*uplinkBench, context.Context) error{
		"speed": (*uplinkBench).speed, "unchanged": (*uplinkBench).same, "cycle": (*uplinkBench).cycle,
	}
}

func (b *uplinkBench) uplinkFlags(only *string) *flag.FlagSet {
	fs := flag.NewFlagSet("uplink", flag.ContinueOnError)
	fs.IntVar(&b.rounds, "rounds", 3, "how often each client has its turn; the least counts")
	fs.IntVar(&b.devices, "devices", 400, "devices whose documents a turn of speed sends")
	fs.IntVar(&b.unchanged, "documents", 100_000, "documents of the part unchanged")
	fs.IntVar(&b.fleetSize, "fleet", 10_000, "devices of the part cycle")
	fs.StringVar(&b.junosim, "junosim", "", "the simulator (default beside this program)")
	fs.StringVar(&b.cloud, "cloud", "", "lwc-cloud (default beside this program)")
	fs.StringVar(&b.profiles, "profiles", "", "folder that gets a CPU profile of each client's last turn")
	fs.StringVar(only, "only", "", "parts to measure, separated by commas (default all)")
	return fs
}

func runUplink(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	b := &uplinkBench{bench: bench{out: stdout, stderr: stderr}}
	var only string
	fs := b.uplinkFlags(&only)
	fs.SetOutput(io.Discard)
	if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, uplinkUsage)
		fs.SetOutput(stdout)
		fs.PrintDefaults()
		return err
	} else if err != nil {
		return fmt.Errorf("%w: %w; lwc-bench uplink --help tells the flags", errUsage, err)
	}
	if err := b.prepare(); err != nil {
		return err
	}
	if b.cloud == "" {
		b.cloud = filepath.Join(filepath.Dir(b.junosim), "lwc-cloud")
	}
	wanted := []string{"speed", "unchanged", "cycle"}
	if only != "" {
		wanted = strings.Split(only, ",")
	}
	for _, name := range wanted {
		part := uplinkParts()[name]
		if part == nil {
			return fmt.Errorf("%w: no part %q; there are speed, unchanged, cycle", errUsage, name)
		}
		fmt.Fprintf(b.out, "\n== %s\n", name)
		if err := part(b, ctx); err != nil {
			return fmt.Errorf("measuring %s: %w", name, err)
		}
	}
	fmt.Fprintln(b.out)
	for _, g := range b.goals {
		fmt.Fprintln(b.out, g)
	}
	return nil
}

// samples is how many simulated devices give the documents that are sent.
const samples = 16

// speed compares the uplink with paho and with a plain copy.
func (b *uplinkBench) speed(ctx context.Context) error {
	sim, err := b.sim(ctx, samples)
	if err != nil {
		return err
	}
	defer sim.stop()
	cloud, err := b.startCloud(ctx)
	if err != nil {
		return err
	}
	defer cloud.stop()
	best := map[string]measure{}
	modes := []string{"tls", "paho", "uplink"}
	for round := range b.rounds {
		for _, mode := range modes {
			m, err := b.sender(ctx, cloud, mode, sim.inventory.Devices, b.devices, round)
			if err != nil {
				return fmt.Errorf("%s: %w", mode, err)
			}
			best[mode] = better(best[mode], m, round == 0)
		}
		b.say("round %d of %d", round+1, b.rounds)
	}
	b.say("%-34s %12s %12s %12s %10s", "client", "MB/s framed", "MB/s plain", "s CPU/GB", "peak MiB")
	for _, mode := range modes {
		m := best[mode]
		b.say("%-34s %12.2f %12.1f %12.2f %10.1f", senderName(mode), m.sentRate(), float64(m.Bytes)/1e6/m.Seconds, m.CPU/(float64(m.Bytes)/1e9), m.PeakMiB)
	}
	up, paho := best["uplink"], best["paho"]
	b.goalAtLeast("uplink-to-paho-rate", up.sentRate()/paho.sentRate(), 0.85)
	b.say("uplink to a copy through TLS, by rate: %.4f; CPU of uplink to paho: %.2f", up.sentRate()/best["tls"].sentRate(), up.CPU/paho.CPU)
	return nil
}

func senderName(mode string) string {
	switch mode {
	case "tls":
		return "copy of the frames through TLS"
	case "paho":
		return "paho, framed, window, no receipts"
	}
	return "uplink, until the last receipt"
}

// sentRate is what left, in MB/s.
func (m measure) sentRate() float64 { return float64(m.Sent) / 1e6 / m.Seconds }

func (b *uplinkBench) sender(ctx context.Context, cloud *cloudEnd, mode string, devices []junostest.InventoryHost, n, round int) (measure, error) {
	token, err := cloud.enrolToken(ctx, fmt.Sprintf("lwc-bench-%s-%d", mode, round))
	if err != nil {
		return measure{}, err
	}
	o := b.order(mode, pipelined, samples, devices)
	o.Times, o.Token, o.Limit = n, token, productLimit
	if b.profiles != "" && round == b.rounds-1 {
		o.Profile = filepath.Join(b.profiles, mode+".pprof")
	}
	return runOrder(ctx, o, b.stderr)
}

// same measures documents that are told as unchanged.
func (b *uplinkBench) same(ctx context.Context) error {
	cloud, err := b.startCloud(ctx)
	if err != nil {
		return err
	}
	defer cloud.stop()
	token, err := cloud.enrolToken(ctx, "lwc-bench-unchanged")
	if err != nil {
		return err
	}
	o := b.order("unchanged", 0, 1, nil)
	o.Times, o.Token, o.Limit = b.unchanged, token, productLimit
	m, err := runOrder(ctx, o, b.stderr)
	if err != nil {
		return err
	}
	n := float64(b.unchanged)
	b.say("%d unchanged documents: %.1f s, %.0f a second, %.1f µs CPU and %.0f bytes each, peak %.1f MiB",
		b.unchanged, m.Seconds, n/m.Seconds, 1e6*m.CPU/n, float64(m.Sent)/n, m.PeakMiB)
	b.goal("unchanged-bytes-each", float64(m.Sent)/n, 450)
	b.goalAtLeast("unchanged-a-second", n/m.Seconds, 1000)
	return nil
}

// softLimit is the soft memory limit under which the cycle is measured besides.
const softLimit = 64 << 20

// cycle measures the whole work on a fleet beside the raw SSH client.
func (b *uplinkBench) cycle(ctx context.Context) error {
	sim, err := b.sim(ctx, b.fleetSize)
	if err != nil {
		return err
	}
	defer sim.stop()
	yard := sim.inventory.Devices[:min(b.devices, b.fleetSize)]
	best, err := b.compete(ctx, []contender{
		{"raw, sequential", b.order("raw", 1, atOnce, yard)},
		{"raw, pipelined", b.order("raw", pipelined, atOnce, yard)},
	}, nil)
	if err != nil {
		return err
	}
	free, err := b.cycleTurn(ctx, sim.inventory.Devices, "free", 0)
	if err != nil {
		return err
	}
	tight, err := b.cycleTurn(ctx, sim.inventory.Devices, "tight", softLimit)
	if err != nil {
		return err
	}
	b.row("whole cycle", free)
	b.row("whole cycle, GOMEMLIMIT=64MiB", tight)
	raw := best["raw, sequential"].perDevice()
	b.goal("cycle-cpu-to-raw", free.perDevice()/raw, 3)
	b.say("to the raw client that asks eight items at once: %.2f", free.perDevice()/best["raw, pipelined"].perDevice())
	b.goal("cycle-rss-mib", free.PeakMiB, 160)
	b.goal("cycle-limited-rss-mib", tight.PeakMiB, 80)
	b.goal("cycle-limited-cpu", tight.perDevice()/free.perDevice(), 1.2)
	return nil
}

// cycleTurn gives the collector one turn, with a cloud of its own.
func (b *uplinkBench) cycleTurn(ctx context.Context, devices []junostest.InventoryHost, name string, limit int64) (measure, error) {
	cloud, err := b.startCloud(ctx)
	if err != nil {
		return measure{}, err
	}
	defer cloud.stop()
	id := "lwc-bench-" + name
	token, err := cloud.enrolToken(ctx, id)
	if err != nil {
		return measure{}, err
	}
	if err := cloud.apply(ctx, fleetFile(id, b.names, devices, atOnce)); err != nil {
		return measure{}, err
	}
	o := b.order("cycle", 1, atOnce, nil)
	o.Token, o.Limit, o.Ask = token, limit, cloud.toCollect(id)
	if b.profiles != "" {
		o.Profile = filepath.Join(b.profiles, "cycle-"+name+".pprof")
	}
	m, err := runOrder(ctx, o, b.stderr)
	if err == nil && m.Devices < len(devices) {
		err = fmt.Errorf("%d of %d devices were collected, the first failure: %s", m.Devices, len(devices), m.First)
	}
	return m, err
}
