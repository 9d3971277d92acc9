package site

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"lwc/testdata/stepclock"
)

// The environment variables of make test-chaos. Without the first a short test of a
// small fleet is made.
const (
	chaosTime   = "LWC_CHAOS"        // how long acts are done to the site: "10m"
	chaosSeed   = "LWC_CHAOS_SEED"   // a number; empty: drawn, and printed
	chaosBroker = "LWC_CHAOS_BROKER" // embedded or mosquitto
	chaosLine   = "LWC_CHAOS_LINE"   // tls or wss-proxy
	chaosKeep   = "LWC_CHAOS_KEEP"   // folder for what a failed run leaves
	chaosFleet  = "LWC_CHAOS_DEVICES"
)

// chaosRun is a site and what is done to it.
type chaosRun struct {
	*Site
	t          *testing.T
	seed       uint64
	length     time.Duration
	began      time.Time
	lines      []*badLine
	disk       disk
	clock      *stepclock.Page // of lwcd
	cloudClock *stepclock.Page
	programs   map[string]*kept
	names      []string
	leaps      []leap    // of the cloud's clock
	quiet      time.Time // when nothing was owed last
	runIDs     []string  // that the cloud showed last

	mu  sync.Mutex // guards log, a line at a time, and leaps while acts are done
	log *os.File
}

// Whatever is done to the line, the programs, the clock and the disk: in the end
// every document of every run is stored exactly once, as the device sent it, or
// named with the reason.
func TestChaos(t *testing.T) {
	length, devices, patience := shortLength, fewVictims, maxOwed
	if s := os.Getenv(chaosTime); s != "" {
		var err error
		length, err = time.ParseDuration(s)
		must(t, err)
		devices, patience = 200, 20*time.Minute
	}
	if s := os.Getenv(chaosFleet); s != "" {
		var err error
		devices, err = strconv.Atoi(s)
		must(t, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), length+patience)
	defer cancel()
	c := newChaos(ctx, t, length, devices)
	c.wreak(ctx)
	healed := time.Now()
	c.heal(ctx)
	c.waitOwesNothing(ctx)
	settled := time.Since(healed)
	if os.Getenv(chaosTime) != "" {
		c.collectOnceMore(ctx)
	}
	c.judge(ctx, settled)
}

// keepSteps has lwcd leave its clock as the test sets it; by itself it would set it by
// the cloud's time.
const keepSteps = "cloud_clock = false\n"

// shortSeed is the seed of the short chaos, which each change has to pass: both halves,
// the half, the cloud, the disk, the line and the clock have their turn, and no leap of
// hours, after which a window may be open for minutes.
const shortSeed = 6910

// The short chaos.
const (
	shortLength = 25 * time.Second
	fewVictims  = 24
)

func seedOfChaos(t *testing.T) uint64 {
	t.Helper()
	s := os.Getenv(chaosSeed)
	switch {
	case s == "" && os.Getenv(chaosTime) == "":
		return shortSeed
	case s == "":
		return rand.Uint64N(1e9)
	}
	seed, err := strconv.ParseUint(s, 10, 64)
	must(t, err)
	return seed
}

// newChaos builds the site and brings it up to an applied configuration.
func newChaos(ctx context.Context, t *testing.T, length time.Duration, devices int) *chaosRun {
	t.Helper()
	c := &chaosRun{t: t, seed: seedOfChaos(t), length: length, programs: map[string]*kept{}}
	dir := chaosDir(t, c.seed)
	var err error
	c.log, err = os.Create(filepath.Join(dir, "acts.log"))
	must(t, err)
	t.Cleanup(func() { c.log.Close() })
	c.makeClocks(dir)
	c.Site = chaosSite(t, dir, devices, c.seed)
	c.disk = mountDisk(t, c.CloudData())
	c.lines = append(c.lines, layLine(t, c.Site, cloudPort))
	if c.cfg.Mosquitto != "" {
		c.lines = append(c.lines, layLine(t, c.Site, brokerPort))
		c.cfg.CloudArgs = []string{"--endpoint", "mqtts://" + cloudAddr + ":" + brokerPort}
	}
	if c.seed%2 == 0 {
		c.cfg.External = keepSteps
	}
	if os.Getenv(chaosLine) == "wss-proxy" {
		c.cfg.External += startProxy(ctx, t, c.Site)
		c.cfg.CloudArgs = []string{"--endpoint", "wss://" + cloudAddr + ":" + cloudPort + "/mqtt"}
	}
	c.began = time.Now()
	c.say("seed %d, %d devices, %s", c.seed, devices, length)
	fmt.Printf("chaos: seed %d (again: make test-chaos SEED=%d DURATION=%s), acts in %s\n", c.seed, c.seed, length, c.log.Name())
	c.bringUp(ctx)
	return c
}

// bringUp starts everything, and sees to it that it is started again.
func (c *chaosRun) bringUp(ctx context.Context) {
	t := c.t
	start := map[string]func(context.Context) error{"lwc-cloud": c.StartCloud, "lwcd": c.StartCollector}
	if c.cfg.Mosquitto != "" {
		start["mosquitto"] = c.runMosquitto
	}
	for name, f := range start {
		c.programs[name] = &kept{name: name, start: f, say: c.say, serves: true}
	}
	c.started = func(p *proc) {
		if k := c.programs[filepath.Base(p.name)]; k != nil {
			k.saw(p)
		}
	}
	must(t, c.StartCloud(ctx))
	must(t, c.StartDevices(ctx))
	must(t, c.StartCollector(ctx))
	must(t, c.WaitOnline(ctx))
	file, err := c.FleetFile()
	must(t, err)
	_, err = c.Cloud(ctx, "apply", "-f", file)
	must(t, err)
	must(t, c.WaitApplied(ctx))
	inv, err := c.Inventory()
	must(t, err)
	for _, d := range inv.Devices {
		c.names = append(c.names, d.Name)
	}
}

// say writes a line into the log of the acts.
func (c *chaosRun) say(words string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := time.Since(c.began)
	_, _ = fmt.Fprintf(c.log, "%s %8.2fs  %s\n", time.Now().UTC().Format("15:04:05.000"), at.Seconds(), fmt.Sprintf(words, args...))
}

// wreak does the plan's acts, each at its time.
func (c *chaosRun) wreak(ctx context.Context) {
	keeping, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	for _, k := range c.programs {
		running.Go(func() { k.run(keeping) })
	}
	var lasting sync.WaitGroup
	defer lasting.Wait()
	c.began = time.Now()
	for _, a := range plan(c.seed, c.length, c.cfg.Mosquitto != "", c.names) {
		if !rest(ctx, time.Until(c.began.Add(a.at))) {
			c.t.Fatal(context.Cause(ctx))
		}
		c.say("%s", a)
		lasting.Go(func() { c.do(ctx, a) })
	}
	// Whatever is down by now comes back before the keepers go.
	lasting.Wait()
	c.healOutside()
	for _, k := range c.programs {
		c.comesBack(ctx, k)
	}
}

// do is one act.
func (c *chaosRun) do(ctx context.Context, a act) {
	var err error
	switch a.what {
	case actLine:
		err = c.badLine(ctx, a)
	case actLwcd:
		c.programs["lwcd"].end(a.lasts)
	case actHalf:
		err = c.programs["lwcd"].killHalf()
	case actRestart:
		err = c.programs["lwcd"].stop(a.lasts)
	case actCloud:
		c.programs["lwc-cloud"].end(a.lasts)
	case actBroker:
		c.programs["mosquitto"].end(a.lasts)
	case actClock:
		ahead, wrong := time.ParseDuration(a.value)
		c.clock.Set(c.cloudClock.Ahead() + ahead)
		err = wrong
	case actLater:
		err = c.later(a.value)
	case actDisk:
		if err = c.disk.fill(); err == nil {
			rest(ctx, a.lasts)
			err = c.disk.free()
		}
	case actCollect:
		c.collect(ctx, a)
	default:
		err = errors.New("nobody knows how")
	}
	if err != nil {
		c.t.Errorf("%s: %v", a, err)
	}
}

func (c *chaosRun) badLine(ctx context.Context, a act) error {
	if err := c.tellLines(a.value); err != nil || a.lasts == 0 {
		return err
	}
	rest(ctx, a.lasts)
	return c.tellLines("heal")
}

func (c *chaosRun) tellLines(word string) error {
	var errs []error
	for _, l := range c.lines {
		errs = append(errs, l.say(word))
	}
	return errors.Join(errs...)
}

// later has time go by at both ends. The collector goes by what the cloud said last:
// it hears of it when it connects anew.
func (c *chaosRun) later(by string) error {
	d, err := time.ParseDuration(by)
	if err != nil {
		return err
	}
	ahead := c.cloudClock.Ahead() + d
	c.cloudClock.Set(ahead)
	c.mu.Lock()
	c.leaps = append(c.leaps, leap{time.Now(), ahead})
	c.mu.Unlock()
	c.clock.Set(ahead)
	return c.tellLines("cut")
}

// collect asks for a collection as an operator does. While the cloud is down the
// operator gets an error, and that is all.
func (c *chaosRun) collect(ctx context.Context, a act) {
	asking, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	args := []string{"collect", "--collector", Collector}
	for _, device := range strings.Fields(a.value) {
		args = append(args, "--device", device)
	}
	_, err := c.Cloud(asking, args...)
	c.say("collect %s: %v", cmp.Or(a.value, "all"), err)
}

// healOutside puts the line, the disk and the clock right.
func (c *chaosRun) healOutside() {
	must(c.t, errors.Join(c.tellLines("heal"), c.disk.free()))
	c.clock.Set(c.cloudClock.Ahead())
	c.say("healed")
}

// comesBack waits until a program runs that was not killed.
func (c *chaosRun) comesBack(ctx context.Context, k *kept) {
	for !k.up() {
		if !rest(ctx, 50*time.Millisecond) {
			c.t.Fatalf("%s does not come back: %v", k.name, context.Cause(ctx))
		}
	}
}

// heal waits until both ends have found each other again.
func (c *chaosRun) heal(ctx context.Context) {
	must(c.t, c.WaitOnline(ctx))
	must(c.t, c.WaitApplied(ctx))
	c.say("online")
	for name, k := range c.programs {
		if n := k.endsByItself(); n > 0 {
			c.t.Errorf("%s ended by itself %d times: see %s", name, n, c.log.Name())
		}
	}
}

// collectOnceMore has everything collected by a site that is well, and waits until
// nothing is owed again.
func (c *chaosRun) collectOnceMore(ctx context.Context) {
	_, err := c.Cloud(ctx, "collect", "--collector", Collector, "--wait")
	var exit *ExitError
	if err != nil && !(errors.As(err, &exit) && exit.Code == 3) {
		c.t.Fatal(err)
	}
	c.waitOwesNothing(ctx)
}

// maxOwed is how long the site may take, once all is well, to owe nothing any more.
const maxOwed = 15 * time.Minute

// judge reads what is left and says what is wrong.
func (c *chaosRun) judge(ctx context.Context, settled time.Duration) {
	t := c.t
	_, losses := c.verdict(ctx, c.lastBoot(ctx))
	t.Logf("%d losses; nothing was owed %s after all was well", losses, settled.Round(time.Second))
	if os.Getenv(chaosTime) != "" {
		goal(t, "chaos-losses", float64(losses), 0)
		goal(t, "chaos-seconds-until-nothing-is-owed", settled.Seconds(), maxOwed.Seconds())
	}
}
