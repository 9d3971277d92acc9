// Package seal does what comes after the build of an image, because it needs keys
// and the build has to give everybody the same bytes: it signs the image for Secure
// Boot, and makes the signed bundle of a release out of it.
//
// [MakeKeys] makes keys where there are none. [Image] signs the boot loader and the
// kernel inside a raw image and adds the files that a firmware in setup mode enrols
// itself from. [Release] takes a release out of a raw image, signed or not, and
// signs its manifest. [Sums] signs the checksums of what people download. The root file
// system and its hashes are never touched, so
// what was reproducible stays so.
//
// It needs the programs of Debian's packages sbsigntool and mtools.
package seal
