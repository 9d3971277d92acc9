package netguard

import (
	"fmt"
	"net/netip"
	"strings"
)

// Mode says how far the two ports are kept apart.
type Mode string

// The modes. The zero Mode is Enforce.
const (
	// Enforce separates the ports with namespaces. It needs CAP_NET_ADMIN,
	// CAP_SYS_ADMIN and, for packet sockets, CAP_NET_RAW; see [Config.Packets].
	Enforce Mode = "enforce"
	// Userns does the same as root of a user namespace, for a process that is
	// not root; see [Reexec].
	Userns Mode = "userns"
	// Unprotected dials plainly: nothing is separated. It is never a fallback.
	Unprotected Mode = "unprotected"
)

// ParseMode returns the mode of that name; the empty name is Enforce.
func ParseMode(s string) (Mode, error) {
	m := Mode(s)
	if m == "" {
		return Enforce, nil
	}
	return m, m.check()
}

// UnmarshalText parses the name of a mode.
func (m *Mode) UnmarshalText(text []byte) error {
	parsed, err := ParseMode(string(text))
	if err != nil {
		return err
	}
	*m = parsed
	return nil
}

func (m Mode) check() error {
	switch m {
	case "", Enforce, Userns, Unprotected:
		return nil
	}
	return &ConfigError{Field: "mode", Value: string(m), Problem: "is not a mode", Advice: "use enforce, userns or unprotected"}
}

// Side names one of the two ports.
type Side string

// The two ports.
const (
	InternalSide Side = "internal"
	ExternalSide Side = "external"
)

func (s Side) other() Side {
	if s == InternalSide {
		return ExternalSide
	}
	return InternalSide
}

// The names of the two namespaces, as `ip netns` shows them.
const (
	InternalNamespace = "lwc-int"
	ExternalNamespace = "lwc-ext"
)

// DefaultNamespaceDir is where the namespaces are named, as iproute2 does.
const DefaultNamespaceDir = "/run/netns"

// Config describes the two ports.
type Config struct {
	// Mode is optional; zero means Enforce.
	Mode Mode
	// Internal is the port towards the devices, External the one towards the cloud.
	Internal, External Port
	// NamespaceDir is the folder of the namespaces' names. Optional: zero means
	// the folder that Reexec made, or else DefaultNamespaceDir.
	NamespaceDir string
	// Dedicated says that this machine is the collector's alone: an interface
	// other than lo in the namespace of the process is then a violation. When
	// false, such interfaces are tolerated and listed in the Report.
	Dedicated bool
	// DevicePorts are the TCP ports at which devices and bastions may be dialled
	// through the Internal Port. Optional: zero means 22 and 830.
	DevicePorts []PortRange
	// Allow is what the External Port may dial at first; Guard.SetAllowed replaces
	// it. Nothing else can be dialled from there.
	Allow []Endpoint
	// Packets makes packet sockets in the namespaces of the ports. Optional: without
	// it the process makes them itself, which takes CAP_NET_RAW.
	Packets Packets `json:"-"`
}

// PortRange is the TCP ports from First to Last, both included.
type PortRange struct{ First, Last uint16 }

// Endpoint is something that the External Port may dial.
type Endpoint struct {
	Network string // tcp or udp; empty means tcp
	Host    string // a name, or an address in its usual form
	Port    uint16
}

// devicePorts returns DevicePorts or what stands for none: SSH and NETCONF over
// SSH (RFC 6242 section 6).
func (c Config) devicePorts() []PortRange {
	if len(c.DevicePorts) == 0 {
		return []PortRange{{22, 22}, {830, 830}}
	}
	return c.DevicePorts
}

func (c Config) port(s Side) Port {
	if s == InternalSide {
		return c.Internal
	}
	return c.External
}

// Port describes one port.
type Port struct {
	// Interface is the name of the link. Optional when MAC is set.
	Interface string
	// MAC is the hardware address of the link, in any form that net.ParseMAC
	// takes. Optional when Interface is set; when both are set both must match.
	MAC string
	// VLAN is the tag (1 to 4094, IEEE 802.1Q) of the sub-interface that is the
	// port; the link is then its parent. Zero: the link itself is the port. Both
	// ports may share one link when their tags differ.
	VLAN uint16
	// DHCP asks the network for the IPv4 address, gateway and DNS servers. Those
	// given here besides are of IPv6 then, but for DNS, which replaces the lease's.
	DHCP bool
	// Addresses are the static addresses with their subnets. At least one unless
	// DHCP is set.
	Addresses []netip.Prefix
	// Gateway is the default gateway of its family. Optional.
	Gateway netip.Addr
	// Routes lead beyond the subnets. Optional. A default route of the other
	// family than Gateway's goes here too.
	Routes []Route
	// DNS are the servers that resolve names dialled from this port, tried in
	// this order. Optional: without any, names fail with ErrNoDNS.
	DNS []netip.AddrPort
	// MTU of the link in bytes. Zero leaves it as it is.
	MTU int
}

// name returns what identifies the port's link in messages.
func (p Port) name() string {
	if p.Interface != "" {
		return p.Interface
	}
	return p.MAC
}

// Route leads to Destination through Via, or directly on the link when Via is
// the zero Addr.
type Route struct {
	Destination netip.Prefix
	Via         netip.Addr
}

// ParseRoute parses "10.0.0.0/8 via 192.0.2.1", "default via 192.0.2.1" or, for
// a route directly on the link, "10.0.0.0/8".
func ParseRoute(s string) (Route, error) {
	words := strings.Fields(s)
	if len(words) != 1 && (len(words) != 3 || words[1] != "via") {
		return Route{}, fmt.Errorf("parsing route %q: want \"PREFIX via ADDRESS\"", s)
	}
	var r Route
	var err error
	if len(words) == 3 {
		if r.Via, err = netip.ParseAddr(words[2]); err != nil {
			return Route{}, fmt.Errorf("parsing route %q: %w", s, err)
		}
	}
	if words[0] == "default" && len(words) == 3 {
		r.Destination = defaultPrefix(r.Via)
		return r, nil
	}
	if r.Destination, err = netip.ParsePrefix(words[0]); err != nil {
		return Route{}, fmt.Errorf("parsing route %q: %w", s, err)
	}
	return r, nil
}

// String returns the form that ParseRoute takes.
func (r Route) String() string {
	if !r.Via.IsValid() {
		return r.Destination.String()
	}
	return r.Destination.String() + " via " + r.Via.String()
}

// UnmarshalText parses the form that ParseRoute takes.
func (r *Route) UnmarshalText(text []byte) error {
	parsed, err := ParseRoute(string(text))
	if err != nil {
		return err
	}
	*r = parsed
	return nil
}

// MarshalText returns the form that ParseRoute takes.
func (r Route) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// defaultPrefix returns the prefix of all addresses of the family of a.
func defaultPrefix(a netip.Addr) netip.Prefix {
	if a.Unmap().Is4() {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}
