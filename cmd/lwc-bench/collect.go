package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"lwc/collector"
	"lwc/junos"
	"lwc/junos/junostest"
)

// bench is one run of lwc-bench collect.
type bench struct {
	rounds   int
	devices  int
	junosim  string
	profiles string       // folder for CPU profiles; empty: none
	items    []junos.Item // what every client asks of a device
	names    []string     // of items
	out      io.Writer
	stderr   io.Writer
	goals    []goal
}

// goal is one figure beside its limit.
type goal struct {
	name         string
	value, limit float64
	atLeast      bool // the limit is a lower one
}

func (g goal) String() string {
	verdict := "ok"
	if g.atLeast && g.value < g.limit || !g.atLeast && g.value > g.limit {
		verdict = "short"
	}
	return fmt.Sprintf("goal %s %.3g %.3g %s", g.name, g.value, g.limit, verdict)
}

// part is a group of measurements that share a simulated fleet.
type part struct {
	name string
	run  func(*bench, context.Context) error
}

func parts() []part {
	return []part{
		{"cpu", (*bench).cpu},
		{"inflight", (*bench).inFlight},
		{"fleet", (*bench).fleet},
		{"huge", (*bench).huge},
		{"idle", (*bench).idleSessions},
		{"bastion", (*bench).bastion},
		{"stalled", (*bench).stalled},
	}
}

func partNames() []string {
	var names []string
	for _, p := range parts() {
		names = append(names, p.name)
	}
	return names
}

func printUsage(w io.Writer) {
	fmt.Fprintf(w, usage, strings.Join(partNames(), ", "))
	fs := new(bench).flags(new(string))
	fs.SetOutput(w)
	fs.PrintDefaults()
}

func (b *bench) flags(only *string) *flag.FlagSet {
	fs := flag.NewFlagSet("collect", flag.ContinueOnError)
	fs.IntVar(&b.rounds, "rounds", 5, "how often each client has its turn; the least counts")
	fs.IntVar(&b.devices, "devices", 128, "devices of a turn")
	fs.StringVar(&b.junosim, "junosim", "", "the simulator (default beside this program)")
	fs.StringVar(&b.profiles, "profiles", "", "folder that gets a CPU profile of each client's last turn")
	fs.StringVar(only, "only", "", "parts to measure, separated by commas (default all)")
	return fs
}

func runCollect(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	b := &bench{out: stdout, stderr: stderr}
	var only string
	fs := b.flags(&only)
	fs.SetOutput(io.Discard)
	if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
		printUsage(stdout)
		return err
	} else if err != nil {
		return fmt.Errorf("%w: %w; lwc-bench --help tells the flags", errUsage, err)
	}
	if err := b.prepare(); err != nil {
		return err
	}
	for name := range strings.SplitSeq(only, ",") {
		if only != "" && !slices.Contains(partNames(), name) {
			return fmt.Errorf("%w: no part %q; there are %s", errUsage, name, strings.Join(partNames(), ", "))
		}
	}
	for _, p := range parts() {
		if only != "" && !slices.Contains(strings.Split(only, ","), p.name) {
			continue
		}
		fmt.Fprintf(b.out, "\n== %s\n", p.name)
		if err := p.run(b, ctx); err != nil {
			return fmt.Errorf("measuring %s: %w", p.name, err)
		}
	}
	fmt.Fprintln(b.out)
	for _, g := range b.goals {
		fmt.Fprintln(b.out, g)
	}
	return nil
}

func (b *bench) prepare() error {
	if b.rounds < 1 || b.devices < 1 || b.devices > 10_000 {
		return fmt.Errorf("%w: rounds from 1, devices from 1 to 10000", errUsage)
	}
	if runtime.NumCPU() < 2 {
		return errors.New("counting the cores: the clients and the simulator need one each, and there is one")
	}
	if b.junosim == "" {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		b.junosim = filepath.Join(filepath.Dir(self), "junosim")
	}
	b.items = benchItems()
	for _, it := range b.items {
		b.names = append(b.names, it.Name)
	}
	return nil
}

// requests is how many every client sends to a device.
const requests = 30

// benchItems are the daily items, and as many of the others as make them thirty;
// the large ones are left out, since they would be measured alone.
func benchItems() []junos.Item {
	items, _ := junos.Profile("daily")
	for _, it := range junos.Catalogue() {
		daily := slices.ContainsFunc(items, func(o junos.Item) bool { return o.Name == it.Name })
		if len(items) < requests && !daily && it.Size != junos.Large {
			items = append(items, it)
		}
	}
	return items[:min(requests, len(items))]
}

// sim starts a fleet on one loopback address. The kernel picks the ports of a small
// one; those of a large one are below what the kernel gives to clients.
func (b *bench) sim(ctx context.Context, devices int, args ...string) (*sim, error) {
	port := "0"
	if devices > 1000 {
		port = "20000"
	}
	all := append([]string{"--devices", fmt.Sprint(devices), "--base-port", port, "--user", "lwc"}, args...)
	return startSim(ctx, b.junosim, b.stderr, all...)
}

func (b *bench) order(mode string, depth, inFlight int, devices []junostest.InventoryHost) order {
	return order{Mode: mode, Depth: depth, InFlight: inFlight, Items: b.names, Devices: devices, Limit: heapLimit}
}

// The soft limits of the heap: what lwcd sets for what is not documents, and with
// a budget of 64 MiB for those, which may be in memory twice.
const (
	heapLimit    = 96 << 20
	productLimit = heapLimit + 2*collector.DefaultBudgetBytes
)

func (b *bench) goal(name string, value, limit float64) {
	b.goals = append(b.goals, goal{name: name, value: value, limit: limit})
}

func (b *bench) goalAtLeast(name string, value, limit float64) {
	b.goals = append(b.goals, goal{name, value, limit, true})
}

func (b *bench) say(format string, args ...any) { fmt.Fprintf(b.out, format+"\n", args...) }
