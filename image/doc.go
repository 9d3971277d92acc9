// Package image is the folder of the appliance image: what a field engineer
// flashes, its build and its boot test. It has no code; until there is an image,
// lwcd is installed on a Linux machine as docs/lwcd.md says, with the unit in
// docs/examples.
package image
