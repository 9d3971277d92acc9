package site

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
	told       bool // the table of partitions or the boot loader's entries had changed
}

const (
	// cutsWanted is how many of them are booted: with the first try, which is cut off
	// for good, these are ten.
	cutsWanted = 9
	// cutStep is how much is written from one copy to the next, beside those that are
	// made when what a boot goes by has changed.
	cutStep = 24 << 20
)

// updatesWithCuts goes from 1 to 2. The first try is cut off for good while the root
// is written: the box comes back, is given the job again, and does it. Of that second
// try, up to the end of the new release's trial, there are copies of the disk.
func (a *appliance) updatesWithCuts(ctx context.Context, r *releases) []cut {
	a.t.Helper()
	old := a.version()
	ended := make(chan error, 1)
	start := a.bytesWritten(ctx)
	go func() {
		_, err := a.update(ctx, r.next.Version)
		ended <- err
	}()
	must(a.t, a.awaitWritten(ctx, start+cutStep))
	a.vm.Kill()
	a.t.Logf("power cut in the first try: %s", a.face())
	a.powerOn()
	cuts, err := a.cutsUntil(ctx, ended)
	if err != nil {
		a.t.Fatalf("updating from %s to %s: %v\n%s", old, r.next.Version, err, a.vm.Tail())
	}
	must(a.t, a.WaitOnline(ctx))
	a.runs(ctx, r.next.Version)
	must(a.t, a.shows(ctx, r.next.Version))
	return worthBooting(a.t, cuts)
}

// cutsUntil copies the disk whenever what a boot goes by has changed, and every now
// and then, until the update has ended.
func (a *appliance) cutsUntil(ctx context.Context, ended <-chan error) (cuts []cut, err error) {
	a.t.Helper()
	last, next := a.face(), a.bytesWritten(ctx)+cutStep
	for {
		select {
		case err := <-ended:
			return cuts, err
		case <-time.After(10 * time.Millisecond):
		}
		now, written := a.face(), a.bytesWritten(ctx)
		told := now != "" && now != last
		if !told && written < next {
			continue
		}
		cuts = append(cuts, a.copyDisk(ctx, fmt.Sprintf("%d MiB were written: %s", written>>20, cmp.Or(now, last)), told))
		next = written + cutStep
		if told {
			last = now
		}
	}
}

// face is what a boot goes by: the labels of the slots, and the boot loader's entries.
// It is empty while they are being written.
func (a *appliance) face() string {
	f, err := os.Open(a.disk)
	if err != nil {
		return ""
	}
	defer f.Close()
	parts, err := gpt.Read(f, boottest.DiskSize)
	if err != nil {
		return ""
	}
	var labels []string
	for _, p := range parts {
		if p.Type == gpt.RootX64 || p.Type == gpt.VerityX64 {
			labels = append(labels, p.Label)
		}
	}
	names, err := listEntries(a.disk, parts)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%q %q", labels, names)
}

// worthBooting picks nine of the copies: all at which something had changed, then others from
// all over the update.
func worthBooting(t *testing.T, cuts []cut) []cut {
	t.Helper()
	var keep, others []cut
	for _, c := range cuts {
		if c.told {
			keep = append(keep, c)
		} else {
			others = append(others, c)
		}
	}
	if len(cuts) < cutsWanted || len(keep) > cutsWanted {
		t.Logf("%d copies of the disk, at %d of them something had changed", len(cuts), len(keep))
	}
	for free := cutsWanted - len(keep); free > 0 && len(others) > 0; free-- {
		i := len(others) / 2
		keep, others = append(keep, others[i]), slices.Delete(others, i, i+1)
	}
	for _, c := range others {
		must(t, os.Remove(c.disk))
	}
	return keep
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

// awaitWritten waits until the machine has written so many bytes.
func (a *appliance) awaitWritten(ctx context.Context, bytes int64) error {
	for a.bytesWritten(ctx) < bytes {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-a.vm.Done():
			return boottest.ErrEnded
		case <-ctx.Done():
			return fmt.Errorf("waiting for %d bytes to be written: %w\n%s", bytes, ctx.Err(), a.vm.Tail())
		}
	}
	return nil
}

// copyDisk copies the disk of the machine while it stands still.
func (a *appliance) copyDisk(ctx context.Context, name string, told bool) cut {
	a.t.Helper()
	dir := a.t.TempDir()
	c := cut{name: name, disk: filepath.Join(dir, "disk.raw"), vars: filepath.Join(dir, "vars.fd"), told: told}
	_, err := a.vm.QMP(ctx, "stop", nil)
	must(a.t, err)
	copySparsely(a.t, c.disk, a.disk)
	copySparsely(a.t, c.vars, a.vars)
	_, err = a.vm.QMP(ctx, "cont", nil)
	must(a.t, err)
	a.t.Logf("copy of the disk when %s", name)
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
		for i, c := range cuts {
			t.Run(strconv.Itoa(i+1), func(t *testing.T) {
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
	if _, err := vm.Await(ctx, ready); err != nil {
		t.Fatalf("cut when %s: %v", c.name, err)
	}
	t.Logf("cut when %s; READY after %v", c.name, time.Since(began).Round(time.Second))
	vm.Kill()
	must(t, os.Remove(c.disk))
}

// entries are the names of the boot loader's entries on a disk.
func entries(t *testing.T, disk string) []string {
	t.Helper()
	names, err := listEntries(disk, partitions(t, disk))
	must(t, err)
	return names
}

func listEntries(disk string, parts []gpt.Partition) ([]string, error) {
	esp, ok := gpt.FindType(parts, gpt.ESP)
	if !ok {
		return nil, errors.New("the disk has no EFI system partition")
	}
	cmd := exec.Command("mdir", "-b", "-a", "-i", disk+"@@"+strconv.FormatInt(esp.Start, 10), "::/EFI/Linux")
	cmd.Env = append(os.Environ(), "MTOOLS_SKIP_CHECK=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("listing the boot loader's entries: %w: %s", err, out)
	}
	var names []string
	for line := range strings.Lines(string(out)) {
		if name := filepath.Base(strings.TrimSpace(line)); strings.HasSuffix(name, ".efi") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}
