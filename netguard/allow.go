package netguard

import (
	"fmt"
	"net/netip"
)

// allow returns ErrNotAllowed, with the reason, unless a port whose other port
// owns foreign may send to a. The IPv4-mapped form counts as the IPv4 address.
func allow(side Side, foreign []claim, a netip.Addr) error {
	a = a.Unmap().WithZone("")
	if !a.IsValid() {
		return fmt.Errorf("%w: not an address", ErrNotAllowed)
	}
	if kind := special(a); kind != "" {
		return fmt.Errorf("%w: %s is %s", ErrNotAllowed, a, kind)
	}
	if c, ok := covering(foreign, a); ok {
		return fmt.Errorf("%w: %s lies in %s of the %s port", ErrNotAllowed, a, c, side.other())
	}
	return nil
}
