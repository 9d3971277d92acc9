package main

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"lwc/netguard"
)

// port is the raw form of what both ports have.
type port struct {
	Interface string   `toml:"interface"`
	MAC       string   `toml:"mac"`
	VLAN      int      `toml:"vlan"`
	DHCP      bool     `toml:"dhcp"`
	Addresses []string `toml:"addresses"`
	Gateway   string   `toml:"gateway"`
	Routes    []string `toml:"routes"`
	DNS       []string `toml:"dns"`
	MTU       int      `toml:"mtu"`
}

// inner is the raw form of the port towards the devices.
type inner struct {
	port
	Ports []string `toml:"ports"`
}

// outer is the raw form of the port towards the cloud.
type outer struct {
	port
	Allow             []string `toml:"allow"`
	NTP               []string `toml:"ntp"`
	Proxy             string   `toml:"proxy"`
	ProxyUser         string   `toml:"proxy_user"`
	ProxyPasswordFile string   `toml:"proxy_password_file"`
	ProxyCAFile       string   `toml:"proxy_ca_file"`
	CloudClock        *bool    `toml:"cloud_clock"`
}

// ports asks netguard once the values can be read at all.
func (c *checker) ports(f file) netguard.Config {
	before := len(c.errs)
	mode, err := netguard.ParseMode(f.Guard.Mode)
	if err != nil {
		c.addf("guard.mode", "%q is not a mode: use enforce, userns or unprotected", f.Guard.Mode)
	}
	g := netguard.Config{Mode: mode, Dedicated: f.Guard.Dedicated,
		Internal: c.port("internal", f.Internal.port), External: c.port("external", f.External.port),
		DevicePorts: c.devicePorts(f.Internal.Ports), Allow: c.allow(f.External.Allow)}
	if len(c.errs) == before {
		c.guard(netguard.Check(g))
	}
	return g
}

// guard takes netguard's findings apart and puts the lines to them.
func (c *checker) guard(err error) {
	var many interface{ Unwrap() []error }
	if errors.As(err, &many) {
		for _, e := range many.Unwrap() {
			c.guard(e)
		}
		return
	}
	var ce *netguard.ConfigError
	switch {
	case err == nil:
	case errors.As(err, &ce) && ce.Port != "":
		c.addf(string(ce.Port)+"."+keyOf(ce.Field), "%v", err)
	default:
		c.errs = append(c.errs, finding{text: fmt.Sprintf("%s: %v", c.path, err), err: err})
	}
}

// keyOf is the key of a field of netguard.Port.
func keyOf(field string) string {
	switch field {
	case "address":
		return "addresses"
	case "route":
		return "routes"
	}
	return field
}

func (c *checker) port(name string, p port) netguard.Port {
	out := netguard.Port{Interface: p.Interface, MAC: p.MAC, MTU: p.MTU, DHCP: p.DHCP}
	if p.VLAN < 0 || p.VLAN > maxVLAN {
		c.addf(name+".vlan", "%d is not a VLAN: use a number from 1 to %d, or leave it out", p.VLAN, maxVLAN)
	} else {
		out.VLAN = uint16(p.VLAN)
	}
	for _, s := range p.Addresses {
		a, err := netip.ParsePrefix(s)
		if err != nil {
			c.addf(name+".addresses", "%q is not an address with its prefix length: write it as 10.1.0.2/24", s)
		}
		out.Addresses = append(out.Addresses, a)
	}
	if p.Gateway != "" {
		var err error
		if out.Gateway, err = netip.ParseAddr(p.Gateway); err != nil {
			c.addf(name+".gateway", "%q is not an IP address: write it as 10.1.0.1", p.Gateway)
		}
	}
	for _, s := range p.Routes {
		r, err := netguard.ParseRoute(s)
		if err != nil {
			c.addf(name+".routes", `%q is not a route: write it as "10.0.0.0/8 via 10.1.0.1"`, s)
		}
		out.Routes = append(out.Routes, r)
	}
	for _, s := range p.DNS {
		out.DNS = append(out.DNS, c.server(name+".dns", s))
	}
	return out
}

// maxVLAN is the highest tag (IEEE 802.1Q section 9.6; 4095 is reserved).
const maxVLAN = 4094

// devicePorts reads "22" and "2200-2299".
func (c *checker) devicePorts(list []string) []netguard.PortRange {
	var out []netguard.PortRange
	for _, s := range list {
		from, to, many := strings.Cut(s, "-")
		first, err := portNumber(from)
		last := first
		if err == nil && many {
			last, err = portNumber(to)
		}
		if err != nil || last < first {
			c.addf("internal.ports", `%q is not a TCP port or a range of them: write "830" or "2200-2299"`, s)
			continue
		}
		out = append(out, netguard.PortRange{First: first, Last: last})
	}
	return out
}

// portNumber reads 1 to 65535.
func portNumber(s string) (uint16, error) {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 16)
	if err == nil && n == 0 {
		err = errors.New("zero is not a port")
	}
	return uint16(n), err
}

// server reads a name server: an address, or address and port.
func (c *checker) server(key, s string) netip.AddrPort {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.AddrPortFrom(a, 53)
	}
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		c.addf(key, "%q is not the address of a name server: write it as 192.0.2.53, or 192.0.2.53:5353 for another port", s)
	}
	return ap
}
