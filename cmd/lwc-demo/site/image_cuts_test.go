package site

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"lwc/image/boottest"
	"lwc/image/gpt"
	"lwc/netguard/netguardtest"
)

// A cut is the disk as it is when the power goes at one point of an update. The machine
// stands still while it is copied: what it has written is in the file, what it only had
// in its memory is not, as if it had been killed.
type cut struct {
	name       string
	disk, vars string
}

// cutPoints are ten points of an update, by how much of it has been written, in MiB
// since the job began; what is written last is small, and the order matters: so half of
// them are at the end. At the last ones the new release is on its trial.
func cutPoints(total int64) []int64 {
	return []int64{1, 8, total / 3, total * 2 / 3, total - 60, total - 40, total - 24, total - 8, total - 2}
}

// updatesWithCuts goes from 1 to 2. The first try is cut off for good while the root
// is written: the box comes back, is given the job again, and does it. Of that second
// try there are copies of the disk.
func (a *appliance) updatesWithCuts(ctx context.Context, r *releases) []cut {
	a.t.Helper()
	old := a.version()
	var total int64
	for _, f := range r.next.Files {
		total += f.Size >> 20
	}
	ended := make(chan error, 1)
	go func() {
		_, err := a.update(ctx, r.next.Version)
		ended <- err
	}()
	must(a.t, a.awaitWritten(ctx, a.bytesWritten(ctx), total/2))
	a.vm.Kill()
	a.powerOn()
	start := a.bytesWritten(ctx)
	var cuts []cut
	for i, point := range cutPoints(total) {
		if err := a.awaitWritten(ctx, start, point); err != nil {
			a.t.Fatalf("cut %d: %v", i, err)
		}
		cuts = append(cuts, a.copyDisk(ctx, fmt.Sprintf("%d of %d MiB written", point, total)))
	}
	a.vm.Mark()
	a.vm.WaitFor(ctx, regexp.MustCompile(`BdsDxe: starting`))
	cuts = append(cuts, a.copyDisk(ctx, "the new release was started once"))
	if err := <-ended; err != nil {
		a.t.Fatalf("updating from %s to %s: %v\n%s", old, r.next.Version, err, a.vm.Tail())
	}
	must(a.t, a.WaitOnline(ctx))
	a.runs(ctx, r.next.Version)
	must(a.t, a.shows(ctx, r.next.Version))
	return cuts
}

// bytesWritten is how much the machine wrote to its disk since it was switched on.
func (a *appliance) bytesWritten(ctx context.Context) int64 {
	a.t.Helper()
	raw, err := a.vm.QMP(ctx, "query-blockstats", nil)
	must(a.t, err)
	var all []struct {
		Device string `json:"device"`
		Stats  struct {
			Bytes int64 `json:"wr_bytes"`
		} `json:"stats"`
	}
	must(a.t, json.Unmarshal(raw, &all))
	for _, d := range all {
		if d.Device == "disk" {
			return d.Stats.Bytes
		}
	}
	a.t.Fatalf("the machine has no disk: %s", raw)
	return 0
}

// awaitWritten waits until the machine wrote so many MiB more.
func (a *appliance) awaitWritten(ctx context.Context, since, mib int64) error {
	for a.bytesWritten(ctx) < since+mib<<20 {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-a.vm.Done():
			return boottest.ErrEnded
		case <-ctx.Done():
			return fmt.Errorf("waiting for %d MiB to be written: %w\n%s", mib, ctx.Err(), a.vm.Tail())
		}
	}
	return nil
}

// copyDisk copies the disk of the machine while it stands still.
func (a *appliance) copyDisk(ctx context.Context, name string) cut {
	a.t.Helper()
	dir := a.t.TempDir()
	c := cut{name: name, disk: filepath.Join(dir, "disk.raw"), vars: filepath.Join(dir, "vars.fd")}
	_, err := a.vm.QMP(ctx, "stop", nil)
	must(a.t, err)
	copySparsely(a.t, c.disk, a.disk)
	copySparsely(a.t, c.vars, a.vars)
	_, err = a.vm.QMP(ctx, "cont", nil)
	must(a.t, err)
	a.t.Logf("cut: %s: %q", name, entries(a.t, c.disk))
	return c
}

func copySparsely(t *testing.T, to, from string) {
	t.Helper()
	out, err := exec.Command("cp", "--sparse=always", from, to).CombinedOutput()
	if err != nil {
		t.Fatalf("copying %s: %v: %s", from, err, out)
	}
}

// bootAll boots every copy, as many at a time as there are processors, each with
// cables that lead nowhere: the ports can be enforced without anybody there.
func bootAll(ctx context.Context, t *testing.T, cuts []cut) {
	t.Helper()
	t.Run("power cuts", func(t *testing.T) {
		for _, c := range cuts {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				c.boots(ctx, t)
			})
		}
	})
}

// boots waits for READY, by whichever of the two releases.
func (c cut) boots(ctx context.Context, t *testing.T) {
	host, err := netguardtest.NewHost()
	must(t, err)
	defer host.Close()
	ctx, cancel := context.WithTimeout(ctx, bootTime)
	defer cancel()
	began := time.Now()
	vm := boottest.Start(t, boottest.Machine{Disk: c.disk, Vars: c.vars, NICs: []boottest.NIC{
		{MAC: internalMAC, In: host, Link: "in0"}, {MAC: externalMAC, In: host, Link: "out0"}}})
	vm.WaitFor(ctx, ready)
	t.Logf("READY after %v", time.Since(began).Round(time.Second))
	vm.Kill()
	must(t, os.Remove(c.disk))
}

// entries are the names of the boot loader's entries on a disk.
func entries(t *testing.T, disk string) []string {
	t.Helper()
	esp, ok := gpt.FindType(partitions(t, disk), gpt.ESP)
	if !ok {
		t.Fatal("the disk has no EFI system partition")
	}
	cmd := exec.Command("mdir", "-b", "-i", disk+"@@"+strconv.FormatInt(esp.Start, 10), "::/EFI/Linux")
	cmd.Env = append(os.Environ(), "MTOOLS_SKIP_CHECK=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("listing the boot loader's entries: %v: %s", err, out)
	}
	var names []string
	for line := range strings.Lines(string(out)) {
		names = append(names, filepath.Base(strings.TrimSpace(line)))
	}
	slices.Sort(names)
	return names
}
