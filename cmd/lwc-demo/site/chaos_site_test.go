package site

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"lwc/junos/junostest"
	"lwc/testdata/need"
	"lwc/testdata/stepclock"
	"lwc/transport/wire"
)

// chaosDir is the folder of the site. It outlives a test that fails.
func chaosDir(t *testing.T, seed uint64) string {
	t.Helper()
	dir, err := os.MkdirTemp(os.Getenv(chaosKeep), fmt.Sprintf("lwc-chaos-%d-", seed))
	must(t, err)
	must(t, os.Chmod(dir, 0o711))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("everything is in %s", dir)
			return
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// chaosSite lays the cables of a fleet with faults, and large replies among them.
func chaosSite(t *testing.T, dir string, devices int, seed uint64) *Site {
	t.Helper()
	cfg := Config{Devices: devices, Behind: devices / 10, Latency: "60ms", Line: true, Timeouts: shortTimeouts,
		FaultShare: chaosFaults(devices), Schedules: chaosSchedules(time.Now().UTC(), os.Getenv(chaosTime) != ""), Profiles: chaosProfiles(),
		Limits:  wire.CollectLimits{LoginsPerSecond: 500, MaxDocumentBytes: 256 << 20},
		First:   hugeFaults(),
		SimArgs: []string{"--seed", strconv.FormatUint(seed, 10)}}
	if os.Getenv(chaosBroker) == "mosquitto" {
		cfg.Mosquitto = need.Program(t, "mosquitto")
	}
	return steppedSite(t, dir, cfg)
}

// clockOf is the file of a program's clocks.
func clockOf(dir, program string) string { return filepath.Join(dir, program+".clock") }

func (c *chaosRun) makeClocks(dir string) {
	var err error
	c.clock, err = stepclock.NewPage(clockOf(dir, "lwcd"))
	must(c.t, err)
	c.cloudClock, err = stepclock.NewPage(clockOf(dir, "lwc-cloud"))
	must(c.t, err)
	c.t.Cleanup(func() { must(c.t, errors.Join(c.clock.Close(), c.cloudClock.Close())) })
}

// steppedSite lays the cables of a site whose lwcd has a clock of its own.
func steppedSite(t *testing.T, dir string, cfg Config) *Site {
	t.Helper()
	cfg.Bin, cfg.Dir = binaries(t), dir
	cfg.Programs, cfg.Env = map[string]string{}, map[string][]string{}
	for _, name := range []string{"lwcd", "lwc-cloud"} {
		path := filepath.Join(cfg.Bin, "stepped", name)
		if _, err := os.Stat(path); err != nil {
			need.Missing(t, "the programs of make build-chaos in bin/")
		}
		cfg.Programs[name], cfg.Env[name] = path, []string{stepclock.Env + "=" + clockOf(dir, name)}
	}
	s, err := New(cfg)
	must(t, err)
	t.Cleanup(func() { s.finish(t) })
	return s
}

// chaosFaults are those of a fifth of the devices; a small fleet has none that cost
// time.
func chaosFaults(devices int) string {
	var names []string
	for _, row := range spoiltKinds() {
		if !row.long && row.fault.Kind() != junostest.Huge && (!row.late || devices > fewDevices) {
			names = append(names, string(row.fault))
		}
	}
	return "0.2=" + strings.Join(names, ",")
}

// hugeFaults are those of single devices, whose replies have many parts.
func hugeFaults() []string {
	return []string{"huge:3MB", "huge:24MB:show-bgp-summary", "huge:200MB"}
}
