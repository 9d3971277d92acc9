package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"lwc/junos/junostest"
)

// ready is the line on standard output that says that all ports are open.
type ready struct {
	Ready    bool    `json:"ready"`
	Devices  int     `json:"devices"`
	Bastions int     `json:"bastions"`
	First    string  `json:"first,omitempty"` // address and port of the first device
	Seconds  float64 `json:"seconds"`         // that starting took
	PID      int     `json:"pid"`
}

// run starts the fleet that args describe, says so on stdout, and stops it
// when ctx ends.
func run(ctx context.Context, args []string, stdout io.Writer) (err error) {
	o, err := parse(args, stdout)
	if err != nil {
		return err
	}
	if o.logFile != "" {
		f, err := os.OpenFile(o.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return fmt.Errorf("opening the log: %w", err)
		}
		defer f.Close()
		o.fleet.Log = f
	}
	o.fleet.Quiet = o.logFile == "" // nobody else asks what was sent
	if !o.inventory {
		if err := enoughFiles(o.fleet); err != nil {
			return err
		}
	}
	began := time.Now()
	fleet, err := junostest.NewFleet(o.fleet)
	if err != nil {
		return err
	}
	if o.inventory {
		return printInventory(stdout, fleet, o)
	}
	if err := fleet.Start(ctx); err != nil {
		return hint(err)
	}
	defer func() { err = errors.Join(err, fleet.Close()) }()
	if err := announce(stdout, fleet, o, began); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// announce writes the inventory file, then the ready line: who waits for the
// line finds the file.
func announce(stdout io.Writer, fleet *junostest.Fleet, o options, began time.Time) error {
	if o.inventoryFile != "" {
		if err := writeInventory(o.inventoryFile, fleet); err != nil {
			return err
		}
	}
	r := ready{Ready: true, Devices: len(fleet.Devices()), Bastions: len(fleet.Bastions()),
		Seconds: time.Since(began).Seconds(), PID: os.Getpid()}
	if r.Devices > 0 {
		r.First = fleet.Devices()[0].Addr.String()
	}
	if err := json.NewEncoder(stdout).Encode(r); err != nil {
		return fmt.Errorf("writing the ready line: %w", err)
	}
	return nil
}

func printInventory(w io.Writer, fleet *junostest.Fleet, o options) error {
	if o.fleet.DevicePort == 0 && o.fleet.BasePort == 0 && !o.fleet.Bind.IsValid() {
		return errors.New("--inventory with --base-port 0: the ports are known once it runs; use --inventory-file")
	}
	return encodeInventory(w, fleet)
}

func encodeInventory(w io.Writer, fleet *junostest.Fleet) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(fleet.Inventory()); err != nil {
		return fmt.Errorf("writing the inventory: %w", err)
	}
	return nil
}

// writeInventory writes beside the file and renames, so that nobody reads half.
// The file holds log-ins: only its owner may read it.
func writeInventory(path string, fleet *junostest.Fleet) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".inventory-*")
	if err != nil {
		return fmt.Errorf("creating the inventory file: %w", err)
	}
	b := bufio.NewWriter(f)
	err = errors.Join(encodeInventory(b, fleet), b.Flush(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing the inventory file: %w", err), os.Remove(f.Name()))
	}
	return nil
}

// spareFiles are for connections, logs and the process itself.
const spareFiles = 256

// enoughFiles says what to do where the ports of the fleet are more than the
// process may open. The Go runtime has raised the soft limit to the hard one.
func enoughFiles(c junostest.Config) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("asking for the limit of open files: %w", err)
	}
	return filesWithin(c.Devices-c.Behind+c.Bastions, limit.Cur)
}

func filesWithin(ports int, limit uint64) error {
	if ports < 0 || uint64(ports)+spareFiles <= limit {
		return nil
	}
	return fmt.Errorf("%d ports and the connections to them need %d open files, and the limit is %d (ulimit -Hn; raise it as root, with LimitNOFILE= or --ulimit nofile=)",
		ports, ports+spareFiles, limit)
}

// hint adds what to do to the errors that people meet first.
func hint(err error) error {
	switch {
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%w (ports under 1024 need root: try --base-port 20830)", err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%w (the address is not on this machine: ip route add local PREFIX dev lo)", err)
	case errors.Is(err, syscall.EMFILE):
		return fmt.Errorf("%w (the limit of open files is reached: ulimit -Hn)", err)
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%w (another process listens there: try another --listen or --base-port)", err)
	}
	return err
}
