#!/bin/bash
KEEP="systemctl journalctl systemd-* udevadm kmod modprobe modinfo depmod mount umount fsck fsck.ext4 e2fsck mke2fs mkfs.ext4 init dmsetup"
. "$SRCDIR/strip.inc"
