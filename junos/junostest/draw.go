package junostest

import "math/rand/v2"

// draw is a source of numbers of the device for the n-th thing of a kind. Each
// reply draws the many small things of a device anew, so it is cheaper than rng
// and gives less: nothing secret comes from it.
func (d *Device) draw(kind string, n int) *rand.Rand {
	h := uint64(14695981039346656037) // FNV-1a, 64 bit
	for i := range len(kind) {
		h = (h ^ uint64(kind[i])) * 1099511628211
	}
	h ^= d.fleet.cfg.Seed * 0x9E3779B97F4A7C15
	return rand.New(rand.NewPCG(mix(h+uint64(d.index)), mix(h^uint64(n)<<20^uint64(d.index)<<44)))
}

// mix spreads the bits of x (the finalizer of splitmix64).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}

// vendorPrefixes are address blocks of the maker.
var vendorPrefixes = [...]string{"2c:6b:f5", "3c:61:04", "44:f4:77", "54:e0:32", "80:71:1f", "88:e0:f3", "f4:a7:39"}

// mac is the n-th hardware address of the device, unique in its fleet for n
// under 256.
func (d *Device) mac(n int) string {
	b := append(make([]byte, 0, 17), vendorPrefixes[mix(d.fleet.cfg.Seed)%uint64(len(vendorPrefixes))]...)
	for _, octet := range [...]int{d.index >> 8, d.index, n} {
		b = append(b, ':', digits[octet>>4&15], digits[octet&15])
	}
	return string(b)
}

// systemMAC is the address that the device calls itself by.
func (d *Device) systemMAC() string { return d.mac(0) }

// strangerMAC is the address of a neighbour or host that is not of the fleet.
func (d *Device) strangerMAC(name string) string {
	return code(d.draw("stranger/"+name, 0), "00:9F:3F:FF:FF:FF")
}
