package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"lwc/junos/junostest"
)

// cloudEnd is lwc-cloud in a process of its own, with an empty store.
type cloudEnd struct {
	program, dir, url string
	token             string // for the client commands
	cmd               *exec.Cmd
}

// startTime is how long lwc-cloud may take to serve.
const startTime = time.Minute

// startCloud starts lwc-cloud on the core of the simulator.
func (b *uplinkBench) startCloud(ctx context.Context) (*cloudEnd, error) {
	dir, err := os.MkdirTemp("", "lwc-bench-cloud-")
	if err != nil {
		return nil, err
	}
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	c := &cloudEnd{program: b.cloud, dir: dir, url: "https://" + addr}
	ready := filepath.Join(dir, "ready.json")
	c.cmd = exec.CommandContext(ctx, b.cloud, "serve", "--data", c.data(), "--listen", addr, "--public-url", c.url,
		"--ready-file", ready, "--log-level", "error")
	c.cmd.Cancel = func() error { return c.cmd.Process.Signal(syscall.SIGTERM) }
	c.cmd.WaitDelay, c.cmd.Stderr = stopTime, b.stderr
	if err := startOn(simCore, c.cmd); err != nil {
		return nil, fmt.Errorf("starting %s: %w (make build)", b.cloud, err)
	}
	if err := awaitFile(ctx, ready); err != nil {
		c.stop()
		return nil, fmt.Errorf("waiting for %s to serve: %w", b.cloud, err)
	}
	if c.token, err = c.command(ctx, "api-token", "--data", c.data(), "--name", "bench", "--role", "admin"); err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

func (c *cloudEnd) data() string { return filepath.Join(c.dir, "data") }

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func awaitFile(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		if b, err := os.ReadFile(path); err == nil && json.Valid(b) {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop ends it and forgets what it stored.
func (c *cloudEnd) stop() {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	_ = c.cmd.Wait()
	_ = os.RemoveAll(c.dir)
}

// command runs lwc-cloud as a client and returns what it prints.
func (c *cloudEnd) command(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, c.program, args...)
	cmd.Env = append(os.Environ(), "LWC_API_TOKEN="+c.token)
	var said, complained bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &complained
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("running lwc-cloud %s: %w: %s", args[0], err, complained.String())
	}
	return strings.TrimSpace(said.String()), nil
}

func (c *cloudEnd) enrolToken(ctx context.Context, collector string) (string, error) {
	return c.command(ctx, "enrol-token", "--collector", collector)
}

// apply makes a fleet file the configuration of its collector.
func (c *cloudEnd) apply(ctx context.Context, fleet []byte) error {
	path := filepath.Join(c.dir, "fleet.yaml")
	if err := os.WriteFile(path, fleet, 0o600); err != nil {
		return err
	}
	_, err := c.command(ctx, "apply", "-f", path)
	return err
}

// asking is a command that a client process gives when it is ready.
type asking struct {
	Program string
	Args    []string
	Env     []string
}

// toCollect is the command that asks for a collection of the whole fleet.
func (c *cloudEnd) toCollect(collector string) *asking {
	return &asking{c.program, []string{"collect", "--collector", collector}, []string{"LWC_API_TOKEN=" + c.token}}
}

// fleetFile is a fleet as code, with the profile bench.
func fleetFile(collector string, items []string, devices []junostest.InventoryHost, atOnce int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "collector: %s\nlimits: {concurrency: %d, logins_per_second: 10000}\n", collector, atOnce)
	fmt.Fprintf(&b, "profiles:\n  bench: [%s]\n", strings.Join(items, ", "))
	fmt.Fprintf(&b, "credentials:\n  - {id: lab, kind: password, username: %s, password: %q}\ndevices:\n", devices[0].Username, devices[0].Password)
	for _, d := range devices {
		fmt.Fprintf(&b, "  - {id: %s, address: %s, port: %d, credential: lab, profile: bench, pipeline: 1, host_keys: [%q]}\n", d.Name, d.Address, d.Port, d.HostKey)
	}
	return b.Bytes()
}
