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
// [Guard.External]. [Guard.Verify] compares the kernel with the configuration
// again at any time, and [Guard.Close] leaves both ports down.
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
//   - Names are resolved through the DNS servers of the port and no others.
//   - While a verification finds a violation every dial returns [ErrBlocked].
//   - The External Port has no way to listen.
//
// # How a socket gets into a namespace
//
// Each namespace has one OS thread of ours, locked for good, that does nothing
// but make sockets and write sysctls there. A dial is an ordinary [net.Dialer]
// whose ControlContext hook replaces the descriptor that Go made, before it is
// bound or connected, by one made on that thread. Deadlines, Happy Eyeballs and
// TLS work as always, and a thousand hanging dials need no thread of their own.
package netguard
