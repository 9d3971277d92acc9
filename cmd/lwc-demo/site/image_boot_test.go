package site

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lwc/image/boottest"
	"lwc/netguard/netguardtest"
)

// An appliance out of the box, from the first boot to stored facts: it waits for
// its lwc.toml with both ports down, says of each of thirty bad ones what is wrong,
// takes the good one, goes READY, collects, and answers nobody.
func TestImageBoot(t *testing.T) {
	ctx, a := newAppliance(t, Config{Devices: 50, Behind: 10})
	internal, external := a.listen()
	began := time.Now()
	a.switchOn()
	a.booted(ctx, waiting)
	t.Logf("it waits for its settings %v after it was switched on", time.Since(began).Round(time.Second))
	a.checkWatchdog(ctx)
	before := a.showsText(ctx, boottest.Picture{})
	a.refuses(ctx)
	a.knockAtClosedPorts()
	if n, err := netguardtest.Both(internal, external); n > 0 || err != nil {
		t.Errorf("%d frames came from an appliance without settings (%v)", n, err)
	}
	a.takesGoodFile(ctx, a.stick)
	a.showsText(ctx, before)
	collect(ctx, t, a.Site)
	checkStored(ctx, t, a.Site)
	a.checkMemory(ctx)
	a.checkConsole(ctx)
	a.checkClosed(ctx)
	a.checkNothingCrosses(ctx)
	a.forgets(ctx)
}

// checkWatchdog waits for the machine's watchdog to be armed, which its driver is loaded
// for after systemd first looks.
func (a *appliance) checkWatchdog(ctx context.Context) {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, wordTime)
	defer cancel()
	if err := a.vm.AwaitWatchdog(ctx); err != nil {
		a.t.Error(err)
	}
}

// textPixels are fewer than the screen of status has, and more than a cursor.
const textPixels = 3000

// showsText waits until the display shows text, and another picture than before.
func (a *appliance) showsText(ctx context.Context, before boottest.Picture) (now boottest.Picture) {
	a.t.Helper()
	err := a.cloud.waitFor(ctx, "text on the display", func() bool {
		var err error
		now, err = a.vm.Picture(ctx)
		must(a.t, err)
		return now.Lit() > textPixels && !bytes.Equal(now.RGB, before.RGB)
	})
	if err != nil {
		a.t.Errorf("the display shows %d pixels of text: %v", now.Lit(), err)
	}
	a.t.Logf("the display shows %d pixels of text", now.Lit())
	return now
}

// forgets has the cloud send the box back to nothing: it waits for a file as on the
// first day, and works again with a new one, which lasts over a restart.
func (a *appliance) forgets(ctx context.Context) {
	a.t.Helper()
	a.vm.Mark()
	_, err := a.Cloud(ctx, "factory-reset", "--yes", Collector)
	must(a.t, err)
	a.booted(ctx, waiting)
	a.takesGoodFile(ctx, a.seed)
	before, err := a.collector(ctx)
	must(a.t, err)
	must(a.t, a.vm.Reset(ctx))
	a.vm.Mark()
	a.booted(ctx, ready)
	must(a.t, a.waitCollector(ctx, "it to come back as who it was", func(c collectorState) bool {
		return c.Online && c.Boot != before.Boot
	}))
}

// knockAtClosedPorts asks for all that a port that is up answers: it would say
// something to each.
func (a *appliance) knockAtClosedPorts() {
	a.t.Helper()
	for _, w := range []netguardtest.Wire{a.internal, a.external} {
		at, err := w.Far.Sender(w.Port)
		must(a.t, err)
		defer at.Close()
		must(a.t, at.Send(netguardtest.ARPRequest(at.MAC, w.Far4.Addr(), w.Near4.Addr()),
			netguardtest.Solicitation(at.MAC, w.Far6.Addr(), w.Near6.Addr()),
			netguardtest.Echo(w.Far6.Addr(), w.Near6.Addr(), 1, []byte("anybody")).Frame(w.MAC, at.MAC),
			netguardtest.Echo(w.Far4.Addr(), w.Near4.Addr(), 1, []byte("anybody")).Frame(netguardtest.Broadcast(), at.MAC)))
	}
}

// stick is what lwc-cloud makes of an lwc.toml for a machine.
func (a *appliance) stick(ctx context.Context, file string) string {
	a.t.Helper()
	stick := filepath.Join(a.t.TempDir(), "stick.img")
	_, err := a.Cloud(ctx, "image", "volume", "--config", file, "--out", stick)
	must(a.t, err)
	return stick
}

// seed is what a cloud platform makes of it: a NoCloud volume whose user data it is.
func (a *appliance) seed(_ context.Context, file string) string {
	a.t.Helper()
	text, err := os.ReadFile(file)
	must(a.t, err)
	return boottest.MakeVolume(a.t, "CIDATA", map[string][]byte{"user-data": text, "meta-data": []byte("instance-id: lwc\n")})
}

// takesGoodFile puts a volume with a good lwc.toml in, and waits for the site to
// run. The token is gone from the volume afterwards.
func (a *appliance) takesGoodFile(ctx context.Context, volume func(context.Context, string) string) {
	a.t.Helper()
	file := a.siteFile(ctx)
	token := tokenOf(a.t, file)
	stick := volume(ctx, file)
	if len(contained(a.t, stick, []string{token})) != 1 {
		a.t.Fatal("the token is not on the stick: its end would show nothing")
	}
	a.vm.Mark()
	began := time.Now()
	a.vm.SwapVolume(ctx, boottest.Volume{ID: "stick", File: stick})
	a.goesReady(ctx)
	a.t.Logf("it is READY and has its configuration %v after the stick was put in", time.Since(began).Round(time.Second))
	must(a.t, a.cloud.waitFor(ctx, "the token to be overwritten", func() bool {
		return len(contained(a.t, stick, pieces(token, 12))) == 0
	}))
	a.vm.Detach(ctx, "stick")
	if len(contained(a.t, stick, []string{"lwce1_"})) > 0 || len(contained(a.t, stick, []string{`token = "used`})) != 1 {
		a.t.Error("the stick does not say that its token was used")
	}
	if found := contained(a.t, a.disk, pieces(token, 12)); len(found) > 0 {
		a.t.Errorf("the disk holds the used token: %q", found)
	}
}

// usedLimit bounds the memory that is used after the first run, in MiB.
const usedLimit = 256

// checkMemory asks the appliance's kernel, as free(1) counts: what is neither
// free nor can be made free.
func (a *appliance) checkMemory(ctx context.Context) {
	a.t.Helper()
	m, err := a.vm.Memory(ctx)
	must(a.t, err)
	a.t.Logf("after the run: total %d MiB, free %d, available %d", m.Total>>20, m.Free>>20, m.Available>>20)
	goal(a.t, "image-ram-used-after-50-devices-mib", float64((m.Total-m.Available)>>20), usedLimit)
}

// checkConsole proves that the screen says what an engineer wants to know, and that
// the keyboard does nothing.
func (a *appliance) checkConsole(ctx context.Context) {
	a.t.Helper()
	text := joined(a.vm.Console())
	for _, want := range []string{Collector, internalMAC, externalMAC} {
		if !strings.Contains(text, joined(want)) {
			a.t.Errorf("the console never showed %q", want)
		}
	}
	before, err := a.collector(ctx)
	must(a.t, err)
	shown := a.showsText(ctx, boottest.Picture{})
	a.vm.Mark()
	must(a.t, a.vm.Type("\r\nroot\r\n\x03\x04\x1a\x1c\x1b[A help\r"))
	for _, keys := range [][]string{{"ctrl", "alt", "delete"}, {"alt", "f2"}, {"alt", "sysrq", "b"}, {"ret"}} {
		var codes []map[string]string
		for _, k := range keys {
			codes = append(codes, map[string]string{"type": "qcode", "data": k})
		}
		_, err := a.vm.QMP(ctx, "send-key", map[string]any{"keys": codes})
		must(a.t, err)
	}
	collect(ctx, a.t, a.Site) // it goes on working meanwhile
	if now, err := a.vm.Picture(ctx); err != nil || now.Lit() < shown.Lit()/2 {
		a.t.Errorf("the keys took the screen away: %d pixels of text, before %d (%v)", now.Lit(), shown.Lit(), err)
	}
	if after, err := a.collector(ctx); err != nil || after.Boot != before.Boot {
		a.t.Errorf("keys restarted the collector: boot %s, then %s (%v)", before.Boot, after.Boot, err)
	}
	if strings.Contains(a.vm.Screen(), "help") || strings.Contains(strings.ToLower(a.vm.Screen()), "login:") {
		a.t.Errorf("the console answers keys:\n%s", a.vm.Screen())
	}
}

// checkClosed scans both ports, each from its own side.
func (a *appliance) checkClosed(ctx context.Context) {
	a.t.Helper()
	for name, w := range map[string]netguardtest.Wire{"Internal Port": a.internal, "External Port": a.external} {
		before := dropped(a.t, w)
		report, err := a.scan(ctx, w)
		must(a.t, err)
		a.t.Logf("%s: %s", name, report)
		if report.Answered > 0 {
			a.t.Errorf("%s answers: %s", name, report)
		}
		if n := dropped(a.t, w) - before; n > 0 {
			a.t.Errorf("%s: %d frames were dropped before the appliance saw them: the scan shows less than it should", name, n)
		}
	}
}

// dropped counts the frames that the link at the far end had no room for.
func dropped(t *testing.T, w netguardtest.Wire) uint64 {
	t.Helper()
	l, err := w.Far.Link(w.Port)
	must(t, err)
	return l.Attrs().Statistics.TxDropped
}

func (a *appliance) scan(ctx context.Context, w netguardtest.Wire) (report netguardtest.Report, err error) {
	for range scanTries {
		err = w.Far.Do(func() (err error) {
			report, err = netguardtest.Scan(ctx, w.Port, unused(w.Far4), w.Near4.Addr(), nil)
			return err
		})
		if !errors.Is(err, netguardtest.ErrDropped) {
			return report, err
		}
	}
	return report, err
}

// crossTime is how long an emulated machine may take to pass a frame on.
const crossTime = 3 * time.Second

// checkNothingCrosses attacks from both sides with all that a router lets through,
// and looks for it on the other side. The control is a machine of this kernel that
// forwards everything.
func (a *appliance) checkNothingCrosses(ctx context.Context) {
	a.t.Helper()
	open, err := netguardtest.NewOpenSite()
	must(a.t, err)
	defer open.Box.Close()
	defer open.Close()
	if n := volley(ctx, a.t, open.Internal, open.External, time.Second); n < 20 {
		a.t.Fatalf("control: only %d frames cross a box that forwards: the attack shows nothing", n)
	}
	if n := volley(ctx, a.t, a.internal, a.external, crossTime); n > 0 {
		a.t.Errorf("%d frames crossed the appliance", n)
	}
}

// volley attacks both ways and counts what arrives at the other side.
func volley(ctx context.Context, t *testing.T, a, b netguardtest.Wire, wait time.Duration) int {
	t.Helper()
	out, in := netguardtest.NewTally(netguardtest.Volley(a, b)), netguardtest.NewTally(netguardtest.Volley(b, a))
	atB, err := netguardtest.Sniff(b.Far, linkOf(b), out.Match)
	must(t, err)
	atA, err := netguardtest.Sniff(a.Far, linkOf(a), in.Match)
	must(t, err)
	for range 2 { // the first frame to an unknown neighbour waits for its answer
		for w, c := range map[*netguardtest.Wire]*netguardtest.Tally{&a: out, &b: in} {
			at, err := w.Far.Sender(linkOf(*w))
			must(t, err)
			for _, s := range c.Strikes {
				must(t, at.Send(s.Frames...))
			}
			at.Close()
		}
		_, err := atB.Settle(ctx, wait)
		must(t, err)
	}
	n, err := netguardtest.Both(atA, atB)
	must(t, err)
	return n
}

// linkOf is the name of the link at the far end of a wire: an appliance's wires
// name it, those of NewOpenSite name the port.
func linkOf(w netguardtest.Wire) string {
	if w.Port == deviceLink || w.Port == cloudLink {
		return w.Port
	}
	return netguardtest.FarLink
}

// malformedFiles is where the bad lwc.toml lie, each with the words that the box has
// to say of it beside it.
const malformedFiles = "../../../image/sitefile/testdata/malformed"

// leastMalformed is how many sorts of bad files there have to be.
const leastMalformed = 30

// refuses puts one stick after the other in, each with another bad lwc.toml, all in
// one boot.
func (a *appliance) refuses(ctx context.Context) {
	a.t.Helper()
	files, err := filepath.Glob(filepath.Join(malformedFiles, "[0-9]*.toml"))
	must(a.t, err)
	if len(files) < leastMalformed {
		a.t.Errorf("there are %d bad files to be tried, not %d", len(files), leastMalformed)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".toml")
		a.t.Run(name, func(t *testing.T) { a.refusesOne(ctx, t, file) })
	}
}

func (a *appliance) refusesOne(ctx context.Context, t *testing.T, file string) {
	text, err := os.ReadFile(file)
	must(t, err)
	said, err := os.ReadFile(strings.TrimSuffix(file, ".toml") + ".txt")
	must(t, err)
	var words []string
	for line := range bytes.Lines(said) {
		if w := strings.TrimSpace(string(line)); w != "" {
			words = append(words, w)
		}
	}
	if len(words) == 0 {
		t.Fatalf("nothing is to be said of %s", file)
	}
	stick := boottest.MakeVolume(a.t, "LWCCONF", map[string][]byte{"lwc.toml": text})
	a.vm.Mark()
	began := time.Now()
	a.vm.SwapVolume(ctx, boottest.Volume{ID: "stick", File: stick})
	state := "State SETTINGS REFUSED - both ports are down"
	if strings.Contains(file, "token-used") { // a box that forgot all waits for a file with another token
		state = "State WAITING FOR SETTINGS - both ports are down"
	}
	must(t, a.shows(ctx, append(words, state)...))
	t.Logf("told after %v", time.Since(began).Round(time.Second/10))
}
