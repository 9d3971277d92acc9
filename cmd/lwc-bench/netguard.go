package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"lwc/netguard"
)

// guardBench is one run of lwc-bench netguard.
type guardBench struct {
	bench
	events int           // of each kind
	idle   time.Duration // how long an idle guard is watched
	flood  time.Duration // how long the flood lasts
	dials  int           // of each kind
	dir    string        // where the port namespaces are named
	mode   netguard.Mode
}

type guardPart struct {
	name string
	run  func(*guardBench, context.Context) error
}

func guardParts() []guardPart {
	return []guardPart{
		{"fix", (*guardBench).fix},
		{"silent", (*guardBench).silent},
		{"verify", (*guardBench).verify},
		{"dial", (*guardBench).dial},
		{"flood", (*guardBench).killed},
		{"idle", (*guardBench).idleCost},
	}
}

func guardPartNames() (names []string) {
	for _, p := range guardParts() {
		names = append(names, p.name)
	}
	return names
}

func (b *guardBench) flags(only *string) *flag.FlagSet {
	fs := flag.NewFlagSet("netguard", flag.ContinueOnError)
	fs.IntVar(&b.events, "events", 200, "hostile changes of each kind")
	fs.IntVar(&b.dials, "dials", 1000, "dials of each kind")
	fs.DurationVar(&b.idle, "idle", time.Minute, "how long an idle guard is watched")
	fs.DurationVar(&b.flood, "flood", 20*time.Second, "how long frames flood the ports while guards are killed")
	fs.StringVar(only, "only", "", "parts to measure, separated by commas (default all)")
	return fs
}

const guardUsage = `lwc-bench netguard measures the guard of the two ports, against simulated hosts in
network namespaces that it makes. As an ordinary user it does so in a user namespace.

  lwc-bench netguard [--only NAME,…] [--events 200]

Parts: %s.

Flags of netguard:
`

func runNetguard(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	b := &guardBench{bench: bench{out: stdout, stderr: stderr}}
	var only string
	fs := b.flags(&only)
	fs.SetOutput(io.Discard)
	if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(stdout, guardUsage, strings.Join(guardPartNames(), ", "))
		fs.SetOutput(stdout)
		fs.PrintDefaults()
		return err
	} else if err != nil {
		return fmt.Errorf("%w: %w; lwc-bench netguard --help tells the flags", errUsage, err)
	}
	parts, err := b.chosen(only)
	if err != nil {
		return err
	}
	if inside, err := b.isolate(ctx, args); err != nil || !inside {
		return err
	}
	return b.measure(ctx, parts)
}

func (b *guardBench) chosen(only string) (parts []guardPart, err error) {
	if b.events < 1 || b.dials < 1 || b.idle <= 0 || b.flood <= 0 {
		return nil, fmt.Errorf("%w: events and dials from 1, times above zero", errUsage)
	}
	names := strings.Split(only, ",")
	for _, name := range names {
		if only != "" && !slices.Contains(guardPartNames(), name) {
			return nil, fmt.Errorf("%w: no part %q; there are %s", errUsage, name, strings.Join(guardPartNames(), ", "))
		}
	}
	return slices.DeleteFunc(guardParts(), func(p guardPart) bool { return only != "" && !slices.Contains(names, p.name) }), nil
}

func (b *guardBench) measure(ctx context.Context, parts []guardPart) error {
	var version unix.Utsname
	if err := unix.Uname(&version); err != nil {
		return fmt.Errorf("asking for the kernel's version: %w", err)
	}
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return fmt.Errorf("asking for the machine's load: %w", err)
	}
	b.say("Linux %s, mode %s, load before: %s", unix.ByteSliceToString(version.Release[:]), b.mode, bytes.TrimSpace(load))
	for _, p := range parts {
		b.say("\n== %s", p.name)
		if err := p.run(b, ctx); err != nil {
			return fmt.Errorf("measuring %s: %w", p.name, err)
		}
	}
	b.say("")
	for _, g := range b.goals {
		b.say("%s", g)
	}
	return nil
}

// What the process in namespaces of its own is told: how it came there, and the
// folder for the names of the port namespaces.
const (
	envInside = "LWC_BENCH_INSIDE"
	envFolder = "LWC_BENCH_FOLDER"
)

// isolate runs this program again in a network namespace of its own, so that
// nothing of the machine is touched. It returns inside there.
func (b *guardBench) isolate(ctx context.Context, args []string) (inside bool, err error) {
	switch os.Getenv(envInside) {
	case string(netguard.Userns):
		b.mode, b.dir = netguard.Userns, os.Getenv("LWC_NETGUARD_DIR")
		_, _, err := netguard.Reexec() // prepares the folder
		return true, err
	case string(netguard.Enforce):
		b.mode, b.dir = netguard.Enforce, os.Getenv(envFolder)
		return true, unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	}
	if os.Geteuid() != 0 {
		if err := os.Setenv(envInside, string(netguard.Userns)); err != nil {
			return false, err
		}
		_, code, err := netguard.Reexec()
		if err == nil && code != 0 {
			err = fmt.Errorf("measuring in a user namespace: exit code %d", code)
		}
		return false, err
	}
	return false, b.again(ctx, args)
}

// again runs this program for root.
func (b *guardBench) again(ctx context.Context, args []string) error {
	dir, err := os.MkdirTemp("", "lwc-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	cmd := exec.CommandContext(ctx, "/proc/self/exe", append([]string{"netguard"}, args...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay, cmd.Stdout, cmd.Stderr = stopTime, b.out, b.stderr
	cmd.Env = append(os.Environ(), envInside+"="+string(netguard.Enforce), envFolder+"="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("measuring in namespaces: %w", err)
	}
	return nil
}
