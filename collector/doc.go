// Package collector runs the collections of one appliance: it holds the desired
// configuration, keeps the schedule, collects from many devices at once and
// accounts for every document in the manifest of its run.
//
// New joins a Dialer (the way to the devices) and an Uplink (the way to the
// cloud); Run does the work until its context ends. A Collector is the Handler
// of its uplink: Welcomed, Desired and Job hand over what the cloud sent and
// return at once.
//
// What it guarantees:
//
//   - Configurations, credentials and documents live in RAM only. Credentials
//     are opened with the key of this boot, and wiped when a newer configuration
//     has replaced them and the last collection that used them has ended.
//   - A configuration is checked as a whole and then swapped in at once. An entry
//     that cannot be used is reported and left out; the others work.
//   - Two collections of one device never overlap.
//   - Names and secrets are masked before a document is held, unless the
//     configuration says otherwise.
//   - A device that stands still keeps no slot from the others. Log-ins of one
//     credential are spaced, and a bastion at its limit is left alone for a while.
//   - A command that the release or the model of a device does not have is not
//     asked again in this boot before its release, its address or its account
//     changes, or somebody collects this device alone. A feature that is only not
//     in use is asked for in each run: the next commit may change that.
//   - A log-in that was refused is not tried again: not by the run for any device
//     of the same realm, and not by a later scheduled run for the same device,
//     until the credential changes. A new credential is first tried on one device.
//   - The bytes of documents without a receipt are bounded by a budget. When it is
//     used up, collection waits for the cloud.
//   - Every item of every device of a run stands in its manifest, as stored or
//     with the reason why not. The manifest leaves after the last receipt.
package collector
