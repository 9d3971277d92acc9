package contents

import (
	"path"
	"strings"
)

// Tree is one of the two file systems that programs run from.
type Tree struct {
	// Name is "root" or "initrd".
	Name string
	// Programs are the paths of all that may be executed, without the first
	// slash, each with what needs it. Links to them are free.
	Programs map[string]string
	// Opened are libraries that programs load by name while they run, so that no
	// header tells of them.
	Opened []string
}

// Root is the tree of the running system.
func Root() Tree {
	return Tree{Name: "root", Opened: opened, Programs: merge(common, map[string]string{
		"usr/bin/lwcd":                       "the daemon, the provisioning, the gate of updates, the screen",
		"usr/lib/lwc/update":                 "asks for an update to be installed, and installs it",
		"usr/bin/systemd-repart":             "makes the second slot and /state at the first boot, and forgets /state at a factory reset",
		"usr/lib/systemd/systemd-import":     "systemd-sysupdate copies by it",
		"usr/lib/systemd/systemd-sysupdate":  "writes a verified release into the other slot",
		"usr/lib/systemd/systemd-bless-boot": "takes the boot counter off a release that proved good",
		"usr/lib/systemd/system-generators/systemd-bless-boot-generator": "brings it into the boot of a release on trial",
		"usr/lib/systemd/systemd-makefs":                                 "formats /state when a factory reset was cut off",
		"usr/sbin/mke2fs":                                                "systemd-repart formats /state by it",
		"usr/sbin/tune2fs":                                               "keeps a part of /state for root",
		"usr/sbin/e2fsck":                                                "checks /state after a power cut",
		"usr/sbin/fsck.fat":                                              "checks the partition of the boot loader",
	})}
}

// Initrd is the tree that finds, verifies and mounts the root.
func Initrd() Tree {
	return Tree{Name: "initrd", Opened: opened, Programs: merge(common, map[string]string{
		"usr/lib/systemd/systemd-sysroot-fstab-check": "reads the root's fstab before it is the root",
	})}
}

// common are the programs of both trees.
var common = map[string]string{
	"usr/lib/systemd/systemd":                                         "process 1",
	"usr/lib/systemd/systemd-executor":                                "starts each service for it",
	"usr/lib/systemd/systemd-shutdown":                                "the end of a machine's run",
	"usr/lib/systemd/systemd-journald":                                "the log, in memory",
	"usr/lib/systemd/systemd-modules-load":                            "modules that are listed",
	"usr/lib/systemd/systemd-sysctl":                                  "settings of the kernel",
	"usr/lib/systemd/systemd-fsck":                                    "calls the checkers of file systems",
	"usr/lib/systemd/systemd-veritysetup":                             "opens the root by its hash",
	"usr/lib/systemd/system-generators/systemd-fstab-generator":       "mounts of fstab",
	"usr/lib/systemd/system-generators/systemd-gpt-auto-generator":    "finds the partition of the boot loader",
	"usr/lib/systemd/system-generators/systemd-veritysetup-generator": "reads roothash= of the command line",
	"usr/bin/systemctl":                                               "the switch to the root; emergency and reboots",
	"usr/bin/systemd-tmpfiles":                                        "folders and device nodes of each boot",
	"usr/bin/udevadm":                                                 "udevd, and what waits for it",
	"usr/bin/kmod":                                                    "modprobe, which the kernel calls",
	"usr/bin/mount":                                                   "mount units",
	"usr/bin/umount":                                                  "mount units",
	"usr/sbin/fsck":                                                   "systemd-fsck calls the right checker by it",
	"usr/sbin/dmsetup":                                                "udev's rules for device mapper ask it",
	"usr/lib/udev/cdrom_id":                                           "labels of optical disks: a NoCloud seed is one",
	"usr/lib/udev/scsi_id":                                            "names of disks",
	"usr/lib/udev/ata_id":                                             "names of disks",
}

// opened: systemd opens libcryptsetup and libkmod, kmod the two for compressed
// modules, glibc the last when a thread ends early.
var opened = []string{"libcryptsetup.so.12", "libkmod.so.2", "libzstd.so.1", "liblzma.so.5", "libgcc_s.so.1"}

// merge adds maps up.
func merge(maps ...map[string]string) map[string]string {
	all := map[string]string{}
	for _, m := range maps {
		for k, v := range m {
			all[k] = v
		}
	}
	return all
}

// Libraries is the only folder with libraries; the loader is one of them.
const Libraries = "usr/lib/x86_64-linux-gnu"

// IsLibrary says whether a path has the place and the name of a library.
func IsLibrary(p string) bool {
	base := path.Base(p)
	return strings.HasPrefix(p, Libraries+"/") && (strings.HasSuffix(base, ".so") || strings.Contains(base, ".so."))
}

// IsModule says whether a path has the place and the name of a kernel module.
func IsModule(p string) bool {
	return strings.HasPrefix(p, "usr/lib/modules/") && (strings.HasSuffix(p, ".ko") || strings.HasSuffix(p, ".ko.xz") || strings.HasSuffix(p, ".ko.zst"))
}
