package site

import (
	"context"
	"encoding/json"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"lwc/image/boottest"
	"lwc/transport/wire"
)

// imageTPMTime bounds the suite: three starts.
const imageTPMTime = 20 * time.Minute

// withheld is what the console says of an identity whose key is in a TPM elsewhere.
var withheld = regexp.MustCompile(`State +READY - ports open, the identity cannot be used`)

// TestImageTPM enrols an appliance that has a TPM. A copy of its disk in another
// machine, with another TPM and with none, is nobody; the disk in its own machine is
// the collector that it was, without a token.
func TestImageTPM(t *testing.T) {
	_, a := newAppliance(t, Config{Devices: 2})
	ctx, cancel := context.WithTimeout(t.Context(), imageTPMTime)
	defer cancel()
	own := filepath.Join(t.TempDir(), "tpm")
	a.given(ctx)
	a.powerOnWith(own)
	a.goesReady(ctx)
	first := a.box(ctx)
	if first.Identity != "tpm" {
		t.Fatalf("the key of a machine with a TPM is in %q", first.Identity)
	}
	must(t, a.shows(ctx, "key in the TPM"))
	a.vm.Kill()
	stolen := filepath.Join(t.TempDir(), "stolen.raw")
	copySparsely(t, stolen, a.disk)

	for name, tpm := range map[string]string{"another TPM": filepath.Join(t.TempDir(), "tpm"), "no TPM": ""} {
		t.Run(name, func(t *testing.T) { a.isNobody(ctx, t, stolen, tpm) })
	}
	before, err := a.collector(ctx)
	must(t, err)
	if before.Online {
		t.Error("the copy is online")
	}

	a.powerOnWith(own)
	booting, cancel := context.WithTimeout(ctx, bootTime)
	defer cancel()
	a.vm.WaitFor(booting, ready)
	must(t, a.waitCollector(booting, "the collector to be back", func(c collectorState) bool {
		return c.Online && c.Boot != before.Boot
	}))
	if again := a.box(ctx); again.Identity != "tpm" || again.Hardware != first.Hardware {
		t.Errorf("the box was %+v and is %+v", first, again)
	}
}

func (a *appliance) powerOnWith(tpm string) {
	a.t.Helper()
	a.vm = boottest.Start(a.t, boottest.Machine{Disk: a.disk, Vars: a.vars, NICs: a.nics, TPM: tpm})
}

// box is what the collector says of its machine.
func (a *appliance) box(ctx context.Context) wire.Box {
	a.t.Helper()
	out, err := a.Cloud(ctx, "collectors", "--json")
	must(a.t, err)
	var all []struct {
		ID  string   `json:"id"`
		Box wire.Box `json:"box"`
	}
	must(a.t, json.Unmarshal([]byte(out), &all))
	for _, c := range all {
		if c.ID == Collector {
			return c.Box
		}
	}
	a.t.Fatalf("the cloud does not know %s", Collector)
	return wire.Box{}
}

// isNobody boots a copy of the disk in another machine with the cables of the box, and
// sees that it says why it cannot connect, and does not.
func (a *appliance) isNobody(ctx context.Context, t *testing.T, disk, tpm string) {
	ctx, cancel := context.WithTimeout(ctx, bootTime)
	defer cancel()
	own := filepath.Join(t.TempDir(), "disk.raw")
	copySparsely(t, own, disk)
	vm := boottest.Start(t, boottest.Machine{Disk: own, NICs: a.nics, TPM: tpm})
	vm.WaitFor(ctx, withheld)
	if c, err := a.collector(ctx); err != nil || c.Online {
		t.Errorf("the copy is online: %+v, %v", c, err)
	}
	vm.Kill()
}
