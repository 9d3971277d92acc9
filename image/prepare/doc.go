// Package prepare puts the file of a site, lwc.toml, where a box finds it: into
// the partition LWCCONF of an image or of a disk with [Image], or onto a small
// volume of its own with [Volume], which is attached to a virtual machine.
//
// The file is checked first ([sitefile.Parse]), so that what is wrong is said at
// the desk and not at the site. What was written is read back. The results hold a
// token: only their owner can read them.
package prepare
