package netguard

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// maxAllowed bounds the list of what the External Port may dial; a collector
// has a handful of endpoints.
const maxAllowed = 256

// maxHostname is the longest name that DNS carries (RFC 1035 section 2.3.4).
const maxHostname = 253

// canonical returns e in the one form in which endpoints are compared: names in
// lower case without the final dot, addresses as netip writes them.
func (e Endpoint) canonical() Endpoint {
	if e.Network == "" {
		e.Network = "tcp"
	}
	if a, err := netip.ParseAddr(e.Host); err == nil {
		e.Host = a.String()
		return e
	}
	e.Host = strings.TrimSuffix(strings.ToLower(e.Host), ".")
	return e
}

// String returns the form "tcp cloud.example:443".
func (e Endpoint) String() string {
	e = e.canonical()
	return e.Network + " " + net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port)))
}

func (e Endpoint) problem() string {
	switch {
	case e.Network != "" && e.Network != "tcp" && e.Network != "udp":
		return "has a network that is neither tcp nor udp"
	case e.canonical().Host == "":
		return "has no host"
	case len(e.Host) > maxHostname, strings.ContainsFunc(e.Host, unprintable):
		return "has a host that is neither a name nor an address"
	case e.Port == 0:
		return "has no port"
	}
	return ""
}

func unprintable(r rune) bool { return r <= ' ' || r > '~' }

// checkEndpoints says what is wrong with a list of endpoints.
func checkEndpoints(list []Endpoint) error {
	if len(list) > maxAllowed {
		return &ConfigError{Port: ExternalSide, Field: "allow", Value: strconv.Itoa(len(list)),
			Problem: "endpoints are too many", Advice: fmt.Sprintf("name at most %d", maxAllowed)}
	}
	for _, e := range list {
		if p := e.problem(); p != "" {
			return &ConfigError{Port: ExternalSide, Field: "allow", Value: e.String(),
				Problem: p, Advice: "write it as cloud.example:443"}
		}
	}
	return nil
}

// endpointOf splits what DialContext was given. The family is '4', '6', or 0
// for both.
func endpointOf(network, addr string) (e Endpoint, family byte, err error) {
	switch network {
	case "tcp", "udp":
	case "tcp4", "tcp6", "udp4", "udp6":
		family = network[3]
	default:
		return e, 0, net.UnknownNetworkError(network)
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return e, 0, err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return e, 0, &net.AddrError{Err: "port is not a number from 1 to 65535", Addr: addr}
	}
	e = Endpoint{Network: network[:3], Host: host, Port: uint16(n)}
	if p := e.problem(); p != "" {
		return e, 0, fmt.Errorf("%w: %q %s", ErrNotAllowed, addr, p)
	}
	return e.canonical(), family, nil
}

// allow returns ErrNotAllowed, with the reason, unless the port may send to a.
// An IPv4-mapped address is refused as such: the kernel would send it as IPv4,
// past what is filtered as IPv6.
func (o outlet) allow(a netip.Addr) error {
	if !a.IsValid() {
		return fmt.Errorf("%w: not an address", ErrNotAllowed)
	}
	if c, ok := covering(o.foreign, a); ok {
		return fmt.Errorf("%w: %s lies in %s of the %s port", ErrNotAllowed, a, c, o.side.other())
	}
	if kind := special(a.Unmap().WithZone("")); kind != "" {
		return fmt.Errorf("%w: %s is %s", ErrNotAllowed, a, kind)
	}
	if o.unlent && a.Is4() {
		return fmt.Errorf("%w: it waits for a DHCP lease that it can use", ErrNoAddress)
	}
	if a.Is4In6() || a.Zone() != "" {
		return fmt.Errorf("%w: %s is an IPv4-mapped address or has a zone: give it plainly", ErrNotAllowed, a)
	}
	for _, s := range o.subnets {
		if s.Addr() == a {
			return fmt.Errorf("%w: %s is the collector's own address", ErrNotAllowed, a)
		}
		if isBroadcast(netip.PrefixFrom(a, s.Bits())) && s.Contains(a) {
			return fmt.Errorf("%w: %s is the broadcast address of %s", ErrNotAllowed, a, s.Masked())
		}
	}
	return nil
}

// allowDevice returns ErrNotAllowed, with the key to change, unless the
// Internal Port may dial e at a: a device's port in what the port reaches, or
// one of its own name servers.
func (o outlet) allowDevice(e Endpoint, a netip.Addr) error {
	if err := o.allow(a); err != nil {
		return err
	}
	if !slices.ContainsFunc(o.reach, func(p netip.Prefix) bool { return p.Contains(a) }) {
		return fmt.Errorf("%w: %s is in no subnet and no route of the internal port: add it to internal.routes", ErrNotAllowed, a)
	}
	if slices.Contains(o.servers, netip.AddrPortFrom(a, e.Port)) {
		return nil
	}
	if e.Network == "udp" {
		return errDeviceUDP()
	}
	return o.allowDevicePort(e.Port)
}

// allowDeviceName refuses what no address of a name could make right, so that
// the name is not asked for.
func (o outlet) allowDeviceName(e Endpoint) error {
	if slices.ContainsFunc(o.servers, func(s netip.AddrPort) bool { return s.Port() == e.Port }) {
		return nil
	}
	if e.Network == "udp" {
		return errDeviceUDP()
	}
	return o.allowDevicePort(e.Port)
}

func errDeviceUDP() error {
	return fmt.Errorf("%w: the internal port sends UDP to its name servers (internal.dns) only", ErrNotAllowed)
}

func (o outlet) allowDevicePort(port uint16) error {
	if slices.ContainsFunc(o.ports, func(r PortRange) bool { return r.First <= port && port <= r.Last }) {
		return nil
	}
	return fmt.Errorf("%w: port %d is not among the ports at which devices may be dialled: add it to internal.ports", ErrNotAllowed, port)
}

// usable keeps the first addresses that the rule lets pass. When none is left, the
// error names the host and why the first one was refused.
func usable(host string, found []netip.Addr, rule func(netip.Addr) error) ([]netip.Addr, error) {
	var kept []netip.Addr
	var first error
	for _, a := range found {
		err := rule(a)
		if err == nil && len(kept) < maxAddresses && !slices.Contains(kept, a) {
			kept = append(kept, a)
		}
		if first == nil {
			first = err
		}
	}
	switch {
	case len(kept) > 0:
		return kept, nil
	case first == nil:
		return nil, fmt.Errorf("%w: %s has no address", ErrNotAllowed, host)
	case len(found) == 1 && host == found[0].String():
		return nil, first
	}
	return nil, fmt.Errorf("%s: %w", host, first)
}

// maxAddresses is how many addresses of one name are tried: what one DNS answer
// over UDP holds is more than anybody needs.
const maxAddresses = 16
