package uplink

import (
	"encoding/hex"
	"hash/maphash"
)

// maxFacets bounds how many documents are remembered: 10,000 devices with 50
// items each, in about 23 MB.
const maxFacets = 500_000

// facet is one item of one device, and a version of it. Both are cut short, so
// that a fleet fits: a collision makes a document leave without its body wrongly,
// and the cloud, which sees the whole hash, rejects it.
type facet struct {
	key uint64   // of device and item; under a seed of this process
	sum [16]byte // of the document
	ok  bool     // the hash is one
}

// memory is what the cloud has of each item, as far as this boot knows. The
// outbox's mutex guards it.
type memory struct {
	seed  maphash.Seed
	known map[uint64][16]byte
}

func newMemory() memory {
	return memory{seed: maphash.MakeSeed(), known: map[uint64][16]byte{}}
}

// facetOf names a document. It needs no mutex.
func (m *memory) facetOf(device, item, sha256 string) facet {
	var h maphash.Hash
	h.SetSeed(m.seed)
	h.WriteString(device)
	h.WriteByte(0)
	h.WriteString(item)
	f := facet{key: h.Sum64()}
	if len(sha256) >= 2*len(f.sum) {
		_, err := hex.Decode(f.sum[:], []byte(sha256[:2*len(f.sum)]))
		f.ok = err == nil
	}
	return f
}

// same tells whether the cloud has these bytes as the item's last ones.
func (m *memory) same(f facet) bool {
	sum, ok := m.known[f.key]
	return ok && f.ok && sum == f.sum
}

// learn remembers what the cloud has now. Where there is no more room, some other
// is forgotten.
func (m *memory) learn(f facet) {
	if !f.ok {
		return
	}
	if _, ok := m.known[f.key]; !ok && len(m.known) >= maxFacets {
		for k := range m.known {
			delete(m.known, k)
			break
		}
	}
	m.known[f.key] = f.sum
}

// forget says that it is not known what the cloud has of the item.
func (m *memory) forget(f facet) { delete(m.known, f.key) }
