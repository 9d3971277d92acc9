package main

import (
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"lwc/netguard/netguardtest"
)

// attacker knows one port namespace as it was before the change.
type attacker struct {
	h    *netguardtest.Host
	nl   *netlink.Handle
	link netlink.Link
	nft  *nftables.Conn
	was  string // addresses and routes
	rule int    // how many rules the tables of nftables have
}

func attackNames() []string {
	return []string{"ip-forward", "ipv6-forwarding", "route", "route-deleted", "rule", "address", "address-deleted",
		"link-down", "mtu", "nft-table", "nft-flush"}
}

// newAttack returns the attack of that name on the namespace of h.
func newAttack(name string, h *netguardtest.Host, s *guardSite) (attack, error) {
	a := attacker{h: h, nl: h.Netlink()}
	port, err := portOf(h, s)
	if err != nil {
		return attack{}, err
	}
	if a.link, err = h.Link(port); err != nil {
		return attack{}, err
	}
	if a.nft, err = nftables.New(nftables.WithNetNSFd(h.Fd()), nftables.AsLasting()); err != nil {
		return attack{}, fmt.Errorf("opening nftables: %w", err)
	}
	if a.was, err = a.state(); err != nil {
		return attack{}, err
	}
	if a.rule, err = a.countRules(); err != nil {
		return attack{}, err
	}
	at := a.all()[name]
	at.name = name
	return at, nil
}

func (a *attacker) all() map[string]attack {
	mtu := a.link.Attrs().MTU
	return map[string]attack{
		"ip-forward":      {do: func() error { return writeSysctl("ipv4/ip_forward", "1") }, fixed: a.quiet},
		"ipv6-forwarding": {do: func() error { return writeSysctl("ipv6/conf/all/forwarding", "1") }, fixed: a.quiet},
		"route":           {do: func() error { return a.nl.RouteAdd(a.foreignRoute()) }, fixed: a.restored},
		"route-deleted":   {do: a.deleteRoute, fixed: a.restored},
		"rule":            {do: func() error { return a.nl.RuleAdd(foreignRule()) }, fixed: a.noRule},
		"address":         {do: func() error { return a.nl.AddrAdd(a.link, foreignAddress()) }, fixed: a.restored},
		"address-deleted": {do: a.deleteAddress, fixed: a.restored},
		"link-down":       {do: func() error { return a.nl.LinkSetDown(a.link) }, fixed: a.restored},
		"mtu": {do: func() error { return a.nl.LinkSetMTU(a.link, mtu-100) }, fixed: func() (bool, error) {
			l, err := a.nl.LinkByIndex(a.link.Attrs().Index)
			return err == nil && l.Attrs().MTU == mtu, err
		}},
		"nft-table": {do: a.addTable, fixed: a.noTable},
		"nft-flush": {do: a.flush, fixed: a.rulesBack},
	}
}

// quiet: neither family forwards, and what switching that on and off resets is as
// it was (Documentation/networking/ip-sysctl.rst, ip_forward).
func (a *attacker) quiet() (bool, error) {
	port := a.link.Attrs().Name
	for _, path := range []string{"ipv4/ip_forward", "ipv4/conf/all/forwarding", "ipv4/conf/" + port + "/forwarding",
		"ipv4/conf/all/accept_redirects", "ipv6/conf/all/forwarding", "ipv6/conf/" + port + "/forwarding"} {
		if value, err := readSysctl(path); err != nil || value != "0" {
			return false, err
		}
	}
	return true, nil
}

// state is the link's flag, the addresses and the routes of all tables, in words.
func (a *attacker) state() (string, error) {
	l, err := a.nl.LinkByIndex(a.link.Attrs().Index)
	if err != nil {
		return "", err
	}
	lines := []string{fmt.Sprint("up ", l.Attrs().Flags&net.FlagUp != 0)}
	addresses, err := a.nl.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return "", err
	}
	for _, addr := range addresses {
		lines = append(lines, fmt.Sprint("address ", addr.IPNet, addr.LinkIndex))
	}
	routes, err := a.nl.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return "", err
	}
	for _, r := range routes {
		lines = append(lines, fmt.Sprint("route ", r.Dst, r.Gw, r.LinkIndex, r.Table, r.Priority))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n"), nil
}

func (a *attacker) restored() (bool, error) {
	now, err := a.state()
	return now == a.was, err
}

func (a *attacker) foreignRoute() *netlink.Route {
	return &netlink.Route{LinkIndex: a.link.Attrs().Index, Dst: &net.IPNet{IP: net.IPv4(203, 0, 113, 0).To4(), Mask: net.CIDRMask(24, 32)}}
}

// deleteRoute deletes the route of the configuration that leads beyond the subnet.
func (a *attacker) deleteRoute() error {
	routes, err := a.nl.RouteList(a.link, netlink.FAMILY_V4)
	if err != nil {
		return err
	}
	for _, r := range routes {
		if r.Gw != nil {
			return a.nl.RouteDel(&r)
		}
	}
	return fmt.Errorf("looking for a route to delete: %d routes, none with a gateway", len(routes))
}

// foreignPriority is where no rule is.
const foreignPriority = 5

func foreignRule() *netlink.Rule {
	r := netlink.NewRule()
	r.Family, r.Priority, r.Table = unix.AF_INET, foreignPriority, 77
	return r
}

func (a *attacker) noRule() (bool, error) {
	rules, err := a.nl.RuleList(unix.AF_INET)
	return !slices.ContainsFunc(rules, func(r netlink.Rule) bool { return r.Priority == foreignPriority }), err
}

func foreignAddress() *netlink.Addr {
	return &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(10, 7, 7, 7).To4(), Mask: net.CIDRMask(32, 32)}}
}

func (a *attacker) deleteAddress() error {
	addresses, err := a.nl.AddrList(a.link, netlink.FAMILY_V4)
	if err != nil || len(addresses) == 0 {
		return fmt.Errorf("looking for an address to delete: %d there: %w", len(addresses), err)
	}
	return a.nl.AddrDel(a.link, &addresses[0])
}

const foreignTable = "foreign"

func (a *attacker) addTable() error {
	t := a.nft.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: foreignTable})
	accept := nftables.ChainPolicyAccept
	a.nft.AddChain(&nftables.Chain{Name: "input", Table: t, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityFirst, Policy: &accept})
	return a.nft.Flush()
}

func (a *attacker) noTable() (bool, error) {
	tables, err := a.nft.ListTables()
	return !slices.ContainsFunc(tables, func(t *nftables.Table) bool { return t.Name == foreignTable }), err
}

// flush empties nftables; the kernel leaves out tables that another process owns.
func (a *attacker) flush() error {
	a.nft.FlushRuleset()
	if err := a.nft.Flush(); err != nil {
		return err
	}
	if n, err := a.countRules(); err != nil || n == a.rule {
		return errRefused
	}
	return nil
}

func (a *attacker) rulesBack() (bool, error) {
	n, err := a.countRules()
	return n == a.rule, err
}

func (a *attacker) countRules() (n int, err error) {
	chains, err := a.nft.ListChains()
	if err != nil {
		return 0, err
	}
	for _, c := range chains {
		rules, err := a.nft.GetRules(c.Table, c)
		if err != nil {
			return 0, err
		}
		n += len(rules) + 1
	}
	return n, nil
}
