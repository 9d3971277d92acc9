package control

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"lwc/cloud/edp"
	"lwc/cloud/tidy"
	"lwc/cloud/vault"
	"lwc/transport/wire"
)

// The masking key comes to each boot sealed to it, and is the same in all of
// them until it is replaced.
func TestMaskingKeyIsSealedToTheBoot(t *testing.T) {
	c := startCloud(t, setup{})
	b := c.enrol(t, alpha)
	c.fleet(t, alpha, "edge-1")
	key := bytes.Repeat([]byte{7}, 32)
	c.mask(t, key, "key-1")
	for range 2 {
		b.connect()
		b.hello()
		d := b.desired()
		if m := d.Masking; m.Version != "key-1" || !m.Classes["ip-addresses"] || len(m.Rules) != 1 || bytes.Contains(m.Key, key) || !d.AllowCLI {
			t.Errorf("masking %+v", d)
		}
		got, err := b.bootKey.Open(wire.MaskingInfo(alpha, b.boot, "key-1"), d.Masking.Key)
		if err != nil || !bytes.Equal(got, key) {
			t.Errorf("the key did not come through: %v", err)
		}
		b.cut()
		b.reboot()
	}
}

// mask gives the fleet of alpha a masking key.
func (c *cloud) mask(t *testing.T, key []byte, version string) {
	t.Helper()
	f, err := c.store.GetFleet(t.Context(), alpha)
	if err != nil {
		t.Fatal(err)
	}
	f.AllowCLI = true
	f.Masking = edp.Masking{Classes: map[string]bool{"ip-addresses": true}, Rules: []wire.MaskRule{{Class: "site", Path: "description"}},
		Version: version, Cipher: c.vault.Seal(vault.MaskingKey(alpha), key)}
	if _, err := c.store.PutFleet(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

// A key that cannot be opened is told, and what is masked is sent all the same.
func TestMaskingKeyThatCannotBeOpened(t *testing.T) {
	c := startCloud(t, setup{})
	b := c.enrol(t, alpha)
	c.fleet(t, alpha, "edge-1")
	c.mask(t, make([]byte, 32), "key-1")
	f, err := c.store.GetFleet(t.Context(), alpha)
	if err != nil {
		t.Fatal(err)
	}
	f.Masking.Version, f.Masking.Cipher = "key-2", []byte("of another vault")
	if _, err := c.store.PutFleet(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	b.connect()
	b.hello()
	if d := b.desired(); len(d.Masking.Key) != 0 || d.Masking.Version != "" || !d.Masking.Classes["ip-addresses"] || len(d.Credentials["site"].Sealed) == 0 {
		t.Errorf("desired %+v", d)
	}
	eventually(t, "an event tells", func() bool { return c.hasEvent(t, alpha, EventVault) })
}

// A probe job tells of each device, and is repeated after a restart for those
// that are left.
func TestProbeJob(t *testing.T) {
	c := startCloud(t, setup{})
	b := c.enrol(t, alpha)
	c.fleet(t, alpha, "edge-1", "edge-2")
	b.connect()
	b.hello()
	b.desired()
	b.applied()
	made, err := c.store.CreateJob(t.Context(), edp.NewJob{Collector: alpha, Kind: wire.JobProbe})
	if err != nil {
		t.Fatal(err)
	}
	c.hub.JobCreated(alpha)
	j := b.job()
	if j.Kind != wire.JobProbe || j.Run != "" || !slices.Equal(j.Devices, []string{"edge-1", "edge-2"}) {
		t.Fatalf("job %+v", j)
	}
	b.probed(j, wire.Probe{Device: "edge-1", OK: true, Class: "lwc",
		Steps: []wire.ProbeStep{{Stage: "auth", OK: true, Detail: "\x1b[31m" + strings.Repeat("x", 5000)}}})
	eventually(t, "the diagnosis is stored", func() bool {
		p, err := c.store.LastProbe(t.Context(), alpha, "edge-1")
		return err == nil && p.OK && len(p.Steps) == 1 && len(p.Steps[0].Detail) == tidy.MaxText && strings.HasPrefix(p.Steps[0].Detail, " [31mx")
	})
	b.cut()
	b.reboot()
	b.connect()
	b.hello()
	b.desired()
	b.applied()
	again := b.job()
	if again.ID != made.ID || !slices.Equal(again.Devices, []string{"edge-2"}) {
		t.Errorf("the job came again as %+v", again)
	}
	b.status(again, "endless", nil)
	b.probed(again, wire.Probe{Device: "edge-2"})
	eventually(t, "the other diagnosis is stored", func() bool {
		got, err := c.store.Job(t.Context(), made.ID)
		if err == nil && got.State == "endless" {
			t.Error("a state that is none was taken")
		}
		_, missing := c.store.LastProbe(t.Context(), alpha, "edge-2")
		return err == nil && missing == nil
	})
	eventually(t, "an event tells of the message that was refused", func() bool { return c.hasEvent(t, alpha, EventRefused) })
	b.status(again, wire.JobDone, nil)
	eventually(t, "the job is done", func() bool {
		got, err := c.store.Job(t.Context(), made.ID)
		return err == nil && got.State == wire.JobDone
	})
}

func (b *box) probed(j wire.Job, p wire.Probe) {
	b.t.Helper()
	b.signed(wire.KindJob, wire.JobStatus{V: wire.Version, ID: j.ID, Collector: b.id, Boot: b.boot,
		State: wire.JobRunning, Total: len(j.Devices), Probe: &p}, b.key)
}
