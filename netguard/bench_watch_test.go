package netguard

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// BenchmarkVerify measures one look at everything.
func BenchmarkVerify(b *testing.B) {
	g := newSite(b).up(b)
	for b.Loop() {
		report, err := g.Verify(b.Context())
		must(b, err)
		must(b, report.Err())
	}
}

// BenchmarkFix measures what passes between a change in the kernel and its
// undoing, by kind of change.
func BenchmarkFix(b *testing.B) {
	for name, change := range changes() {
		b.Run(name, func(b *testing.B) { benchmarkFix(b, change) })
	}
}

// change is something done to a port that is reverted. It has a netlink socket of
// its own, so as not to stand in the guard's way.
type change struct {
	do     func(*member, *netlink.Handle) error
	undone func(*member, *netlink.Handle) bool
}

func changes() map[string]change {
	foreign := &netlink.Route{Dst: ipNet(prefixes("203.0.113.0/24")[0]), Table: unix.RT_TABLE_MAIN, Scope: netlink.SCOPE_LINK}
	address := &netlink.Addr{IPNet: ipNet(prefixes("10.55.0.1/24")[0])}
	return map[string]change{
		"forwarding": {
			func(m *member, nl *netlink.Handle) error { return setSysctl(m, "ipv4/ip_forward", "1") },
			func(m *member, nl *netlink.Handle) bool { return readSysctl(m, "ipv4/ip_forward") == "0" },
		},
		"silent-sysctl": {
			func(m *member, nl *netlink.Handle) error { return setSysctl(m, "ipv4/conf/all/route_localnet", "1") },
			func(m *member, nl *netlink.Handle) bool { return readSysctl(m, "ipv4/conf/all/route_localnet") == "0" },
		},
		"route": {
			func(m *member, nl *netlink.Handle) error {
				r := *foreign
				r.LinkIndex = m.link.index
				return nl.RouteAdd(&r)
			},
			func(m *member, nl *netlink.Handle) bool {
				all, err := nl.RouteListFiltered(unix.AF_INET, foreign, netlink.RT_FILTER_DST)
				return err == nil && len(all) == 0
			},
		},
		"address": {
			func(m *member, nl *netlink.Handle) error {
				return nl.AddrAdd(&netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: m.link.index}}, address)
			},
			func(m *member, nl *netlink.Handle) bool {
				all, err := nl.AddrList(nil, unix.AF_INET)
				return err == nil && !slices.ContainsFunc(all, func(a netlink.Addr) bool { return a.IP.Equal(address.IP) })
			},
		},
	}
}

func setSysctl(m *member, path, value string) error {
	return m.ns.do(context.Background(), func() error {
		return os.WriteFile(filepath.Join(sysctlRoot, path), []byte(value), 0)
	})
}

func readSysctl(m *member, path string) (value string) {
	_ = m.ns.do(context.Background(), func() (err error) {
		value, err = setting{path: path}.read()
		return err
	})
	return value
}

func benchmarkFix(b *testing.B, c change) {
	g := newSite(b).up(b)
	m := g.sides[0]
	var nl *netlink.Handle
	must(b, m.ns.do(b.Context(), func() (err error) { nl, err = openNetlink(); return err }))
	b.Cleanup(nl.Close)
	var took []time.Duration
	for b.Loop() {
		g.forget()
		pause(b.Context(), 5*sweepGap) // one change by itself
		start := time.Now()
		must(b, c.do(m, nl))
		for !c.undone(m, nl) {
			if time.Since(start) > testTimeout {
				b.Fatal("never undone")
			}
			pause(b.Context(), sweepGap/50)
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	milli := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	b.ReportMetric(milli(took[len(took)/2]), "p50-ms")
	b.ReportMetric(milli(took[len(took)*99/100]), "p99-ms")
}

// BenchmarkIdle measures what the watch of two ports costs while nothing happens.
func BenchmarkIdle(b *testing.B) {
	newSite(b).up(b)
	var before, after unix.Rusage
	must(b, unix.Getrusage(unix.RUSAGE_SELF, &before))
	start := time.Now()
	for b.Loop() {
		<-time.After(5 * time.Second)
	}
	must(b, unix.Getrusage(unix.RUSAGE_SELF, &after))
	spent := unix.TimevalToNsec(after.Utime) + unix.TimevalToNsec(after.Stime) - unix.TimevalToNsec(before.Utime) - unix.TimevalToNsec(before.Stime)
	b.ReportMetric(100*float64(spent)/float64(time.Since(start)), "percent-of-core")
}

// forget lets the guard forget what it counted, so that it does not latch.
func (g *Guard) forget() {
	g.verifying.Lock()
	defer g.verifying.Unlock()
	g.patrol.hold = hold{}
}
