// Package lease keeps an IPv4 address that a DHCP server lends (RFC 2131).
//
// A [Client] asks for a lease, keeps it, and tells its owner what to configure
// and when to stop. It configures nothing itself, and it opens no socket of the
// kernel's IP: its messages leave and arrive through a packet socket, see
// [Prepare], so a firewall in front of that needs no hole. Start with a Client and
// its Run.
//
// # Guarantees
//
//   - The owner's Accept sees every lease before it is used. One that it refuses
//     is not asked for, or is declined (DHCPDECLINE) when the server changed it
//     between its offer and its word.
//   - A lease is used until it expires, however long the server is silent, and
//     not a second longer. Its time counts from when it was asked for.
//   - When the link comes back the lease is confirmed (INIT-REBOOT, RFC 2131
//     section 3.2) while the address stays in use.
//   - A message counts only when it answers one of ours: transaction, hardware
//     address and, where one was chosen, the server must fit. What does not is
//     dropped by a filter in the kernel; nothing arrives while nothing is asked.
//   - Whatever servers send, the client starts anew at most once in four seconds
//     and renews at most once in fifteen.
package lease
