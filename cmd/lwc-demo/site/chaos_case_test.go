package site

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"lwc/junos"
	"lwc/testdata/chaos"
	"lwc/transport/wire"
)

// chaosProfiles are given to the devices in turn.
func chaosProfiles() []string {
	return []string{wire.DefaultProfile, wire.DefaultProfile, wire.DefaultProfile, wire.DefaultProfile, "minimal"}
}

// chaosSchedules are several, of which windows fall into the test, by themselves or
// because time leaps into them; a short test has one.
func chaosSchedules(now time.Time, long bool) []wire.Schedule {
	at := func(in time.Duration) string { return now.Add(in).Format("15:04") }
	today := []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}[now.Weekday()]
	soon := wire.Schedule{Name: "soon", Start: at(time.Minute), Window: "1m"}
	if !long {
		return []wire.Schedule{soon}
	}
	return []wire.Schedule{
		soon,
		{Name: "weekly", Days: []string{today}, Start: at(5 * time.Minute), Window: "3m", Collect: "full", Profiles: []string{"minimal"}},
		{Name: "later", Start: at(95 * time.Minute), Window: "10m", Profiles: []string{wire.DefaultProfile}},
		{Name: "optics", Start: at(-118 * time.Minute), Window: "5m", Collect: "optics"},
	}
}

// owed is what lwc-cloud says that is still to come.
type owed struct {
	Online bool `json:"online"`
	Health struct {
		Queue int64     `json:"queue_bytes"`
		Time  time.Time `json:"time"`
	} `json:"health"`
	Boot string `json:"boot"`
}

// waitOwesNothing waits until no run is under way and nothing is without receipt, by
// a heartbeat that is made after that.
func (c *chaosRun) waitOwesNothing(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, maxOwed)
	defer cancel()
	var last time.Time // of a heartbeat before which all was quiet
	for told := ""; ; {
		if !rest(ctx, 500*time.Millisecond) {
			c.say("still owed: %s", told)
			c.t.Fatalf("something is still owed: %s", told)
		}
		now, running, err := c.owes(ctx)
		b, _ := json.Marshal(struct {
			Now     owed
			Running []string
			Error   error
		}{now, running, err}) // plain values
		if s := string(b); s != told {
			c.say("owed: %s", s)
			told = s
		}
		switch {
		case err != nil || !now.Online || now.Health.Queue > 0 || len(running) > 0:
			last = time.Time{}
		case last.IsZero():
			last = now.Health.Time
		case !now.Health.Time.Equal(last):
			c.quiet = time.Now()
			c.say("nothing is owed")
			return
		}
	}
}

func (c *chaosRun) owes(ctx context.Context) (now owed, running []string, err error) {
	read := func(to any, args ...string) {
		out, problem := c.Cloud(ctx, args...)
		if problem == nil {
			problem = json.Unmarshal([]byte(out), to)
		}
		err = errors.Join(err, problem)
	}
	var all []owed
	var rs []runState
	read(&all, "collectors", "--json")
	read(&rs, "runs", "--json")
	for _, r := range rs {
		if r.State == "running" {
			running = append(running, r.ID)
		}
	}
	if len(all) != 1 {
		return owed{}, running, errors.Join(err, errors.New("not one collector"))
	}
	return all[0], running, err
}

// afterKill is how long a device may go on sending to a collector that was killed.
const afterKill = 5 * time.Second

// lastBoot is the last boot of the collector, which nobody ended before its time.
func (c *chaosRun) lastBoot(ctx context.Context) chaos.Boot {
	now, _, err := c.owes(ctx)
	must(c.t, err)
	return chaos.Boot{ID: now.Boot, Start: c.programs["lwcd"].since().Add(afterKill), Whole: true}
}

// storeCopy is where the database is after the test; the disk of the cloud goes away.
func (c *chaosRun) storeCopy() string { return filepath.Join(c.cfg.Dir, "edp.db") }

// keepStore copies the database off the disk of the cloud.
func (c *chaosRun) keepStore() {
	for _, end := range []string{"", "-wal"} {
		b, err := os.ReadFile(filepath.Join(c.CloudData(), "edp.db"+end))
		if end != "" && errors.Is(err, os.ErrNotExist) {
			continue
		}
		must(c.t, err)
		must(c.t, os.WriteFile(c.storeCopy()+end, b, 0o600))
	}
}

// chaosCase puts the evidence before the judge.
func (c *chaosRun) chaosCase(ctx context.Context, life chaos.Boot) chaos.Case {
	inv, err := c.Inventory()
	must(c.t, err)
	k := chaos.Case{Boots: []chaos.Boot{life}, Cut: map[string]bool{}, Faulty: map[string]bool{},
		// The rights of the account, and the load, which decides on large items.
		Aside: map[string]bool{"show-cli-authorization": true, "show-chassis-routing-engine": true}}
	for _, d := range inv.Devices {
		row := rowOf(d.Fault)
		k.Cut[d.Name], k.Faulty[d.Name] = row.cut, d.Fault != ""
	}
	k.Answers, err = chaos.Sent(c.SentLog())
	must(c.t, err)
	must(c.t, k.Store(ctx, c.storeCopy()))
	k.Wants, k.Due = c.wants(inv, k.Runs), c.due(inv, life)
	c.say("%d answers of devices, %d documents, %d manifests, %d runs, %d windows due",
		len(k.Answers), len(k.Documents), len(k.Manifests), len(k.Runs), len(k.Due))
	return k
}

// wants tells what a run has to account for, from the schedules and the jobs.
func (c *chaosRun) wants(inv Inventory, runs []chaos.Run) func(chaos.Manifest) map[string][]string {
	return func(m chaos.Manifest) map[string][]string {
		if i := slices.IndexFunc(runs, func(r chaos.Run) bool { return r.ID == m.Run && r.Job != "" }); i >= 0 && m.Job != "" {
			return c.wantsOf(inv, wire.Schedule{}, runs[i].Devices)
		}
		if i := slices.IndexFunc(c.cfg.Schedules, func(s wire.Schedule) bool { return s.Name == m.Schedule }); i >= 0 && m.Job == "" {
			return c.wantsOf(inv, c.cfg.Schedules[i], nil)
		}
		return nil
	}
}

// wantsOf are the items of each device that a schedule reaches, or that a job names.
func (c *chaosRun) wantsOf(inv Inventory, s wire.Schedule, only []string) map[string][]string {
	wants := map[string][]string{}
	for i, d := range inv.Devices {
		own := c.cfg.profileOf(i)
		if len(only) > 0 && !slices.Contains(only, d.Name) || len(s.Profiles) > 0 && !slices.Contains(s.Profiles, own) {
			continue
		}
		items, _ := junos.Profile(cmp.Or(s.Collect, own))
		for _, it := range items {
			wants[d.Name] = append(wants[d.Name], it.Name)
		}
	}
	return wants
}

// due are the windows that began last in the collector's last life, which knew the
// schedules from its start: of several that were leapt over, the newest is caught up.
func (c *chaosRun) due(inv Inventory, life chaos.Boot) (all []chaos.Due) {
	born, end := c.cloudTime(life.Start).UTC(), c.cloudTime(c.quiet).UTC()
	for _, s := range c.cfg.Schedules {
		at, err := time.Parse("15:04", s.Start)
		must(c.t, err)
		for day := end.Truncate(24 * time.Hour); day.After(born.Add(-24 * time.Hour)); day = day.Add(-24 * time.Hour) {
			start := day.Add(time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute)
			if len(s.Days) > 0 && !slices.Contains(s.Days, strings.ToLower(start.Weekday().String()[:3])) || start.After(end) {
				continue
			}
			if start.After(born) {
				all = append(all, chaos.Due{Schedule: s.Name, Window: start, Wants: c.wantsOf(inv, s, nil)})
			}
			break
		}
	}
	return all
}

// leap is when the clock of the cloud was put ahead.
type leap struct {
	at    time.Time
	ahead time.Duration
}

// cloudTime is what the cloud's clock said at a time of the machine's.
func (c *chaosRun) cloudTime(at time.Time) time.Time {
	ahead := time.Duration(0)
	for _, l := range c.leaps {
		if !l.at.After(at) {
			ahead = l.ahead
		}
	}
	return at.Add(ahead)
}

// verdict stops the collector and the cloud, and has the judge look at what is left.
func (c *chaosRun) verdict(ctx context.Context, life chaos.Boot) (docs []chaos.Document, losses int) {
	must(c.t, c.StopCollector())
	life.End = time.Now()
	ledger := c.ledger(ctx)
	must(c.t, c.cloud.stop())
	c.keepStore()
	k := c.chaosCase(ctx, life)
	found := k.Judge()
	for _, f := range found {
		c.say("%s", f)
	}
	c.agrees(ledger, found)
	lost := chaos.Losses(found)
	for _, f := range lost[:min(len(lost), maxShown)] {
		c.t.Error(f)
	}
	if n := len(lost) - maxShown; n > 0 {
		c.t.Errorf("and %d more: see %s", n, c.log.Name())
	}
	return k.Documents, len(lost)
}

// ledger counts by kind what lwc-cloud ledger verify finds wrong.
func (c *chaosRun) ledger(ctx context.Context) map[string]int {
	var report struct {
		Manifests, Signed int
		Own               bool `json:"own_key"`
		Findings          []struct{ Kind, Text string }
	}
	out, err := c.Cloud(ctx, "ledger", "verify", "--json", "--key", filepath.Join(c.StateDir(), "cert.pem"))
	var exit *ExitError
	if err != nil && !(errors.As(err, &exit) && exit.Code == 5) {
		c.t.Fatal(err)
	}
	must(c.t, json.Unmarshal([]byte(out), &report))
	if !report.Own || report.Signed != report.Manifests {
		c.t.Errorf("%d of %d manifests are signed by the key of the box", report.Signed, report.Manifests)
	}
	kinds := map[string]int{}
	for _, f := range report.Findings {
		kinds[f.Kind]++
		c.say("ledger: %s: %s", f.Kind, f.Text)
	}
	return kinds
}

// agrees compares the ledger's findings with the judge's: what a box could not sign
// any more, because it was killed, both find, and nothing else.
func (c *chaosRun) agrees(ledger map[string]int, found []chaos.Finding) {
	want := map[string]int{}
	for kind, as := range map[chaos.Kind]string{chaos.Left: "unnamed", chaos.Unended: "no-end"} {
		if n := chaos.Count(found, kind); n > 0 {
			want[as] = n
		}
	}
	if !maps.Equal(ledger, want) {
		c.t.Errorf("the ledger finds %v, the judge %v", ledger, want)
	}
}
