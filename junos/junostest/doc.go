// Package junostest simulates a fleet of Junos devices and bastions in one
// process, for tests, demonstrations and load.
//
// Describe the fleet in a Config, make it with NewFleet, Start it, and read
// from Devices and Bastions what a client needs to log in:
//
//	fleet, err := junostest.NewFleet(junostest.Config{Devices: 6, Bastions: 1, Behind: 2})
//	err = fleet.Start(ctx)
//	defer fleet.Close()
//	for _, d := range fleet.Devices() { … d.Addr, d.HostKey, d.User, d.Password … }
//
// Every item of the catalogue has a reply. It is generated from a model of the
// device, in the shape that Junos of that platform and release sends, so that
// replies agree: a neighbour of a protocol sits at the far end of a link that
// the interfaces have. What the platform does not know or the device does not
// run is refused as Junos does. Nothing is a recording. The seed
// and the position in the fleet decide everything about a device: host name,
// serials, parts, release, licences, alarms, ports, keys. The same seed gives
// the same bytes, unless Config.Clock makes the clocks run.
//
// Devices speak NETCONF 1.0 and 1.1 (RFC 6241, 6242) on the netconf subsystem
// of SSH, take CLI commands in NETCONF and as SSH exec, and answer what their
// platform lacks as Junos does. Bastions forward direct-tcpip (RFC 4254,
// section 7.2) to addresses of the fleet and to nothing else.
//
// Config.Faults and Config.Faulty have devices and bastions misbehave, by name,
// by pattern or by share; SetFault changes that while the fleet runs.
// FaultKinds tells what there is. The Fault of a Device, and the Inventory, say
// who has which, so that a test can tell whether a client gave the right reason.
// A device without a fault takes requests that are sent ahead, and answers them
// in order. Beside the passwords and the ClientKey, a certificate of the
// fleet's UserCA logs in; with Config.HostCA the hosts show certificates too.
//
// Every document that leaves is in the log of Sent, with the SHA-256 of the
// bytes between the NETCONF framing, so that a test can tell whether what was
// stored at the far end is what the device said.
package junostest
