// Package sums is for who downloads an image: is it the one that was released?
//
// The checksums of a release stand in a file as sha256sum writes it, NAME.SHA256SUMS
// ([Parse], [Of]). [Sign] signs that file with a release key: a plain Ed25519 signature
// (RFC 8032) of its bytes, in a file of 64 bytes beside it ([SignatureName]). So the same
// is checked without this program, from a file with the one public key that signed:
//
//	openssl pkeyutl -verify -pubin -inkey release.pub.pem -rawin -in SUMS -sigfile SUMS.sig
//	sha256sum -c --ignore-missing SUMS
//
// Openssl reads the first key of a file only. LIST-2.sig is by the key release-2.
//
// [Check] does both for one file, and returns nothing that no trusted key has signed.
// A text that is no list of checksums is never signed, so that such a signature is
// none of a release's manifest, which the same keys sign.
package sums
