// Package image is the folder of the appliance image: what a field engineer
// flashes. docs/image.md says what is inside and how it is built.
//
// In mkosi lies the configuration; build makes the image from it, prune leaves in it
// what contents lists, scan judges the result. The
// other folders are what goes onto an image, out of it, and what boots it in tests.
// This package itself has no code.
package image
