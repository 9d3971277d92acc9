// Package shelf keeps the releases of the appliance and hands them to the boxes.
//
// A Shelf is a folder with one folder for each release: its signed manifest and its
// packed files, as a bundle brings them. Add takes a bundle only when a trusted key
// has signed it and every file is what the manifest promises; a release is on the
// disk, whole, before the store tells of it, and what a crash leaves behind is taken
// away by Open. Handler serves the files to collectors and to nobody else, by their
// certificates, whole or in ranges.
//
// The boxes check all of it again, by keys of their own: who breaks into the cloud can
// withhold a release from them, and cannot make one.
package shelf
