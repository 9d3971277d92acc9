package collector

import (
	"strings"
	"sync"

	"lwc/junos"
)

// records is what this boot has learned of the devices.
type records struct {
	mu   sync.Mutex // guards seen
	seen map[place]*record
}

// place is one device at one address: elsewhere, it is another one.
type place struct {
	id, address string
	port        uint16
}

// record is what is known of one device. Only who holds the device's turn of
// busy uses it.
type record struct {
	release     release
	account     login               // that the device knew when it said what follows
	unsupported map[string]struct{} // items, in this release
	depth       int                 // of the next session; 0: nothing is known
	objected    bool                // it does not bear several requests at once
	checked     login               // whose permissions were looked at
	excessive   login               // whose permissions were told of
}

// release is what a device runs, from up to two sources. Either may be empty.
type release struct{ version, schema string }

func newRecords() *records { return &records{seen: map[place]*record{}} }

func (r *records) of(d *device) *record {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := place{d.ID, d.Address, d.Port}
	if r.seen[k] == nil {
		r.seen[k] = &record{unsupported: map[string]struct{}{}}
	}
	return r.seen[k]
}

// keep forgets the devices that are no longer configured so.
func (r *records) keep(f *fleet) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for k := range r.seen {
		if d := f.devices[k.id]; d == nil || d.Address != k.address || d.Port != k.port {
			delete(r.seen, k)
		}
	}
}

// runs takes note of what the device runs now. When that is something else than
// before, what was learned of its commands and its manners counts no more.
func (r *record) runs(now release) {
	changed := differ(r.release.version, now.version) || differ(r.release.schema, now.schema)
	if changed {
		r.release, r.depth, r.objected = release{}, 0, false
		clear(r.unsupported)
	}
	if now.version != "" {
		r.release.version = now.version
	}
	if now.schema != "" {
		r.release.schema = now.schema
	}
}

// as takes note of the account that is logged in. To another one, the command line
// may know more commands: what an account may not use, it calls unknown.
func (r *record) as(account login) {
	if r.account != account {
		r.account = account
		clear(r.unsupported)
	}
}

func differ(a, b string) bool { return a != "" && b != "" && a != b }

// String names the release for an operator.
func (r release) String() string {
	switch {
	case r.version != "":
		return "release " + r.version
	case r.schema != "":
		return "release " + r.schema
	}
	return "its present release"
}

// releaseOf reads the release from a reply: from what show-version says, and
// from the namespaces of any.
func releaseOf(item string, doc []byte, res junos.Result) release {
	out := release{schema: res.Release}
	if item != itemVersion {
		return out
	}
	if id, err := junos.ParseIdentity(item, doc); err == nil {
		out.version = strings.TrimSpace(id.Version)
	}
	return out
}

// maxDepth is how many requests under way a record leads to: with eight, the
// round trips of thirty commands fall from thirty to five, and more gain little.
const maxDepth = 8

// nextDepth is how many requests may be under way in the next session. A device
// is asked one at a time until it has answered a whole session so; then two at
// a time, four, eight, each after a whole session with half as many. So a device
// that objects does so while little is under way.
func (r *record) nextDepth(configured int) int {
	switch {
	case r.objected:
		return 1
	case configured > 0:
		return configured
	}
	return max(1, r.depth)
}

// completed takes note of a whole session with that many requests under way.
func (r *record) completed(depth int) { r.depth = min(max(r.depth, 2*depth), maxDepth) }
