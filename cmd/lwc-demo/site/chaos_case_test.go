package site

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
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
// because the clock is stepped into them.
func chaosSchedules(now time.Time) []wire.Schedule {
	at := func(in time.Duration) string { return now.Add(in).Format("15:04") }
	today := []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}[now.Weekday()]
	return []wire.Schedule{
		{Name: "soon", Start: at(time.Minute), Window: "1m"},
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
		told = string(b)
		switch {
		case err != nil || !now.Online || now.Health.Queue > 0 || len(running) > 0:
			last = time.Time{}
		case last.IsZero():
			last = now.Health.Time
		case !now.Health.Time.Equal(last):
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
		Aside: map[string]bool{"show-cli-authorization": true}}
	for _, d := range inv.Devices {
		row := rowOf(d.Fault)
		k.Cut[d.Name], k.Faulty[d.Name] = row.cut, d.Fault != ""
	}
	k.Answers, err = chaos.Sent(c.SentLog())
	must(c.t, err)
	must(c.t, k.Store(ctx, c.storeCopy()))
	k.Wants = c.wants(inv, k.Runs)
	c.say("%d answers of devices, %d documents, %d manifests, %d runs", len(k.Answers), len(k.Documents), len(k.Manifests), len(k.Runs))
	return k
}

// wants tells what a run has to account for, from the schedules and the jobs.
func (c *chaosRun) wants(inv Inventory, runs []chaos.Run) func(chaos.Manifest) map[string][]string {
	itemsOf := map[string][]string{}
	for _, p := range junos.Profiles() {
		items, _ := junos.Profile(p)
		for _, it := range items {
			itemsOf[p] = append(itemsOf[p], it.Name)
		}
	}
	return func(m chaos.Manifest) map[string][]string {
		var only []string
		var s wire.Schedule
		if i := slices.IndexFunc(runs, func(r chaos.Run) bool { return r.ID == m.Run && r.Job != "" }); i >= 0 && m.Job != "" {
			only = runs[i].Devices
		} else if i := slices.IndexFunc(c.cfg.Schedules, func(s wire.Schedule) bool { return s.Name == m.Schedule }); i >= 0 && m.Job == "" {
			s = c.cfg.Schedules[i]
		} else {
			return nil
		}
		wants := map[string][]string{}
		for i, d := range inv.Devices {
			own := c.cfg.profileOf(i)
			if len(only) > 0 && !slices.Contains(only, d.Name) || len(s.Profiles) > 0 && !slices.Contains(s.Profiles, own) {
				continue
			}
			if wants[d.Name] = itemsOf[own]; s.Collect != "" {
				wants[d.Name] = itemsOf[s.Collect]
			}
		}
		return wants
	}
}

// verdict stops the collector and the cloud, and has the judge look at what is left.
func (c *chaosRun) verdict(ctx context.Context, life chaos.Boot) (docs []chaos.Document, losses int) {
	must(c.t, c.StopCollector())
	life.End = time.Now()
	must(c.t, c.cloud.stop())
	c.keepStore()
	k := c.chaosCase(ctx, life)
	found := k.Judge()
	for _, f := range found {
		c.say("%s", f)
	}
	lost := chaos.Losses(found)
	for _, f := range lost[:min(len(lost), maxShown)] {
		c.t.Error(f)
	}
	if n := len(lost) - maxShown; n > 0 {
		c.t.Errorf("and %d more: see %s", n, c.log.Name())
	}
	return k.Documents, len(lost)
}
