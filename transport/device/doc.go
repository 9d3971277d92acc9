// Package device opens the NETCONF stream of a device over SSH, direct or
// through a chain of bastions.
//
// Fill a Target, and Dial it:
//
//	d := device.Dialer{Net: guard.DialInternal}
//	conn, err := d.Dial(ctx, device.Target{Device: hop, Via: bastions})
//	session, err := junos.Open(ctx, conn, junos.Options{})
//
// What the package guarantees: the host key of every hop is verified against
// the keys pinned for that hop, never against an address. Only the configured
// methods are tried, and a password is sent once in a log-in, so that one Dial
// costs one failure at most. Each phase has its deadline, and the end of the
// context ends each within 100 ms. An *Error names the phase, the kind and the
// hop, and tells the steps that were made.
//
// Devices behind a bastion share one connection to it: it is dialled once for
// all who ask, tried once with a credential that is refused, kept for
// Dialer.Idle after the last of them, and dialled anew when it dies. It is
// shared only by those whose way, credential and pins it satisfies. Closing a
// Conn, or a Dial that fails, leaves nothing but that; Dialer.Close ends it too.
// What waits for a bastion that hangs ends when its keep-alive goes unanswered.
//
// Where the subsystem is refused, twice, the command "xml-mode netconf
// need-trailer" stands in for it, and the CLI where Target.AllowCLI says so. What
// worked is remembered by device, and tried first the next time: a port that drops
// what comes costs Timeouts.Connect once. The usual order follows where it fails.
//
// Opened private keys are kept for Dialer.Idle, and overwritten when they are
// forgotten; no connection keeps the credential that it was made with.
//
// No log-in that failed is repeated: when to try again is for the caller, who
// knows about other devices with the same credential.
package device
