package site

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"lwc/image/boottest"
	"lwc/image/gpt"
	"lwc/image/release"
)

// imageUpdateTime bounds the suite: seven starts of one machine, nine of others. It is
// many times what a quiet computer takes.
const imageUpdateTime = 55 * time.Minute

// TestImageUpdate takes an appliance through its updates: bad releases leave the disk
// as it is; 1 goes to 2, cut off from power at ten points, each of which boots;
// and a broken 3 goes back to 2 by itself.
func TestImageUpdate(t *testing.T) {
	_, a := newAppliance(t, Config{Devices: 2})
	ctx, cancel := context.WithTimeout(t.Context(), imageUpdateTime)
	defer cancel()
	r := newReleases(ctx, t)
	a.given(ctx)
	a.trusts(ctx, r.keys)
	_, err := a.Cloud(ctx, "update-policy", "--mode", "approval")
	must(t, err)
	a.powerOn()
	a.goesReady(ctx)
	must(t, a.shows(ctx, a.version()))
	a.refusesReleases(ctx, r)
	cuts := a.updatesWithCuts(ctx, r)
	a.rollsBack(ctx, r)
	a.vm.Kill()
	bootAll(ctx, t, cuts)
}

// given puts the site's lwc.toml into the image's own partition for it, as before
// flashing.
func (a *appliance) given(ctx context.Context) {
	a.t.Helper()
	_, err := a.Cloud(ctx, "image", "prepare", "--config", a.siteFile(ctx), a.disk)
	must(a.t, err)
}

// powerOn is switchOn for a machine that lives through the whole suite.
func (a *appliance) powerOn() {
	a.t.Helper()
	a.vm = boottest.Start(a.t, boottest.Machine{Disk: a.disk, Vars: a.vars, NICs: a.nics, Timeout: imageUpdateTime})
}

// version is the one of the image under test.
func (a *appliance) version() string {
	a.t.Helper()
	for _, p := range partitions(a.t, a.disk) {
		if v, ok := strings.CutPrefix(p.Label, "lwc_"); ok && p.Type == gpt.RootX64 {
			return v
		}
	}
	a.t.Fatal("the disk holds no root")
	return ""
}

func partitions(t *testing.T, disk string) []gpt.Partition {
	t.Helper()
	f, err := os.Open(disk)
	must(t, err)
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	must(t, err)
	parts, err := gpt.Read(f, size)
	must(t, err)
	return parts
}

// written is what an update writes to: the table of partitions, the slots, and the boot
// loader's entries.
func (a *appliance) written() map[string]string {
	a.t.Helper()
	f, err := os.Open(a.disk)
	must(a.t, err)
	defer f.Close()
	sums := map[string]string{}
	for i, p := range partitions(a.t, a.disk) {
		sums[fmt.Sprintf("entry %d", i)] = fmt.Sprintf("%+v", p)
		if p.Type == gpt.RootX64 || p.Type == gpt.VerityX64 {
			sum := sha256.New()
			_, err := io.Copy(sum, io.NewSectionReader(f, p.Start, p.Size))
			must(a.t, err)
			sums[fmt.Sprintf("slot %d", i)] = hex.EncodeToString(sum.Sum(nil))
		}
	}
	sums["boot loader"] = strings.Join(a.kernels(), " ")
	return sums
}

// kernels are the names of the boot loader's entries.
func (a *appliance) kernels() []string {
	a.t.Helper()
	return entries(a.t, a.disk)
}

// refusal is a release that must not get onto the disk, and the word that says why.
type refusal struct {
	name, version string
	why           *regexp.Regexp
	spoil         func() (mend func())
}

// refusesReleases offers bad bundles to the cloud, and then to the box what a cloud
// that somebody broke into could: the box says why, and nothing on its disk changes.
func (a *appliance) refusesReleases(ctx context.Context, r *releases) {
	a.t.Helper()
	before := a.written()
	for name, file := range map[string]string{
		"tampered": r.damaged(r.next, flipMiddle), "truncated": r.damaged(r.next, cutOff), "unsigned": r.unsigned.file,
	} {
		if _, err := a.Cloud(ctx, "release", "add", file); err == nil {
			a.t.Errorf("the cloud published a release that is %s", name)
		} else {
			a.t.Logf("%s: %v", name, err)
		}
	}
	a.publishes(ctx, r.next)
	a.publishes(ctx, r.older)
	a.trusts(ctx, r.stranger)
	a.publishes(ctx, r.unsigned)
	for _, c := range []refusal{
		{"older", r.older.Version, regexp.MustCompile(`no box goes back`), nil},
		{"older under another name", r.next.Version, regexp.MustCompile(`is of ` + regexp.QuoteMeta(r.older.Version)), a.swaps(r.next, r.older)},
		{"unsigned", r.unsigned.Version, regexp.MustCompile(`not signed by a key that is trusted`), nil},
		{"tampered", r.next.Version, regexp.MustCompile(`SHA-256|another hash|not the file of the release`), a.spoils(r.next, flipMiddle)},
		{"truncated", r.next.Version, regexp.MustCompile(`bytes|not the file of the release|ends after`), a.spoils(r.next, cutOff)},
	} {
		a.offers(ctx, c)
		if after := a.written(); !maps.Equal(before, after) {
			a.t.Fatalf("%s: the disk was written to:\n%v\n%v", c.name, before, after)
		}
	}
}

func (a *appliance) offers(ctx context.Context, c refusal) {
	a.t.Helper()
	if c.spoil != nil {
		defer c.spoil()()
	}
	words, err := a.update(ctx, c.version)
	var exit *ExitError
	if !errors.As(err, &exit) || !c.why.MatchString(words) {
		a.t.Errorf("%s: the box did not say why it refuses (%s): %v\n%s", c.name, c.why, err, words)
	}
}

// spoils changes the root of a release where the cloud keeps it.
func (a *appliance) spoils(b bundle, change func([]byte) []byte) func() func() {
	return func() func() {
		file, err := a.shelved(b.File(release.Root).PackedName, b.Version)
		must(a.t, err)
		good, err := os.ReadFile(file)
		must(a.t, err)
		must(a.t, os.WriteFile(file, change(slices.Clone(good)), 0o600))
		return func() { must(a.t, os.WriteFile(file, good, 0o600)) }
	}
}

// swaps has the cloud give out the manifest of another release, signed as well as its own.
func (a *appliance) swaps(b, other bundle) func() func() {
	return func() func() {
		file, err := a.shelved(release.ManifestName, b.Version)
		must(a.t, err)
		good, err := os.ReadFile(file)
		must(a.t, err)
		from, err := a.shelved(release.ManifestName, other.Version)
		must(a.t, err)
		text, err := os.ReadFile(from)
		must(a.t, err)
		must(a.t, os.WriteFile(file, text, 0o600))
		return func() { must(a.t, os.WriteFile(file, good, 0o600)) }
	}
}

// rollsBack offers a release whose lwcd ends at once. The box tries it, and comes back
// by itself with the release before it; the cloud learns why.
func (a *appliance) rollsBack(ctx context.Context, r *releases) {
	a.t.Helper()
	a.publishes(ctx, r.broken)
	a.vm.Mark()
	began := time.Now()
	words, err := a.update(ctx, r.broken.Version)
	var exit *ExitError
	if !errors.As(err, &exit) || !strings.Contains(words, "rolled back to "+r.next.Version) {
		a.t.Fatalf("the broken release was not reported: %v\n%s\n%s", err, words, a.vm.Tail())
	}
	a.t.Logf("broken %s, and %s again after %v", r.broken.Version, r.next.Version, time.Since(began).Round(time.Second))
	must(a.t, a.WaitOnline(ctx))
	a.runs(ctx, r.next.Version)
}

// runs proves that the box runs a release for good.
func (a *appliance) runs(ctx context.Context, version string) {
	a.t.Helper()
	out, err := a.Cloud(ctx, "updates")
	must(a.t, err)
	if !regexp.MustCompile(regexp.QuoteMeta(Collector) + `\s+` + regexp.QuoteMeta(version) + `\b`).MatchString(out) {
		a.t.Errorf("the cloud does not say that %s runs %s:\n%s", Collector, version, out)
	}
	if want := "lwc_" + version + ".efi"; !slices.Contains(a.kernels(), want) {
		a.t.Errorf("the boot loader has no %s that was found good: %q", want, a.kernels())
	}
}
