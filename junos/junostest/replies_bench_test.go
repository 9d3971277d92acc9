package junostest

import (
	"testing"

	"lwc/junos"
)

// BenchmarkReplies makes every reply of a profile for one device of each model
// in turn, and reports the time and the size of a device.
func BenchmarkReplies(b *testing.B) {
	for _, profile := range []string{"daily", "full"} {
		b.Run(profile, func(b *testing.B) {
			items, _ := junos.Profile(profile)
			var requests []request
			for _, item := range items {
				req, err := parseRequest([]byte("<rpc>" + item.RPC() + "</rpc>"))
				if err != nil {
					b.Fatal(err)
				}
				requests = append(requests, req)
			}
			f := newFleet(b, Config{Devices: 60})
			size, n := 0, 0
			for b.Loop() {
				d := f.Devices()[n%60]
				n++
				for _, req := range requests {
					doc, _, err := d.answer(req)
					if err != nil {
						b.Fatal(err)
					}
					size += len(doc)
				}
			}
			b.ReportMetric(float64(size)/float64(n), "bytes/device")
		})
	}
}
