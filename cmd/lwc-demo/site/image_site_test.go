package site

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"lwc/image/boottest"
	"lwc/netguard/netguardtest"
)

// The hardware addresses of the appliance's two ports.
const (
	internalMAC = "52:54:00:11:00:01"
	externalMAC = "52:54:00:22:00:01"
)

// Time limits of an appliance on an emulated machine that is busy with other work
// too; each is many times what it takes.
const (
	imageTime = 25 * time.Minute // one suite
	bootTime  = 6 * time.Minute
	wordTime  = 2 * time.Minute // until the console shows what was done
)

// The words of the console that an engineer looks for.
var (
	waiting = regexp.MustCompile(`State +WAITING`)
	ready   = regexp.MustCompile(`State +READY`)
)

// appliance is a site whose collector is a machine with the image under test.
type appliance struct {
	*Site
	t    *testing.T
	disk string
	vars string
	vm   *boottest.VM
	// internal and external are the wires at the two ports: the far host of each is
	// the site's, or the cloud's.
	internal, external netguardtest.Wire
	nics               []boottest.NIC
}

// newAppliance makes a site with its cloud and its devices and an appliance that is
// switched off. It is skipped where there is no image to be tested.
func newAppliance(t *testing.T, cfg Config) (context.Context, *appliance) {
	t.Helper()
	image := boottest.Image(t)
	ctx, cancel := context.WithTimeout(t.Context(), imageTime)
	t.Cleanup(cancel)
	cfg.Bin, cfg.Dir, cfg.Appliance = binaries(t), t.TempDir(), true
	s, err := New(cfg)
	must(t, err)
	t.Cleanup(func() { s.finish(t) })
	a := &appliance{Site: s, t: t, disk: boottest.NewDisk(t, image), vars: filepath.Join(t.TempDir(), "vars.fd")}
	firmware, err := os.ReadFile(boottest.EmptyVars)
	must(t, err)
	must(t, os.WriteFile(a.vars, firmware, 0o600))
	a.internal = a.cable("site", deviceLink, internalMAC, collectorInt, siteAddr+"/16")
	a.external = a.cable("cloud", cloudLink, externalMAC, collectorExt, cloudAddr+"/24")
	must(t, s.StartCloud(ctx))
	must(t, s.StartDevices(ctx))
	return ctx, a
}

// cable makes the far end of a port's cable, in a namespace of the site.
func (a *appliance) cable(namespace, link, mac, near, far string) netguardtest.Wire {
	a.t.Helper()
	host, err := netguardtest.OpenHost(filepath.Join(namespaceDir, namespace))
	must(a.t, err)
	a.t.Cleanup(host.Close)
	nic := boottest.NIC{MAC: mac, In: host, Link: link}
	must(a.t, nic.MakeLink())
	a.nics = append(a.nics, nic)
	w := netguardtest.Wire{Port: link, Far: host, Near4: netip.MustParsePrefix(near), Far4: netip.MustParsePrefix(far)}
	w.MAC, err = net.ParseMAC(mac)
	must(a.t, err)
	// The appliance has no addresses of IPv6 but the link's own, which follows from its
	// hardware address; what is sent to others has to be lost in it.
	w.Near6 = netip.PrefixFrom(linkLocal(w.MAC), 64)
	l, err := host.Link(link)
	must(a.t, err)
	w.FarMAC = l.Attrs().HardwareAddr
	w.Far6 = netip.PrefixFrom(linkLocal(w.FarMAC), 64)
	// The machine takes frames more slowly than a scan sends them: none may be dropped.
	const allProbes = 1 << 19
	must(a.t, host.Netlink().LinkSetTxQLen(l, allProbes))
	must(a.t, host.Address(link, w.Far4))
	return w
}

// linkLocal is the address that the kernel makes of a hardware address (RFC 4291
// appendix A).
func linkLocal(mac net.HardwareAddr) netip.Addr {
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: mac[0] ^ 2, 9: mac[1], 10: mac[2], 11: 0xff, 12: 0xfe, 13: mac[3], 14: mac[4], 15: mac[5]})
}

// switchOn boots the appliance from its disk.
func (a *appliance) switchOn() {
	a.t.Helper()
	a.switchOnAs(boottest.Machine{})
}

// switchOnAs boots it on a machine that is another than usual.
func (a *appliance) switchOnAs(m boottest.Machine) {
	a.t.Helper()
	m.Disk, m.Vars, m.NICs, m.Timeout = a.disk, a.vars, a.nics, imageTime
	a.vm = boottest.Start(a.t, m)
}

// booted waits for words of the console that need a boot first.
func (a *appliance) booted(ctx context.Context, words *regexp.Regexp) {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, bootTime)
	defer cancel()
	a.vm.WaitFor(ctx, words)
}

// siteFile has the cloud make the lwc.toml of the site, with a new token.
func (a *appliance) siteFile(ctx context.Context) string {
	a.t.Helper()
	file := filepath.Join(a.t.TempDir(), "lwc.toml")
	_, err := a.Cloud(ctx, "enrol-token", "--collector", Collector, "--file", file,
		"--internal-mac", internalMAC, "--internal-address", collectorInt, "--internal-route", devicePrefix+" via "+siteAddr,
		"--external-mac", externalMAC, "--external-address", collectorExt)
	must(a.t, err)
	return file
}

// tokenOf is the token of an lwc.toml.
func tokenOf(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	must(t, err)
	found := regexp.MustCompile(`(?m)^token *= *["'](\S+)["']`).FindSubmatch(b)
	if found == nil {
		t.Fatalf("%s holds no token: %s", file, b)
	}
	return string(found[1])
}

// goesReady waits until the console says that the ports are enforced, then until the
// cloud has the collector with its fleet.
func (a *appliance) goesReady(ctx context.Context) {
	a.t.Helper()
	booting, cancel := context.WithTimeout(ctx, bootTime)
	defer cancel()
	a.vm.WaitFor(booting, ready)
	must(a.t, a.WaitOnline(booting))
	file, err := a.FleetFile()
	must(a.t, err)
	_, err = a.Cloud(booting, "apply", "-f", file)
	must(a.t, err)
	must(a.t, a.WaitApplied(booting))
}

// shows waits until the console, since the last mark, shows all of the words. The
// screen breaks lines where they are full, so that white space does not count.
func (a *appliance) shows(ctx context.Context, words ...string) error {
	ctx, cancel := context.WithTimeout(ctx, wordTime)
	defer cancel()
	err := a.vm.Until(ctx, fmt.Sprintf("the console shows %q", words), func(text string) bool {
		text = joined(text)
		for _, w := range words {
			if !strings.Contains(text, joined(w)) {
				return false
			}
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("%w\n%s", err, a.vm.Tail())
	}
	return nil
}

// advice begins the line that says what to do about a problem.
var advice = regexp.MustCompile(`(?m)^\s*do: `)

// joined takes out what the screen lays words out with: white space, and the colons
// between the parts of a problem.
func joined(text string) string {
	text = advice.ReplaceAllString(text, "")
	return strings.ReplaceAll(strings.Join(strings.Fields(text), ""), ":", "")
}

// listen counts what the appliance sends at both ports, until the test ends.
func (a *appliance) listen() (internal, external *netguardtest.Sniffer) {
	a.t.Helper()
	from := func(w netguardtest.Wire) *netguardtest.Sniffer {
		s, err := netguardtest.Sniff(w.Far, w.Port, func(frame []byte) bool {
			return len(frame) > 12 && string(frame[6:12]) == string(w.MAC)
		})
		must(a.t, err)
		return s
	}
	return from(a.internal), from(a.external)
}
