// Package ledger exports what the signed manifests of a collector say left its
// site, checks such an export, and tells it in words.
//
// An export is a gzipped tar that needs nothing of lwc to be read: the manifests
// byte for byte as they were signed, their signatures, and what the cloud stores.
// Write makes one from a store. Verify reads one, from a file as well as from a
// running cloud, and trusts nothing in it but what the collector's key signed.
// Tell reads one and sums up each run.
package ledger
