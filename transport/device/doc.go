// Package device opens the netconf subsystem of a device over SSH, direct or
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
// context ends each. An *Error names the phase, the kind and the hop. Closing a
// Conn, or a Dial that fails, leaves no goroutine and no socket.
//
// No log-in that failed is repeated: when to try again is for the caller, who
// knows about other devices with the same credential.
package device
