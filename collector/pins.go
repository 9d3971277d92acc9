package collector

import (
	"slices"
	"sync"
)

// pins remembers, for this boot, the host keys that were trusted at first use:
// from then on they are the ones that a hop must show.
type pins struct {
	mu   sync.Mutex // guards seen
	seen map[pin]string
}

// pin names a hop whose key was trusted. When its address or port changes, it
// is another host.
type pin struct {
	bastion     bool
	id, address string
	port        uint16 // as configured
}

func newPins() *pins { return &pins{seen: map[pin]string{}} }

// learn remembers the first key of a hop, and returns the one that was learned
// before: of two first connections at once each trusts what it sees.
func (p *pins) learn(k pin, fingerprint string) (before string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before = p.seen[k]
	if before == "" {
		p.seen[k] = fingerprint
	}
	return before
}

// apply returns the host keys to accept, and whether another may be trusted.
func (p *pins) apply(k pin, keys []string, trustFirst bool) ([]string, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known, ok := p.seen[k]
	if !ok || !trustFirst {
		return keys, trustFirst
	}
	return append(slices.Clone(keys), known), false
}

// pin makes t demand the host keys that were learned before.
func (p *pins) pin(t *Target) {
	d := &t.Device
	d.HostKeys, d.TrustFirst = p.apply(pin{false, d.ID, d.Address, d.Port}, d.HostKeys, d.TrustFirst)
	for i := range t.Via {
		h := &t.Via[i]
		h.HostKeys, h.TrustFirst = p.apply(pin{true, h.Name, h.Address, h.Port}, h.HostKeys, h.TrustFirst)
	}
}
