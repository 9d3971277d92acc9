package wall

import (
	"slices"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// The names of the sets.
const (
	setErrors4    = "errors4"
	setErrors6    = "errors6"
	setNeighbours = "neighbours"
	setReports    = "group_reports"
	setPorts      = "device_ports"
	setDevices4   = "devices4"
	setDevices6   = "devices6"
	setResolvers4 = "resolvers4"
	setResolvers6 = "resolvers6"
	setPermitted4 = "permitted4"
	setPermitted6 = "permitted6"
)

// ICMP types (RFC 792; RFC 4443; RFC 4861 section 4; RFC 2710, RFC 3810).
const (
	icmpUnreachable, icmpTimeExceeded, icmpParameter = 3, 11, 12

	icmp6Unreachable, icmp6TooBig, icmp6TimeExceeded, icmp6Parameter = 1, 2, 3, 4
	icmp6Query, icmp6Report, icmp6Done, icmp6Report2                 = 130, 131, 132, 143
	icmp6Solicitation, icmp6Advertisement                            = 135, 136
)

// plan returns the tables of the port. Everything is dropped but what a rule
// accepts.
//
// Each chain says so twice: by its policy, and by a last rule that drops. When a
// chain is made anew while the old one is deleted in the same transaction, the
// kernel sets the new policy behind the moment at which the old chain is gone
// (nft_chain_commit_drop_policy in net/netfilter/nf_tables_api.c); the rules are
// in force before.
func plan(p Port, k kernel) []table {
	tables := []table{closedTable()}
	if !p.closed() {
		b := builder{p: p, families: []byte{unix.NFPROTO_IPV4}}
		if p.IPv6 {
			b.families = append(b.families, unix.NFPROTO_IPV6)
		}
		tables = append(tables, b.netdev(k))
		if !p.Carrier {
			tables[0] = b.inet()
		}
	}
	for _, t := range tables {
		for i := range t.chains {
			t.chains[i].rules = append(t.chains[i].rules, drop("nothing else", needsTables))
		}
	}
	return k.owning(tables)
}

// closedTable lets nothing pass in any direction.
func closedTable() table {
	t := table{name: tableName, family: unix.NFPROTO_INET}
	t.chains = inetChains(nil, nil, nil)
	return t
}

func inetChains(prerouting, input, output []rule) []chain {
	return []chain{
		{"prerouting", hook{num: hookPrerouting, priority: priorityRaw}, needsTables, prerouting},
		{"forward", hook{num: hookForward}, needsTables, nil},
		{"input", hook{num: hookInput}, needsTables, input},
		{"output", hook{num: hookOutput}, needsTables, output},
	}
}

// builder makes the tables of one port.
type builder struct {
	p        Port
	families []byte // those that the port speaks
}

func (b builder) inet() table {
	t := table{name: tableName, family: unix.NFPROTO_INET}
	t.chains = inetChains(b.prerouting(), b.input(), b.output())
	t.sets = append(b.icmpSets(), b.destinationSets()...)
	return t
}

// only closes the chain to IPv6 when the port does not speak it.
func (b builder) only() []rule {
	if b.p.IPv6 {
		return nil
	}
	return []rule{drop("ipv6 is off", needsTables, nfproto(unix.NFPROTO_IPV6))}
}

func (b builder) prerouting() []rule {
	port := iif(b.p.Index)
	rules := append(b.only(), accept("", needsTables, iif(loopback)))
	// Before the source is looked at: a host that probes an address asks from :: (RFC 4862).
	rules = append(rules, b.neighbours()...)
	return append(rules,
		drop("no way back by this port", needsFib, noWayBack()),
		accept("own address of this port", needsFib, port, localAddress()))
}

func (b builder) input() []rule {
	port := iif(b.p.Index)
	rules := append(b.only(), accept("answers", needsCt, port, state(expr.CtStateBitESTABLISHED), direction(directionReply)))
	return slices.Concat(rules, b.icmpErrors(), b.neighbours())
}

// neighbours lets in what an IPv6 port hears of its link.
func (b builder) neighbours() []rule {
	if !b.p.IPv6 {
		return nil
	}
	port := iif(b.p.Index)
	return []rule{
		accept("neighbour discovery", needsTables, port, icmp6(), icmpType(setNeighbours), hopLimit(255)),
		accept("who listens to which group", needsTables, port, icmp6(), icmpIs(icmp6Query), hopLimit(1), linkLocalSource()),
	}
}

// icmpErrors lets in what routers and hosts say of packets that went out. On lo
// it is the kernel's own word that a neighbour does not answer.
func (b builder) icmpErrors(more ...match) []rule {
	related := state(expr.CtStateBitRELATED)
	var rules []rule
	for _, f := range b.families {
		proto, set := l4proto(unix.IPPROTO_ICMP), setErrors4
		if f == unix.NFPROTO_IPV6 {
			proto, set = l4proto(unix.IPPROTO_ICMPV6), setErrors6
		}
		matches := append(more[:len(more):len(more)], related, nfproto(f), proto, icmpType(set))
		rules = append(rules, accept("errors of what went out", needsCt, matches...))
	}
	return rules
}

func (b builder) output() []rule {
	port, rules := oif(b.p.Index), append(b.only(), mark())
	if b.p.IPv6 {
		// Before the source is looked at: an address is probed from :: (RFC 4862).
		rules = append(rules, accept("neighbour discovery", needsTables, port, icmp6(), icmpType(setNeighbours), hopLimit(255)))
		rules = append(rules, accept("own groups", needsTables, port, icmp6(), icmpType(setReports), hopLimit(1)))
	}
	rules = append(rules,
		drop("not from an address of this port", needsFib, foreignSource()),
		accept("what goes on", needsCt, port, state(expr.CtStateBitESTABLISHED), direction(directionOriginal)))
	rules = append(rules, b.icmpErrors(oif(loopback))...)
	for _, f := range b.families {
		fresh := []match{port, state(expr.CtStateBitNEW), nfproto(f)}
		if len(b.p.DNS) > 0 {
			rules = append(rules, accept("dns", needsCt, append(fresh, endpoint(f, ofFamily(f, setResolvers4, setResolvers6)))...))
		}
		if len(b.p.Destinations) > 0 && len(b.p.Ports) > 0 {
			to := match{destination(f, register), inSet(ofFamily(f, setDevices4, setDevices6)), destinationPort(register), inSet(setPorts)}
			rules = append(rules, accept("devices", needsCt, append(fresh, l4proto(unix.IPPROTO_TCP), to)...))
		}
		if b.p.Dynamic {
			rules = append(rules, accept("permitted for a time", needsCt, append(fresh, endpoint(f, ofFamily(f, setPermitted4, setPermitted6)))...))
		}
	}
	return rules
}

func icmp6() match {
	return append(nfproto(unix.NFPROTO_IPV6), l4proto(unix.IPPROTO_ICMPV6)...)
}

func ofFamily(family byte, v4, v6 string) string {
	if family == unix.NFPROTO_IPV6 {
		return v6
	}
	return v4
}

// icmpSets are the types of ICMP that a port takes or says.
func (b builder) icmpSets() []set {
	sets := []set{types(setErrors4, typeICMPType, icmpUnreachable, icmpTimeExceeded, icmpParameter)}
	if !b.p.IPv6 {
		return sets
	}
	return append(sets,
		types(setErrors6, typeICMPv6Type, icmp6Unreachable, icmp6TooBig, icmp6TimeExceeded, icmp6Parameter),
		types(setNeighbours, typeICMPv6Type, icmp6Solicitation, icmp6Advertisement),
		types(setReports, typeICMPv6Type, icmp6Report, icmp6Done, icmp6Report2))
}

func types(name string, keyType uint32, numbers ...byte) set {
	var keys [][]byte
	for _, n := range numbers {
		keys = append(keys, []byte{n})
	}
	return constant(name, keyType, 1, keys...)
}

// destinationSets are the places that new connections go to.
func (b builder) destinationSets() []set {
	var sets []set
	devices := len(b.p.Destinations) > 0 && len(b.p.Ports) > 0
	if devices {
		sets = append(sets, intervals(setPorts, typeInetService, 2, portSpans(b.p.Ports)))
	}
	for _, f := range b.families {
		v6 := f == unix.NFPROTO_IPV6
		if len(b.p.DNS) > 0 {
			sets = append(sets, endpoints(ofFamily(f, setResolvers4, setResolvers6), f, b.p.DNS))
		}
		if devices {
			keyType, keyLen := uint32(typeIPv4Addr), uint32(4)
			if v6 {
				keyType, keyLen = typeIPv6Addr, 16
			}
			sets = append(sets, intervals(ofFamily(f, setDevices4, setDevices6), keyType, keyLen, prefixSpans(b.p.Destinations, v6)))
		}
		if b.p.Dynamic {
			sets = append(sets, permitted(ofFamily(f, setPermitted4, setPermitted6), f))
		}
	}
	return sets
}

func (b builder) netdev(k kernel) table {
	at := func(num uint32) hook { return hook{num: num, device: b.p.Link} }
	in := []rule{
		accept("ipv4", needsTables, ethertype(unix.ETH_P_IP)),
		accept("arp", needsTables, ethertype(unix.ETH_P_ARP)),
	}
	if b.p.IPv6 {
		in = append(in, accept("ipv6", needsTables, ethertype(unix.ETH_P_IPV6)))
	}
	t := table{name: tableName, family: unix.NFPROTO_NETDEV, chains: []chain{{"ingress", at(hookIngress), needsTables, in}}}
	if !k.noEgress {
		t.chains = append(t.chains, chain{"egress", at(hookEgress), needsEgress, b.egress()})
	}
	return t
}

func (b builder) egress() []rule {
	var rules []rule
	if b.p.Carrier {
		// No table but this one sees ARP; the addresses of lo are all that this
		// namespace has, and the kernel tells them when route_localnet is set.
		rules = append(rules, drop("arp of this namespace", needsTables, ethertype(unix.ETH_P_ARP), loopbackSender()))
	}
	return append(rules,
		drop("ipv4 of a link on top of this one", needsTables, ethertype(unix.ETH_P_IP), unmarked()),
		drop("ipv6 of a link on top of this one", needsTables, ethertype(unix.ETH_P_IPV6), unmarked()),
		accept("own hardware address", needsTables, etherSource(b.p.MAC)))
}
