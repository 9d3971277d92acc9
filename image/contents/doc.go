// Package contents says what may be executed on the appliance: the list that the
// build removes everything else by (image/prune), and that a finished image is
// judged by (image/scan). A program that is on neither list cannot get into the
// image unseen, whatever package brings it.
//
// [Root] and [Initrd] are the two trees of an image. [Look] tells what a file is by
// its first bytes, whatever its name or mode.
package contents
