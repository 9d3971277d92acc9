package junostest

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"lwc/junos"
)

// BenchmarkFleet1000 holds a session open to each of 1,000 devices, half of them
// behind a bastion, asks each for its inventory, and reports the resident memory
// of the process, clients included.
func BenchmarkFleet1000(b *testing.B) {
	item, _ := junos.Lookup("show-chassis-hardware-extensive")
	for b.Loop() {
		f := startFleet(b, Config{Devices: 1000, Bastions: 4, Behind: 500})
		for _, d := range f.Devices() {
			if _, res := call(b, openSession(b, f, d), item); res.Outcome != junos.OK {
				b.Fatalf("%s: %+v", d.Name, res)
			}
		}
		b.ReportMetric(residentMB(b), "MB")
	}
}

func residentMB(b *testing.B) float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skip("no /proc here")
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	if err != nil {
		b.Fatal(err)
	}
	return kb / 1024
}
