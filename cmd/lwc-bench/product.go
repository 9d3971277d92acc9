package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"lwc/cmd/lwcd/dial"
	"lwc/collector"
	"lwc/junos"
	"lwc/junos/junostest"
	"lwc/transport/device"
	"lwc/transport/secret"
	"lwc/transport/wire"
)

// cloud is the far end of the product client: it says that all is stored.
type cloud struct {
	boot     string
	pendings *pendings
	applied  chan struct{}

	mu   sync.Mutex // guards all that follows
	left map[string]bool
	done chan struct{} // closed when left is empty
	m    measure
}

// PublishRun implements collector.Publisher.
func (c *cloud) PublishRun(_ context.Context, _ wire.Manifest, done func(wire.Receipt)) (string, error) {
	done(wire.Receipt{Status: wire.Complete})
	return "none", nil
}

// SendState implements collector.Reporter.
func (c *cloud) SendState(s wire.State) {
	if s.Status == wire.ConfigApplied {
		close(c.applied)
	}
}

// SendEvent implements collector.Reporter.
func (c *cloud) SendEvent(wire.Event) {}

// SendJobStatus implements collector.Reporter: it waits for the healthy devices.
func (c *cloud) SendJobStatus(s wire.JobStatus) {
	if s.Device == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.left[s.Device.Device] {
		return
	}
	delete(c.left, s.Device.Device)
	if s.Device.OK {
		c.m.Devices++
	} else if c.m.Failed++; c.m.First == "" {
		c.m.First = s.Device.Device + ": " + s.Device.Kind + ": " + s.Device.Error
	}
	if len(c.left) == 0 {
		close(c.done)
	}
}

// patienceOfProduct is how long a stalled device is waited for; the healthy ones
// must not notice.
const patienceOfProduct = 20 * time.Second

// product collects all devices with the collector itself, as one job, and
// measures until the last healthy device is done.
func product(ctx context.Context, o order) (measure, error) {
	up := &cloud{boot: wire.NewID(), pendings: newPendings(), applied: make(chan struct{}), left: map[string]bool{}, done: make(chan struct{})}
	for _, d := range healthy(o.Devices) {
		up.left[d.Name] = true
	}
	key, err := wire.NewBootKey()
	if err != nil {
		return measure{}, err
	}
	boot, dialer := up.boot, &device.Dialer{Net: new(net.Dialer).DialContext}
	c := collector.New(collector.Config{Collector: benchCollector, Boot: boot, BootKey: key, Uplink: up, Dialer: dial.New(dialer),
		Logger: slog.New(slog.DiscardHandler), Session: junos.Options{StallTimeout: patienceOfProduct}})
	want, err := desired(o, boot, key)
	if err != nil {
		return measure{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var ended sync.WaitGroup
	ended.Go(func() { _ = c.Run(ctx) })
	defer func() {
		cancel()
		ended.Wait()
		dialer.Close()
	}()
	c.Desired(want, wire.ConfigRef{Version: want.Version})
	return up.watch(ctx, c, boot)
}

// watch asks for one collection and waits for the healthy devices.
func (c *cloud) watch(ctx context.Context, coll *collector.Collector, boot string) (measure, error) {
	select {
	case <-c.applied:
	case <-ctx.Done():
		return measure{}, context.Cause(ctx)
	}
	rest, began, used := resident("VmRSS:"), time.Now(), cpuTime()
	coll.Job(wire.Job{V: wire.Version, ID: wire.NewID(), Collector: benchCollector, Boot: boot, Kind: wire.JobCollect, Run: wire.NewID()})
	select {
	case <-c.done:
	case <-ctx.Done():
		return measure{}, context.Cause(ctx)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.m
	m.RestMiB, m.PeakMiB = rest, resident("VmHWM:")
	m.Seconds, m.CPU = time.Since(began).Seconds(), (cpuTime() - used).Seconds()
	return m, nil
}

const benchCollector = "lwc-bench-0001"

// desired is the configuration that the product client collects by.
func desired(o order, boot string, key wire.BootKey) (wire.Desired, error) {
	d := wire.Desired{V: wire.Version, Collector: benchCollector, Boot: boot, Version: 1,
		Profiles:    map[string][]string{"bench": o.Items},
		Credentials: map[string]wire.Credential{},
		Limits:      wire.CollectLimits{Concurrency: o.InFlight, LoginsPerSecond: 10_000}}
	if len(o.Devices) == 0 {
		return d, errors.New("making a configuration: no devices")
	}
	for _, h := range o.Devices {
		if err := addLogin(d, h, boot, key); err != nil {
			return d, err
		}
		d.Devices = append(d.Devices, wire.Device{ID: h.Name, Address: h.Address, Port: h.Port, Credential: h.Password,
			HostKeys: []string{h.HostKey}, Profile: "bench", Pipeline: max(o.Depth, 1)})
	}
	return d, nil
}

// addLogin adds the credential of a device, which is named by its password: the
// devices of a simulated fleet share one.
func addLogin(d wire.Desired, h junostest.InventoryHost, boot string, key wire.BootKey) error {
	if _, ok := d.Credentials[h.Password]; ok {
		return nil
	}
	plain, err := wire.CredentialSecret{Password: secret.FromString(h.Password)}.Marshal()
	if err != nil {
		return err
	}
	sealed, err := wire.SealTo(key.Public(), wire.CredentialInfo(benchCollector, boot, h.Password, "1"), plain)
	if err != nil {
		return fmt.Errorf("sealing a credential: %w", err)
	}
	d.Credentials[h.Password] = wire.Credential{Kind: wire.KindPassword, Username: h.Username, Version: "1", Sealed: sealed}
	return nil
}
