#!/bin/bash
KEEP="lwcd systemctl journalctl systemd-* udevadm kmod modprobe modinfo depmod mount umount fsck fsck.* e2fsck mke2fs mkfs.ext4 mkfs.vfat mkfs.fat bootctl dbus-broker dbus-broker-launch init reboot poweroff veritysetup"
. "$SRCDIR/strip.inc"
rm -f "$R"/boot/{System.map,config,vmlinuz,initrd}*
