package site

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"lwc/junos"
	"lwc/transport/wire"
)

// Simulated is one device or bastion as junosim's inventory describes it.
type Simulated struct {
	Name     string `json:"name"`
	Model    string `json:"model"`
	Address  string `json:"address"`
	Port     int    `json:"port"`
	HostKey  string `json:"host_key"`
	Username string `json:"username"`
	Password string `json:"password"`
	Bastion  string `json:"bastion"`
	Fault    string `json:"fault"` // of Config.FaultShare: "stall", "slow-auth:5s"
}

// Inventory is what junosim says of its fleet.
type Inventory struct {
	Devices  []Simulated `json:"devices"`
	Bastions []Simulated `json:"bastions"`
}

// The devices that Config.Faulty spoils: the last of those that no bastion
// stands before, counted from their end.
const (
	noNETCONF = iota + 1
	unreachable
	wrongPassword
	faults = wrongPassword
)

// faultOf tells which of the faults a device has, 0 for none, by its position.
func (c Config) faultOf(i int) int {
	if n := c.Devices - c.Behind - i; c.Faulty && n >= 1 && n <= faults {
		return n
	}
	return 0
}

// StartDevices starts the simulator and waits until its ports are open.
func (s *Site) StartDevices(ctx context.Context) error {
	args, err := s.simFlags(ctx)
	if err != nil {
		return err
	}
	said := &firstWrite{ready: make(chan struct{})}
	if s.sim, err = s.start(s.site, said, "junosim", args...); err != nil {
		return err
	}
	return s.sim.waitFor(ctx, "junosim to be ready", func() bool {
		select {
		case <-said.ready:
			return true
		default:
			return false
		}
	})
}

// simFlags asks junosim first which devices it would simulate, because faults
// are given by name.
func (s *Site) simFlags(ctx context.Context) ([]string, error) {
	args := []string{"--devices", strconv.Itoa(s.cfg.Devices), "--behind", strconv.Itoa(s.cfg.Behind), "--bind", devicePrefix}
	if s.cfg.Behind > 0 {
		args = append(args, "--bastions", "1")
	}
	if s.cfg.Canary != "" {
		args = append(args, "--canary", s.cfg.Canary, "--password", s.cfg.Canary+"-device", "--bastion-password", s.cfg.Canary+"-bastion")
	}
	if s.cfg.FaultShare != "" {
		args = append(args, "--faulty", s.cfg.FaultShare)
	}
	args = append(args, s.cfg.SimArgs...)
	inv, err := s.askInventory(ctx, args)
	if err != nil {
		return nil, err
	}
	for i, fault := range s.cfg.First {
		args = append(args, "--fault", inv.Devices[i].Name+"="+fault)
	}
	if inv, err = s.askInventory(ctx, args); err != nil {
		return nil, err
	}
	for i, d := range inv.Devices {
		if s.cfg.faultOf(i) == noNETCONF {
			args = append(args, "--fault", d.Name+"=no-netconf")
		}
	}
	if s.cfg.Latency != "" {
		args = append(args, "--latency", s.cfg.Latency)
	}
	return append(args, "--log", s.SentLog()), nil
}

// askInventory has junosim say what it would simulate, and keeps that.
func (s *Site) askInventory(ctx context.Context, args []string) (Inventory, error) {
	out, err := exec.CommandContext(ctx, s.binary("junosim"), append(args, "--inventory")...).Output()
	if err != nil {
		return Inventory{}, fmt.Errorf("asking junosim for its inventory: %w", err)
	}
	if err := os.WriteFile(s.path("inventory.json"), out, 0o600); err != nil {
		return Inventory{}, err
	}
	return s.Inventory()
}

// Items are what is collected of each device: the profile that devices have
// unless their fleet says otherwise.
func Items() []junos.Item {
	items, _ := junos.Profile(wire.DefaultProfile)
	return items
}

// SentLog is where junosim writes a line for each document that it sent.
func (s *Site) SentLog() string { return s.path("sent.jsonl") }

// Inventory reads what junosim simulates.
func (s *Site) Inventory() (Inventory, error) {
	var inv Inventory
	b, err := os.ReadFile(s.path("inventory.json"))
	if err != nil {
		return inv, err
	}
	if err := json.Unmarshal(b, &inv); err != nil {
		return inv, fmt.Errorf("reading junosim's inventory: %w", err)
	}
	return inv, nil
}

// Expected names the devices that must be collected, and the bad ones with the
// kind of failure that is true of each.
func (s *Site) Expected() (good []string, bad map[string]string, err error) {
	inv, err := s.Inventory()
	if err != nil {
		return nil, nil, err
	}
	bad = map[string]string{}
	for i, d := range inv.Devices {
		switch s.cfg.faultOf(i) {
		case noNETCONF:
			bad[d.Name] = "subsystem"
		case unreachable:
			bad[d.Name] = "connect"
		case wrongPassword:
			bad[d.Name] = "auth"
		default:
			good = append(good, d.Name)
		}
	}
	return good, bad, nil
}

// FleetFile writes the fleet as code, for lwc-cloud apply.
func (s *Site) FleetFile() (string, error) {
	inv, err := s.Inventory()
	if err != nil {
		return "", err
	}
	if len(inv.Devices) == 0 {
		return "", errors.New("junosim's inventory has no devices")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# The demo's site, as code: lwc-cloud apply -f fleet.yaml\ncollector: %s\n", Collector)
	if err := errors.Join(writeSchedules(&b, s.cfg.Schedules), writeLimits(&b, s.cfg.Limits)); err != nil {
		return "", err
	}
	fmt.Fprint(&b, "\ncredentials:\n")
	login := inv.Devices[0]
	fmt.Fprintf(&b, "  - {id: lab, kind: password, username: %s, password: %q}\n", login.Username, login.Password)
	fmt.Fprintf(&b, "  - {id: stale, kind: password, username: %s, password: %q}\n", login.Username, "not-the-password"+s.cfg.Canary)
	for _, h := range append(withOwnLogin(inv.Devices), inv.Bastions...) {
		fmt.Fprintf(&b, "  - {id: %s, kind: password, username: %s, password: %q}\n", h.Name, h.Username, h.Password)
	}
	writeHosts(&b, inv, s.cfg)
	path := s.path("fleet.yaml")
	return path, os.WriteFile(path, []byte(b.String()), 0o600)
}

// writeSchedules writes the schedules in JSON, which is YAML too.
func writeSchedules(w io.Writer, all []wire.Schedule) error {
	if len(all) == 0 {
		// Half a day away, so that the daily run does not mix with the one on demand.
		start := time.Now().UTC().Add(12 * time.Hour).Format("15:04")
		all = []wire.Schedule{{Name: wire.DefaultProfile, Start: start, Window: "2h", Timezone: "UTC"}}
	}
	text, err := json.Marshal(all)
	if err != nil {
		return fmt.Errorf("writing the schedules: %w", err)
	}
	fmt.Fprintf(w, "schedules: %s\n", text)
	return nil
}

// profileOf is the profile of a device, by its position.
func (c Config) profileOf(i int) string {
	if len(c.Profiles) == 0 {
		return wire.DefaultProfile
	}
	return c.Profiles[i%len(c.Profiles)]
}

func writeHosts(w io.Writer, inv Inventory, cfg Config) {
	if len(inv.Bastions) > 0 {
		fmt.Fprint(w, "\nbastions:\n")
	}
	for _, j := range inv.Bastions {
		fmt.Fprintf(w, "  - {id: %s, address: %s, port: %d, credential: %s, host_keys: [%q]}\n", j.Name, j.Address, j.Port, j.Name, j.HostKey)
	}
	fmt.Fprint(w, "\ndevices:\n")
	for i, d := range inv.Devices {
		credential, via := "lab", ""
		if d.refusesLogins() {
			credential = d.Name
		}
		switch cfg.faultOf(i) {
		case wrongPassword:
			credential = "stale"
		case unreachable:
			d.Address = nobody
		}
		if d.Bastion != "" {
			via = ", bastions: [" + d.Bastion + "]"
		}
		fmt.Fprintf(w, "  - {id: %s, address: %s, port: %d, credential: %s%s, profile: %s, host_keys: [%q]}\n",
			d.Name, d.Address, d.Port, credential, via, cfg.profileOf(i), d.HostKey)
	}
}
