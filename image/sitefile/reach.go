package sitefile

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"lwc/transport/wire"
)

// router is what to do where nothing leads from a port to an address.
func router(side string) string {
	e := outside
	if side == "internal" {
		e = inside
	}
	return fmt.Sprintf("write gateway = %s under [%s], with the address of the router there", e.gateway, side)
}

// CutOff says that the box can never reach its cloud with these settings, as far as
// that can be known without the network: by a name that nobody resolves, or by an
// address to which no subnet, route or gateway of the External Port leads. Nil: it may
// work. It looks at Endpoint, so a box that knows its cloud from before fills that in.
func (f *File) CutOff() Problems {
	e := f.External
	for _, to := range f.goals() {
		a, err := netip.ParseAddr(to)
		switch {
		case err != nil && !e.DHCP && len(e.DNS) == 0:
			return Problems{f.Problem(KindMissing, "external.dns", f.lacking("external.dns"),
				fmt.Sprintf(`%s is a name, and without dhcp nobody resolves it: write dns = ["192.0.2.53"] under [external]`, clip(to)))}
		case err != nil:
		case f.Internal.owner(a) != "":
			return Problems{f.inside(a)}
		case !e.reaches(a):
			text, do := e.cutOff(a)
			return Problems{f.Problem(KindNetwork, f.addressKey(), text, do)}
		}
	}
	return nil
}

// lacking says how a key that has to be there is not.
func (f *File) lacking(key string) string {
	if _, there := f.at[key]; there {
		return "is to be filled in"
	}
	return "is missing"
}

// addressKey is the key that says how the External Port gets its address.
func (f *File) addressKey() string {
	if _, there := f.at["external.addresses"]; there {
		return "external.addresses"
	}
	return "external.dhcp"
}

// goals are the hosts that the box dials itself: its proxy, or all that its token names.
func (f *File) goals() []string {
	if f.External.Proxy != "" {
		if u, err := url.Parse(f.External.Proxy); err == nil && plausibleHost(u.Hostname()) {
			return []string{u.Hostname()}
		}
		return nil
	}
	var hosts []string
	for _, s := range f.Clouds() {
		if host, _, err := net.SplitHostPort(s); err == nil && plausibleHost(host) {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

// Clouds is where the cloud is, as host:port: first the cloud itself, then what its token
// names besides, a broker elsewhere. None: the box has to know it.
func (f *File) Clouds() []string {
	all := endpointOf(f.Endpoint)
	for _, s := range f.named() {
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}

// Loopback is the first of them that is the computer itself, as in a trial on one machine:
// no box ever gets there. Empty: none is.
func (f *File) Loopback() string {
	for _, s := range f.Clouds() {
		host, _, err := net.SplitHostPort(s)
		a, notAddress := netip.ParseAddr(host)
		name := strings.ToLower(strings.TrimSuffix(host, "."))
		if err == nil && (notAddress == nil && a.Unmap().IsLoopback() || name == "localhost" || strings.HasSuffix(name, ".localhost")) {
			return s
		}
	}
	return ""
}

// endpointOf is where a URL of a cloud leads; none: nowhere.
func endpointOf(url string) []string {
	own, err := wire.URLHostPort(url)
	if err != nil {
		return nil
	}
	return []string{own}
}

// named is all that the token says has to be reached; none: there is no whole token.
func (f *File) named() []string {
	t, err := wire.ParseToken(wire.EnrolToken, f.Token)
	if err != nil {
		return nil
	}
	to, err := t.Reach()
	if err != nil {
		return nil
	}
	return to
}

// cutOff words that nothing leads from the External Port to an address.
func (e External) cutOff(a netip.Addr) (text, do string) {
	text, do = fmt.Sprintf("%s at %s is outside of the subnets of this port, and no gateway leads there", e.goal(), a), router("external")
	switch {
	case e.DHCP:
		return text, "dhcp gives an IPv4 address alone: add an IPv6 address under [external], and its gateway"
	case !slices.ContainsFunc(e.subnets(), func(p netip.Prefix) bool { return p.Addr().Is4() == a.Is4() }):
		return text, "give the port an address of that family too, and its gateway"
	}
	return text, do
}

// goal is what the box dials itself.
func (e External) goal() string {
	if e.Proxy != "" {
		return "the proxy"
	}
	return "the cloud"
}

// inside says that the cloud lies in a network of the Internal Port, to which the
// External Port sends nothing: it has to be the other's alone.
func (f *File) inside(a netip.Addr) Problem {
	key := "internal.addresses"
	if slices.ContainsFunc(f.Internal.Routes, func(s string) bool { return strings.TrimSpace(s) == f.Internal.owner(a) }) {
		key = "internal.routes"
	}
	text, do := fmt.Sprintf("%s covers %s at %s, which the external port alone may reach", quoted(f.Internal.owner(a)), f.External.goal(), a),
		"write narrower networks of the devices, that one outside of them"
	return f.Problem(KindOverlap, key, text, do)
}

// owner is the address or the route of the port that has another address in its network,
// as it stands in the file; empty: none. A default route owns nothing.
func (p Port) owner(a netip.Addr) string {
	a = a.Unmap()
	for _, s := range p.Addresses {
		if q, err := netip.ParsePrefix(s); err == nil && q.Bits() > 0 && q.Contains(a) {
			return s
		}
	}
	for _, s := range p.Routes {
		to, _, _ := strings.Cut(s, " ")
		if q, err := netip.ParsePrefix(to); err == nil && q.Bits() > 0 && q.Contains(a) {
			return s
		}
	}
	return ""
}

func (p Port) subnets() (all []netip.Prefix) {
	for _, s := range p.Addresses {
		if one, err := netip.ParsePrefix(s); err == nil {
			all = append(all, one)
		}
	}
	return all
}

// onLink reports whether the address lies in a subnet of the port.
func (p Port) onLink(a netip.Addr) bool {
	return slices.ContainsFunc(p.subnets(), func(s netip.Prefix) bool { return s.Contains(a.Unmap()) })
}

// reaches reports whether a packet to the address would leave by this port. What cannot
// be known here, as what a lease brings, counts as yes.
func (p Port) reaches(a netip.Addr) bool {
	a = a.Unmap()
	if a.IsLoopback() || a.IsLinkLocalUnicast() || p.DHCP && a.Is4() {
		return true // no gateway is what a loopback address lacks
	}
	if p.onLink(a) {
		return true
	}
	if g, err := netip.ParseAddr(p.Gateway); p.Gateway != "" && (err != nil || g.Is4() == a.Is4()) {
		return true
	}
	return slices.ContainsFunc(p.Routes, func(s string) bool { return routeLeads(s, a) })
}

// routeLeads tells whether a route has the address in its destination; one that cannot
// be read is told as such.
func routeLeads(s string, to netip.Addr) bool {
	words := strings.Fields(s)
	if len(words) != 3 {
		return true
	}
	if words[0] == "default" {
		via, err := netip.ParseAddr(words[2])
		return err != nil || via.Is4() == to.Is4()
	}
	d, err := netip.ParsePrefix(words[0])
	return err != nil || d.Contains(to)
}

// reach checks that the port leads to its name servers, and the External Port to the
// cloud: not where a part of that could not be read, or is wrong in itself.
func (c *checker) reach() {
	in, out := c.file.Internal.Port, c.file.External.Port
	for _, side := range []struct {
		name, otherName string
		port, other     Port
	}{{"internal", "external", in, out}, {"external", "internal", out, in}} {
		if c.unsure(side.name) {
			continue
		}
		for _, s := range side.port.DNS {
			a, ok := serverAddress(s)
			switch owner := side.other.owner(a); {
			case !ok:
			case owner != "" && side.port.onLink(a): // the ports overlap, which is told as such
			case owner != "":
				c.addItem(KindOverlap, side.name+".dns", s, fmt.Sprintf(" lies in the network %s of the %s port", clip(owner), side.otherName), "give a name server of this port's own side, or remove it")
			case !side.port.reaches(a):
				c.addItem(KindNetwork, side.name+".dns", s, " is outside of the subnets of this port, and no gateway leads there", router(side.name))
			}
		}
	}
	if !c.unsure("external") {
		c.problems = append(c.problems, c.file.CutOff()...)
	}
}

// unsure tells that what is known of a port's networks is not whole.
func (c *checker) unsure(side string) bool {
	if c.broken {
		return true
	}
	for _, key := range []string{"addresses", "dhcp", "gateway", "routes", "dns"} {
		full := side + "." + key
		if c.excused[full] || slices.ContainsFunc(c.problems, func(p Problem) bool { return p.Key == full }) {
			return true
		}
	}
	return false
}

func serverAddress(s string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(s); err == nil {
		return a, true
	}
	ap, err := netip.ParseAddrPort(s)
	return ap.Addr(), err == nil
}
