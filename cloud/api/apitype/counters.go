package apitype

import "fmt"

// Count is one thing that a collector counted since it started, in words.
type Count struct {
	Name  string // of the counter, as in the heartbeat
	Words string
	N     int64
	Bad   bool // something was lost, refused or put off
}

// counted are the counters worth an operator's look, in order. Those that tell of
// trouble are shown even at zero where always says so: that nothing was lost is news.
func counted() []struct {
	name, words string
	bad, always bool
} {
	return []struct {
		name, words string
		bad, always bool
	}{
		{"devices_ok", "visits of devices that went well", false, true},
		{"devices_failed", "visits of devices that failed", true, true},
		{"reconnects", "second attempts at a device", true, false},
		{"pipeline_fallbacks", "devices asked again one request at a time", true, false},
		{"documents", "documents collected", false, true},
		{"documents_partial", "documents that broke off", true, false},
		{"documents_too_large", "replies above the size limit", true, false},
		{"documents_lost", "documents lost for want of memory", true, true},
		{"documents_rejected", "documents that the cloud refused", true, true},
		{"documents_withheld", "documents withheld at the site", false, false},
		{"memory_waits", "times that a device waited for memory", true, true},
		{"uplink_connections", "connections to the cloud", false, true},
		{"uplink_again", "frames sent again", true, false},
		{"uplink_strange", "receipts that fitted nothing", true, false},
		{"events_waiting", "events that wait for a receipt", true, false},
		{"events_lost", "events lost for want of a connection", true, false},
	}
}

// Counts tells in words what a collector counted since it started; nothing where it
// told nothing.
func (c Collector) Counts() []Count {
	if c.Health == nil || len(c.Health.Counters) == 0 {
		return nil
	}
	var out []Count
	for _, k := range counted() {
		if n := c.Health.Counters[k.name]; n > 0 || k.always {
			out = append(out, Count{Name: k.name, Words: k.words, N: n, Bad: k.bad && n > 0})
		}
	}
	return out
}

// String is the count in words.
func (c Count) String() string { return fmt.Sprintf("%d %s", c.N, c.Words) }
