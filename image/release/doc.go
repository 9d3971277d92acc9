// Package release is what a release of the appliance is: a manifest, signed, and
// the files that it names.
//
// Who makes a release fills in a [Manifest] and calls [Sign]; a box and the cloud
// call [Open], which returns nothing that was not signed by a key that is trusted
// and checked whole. The files lie beside the manifest, packed by zstd; [Unpack]
// turns one back into what the manifest promises, or returns an error. [WriteBundle]
// and [ReadBundle] are for the one file a release is passed on in.
//
// The signature is a DSSE envelope (github.com/secure-systems-lab/dsse) by Ed25519
// (RFC 8032). Several keys may sign, and several may be trusted, so that a key can be
// replaced: images that trust the old and the new one come first, then releases that
// the new one signs. A signature of a key that is not known counts for nothing, good
// or bad.
//
// All text that is read here may come from anybody: sizes are bounded before memory
// or disk is used for them, and names are exactly those that the version and the
// role make, so that none can point out of a folder.
package release
