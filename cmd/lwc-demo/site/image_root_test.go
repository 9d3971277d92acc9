package site

import (
	"context"
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"lwc/image/gpt"
)

// tries is how often the boot loader starts a new release that never proves itself
// (TriesLeft= of 20-uki.transfer).
const tries = 3

// verityPanic is what the kernel says of a root that is not the one that was signed.
var verityPanic = regexp.MustCompile(`Kernel panic - not syncing: dm-verity device corrupted`)

// A release is installed, and its root spoilt on the disk before the machine starts it,
// as by a disk that loses what was written: the box tries it, comes back by itself with
// the release before it, and the cloud learns of it.
func TestImageBrokenRoot(t *testing.T) {
	ctx, a := newAppliance(t, Config{Devices: 2})
	r := &releases{t: t, keys: variable(t, keysVariable)}
	r.next = r.made(ctx, variable(t, nextVariable))
	a.given(ctx)
	a.trusts(ctx, r.keys)
	_, err := a.Cloud(ctx, "update-policy", "--mode", "approval")
	must(t, err)
	a.switchOn()
	a.goesReady(ctx)
	old := a.version()
	a.publishes(ctx, r.next)
	told := a.installs(ctx, r.next.Version)
	a.spoilRoot(r.next.Version)
	began := time.Now()
	a.switchOn()
	a.booted(ctx, ready)
	t.Logf("%s runs again after %v", old, time.Since(began).Round(time.Second))
	if n := len(verityPanic.FindAllString(a.vm.Console(), -1)); n != tries {
		t.Errorf("the kernel died of the root %d times, not %d", n, tries)
	}
	must(t, a.WaitOnline(ctx))
	a.toldRolledBack(<-told, old)
	a.runs(ctx, old)
	if want := "lwc_" + r.next.Version + "+0-3.efi"; !slices.Contains(a.kernels(), want) {
		t.Errorf("the boot loader has no %s that was tried: %q", want, a.kernels())
	}
}

// result is how an update ended.
type result struct {
	words string
	err   error
}

// installs begins an update, and returns when the machine would start it: it is off then.
func (a *appliance) installs(ctx context.Context, version string) <-chan result {
	a.t.Helper()
	_, err := a.vm.QMP(ctx, "set-action", map[string]any{"reboot": "shutdown"})
	must(a.t, err)
	told := make(chan result, 1)
	go func() {
		words, err := a.update(ctx, version)
		told <- result{words, err}
	}()
	select {
	case <-a.vm.Done():
	case r := <-told:
		a.t.Fatalf("the release was not installed: %v\n%s\n%s", r.err, r.words, a.vm.Tail())
	}
	if want := "lwc_" + version + "+3-0.efi"; !slices.Contains(a.kernels(), want) {
		a.t.Fatalf("the boot loader has no %s to try: %q", want, a.kernels())
	}
	return told
}

// spoilRoot changes a bit of each MiB of a release's root.
func (a *appliance) spoilRoot(version string) {
	a.t.Helper()
	parts := partitions(a.t, a.disk)
	i := slices.IndexFunc(parts, func(p gpt.Partition) bool { return p.Type == gpt.RootX64 && p.Label == "lwc_"+version })
	if i < 0 {
		a.t.Fatalf("the disk has no root of %s", version)
	}
	f, err := os.OpenFile(a.disk, os.O_RDWR, 0)
	must(a.t, err)
	defer f.Close()
	b := make([]byte, 1)
	for at := parts[i].Start + 4096; at < parts[i].Start+parts[i].Size; at += 1 << 20 {
		_, err := f.ReadAt(b, at)
		must(a.t, err)
		b[0] ^= 1
		_, err = f.WriteAt(b, at)
		must(a.t, err)
	}
}

// toldRolledBack proves that the cloud knows how the update ended, and why.
func (a *appliance) toldRolledBack(r result, old string) {
	a.t.Helper()
	var exit *ExitError
	if want := "rolled back to " + old; !errors.As(r.err, &exit) || !strings.Contains(r.words, want) {
		a.t.Errorf("the cloud was not told %q: %v\n%s", want, r.err, r.words)
	}
	if want := "never came as far as its own check"; !strings.Contains(r.words, want) {
		a.t.Errorf("the cloud was not told that the release %s: %s", want, r.words)
	}
}
