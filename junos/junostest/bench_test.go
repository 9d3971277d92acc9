package junostest

import (
	"fmt"
	"io"
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

// BenchmarkCollection logs in to a device, asks it for the daily profile and
// leaves: what a load test costs the simulator and a client that throws all away.
func BenchmarkCollection(b *testing.B) {
	f := startFleet(b, Config{Devices: 6, Quiet: true, Cache: 64 << 20})
	total := int64(0)
	for i := 0; b.Loop(); i++ {
		d := f.Devices()[i%6]
		c, err := dialAddr(d.Addr.String(), clientConfig(b, d.User, d.Password, d.HostKey))
		if err != nil {
			b.Fatal(err)
		}
		ch, err := netconf(b, c)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.WriteString(ch, allRequests()); err != nil {
			b.Fatal(err)
		}
		n, err := io.Copy(io.Discard, ch)
		if err != nil {
			b.Fatal(err)
		}
		total += n
		c.Close()
	}
	b.ReportMetric(float64(total)/float64(b.N)/1024, "KiB/op")
}

// allRequests is a session of one write, in base:1.0 framing.
func allRequests() string {
	items, _ := junos.Profile("daily")
	text := strings.ReplaceAll(helloBoth, base11, "urn:x")
	for i, item := range items {
		text += fmt.Sprintf(`<rpc message-id="%d">%s</rpc>`, i+1, item.RPC()) + eom
	}
	return text + `<rpc message-id="last"><close-session/></rpc>` + eom
}
