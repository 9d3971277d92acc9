// Package netguardtest attacks the two ports: the kit of netguard's tests and of
// the demo, which shows a scan of the External Port.
//
// [NewSite] makes a simulated site: a box with two ports, a device and a cloud,
// each in a network namespace of its own. [Sniff] counts the frames of an attack
// that reach a link: those that carry its [Nonce], wherever in the frame, so
// that a tunnel hides nothing. [Host.Sender] sends frames as they are, past
// every rule of the sending host; the builders ([UDP], [TCP], [Echo], [ARP] and
// so on) make them. [Scan] scans an address from a neighbouring host and tells
// what answered.
//
// A sniffer that sees nothing proves nothing by itself: each test first has it
// see the same attack succeed against a box that nobody guards.
//
// Everything here needs CAP_NET_RAW, and most CAP_NET_ADMIN, over namespaces
// that the caller made. Nothing changes the namespace that the program started
// in but [NewSite], which puts the near ends of its links into the box.
package netguardtest
