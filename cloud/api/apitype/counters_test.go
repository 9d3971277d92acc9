package apitype

import (
	"strings"
	"testing"

	"lwc/transport/wire"
)

func TestCountsInWords(t *testing.T) {
	if got := (Collector{}).Counts(); got != nil {
		t.Errorf("of nothing: %v", got)
	}
	c := Collector{Health: &wire.Health{Counters: map[string]int64{"documents_rejected": 2, "memory_waits": 7, "uplink_strange": 0, "goroutines": 99}}}
	var all []string
	for _, n := range c.Counts() {
		all = append(all, n.String())
		if n.Bad != (n.N > 0) {
			t.Errorf("%+v", n)
		}
	}
	text := strings.Join(all, "; ")
	for _, want := range []string{"2 documents that the cloud refused", "7 times that a device waited for memory", "0 documents lost"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in %q", want, text)
		}
	}
	if strings.Contains(text, "99") || strings.Contains(text, "fitted nothing") {
		t.Errorf("too much: %q", text)
	}
}
