package uplink

import "maps"

// Counts are what the delivery counted since the boot.
type Counts struct {
	Frames    int64 // sent for the first time
	Bytes     int64 // of these frames
	Again     int64 // frames sent again
	Documents int64 // that have their last word
	Unchanged int64 // of these, told without a body
	Rejected  int64 // of these, by the cloud, or because no frame could be made or sent
	Withheld  int64 // of these, held and not approved
	Dropped   int64 // of these, for want of memory
	Kept      int64 // parts that the cloud has, of documents under way
	Waits     int64 // for memory
	Strange   int64 // receipts that fit nothing that waits
	// EventsLost are the events that made room for newer ones before the cloud had
	// them, EventsWaiting those that wait for their receipt.
	EventsLost, EventsWaiting int64
	Connections               int64 // that were begun
}

// Delivery returns what was counted since the boot.
func (u *Uplink) Delivery() Counts {
	u.out.mu.Lock()
	defer u.out.mu.Unlock()
	c := u.out.counts
	c.Waits = u.out.waits
	c.EventsLost, c.EventsWaiting = u.events.counts()
	c.Connections = int64(u.conns.Load())
	return c
}

// into returns the counters of a heartbeat with these among them. Those of the
// caller are left as they are.
func (c Counts) into(counters map[string]int64) map[string]int64 {
	out := maps.Clone(counters)
	if out == nil {
		out = map[string]int64{}
	}
	for name, n := range map[string]int64{
		"uplink_frames": c.Frames, "uplink_bytes": c.Bytes, "uplink_again": c.Again, "uplink_unchanged": c.Unchanged,
		"uplink_withheld": c.Withheld, "uplink_dropped": c.Dropped, "uplink_kept": c.Kept, "uplink_waits": c.Waits,
		"uplink_strange": c.Strange, "events_lost": c.EventsLost, "events_waiting": c.EventsWaiting,
		"uplink_connections": c.Connections,
	} {
		if n > 0 {
			out[name] = n
		}
	}
	return out
}
