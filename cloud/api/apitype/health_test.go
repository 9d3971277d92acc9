package apitype

import (
	"strings"
	"testing"
	"time"

	"lwc/transport/wire"
)

func TestHealthNeed(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	well := Collector{ID: "site-berlin-01", State: "active", Online: true, LastSeen: now, CertificateExpires: now.Add(60 * 24 * time.Hour),
		Health: &wire.Health{QueueBytes: 1 << 20, Budget: 64 << 20, Checks: []wire.Check{{Name: "clock", OK: true}}}}
	if got := HealthNeed(well, now); len(got) != 0 || well.Heartbeat() != "beating" {
		t.Errorf("a collector that is well: %q, %s", got, well.Heartbeat())
	}
	for name, c := range map[string]struct {
		edit func(*Collector)
		want string
	}{
		"lost":          {func(c *Collector) { c.Online, c.LostAt = false, now.Add(-time.Minute) }, "The heartbeat is lost since 2026-11-22 11:59:00 UTC"},
		"a check":       {func(c *Collector) { c.Health.Checks[0] = wire.Check{Name: "swap", Detail: "swap is on: switch it off"} }, "The check of swap fails: swap is on: switch it off."},
		"full":          {func(c *Collector) { c.Health.QueueBytes = 60 << 20 }, "60 MiB of 64 MiB wait for receipts"},
		"ending":        {func(c *Collector) { c.CertificateExpires = now.Add(24 * time.Hour) }, "ends on 2026-11-23 and was not renewed"},
		"ended":         {func(c *Collector) { c.CertificateExpires = now.Add(-time.Hour) }, "ended on 2026-11-22"},
		"not so online": {func(c *Collector) { c.Health, c.Online, c.LostAt = nil, false, now }, "The heartbeat is lost"},
	} {
		x := well
		h := *well.Health
		h.Checks = append([]wire.Check(nil), h.Checks...)
		x.Health = &h
		c.edit(&x)
		if got := strings.Join(HealthNeed(x, now), "\n"); !strings.Contains(got, c.want) {
			t.Errorf("%s: no %q in %q", name, c.want, got)
		}
	}
	well.Online = false
	if got := HealthNeed(well, now); len(got) != 0 || well.Heartbeat() != "stopped" {
		t.Errorf("one that said good-bye: %q, %s", got, well.Heartbeat())
	}
	well.AwaitedSince = now
	if got := HealthNeed(well, now); len(got) != 0 || well.Heartbeat() != "awaited" {
		t.Errorf("one that is waited for: %q, %s", got, well.Heartbeat())
	}
}
