package site

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"lwc/transport/wire"
)

const (
	mib        = 1 << 20
	baseBudget = 64 * mib // of documents without receipt, where nothing else is said
	// outageRoom is what lwcd may take beside its budget while the uplink is down,
	// hugeRoom what a reply of 200 MB may add.
	outageRoom = 32 * mib
	hugeRoom   = 24 * mib
)

// memory is what is resident of the two halves of lwcd, in bytes, and what they take
// together: pages of the program, which both have, count once.
type memory struct{ supervisor, collector, both int64 }

func (m memory) String() string {
	return fmt.Sprintf("supervisor %.1f MiB, collector %.1f MiB, both %.1f MiB", float64(m.supervisor)/mib, float64(m.collector)/mib, float64(m.both)/mib)
}

// atMost takes the larger of each.
func (m memory) atMost(other memory) memory {
	return memory{max(m.supervisor, other.supervisor), max(m.collector, other.collector), max(m.both, other.both)}
}

// field reads a line of /proc/PID/status in kB.
func field(pid int, name string) int64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)) // one that has ended has no memory
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return n << 10
		}
	}
	return 0
}

// resident is the resident memory of both halves, and most the most of it that the
// collector half had since its start.
func (s *Site) resident(t *testing.T) (now memory, most int64) {
	t.Helper()
	supervisor, collector, err := s.Halves()
	must(t, err)
	now = residentOf(supervisor, collector)
	return now, field(collector.PID, "VmHWM")
}

func residentOf(supervisor, collector Process) memory {
	of := func(p Process, name string) int64 { return field(p.PID, name) }
	return memory{of(supervisor, "VmRSS"), of(collector, "VmRSS"),
		of(supervisor, "RssAnon") + of(collector, "RssAnon") + max(of(supervisor, "RssFile"), of(collector, "RssFile"))}
}

// stepped is a site behind a line whose ends have clocks of their own, which are so
// far ahead.
func stepped(ctx context.Context, t *testing.T, cfg Config, ahead time.Duration) *chaosRun {
	t.Helper()
	c := newStepped(t, cfg)
	c.clock.Set(ahead)
	c.cloudClock.Set(ahead)
	c.leaps = []leap{{ahead: ahead}}
	c.bringUp(ctx)
	return c
}

// newStepped lays the cables of such a site, and starts nothing.
func newStepped(t *testing.T, cfg Config) *chaosRun {
	t.Helper()
	dir := chaosDir(t, 1)
	c := &chaosRun{t: t, seed: 1, programs: map[string]*kept{}}
	var err error
	c.log, err = os.Create(filepath.Join(dir, "acts.log"))
	must(t, err)
	t.Cleanup(func() { c.log.Close() })
	c.makeClocks(dir)
	cfg.Line = true
	c.Site = steppedSite(t, dir, cfg)
	c.lines = append(c.lines, layLine(t, c.Site, cloudPort))
	c.began = time.Now()
	return c
}

// patientTimeouts are for devices whose time goes slower than lwcd's.
const patientTimeouts = `connect = "2m"
key_exchange = "2m"
auth = "2m"
channel = "2m"
hello = "2m"
stall = "10m"`

// While the uplink is down for an hour in which a thousand devices are collected, the
// memory of lwcd stays within the budget; after it returns all that is owed is
// delivered. The hour goes by faster than ours.
func TestUplinkDownForAnHour(t *testing.T) {
	// A half that gives no sign of life for 30 s is ended: at this pace that is a second,
	// which a busy computer may well give nobody.
	devices, pace := fewDevices, int64(30)
	if os.Getenv(chaosTime) != "" {
		devices, pace = 1000, 15
	}
	ctx, cancel := context.WithTimeout(t.Context(), 25*time.Minute)
	defer cancel()
	now := time.Now().UTC()
	c := stepped(ctx, t, Config{Devices: devices, Timeouts: patientTimeouts, Limits: wire.CollectLimits{LoginsPerSecond: 1000},
		Schedules: []wire.Schedule{
			{Name: "first", Start: now.Add(3 * time.Minute).Format("15:04"), Window: "20m"},
			{Name: "second", Start: now.Add(30 * time.Minute).Format("15:04"), Window: "20m"},
		}}, 0)
	born := time.Now()
	must(t, errors.Join(c.tellLines("refuse"), c.tellLines("reset")))
	most := c.passHour(ctx, pace)
	must(t, c.tellLines("heal"))
	must(t, c.WaitOnline(ctx))
	c.waitOwesNothing(ctx)
	_, peak := c.resident(t)
	life := c.lastBoot(ctx)
	life.Start = born
	docs, _ := c.verdict(ctx, life)
	var bytes int64
	for _, d := range docs {
		bytes += d.Size
	}
	t.Logf("at most %s while it was down, and %.1f MiB of the collector half at any time", most, float64(peak)/mib)
	t.Logf("%d documents of %.1f MB are stored", len(docs), float64(bytes)/1e6)
	if len(docs) < devices {
		t.Errorf("only %d documents: the test shows nothing", len(docs))
	}
	if os.Getenv(chaosTime) != "" {
		goal(t, "uplink-down-rss-mib", float64(most.collector)/mib, (baseBudget+outageRoom)/mib)
		goal(t, "uplink-down-both-halves-mib", float64(most.both)/mib, (baseBudget+outageRoom)/mib)
	}
}

// passHour has an hour go by for lwcd and looks at its memory. The cloud's clock
// follows.
func (c *chaosRun) passHour(ctx context.Context, pace int64) (most memory) {
	must(c.t, c.clock.SetPace(pace))
	for told := time.Duration(0); ; {
		gained, err := c.clock.Gained()
		must(c.t, err)
		if gained >= time.Hour {
			break
		}
		if !rest(ctx, 100*time.Millisecond) {
			c.t.Fatal(context.Cause(ctx))
		}
		now, _ := c.resident(c.t)
		most = most.atMost(now)
		if gained-told >= time.Minute {
			told = gained
			c.say("%s: %s", gained.Round(time.Second), now)
		}
	}
	must(c.t, c.clock.SetPace(1))
	gained, err := c.clock.Gained()
	must(c.t, err)
	c.cloudClock.Set(gained)
	c.leaps = append(c.leaps, leap{time.Now(), gained})
	return most
}

// A reply of 200 MB goes from the device into the store and lwcd hardly grows; the
// bytes are those that the device sent.
func TestHugeReply(t *testing.T) {
	size := "30MB"
	if os.Getenv(chaosTime) != "" {
		size = "200MB"
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	c := stepped(ctx, t, Config{Devices: 8, First: []string{"huge:" + size},
		Limits: wire.CollectLimits{MaxDocumentBytes: 256 << 20}}, 0)
	born := time.Now()
	for _, name := range c.names[1:] {
		_, err := c.Cloud(ctx, "collect", "--collector", Collector, "--wait", "--device", name)
		must(t, err)
	}
	before, _ := c.resident(t)
	watching, stop := context.WithCancel(ctx)
	var most memory
	var watched sync.WaitGroup
	watched.Go(func() { most = c.watch(watching) })
	_, err := c.Cloud(ctx, "collect", "--collector", Collector, "--wait", "--device", c.names[0])
	stop()
	watched.Wait()
	must(t, err)
	c.waitOwesNothing(ctx)
	life := c.lastBoot(ctx)
	life.Start = born
	docs, _ := c.verdict(ctx, life)
	huge := int64(0)
	for _, d := range docs {
		huge = max(huge, d.Length)
	}
	if want, _ := strconv.ParseInt(strings.TrimSuffix(size, "MB"), 10, 64); huge < want*1_000_000 {
		t.Errorf("the largest document that is stored has %d bytes", huge)
	}
	grown := most.collector - before.collector + most.supervisor - before.supervisor
	t.Logf("%s: before %s, at most %s", size, before, most)
	if os.Getenv(chaosTime) != "" {
		goal(t, "huge-reply-growth-mib", float64(grown)/mib, hugeRoom/mib)
	}
}

// watch returns the most memory that it sees, looking often.
func (c *chaosRun) watch(ctx context.Context) (most memory) {
	supervisor, collector, err := c.Halves()
	if err != nil {
		c.t.Error(err)
		return most
	}
	for rest(ctx, 10*time.Millisecond) {
		most = most.atMost(residentOf(supervisor, collector))
	}
	return most
}
