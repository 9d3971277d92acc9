// Package wall builds the nftables tables of one port namespace: the second wall,
// behind the namespace itself.
//
//	w, err := wall.Open(ns)
//	err = w.Apply(wall.Port{})       // closed, before the link moves in
//	err = w.Apply(port)              // one transaction, also when it replaces
//	problems, err := w.Check(port)   // is all still as Apply left it?
//	err = w.Permit(addrs, false, ttl)
//	err = w.Close()                  // the tables stay
//
// The namespace is taken to be the port's alone: tables that are not of this
// package are told by Check and deleted by Apply.
//
// # What passes
//
// Table inet lwc, every chain dropping what no rule accepts:
//
//   - prerouting: packets by the port to an address of the port whose source is
//     reached by the port. Linux answers at any link for any of its addresses, and
//     its sysctls do not stop that.
//   - forward: nothing.
//   - input: answers to connections that the namespace opened, in the direction of
//     answers only, so that a connection which came in before the wall is cut.
//   - output: from own addresses only, connections to the devices or to what Permit
//     let out, DNS to the configured servers, and what goes on of these.
//
// ICMP: path MTU discovery needs "fragmentation needed" and "packet too big", and a
// refused or lost way should be told at once. So errors are let in that conntrack
// relates to a connection of ours, by their type: unreachable, too big, time
// exceeded, parameter problem. What else conntrack calls related does not pass:
// redirects, which would change routes, and what its helpers expect. A router
// inside an internal network whose own address no route covers is not heard (its
// source leads nowhere by this port); TCP then has net.ipv4.tcp_mtu_probing. On lo
// the same errors pass: so the kernel tells a socket that a neighbour is missing.
//
// IPv6, only where the port speaks it: neighbour solicitations and advertisements
// with a hop limit of 255 (RFC 4861) both ways, and multicast listener reports out
// and queries in (RFC 3810, RFC 4861 section 7.2.1), without which a switch that
// watches groups stops to deliver the solicitations. Router advertisements do not
// pass.
//
// Table netdev lwc on the link: at ingress IPv4, ARP and, where it is spoken, IPv6;
// at egress frames with the link's own source address. The inet family sees no
// ARP, and bridges and macvlans on the link bypass it. Packet sockets for all
// protocols hear frames before the ingress hook, others behind it; what they send
// passes egress. A tagged frame for a VLAN on top of the link has passed the link's
// ingress with the protocol inside its tag: where either speaks IPv6, the lower
// port needs it too.
//
// # Owner
//
// The tables are owned by the Wall's socket and persistent (Linux 6.9): another
// program's flush skips them, its edits are refused, and when the process is killed
// they stay, to be adopted by the next Apply. An owned table that is not persistent
// would open the port at the death of its process, which is worse than one that
// anybody with CAP_NET_ADMIN can change: before 6.9 the tables have no owner, and
// from 5.12 on owned doubles (lwc_alive) besides, so that a flush opens nothing.
// Degraded tells of either.
//
// # Transactions
//
// Each change is based on the generation of the rules that was read before, and
// fails when another program was faster; then it is made anew. A replacement keeps
// chains in place and swaps their rules, without a packet lost or let in.
package wall
