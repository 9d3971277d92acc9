package junos_test

import (
	"context"
	"io"
	"syscall"
	"testing"
	"time"

	"lwc/junos"
	"lwc/junos/junostest"
)

// BenchmarkScan is what looking at replies costs, their SHA-256 included.
func BenchmarkScan(b *testing.B) { benchmarkScan(b, nil) }

// BenchmarkScanMask is the same with the masking of the default classes.
func BenchmarkScanMask(b *testing.B) {
	mask, err := junos.NewMask(junos.MaskConfig{Key: make([]byte, 32)})
	if err != nil {
		b.Fatal(err)
	}
	benchmarkScan(b, mask)
}

// benchmarkScan scans the large replies of a simulated MX.
func benchmarkScan(b *testing.B, mask *junos.Mask) {
	docs, size := map[string][]byte{}, 0
	fleet := startFleet(b, junostest.Config{Seed: 1, Devices: 1, Models: []junostest.Model{junostest.MXDualRE}})
	for _, item := range []string{"show-interfaces-extensive", "show-interfaces-diagnostics-optics", "show-chassis-hardware-detail"} {
		docs[item] = ask(b, fleet.Devices()[0], item)
		size += len(docs[item])
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	began := cpuTime(b)
	for b.Loop() {
		for item, doc := range docs {
			if n, r := junos.Scan(item, mask, doc); r.Outcome != junos.OK || n < len(doc)/2 {
				b.Fatalf("%s: %+v", item, r)
			}
		}
	}
	b.ReportMetric(float64(cpuTime(b)-began)/float64(b.N)/float64(size), "ms/MB")
}

// cpuTime is what the process used of the processors, which says more than the
// clock on a machine that does other things, too.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// ask returns the reply of a device to an item.
func ask(t testing.TB, d *junostest.Device, name string) []byte {
	t.Helper()
	item, ok := junos.Lookup(name)
	if !ok {
		t.Fatalf("no item %s", name)
	}
	s, err := junos.Open(context.Background(), dial(t, d), junos.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	reply, err := s.Call(context.Background(), item)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := io.ReadAll(reply)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}
