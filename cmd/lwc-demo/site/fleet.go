package site

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
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
}

// Inventory is what junosim says of its fleet.
type Inventory struct {
	Devices  []Simulated `json:"devices"`
	Bastions []Simulated `json:"bastions"`
}

// The devices that Config.Faulty spoils, counted from the fleet's end.
const (
	noNETCONF = iota + 1
	unreachable
	wrongPassword
	faults = wrongPassword
)

// StartDevices starts the simulator and waits for its inventory.
func (s *Site) StartDevices(ctx context.Context) error {
	args := []string{"--devices", strconv.Itoa(s.cfg.Devices), "--behind", strconv.Itoa(s.cfg.Behind),
		"--bind", devicePrefix, "--bind-behind", behindPrefix, "--inventory-file", s.path("inventory.json"), "--log", s.SentLog()}
	if s.cfg.Behind > 0 {
		args = append(args, "--bastions", "1")
	}
	if s.cfg.Canary != "" {
		args = append(args, "--canary", s.cfg.Canary)
	}
	if s.cfg.Delay != "" {
		args = append(args, "--delay", s.cfg.Delay)
	}
	if s.cfg.Faulty {
		args = append(args, "--fault", fmt.Sprintf("%d=no-netconf", s.cfg.Devices-noNETCONF),
			"--fault", fmt.Sprintf("%d=unreachable", s.cfg.Devices-unreachable))
	}
	ready := make(chan struct{}, 1)
	first := &lines{each: func(string) {
		select {
		case ready <- struct{}{}:
		default:
		}
	}}
	var err error
	if s.sim, err = s.start(s.site, first, nil, "junosim", args...); err != nil {
		return err
	}
	return s.sim.waitFor(ctx, "junosim to be ready", func() bool { return len(ready) > 0 })
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
		fromEnd := len(inv.Devices) - i
		if !s.cfg.Faulty || fromEnd > faults {
			good = append(good, d.Name)
			continue
		}
		bad[d.Name] = map[int]string{noNETCONF: "subsystem", unreachable: "refused", wrongPassword: "auth"}[fromEnd]
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
	fmt.Fprintf(&b, "schedule: {start: \"02:00\", window: 2h, timezone: Europe/Berlin}\n\ncredentials:\n")
	login := inv.Devices[0]
	fmt.Fprintf(&b, "  - {id: lab, kind: password, username: %s, password: %q}\n", login.Username, login.Password)
	fmt.Fprintf(&b, "  - {id: stale, kind: password, username: %s, password: %q}\n", login.Username, "not-the-password"+s.cfg.Canary)
	for _, j := range inv.Bastions {
		fmt.Fprintf(&b, "  - {id: %s, kind: password, username: %s, password: %q}\n", j.Name, j.Username, j.Password)
	}
	writeHosts(&b, inv, s.cfg)
	path := s.path("fleet.yaml")
	return path, os.WriteFile(path, []byte(b.String()), 0o600)
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
		if cfg.Faulty && len(inv.Devices)-i == wrongPassword {
			credential = "stale"
		}
		if d.Bastion != "" {
			via = ", bastions: [" + d.Bastion + "]"
		}
		fmt.Fprintf(w, "  - {id: %s, address: %s, port: %d, credential: %s%s, host_keys: [%q]}\n",
			d.Name, d.Address, d.Port, credential, via, d.HostKey)
	}
}
