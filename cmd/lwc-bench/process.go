package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"lwc/junos/junostest"
)

// The cores: what is measured has one to itself.
const (
	simCore    = 1
	clientCore = 0
)

// startOn starts a command on one core. A child inherits the core of the thread
// that starts it.
func startOn(core int, cmd *exec.Cmd) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		var set unix.CPUSet
		set.Set(core)
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			done <- fmt.Errorf("moving to core %d: %w", core, err)
			return
		}
		done <- cmd.Start()
	}()
	return <-done
}

// sim is a simulated fleet in a process of its own.
type sim struct {
	cmd       *exec.Cmd
	inventory junostest.Inventory
}

// stopTime is how long a process may take to end once it is told to.
const stopTime = 10 * time.Second

// startSim starts junosim and reads its inventory.
func startSim(ctx context.Context, program string, stderr io.Writer, args ...string) (*sim, error) {
	dir, err := os.MkdirTemp("", "lwc-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "inventory.json")
	cmd := exec.CommandContext(ctx, program, append(args, "--inventory-file", file)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay, cmd.Stderr = stopTime, stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := startOn(simCore, cmd); err != nil {
		return nil, fmt.Errorf("starting %s: %w (make build)", program, err)
	}
	s := &sim{cmd: cmd}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		s.stop()
		return nil, fmt.Errorf("waiting for %s: %q: %w", program, line, err)
	}
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &s.inventory)
	}
	if err != nil {
		s.stop()
		return nil, fmt.Errorf("reading the inventory: %w", err)
	}
	return s, nil
}

func (s *sim) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	_ = s.cmd.Wait()
}

// clientTime bounds one measurement.
const clientTime = 20 * time.Minute

// runOrder has a client process carry out an order.
func runOrder(ctx context.Context, o order, stderr io.Writer) (measure, error) {
	self, err := os.Executable()
	if err != nil {
		return measure{}, err
	}
	var m measure
	if err := talk(ctx, o, &m, stderr, self, "client"); err != nil {
		return m, err
	}
	if m.Failed > 0 {
		return m, fmt.Errorf("%s client: %d of %d devices failed, the first with: %s", o.Mode, m.Failed, len(o.Devices), m.First)
	}
	return m, nil
}

// talk gives a process JSON and takes JSON back.
func talk(ctx context.Context, in, out any, stderr io.Writer, program string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, clientTime)
	defer cancel()
	text, err := json.Marshal(in)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, program, args...)
	var answer bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(text), &answer, stderr
	if err := startOn(clientCore, cmd); err != nil {
		return fmt.Errorf("starting %s: %w", program, err)
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("running %s: %w", filepath.Base(program), errors.Join(err, context.Cause(ctx)))
	}
	if err := json.Unmarshal(answer.Bytes(), out); err != nil {
		return fmt.Errorf("reading the answer of %s: %w", program, err)
	}
	return nil
}

// statusMiB finds a field of /proc/PID/status and returns it in MiB.
func statusMiB(status, field string) float64 {
	for line := range strings.Lines(status) {
		if rest, ok := strings.CutPrefix(line, field); ok {
			kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
			if err == nil {
				return kib / 1024
			}
		}
	}
	return 0
}
