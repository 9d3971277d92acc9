// Package report is what lwcd says of itself to others on the same machine: a file
// in RAM that anybody may read, with the state of the two ports, of the box and of
// its cloud. The screen shows it, and the gate of an update judges by it. It holds
// neither secrets nor facts of devices.
//
// [Write] replaces the file as a whole, [Read] reads it, bounded.
package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Path is where the report lies on the box.
const Path = "/run/lwc/lwcd.json"

// The states of the two ports.
const (
	Open    = "open"    // enforced; dials go out
	Down    = "down"    // not up: Cause and Detail say why
	Blocked = "blocked" // something is wrong with them; dials are refused
)

// NoConfiguration is the cause while there is no configuration at all: lwcd is well
// and waits for the box to be given its settings.
const NoConfiguration = "no-configuration"

// Every is the longest time between two reports of an lwcd that lives.
const Every = 10 * time.Second

// Report is the file.
type Report struct {
	V       int    `json:"v"`
	Beat    uint64 `json:"beat"`    // grows with each report
	Version string `json:"version"` // of lwcd
	Ports   string `json:"ports"`
	// Cause is one word for why the ports are not open (docs/lwcd.md, "From power-on
	// to work"); empty while they are.
	Cause    string    `json:"cause,omitempty"`
	Detail   string    `json:"detail,omitempty"` // in words
	Since    time.Time `json:"since,omitzero"`   // of the ports' state
	Internal Port      `json:"internal,omitzero"`
	External Port      `json:"external,omitzero"`
	// Collector is the id of the box; empty: it has not enrolled.
	Collector string `json:"collector,omitempty"`
	Identity  string `json:"identity,omitempty"` // where the key lives: tpm or file
	Withheld  bool   `json:"withheld,omitempty"` // it has an identity, and the TPM with its key is not there
	Cloud     string `json:"cloud,omitempty"`    // the session with the cloud, in words
	Connected bool   `json:"connected,omitempty"`
	Work      string `json:"work,omitempty"`    // what the collector half is doing, in words
	Problem   string `json:"problem,omitempty"` // what went wrong last, with its time
}

// Port is one of the two ports.
type Port struct {
	Link    string `json:"link,omitempty"`
	MAC     string `json:"mac,omitempty"`
	Address string `json:"address,omitempty"` // the first, with prefix length
	DHCP    bool   `json:"dhcp,omitempty"`
}

// maxReport bounds the file: a full one has 4 KiB.
const maxReport = 64 << 10

// Write replaces the file, so that who reads sees the old report or the new one.
func Write(path string, r Report) error {
	r.V = 1
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".lwcd-*")
	if err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing the report: %w", err), os.Remove(f.Name()))
	}
	return nil
}

// Read reads the file. The error is fs.ErrNotExist while lwcd has not said anything.
func Read(path string) (Report, error) {
	f, err := os.Open(path)
	if err != nil {
		return Report{}, fmt.Errorf("reading the report: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxReport+1))
	if err != nil {
		return Report{}, fmt.Errorf("reading the report: %w", err)
	}
	return parse(text)
}

func parse(text []byte) (Report, error) {
	var r Report
	if len(text) > maxReport {
		return Report{}, errors.New("reading the report: it is too large")
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return Report{}, fmt.Errorf("reading the report: %w", err)
	}
	if r.V != 1 || !slices.Contains([]string{Open, Down, Blocked}, r.Ports) {
		return Report{}, fmt.Errorf("reading the report: version %d with ports %.20q is not known", r.V, r.Ports)
	}
	return r, nil
}
