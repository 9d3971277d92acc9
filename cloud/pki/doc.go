// Package pki is the certification authority of a cloud end and its signing
// keys.
//
// Open loads all of it from a folder and makes what is missing: a P-256
// authority, the Ed25519 key that signs what goes down to collectors, and the
// HPKE key that documents are sealed to when the broker is a foreign one. What
// an enrolment token pins is the authority's public key, so the folder is worth
// a backup: without it every collector has to enrol again.
//
// A private key lies in a file of mode 0600, is written before anything depends
// on it, and never leaves the folder but for broker certificates.
package pki
