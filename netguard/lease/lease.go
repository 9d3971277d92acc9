package lease

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Lease is what a server lends, as it said it; Client.Accept judges whether it
// can be used.
type Lease struct {
	// Address is the address with its subnet.
	Address netip.Prefix
	// Gateway is the default gateway; the zero Addr when there is none.
	Gateway netip.Addr
	// Routes lead beyond the subnet (RFC 3442).
	Routes []Route
	// DNS are the name servers, the preferred one first.
	DNS []netip.Addr
	// MTU is zero when the server says nothing of it.
	MTU int
	// Server is the server's identifier.
	Server netip.Addr
	// Renew, Rebind and Expires are T1, T2 and the end of the lease.
	Renew, Rebind, Expires time.Time
}

// Route leads to Destination through Via, or directly on the link when Via is
// the zero Addr.
type Route struct {
	Destination netip.Prefix
	Via         netip.Addr
}

// String says in words what is lent, by whom and until when.
func (l Lease) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s from %s until %s", l.Address, l.Server, l.Expires.UTC().Format(time.RFC3339))
	if l.Gateway.IsValid() {
		fmt.Fprintf(&b, ", gateway %s", l.Gateway)
	}
	return b.String()
}
