// Package boxkey keeps the identity key of a box: a P-256 key that lives in the
// machine's TPM, or, where there is none to be used, in a file.
//
// [Create] makes a key, [Marshal] gives the PEM text that is kept on the disk, and
// [Parse] takes that text back. What is kept of a key in a TPM is a blob that only
// this TPM can open: on another machine, and after the TPM was cleared, Parse fails
// with [ErrForeign], and nobody can make the key again. It never makes another key
// in place of one that cannot be had.
//
// A key in a TPM is a child of the ECC storage root key of the owner hierarchy
// (TCG TPM v2.0 Provisioning Guidance, section 7.5.1), without a password, and
// bound to that TPM (fixedTPM). Its text is that of the openssl and tpm2 tools
// ("TSS2 PRIVATE KEY", draft-bottomley-tpm2-keys section 3). Nothing is left in
// the TPM between two runs.
package boxkey
