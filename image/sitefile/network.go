package sitefile

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// The bounds of IEEE 802.1Q section 9.6 for tags, and of IPv4 (RFC 791 section 3.1)
// and of a datagram for an MTU.
const (
	maxVLAN        = 4094
	minMTU, maxMTU = 576, 65535
)

// addItem reports one element of a list, at its own place.
func (c *checker) addItem(kind Kind, key, item, text, do string) {
	for _, v := range c.places[key].list {
		if strings.TrimSpace(v.text) == item {
			c.addAt(kind, v.start, key, quoted(item)+text, do)
			return
		}
	}
	c.add(kind, key, quoted(item)+text, do)
}

func (c *checker) port(name string, p Port) {
	if p.MAC == "" {
		c.missing(name+".mac", "write the hardware address of the "+name+" socket, as the screen of the box shows it: mac = \"52:54:00:12:34:56\"")
	} else if problem := badMAC(p.MAC); problem != "" {
		c.add(KindMAC, name+".mac", problem, "write the hardware address as the screen of the box shows it, like 52:54:00:12:34:56")
	}
	if _, there := c.places[name+".vlan"]; there && (p.VLAN < 1 || p.VLAN > maxVLAN) {
		c.add(KindNetwork, name+".vlan", "is not a VLAN", fmt.Sprintf("write a number from 1 to %d, or remove the line", maxVLAN))
	}
	if _, there := c.places[name+".mtu"]; there && (p.MTU < minMTU || p.MTU > maxMTU) {
		c.add(KindNetwork, name+".mtu", "is not a size that works", fmt.Sprintf("write a number from %d to %d, or remove the line", minMTU, maxMTU))
	}
	subnets := c.addresses(name, p)
	c.gateway(name, p, subnets)
	for _, s := range p.Routes {
		if problem := badRoute(s); problem != "" {
			c.addItem(KindNetwork, name+".routes", s, problem, `write it as "10.0.0.0/8 via 10.1.0.1"`)
		}
	}
	for _, s := range p.DNS {
		if !nameServer(s) {
			c.addItem(KindNetwork, name+".dns", s, " is not the address of a name server", "write it as 192.0.2.53")
		}
	}
}

func badMAC(s string) string {
	mac, err := net.ParseMAC(s)
	switch {
	case err != nil || len(mac) != 6:
		return quoted(s) + " is not a hardware address of six pairs of digits"
	case mac[0]&1 != 0:
		return quoted(s) + " is the address of a group, not of a socket"
	case !slices.ContainsFunc(mac, func(b byte) bool { return b != 0 }):
		return quoted(s) + " is nothing but zeros"
	}
	return ""
}

// addresses returns those that are good.
func (c *checker) addresses(name string, p Port) []netip.Prefix {
	var subnets []netip.Prefix
	key := name + ".addresses"
	for _, s := range p.Addresses {
		a, err := netip.ParsePrefix(s)
		if err != nil {
			c.addItem(KindNetwork, key, s, " is not an address with the length of its subnet", "write it as 10.1.0.2/24")
			continue
		}
		if problem := badAddress(a); problem != "" {
			c.addItem(KindNetwork, key, s, problem, "write the address that the site gave this box, like 10.1.0.2/24")
			continue
		}
		subnets = append(subnets, a)
	}
	if len(p.Addresses) == 0 && !p.DHCP && !c.excused[name+".dhcp"] {
		c.missing(key, `write addresses = ["10.1.0.2/24"], or dhcp = true where the network gives addresses`)
	}
	return subnets
}

func badAddress(p netip.Prefix) string {
	a := p.Addr()
	ends := a.BitLen() - p.Bits()
	switch {
	case p.Bits() == 0, a.IsUnspecified():
		return " covers every address"
	case a.IsLoopback(), a.IsMulticast(), a.IsLinkLocalUnicast(), a.Is4In6(), a.Is4() && (a.As4()[0] == 0 || a.As4()[0] >= 240):
		return " is not an address that a box can have"
	case ends > 1 && p.Masked().Addr() == a:
		return " is the address of the subnet itself"
	case a.Is4() && ends > 1 && !p.Contains(a.Next()):
		return " is the broadcast address of its subnet"
	}
	return ""
}

func (c *checker) gateway(name string, p Port, subnets []netip.Prefix) {
	if _, there := c.places[name+".gateway"]; !there {
		return
	}
	g, err := netip.ParseAddr(p.Gateway)
	switch onLink := slices.ContainsFunc(subnets, func(s netip.Prefix) bool { return s.Contains(g) }); {
	case err != nil:
		c.add(KindNetwork, name+".gateway", quoted(p.Gateway)+" is not an address", "write it as 10.1.0.1")
	case slices.ContainsFunc(subnets, func(s netip.Prefix) bool { return s.Addr() == g }):
		c.add(KindNetwork, name+".gateway", quoted(p.Gateway)+" is the address of the box itself", "write the address of the router")
	case len(subnets) > 0 && !onLink && !g.IsLinkLocalUnicast():
		c.add(KindNetwork, name+".gateway", quoted(p.Gateway)+" is in no subnet of this port", "correct it, or the length of the subnet in addresses")
	case len(p.Addresses) == 0 && p.DHCP && g.Is4():
		c.add(KindNetwork, name+".gateway", "is given by the network (dhcp = true)", "remove the line")
	}
}

func badRoute(s string) string {
	words := strings.Fields(s)
	if len(words) != 3 || words[1] != "via" {
		return " is not a route"
	}
	if _, err := netip.ParseAddr(words[2]); err != nil {
		return " does not end with the address of a router"
	}
	if _, err := netip.ParsePrefix(words[0]); err != nil && words[0] != "default" {
		return " does not begin with a network"
	}
	return ""
}

func nameServer(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	_, err := netip.ParseAddrPort(s)
	return err == nil
}

// devicePorts checks "22" and "2200-2299".
func (c *checker) devicePorts() {
	for _, s := range c.file.Internal.Ports {
		from, to, many := strings.Cut(s, "-")
		if !many {
			to = from
		}
		first, errFirst := strconv.ParseUint(strings.TrimSpace(from), 10, 16)
		last, errLast := strconv.ParseUint(strings.TrimSpace(to), 10, 16)
		if errFirst != nil || errLast != nil || first == 0 || last < first {
			c.addItem(KindNetwork, "internal.ports", s, " is not a TCP port or a range of them", `write "830" or "2200-2299"`)
		}
	}
}

// apart checks that the two ports are two, with networks of their own.
func (c *checker) apart() {
	in, out := c.file.Internal.Port, c.file.External.Port
	a, errA := net.ParseMAC(in.MAC)
	b, errB := net.ParseMAC(out.MAC)
	if errA == nil && errB == nil && slices.Equal(a, b) && in.VLAN == out.VLAN && !c.excused["internal.vlan"] && !c.excused["external.vlan"] {
		c.add(KindOverlap, "external.mac", "is the socket of the internal port too", "write the address of the other socket, or give the two ports a vlan each")
	}
	for _, s := range in.Addresses {
		for _, o := range out.Addresses {
			p, errP := netip.ParsePrefix(s)
			q, errQ := netip.ParsePrefix(o)
			if errP == nil && errQ == nil && p.Overlaps(q) {
				c.addItem(KindOverlap, "external.addresses", o, " is in the same network as the internal port's "+clip(s), "the two ports need two networks: correct the address, or the length of the subnet")
			}
		}
	}
}

// plausibleHost tells a name or an address from what is certainly neither.
func plausibleHost(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	const most = 253 // RFC 1035 section 3.1: 255 octets with length bytes
	return s != "" && len(s) <= most && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r == '-' || r == '.' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z')
	})
}

func hostPort(s string) bool {
	host, port, err := net.SplitHostPort(s)
	return err == nil && plausibleHost(host) && portNumber(port)
}

func portNumber(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

// proxyCA checks that each block is a certificate.
func (c *checker) proxyCA(e External, tls bool) {
	if e.ProxyCA == "" {
		return
	}
	if !tls {
		c.add(KindProxy, "external.proxy_ca", "is given, and the proxy is reached without TLS", "write external.proxy as https://..., or remove this")
	}
	rest := []byte(e.ProxyCA)
	for n := 0; ; n++ {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			if n == 0 {
				c.add(KindProxy, "external.proxy_ca", "holds no certificate in PEM form", "put the lines from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE----- between three quotes")
			}
			return
		}
		if _, err := x509.ParseCertificate(block.Bytes); block.Type != "CERTIFICATE" || err != nil {
			c.add(KindProxy, "external.proxy_ca", fmt.Sprintf("its block number %d is not a certificate", n+1), "copy the certificates of the proxy's authority again")
			return
		}
	}
}
