// Package netguard keeps the two ports of the collector apart.
//
// The Internal Port reaches the devices, the External Port reaches the cloud.
// Each lives in a network namespace of its own that holds nothing but lo and
// that port; the namespace of the process holds neither. There is no kernel
// path from one to the other: no bridge, no route, no forwarding, no shared
// table. A plain [net.Dial] anywhere in the process finds no port to leave by.
//
// Start with [Check], which says everything that is wrong with a [Config] and
// touches nothing. [Up] makes or adopts the namespaces, moves the ports into
// them, configures them exactly, and verifies the result before it returns a
// [Guard]. All traffic is then dialled through [Guard.Internal] and
// [Guard.External]. From then on the kernel is watched until [Guard.Close], which
// leaves both ports down; [Guard.Verify] compares it with the configuration at
// any time.
//
// # Guarantees
//
//   - No port is moved or brought up unless Check passes.
//   - Forwarding is off in a namespace before a port enters it; a port enters down.
//   - A connection that a port returns belongs to the namespace of that port: its
//     SO_NETNS_COOKIE is compared when the socket is made and again when the
//     connection is handed out. Otherwise the error is [ErrWrongNamespace].
//   - Neither port dials into the subnets or routes of the other, nor to
//     loopback, link-local or multicast addresses, also when a name resolves to
//     them and in IPv4-mapped form: [ErrNotAllowed].
//   - The External Port dials what is on a list ([Config.Allow], [Guard.SetAllowed])
//     and nothing else, the Internal Port the TCP ports of devices in its own
//     subnets and routes. What Go refuses the kernel's table refuses too.
//   - Names are resolved through the DNS servers of the port and no others.
//   - While the ports are blocked every dial returns [ErrBlocked], the External
//     Port is down, and no connection is open.
//   - The External Port has no way to listen.
//
// # What happens when the kernel is changed
//
// Each namespace has a netlink socket that hears of every change of links,
// addresses, routes, rules, queueing disciplines and tables. What changed is not
// decoded: any event has everything compared, within about ten milliseconds.
// Settings whose change makes no event are read once a second. A harmless change
// once a minute proves that the watch still hears.
//
// A changed sysctl, table, route, rule or address, a link that was set down and a
// foreign queueing discipline are put right on the spot; the ports stay open when
// the comparison after it finds nothing, and a [Violation] with Healed set is
// told. Everything else blocks the ports: an interface too many, a card that went
// away or was exchanged, a program or filter on a link, addresses that overlap,
// both ports in one segment, a watch that fails. Blocked means, in this order: no
// dials, the External Port down, connections closed, sockets that nobody tracks
// destroyed, the event told. Then what can be healed is healed, but for addresses
// that overlap, which wait for the configuration. The ports open again when three
// comparisons over five seconds found nothing and the hold is over, which doubles
// from block to block up to five minutes. Six blocks, or a hundred changes put
// right, within ten minutes latch: then the ports stay blocked until a new [Up].
//
// Whether both ports are in one segment is found out by frames that one sends and
// the other must not hear: before the ports open, when a link finds its partner
// again, 5 and 35 seconds after, and every ten minutes. In between, silence is
// no proof.
//
// # Two processes
//
// A second process, started in an empty network namespace, can dial without any
// privilege: it calls [Join] with the [View] of the Guard, which opens its threads
// and netlink sockets, then [Half.DropPrivileges], then [Half.Run]. Each dial from
// its External Port asks the Guard ([Upstream]), which resolves the name and opens
// the kernel's table for some minutes. The half compares the kernel with the view
// by itself: it refuses dials at the first difference and closes all connections
// when that is grave or half a second old, also while the Guard is stopped. When
// the Guard is gone it blocks its ports for good.
//
// # How a socket gets into a namespace
//
// Each namespace has one OS thread of ours, locked for good, that does nothing
// but make sockets and write sysctls there. A dial is an ordinary [net.Dialer]
// whose ControlContext hook replaces the descriptor that Go made, before it is
// bound or connected, by one made on that thread. Deadlines, Happy Eyeballs and
// TLS work as always, and a thousand hanging dials need no thread of their own.
package netguard
