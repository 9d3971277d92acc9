package site

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"lwc/image/boottest"
	"lwc/image/gpt"
	"lwc/transport/wire"
)

// The power goes in the middle of a run of an appliance that knows secrets and
// facts. Nothing of them is on its disk, nor in the variables of its firmware; it boots
// again by itself, with a clock that stands where it never was, and the run ends as if
// nothing had been. The machine is one with real cards and a SATA disk.
func TestImagePowerCut(t *testing.T) {
	canary := "Kanarienvogel-" + wire.NewID()
	ctx, a := newAppliance(t, Config{Devices: 24, Behind: 6, Canary: canary, Latency: "150ms"})
	file := a.siteFile(ctx)
	token := tokenOf(t, file)
	_, err := a.Cloud(ctx, "image", "prepare", "--config", file, a.disk)
	must(t, err)
	if len(contained(t, a.disk, []string{token})) != 1 {
		t.Fatal("the token is not in the image: the search would show nothing")
	}
	for i := range a.nics {
		a.nics[i].Model = "e1000e"
	}
	a.switchOnAs(boottest.Machine{Bus: boottest.SATA})
	a.goesReady(ctx)
	_, err = a.Cloud(ctx, "collect", "--collector", Collector)
	must(t, err)
	want := len(Items()) * 24
	must(t, a.cloud.waitFor(ctx, "part of the run to be stored", func() bool { return len(stored(ctx, t, a.Site)) > want/4 }))
	a.holdsInMemory(ctx, canary)
	a.vm.Kill()
	if n := len(stored(ctx, t, a.Site)); n >= want {
		t.Fatalf("all %d documents were stored before the cut: the test shows nothing", n)
	}
	a.searchDiskImage(append(encoded(canary), pieces(token, 12)...))
	a.vm = nil
	began := time.Now()
	a.switchOnAs(boottest.Machine{Bus: boottest.SATA, Clock: "2001-01-01T00:00:00"})
	a.goesReady(ctx)
	t.Logf("it works again %v after the power came back", time.Since(began).Round(time.Second))
	must(t, a.cloud.waitFor(ctx, "the run to be complete", func() bool {
		all := runs(ctx, t, a.Site)
		return len(all) == 1 && all[0].State == "complete"
	}))
	checkStored(ctx, t, a.Site)
	a.vm.Kill()
	a.searchDiskImage(append(encoded(canary), pieces(token, 12)...))
}

// holdsInMemory is the control: what is looked for on the disk is in the memory of
// the machine.
func (a *appliance) holdsInMemory(ctx context.Context, canary string) {
	a.t.Helper()
	dump := filepath.Join(a.t.TempDir(), "memory")
	must(a.t, a.vm.Dump(ctx, dump))
	defer os.Remove(dump)
	if found := contained(a.t, dump, []string{canary, canary + "-device"}); len(found) != 2 {
		a.t.Fatalf("the memory of the machine holds %q: the search shows nothing", found)
	}
}

// searchDiskImage looks at every byte of the disk and of the firmware's variables for
// the texts, and where the appliance writes also for documents in the forms that they
// have on their way out. The control: its settings are there.
func (a *appliance) searchDiskImage(texts []string) {
	a.t.Helper()
	found := contained(a.t, a.disk, append(slices.Clone(texts), internalMAC))
	if !slices.Contains(found, internalMAC) {
		a.t.Error("the settings are not on the disk: the search shows nothing")
	}
	found = slices.DeleteFunc(found, func(s string) bool { return s == internalMAC })
	if len(found) > 0 {
		a.t.Errorf("the disk holds %q", found)
	}
	if found := contained(a.t, a.vars, texts); len(found) > 0 {
		a.t.Errorf("the firmware's variables hold %q", found)
	}
	inv, err := a.Inventory()
	must(a.t, err)
	first := inv.Devices[0]
	state := a.partition("lwc-state")
	own := append(slices.Clone(texts), first.Address, first.HostKey, first.Name, frameMagic, zstdMagic)
	if found := contained(a.t, state, own); len(found) > 0 {
		a.t.Errorf("the state partition holds %q", found)
	}
	if len(contained(a.t, state, []string{internalMAC})) != 1 {
		a.t.Error("the settings are not in the state partition")
	}
}

// partition copies a partition of the disk into a file of its own.
func (a *appliance) partition(label string) string {
	a.t.Helper()
	disk, err := os.Open(a.disk)
	must(a.t, err)
	defer disk.Close()
	parts, err := gpt.Read(disk, boottest.DiskSize)
	must(a.t, err)
	p, ok := gpt.Find(parts, label)
	if !ok {
		a.t.Fatalf("the disk has no partition %q, but %+v", label, parts)
	}
	file := filepath.Join(a.t.TempDir(), label)
	out, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	must(a.t, err)
	_, err = io.Copy(out, io.NewSectionReader(disk, p.Start, p.Size))
	must(a.t, err)
	must(a.t, out.Close())
	return file
}
