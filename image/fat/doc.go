// Package fat puts a file into the root folder of a FAT16 or FAT32 volume that
// lies in a disk image, reads it back, and makes a small volume of its own. It
// needs no mount, so no root, and works on every system.
//
// [Open] checks the whole geometry of a volume before anything is written, and
// [Volume.WriteFile] replaces a file whole: the new content first, then the
// folder's entry, then the old content is overwritten and freed. What it leaves
// is clean in the eyes of fsck.fat. [Format] makes a new volume.
//
// Section names in the comments are those of "Microsoft Extensible Firmware
// Initiative FAT32 File System Specification", version 1.03 (fatgen103).
package fat
