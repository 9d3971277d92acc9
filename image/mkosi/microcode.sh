#!/bin/bash
# Microcode for the processors of small machines. A big server brings newer
# microcode in its firmware, a virtual machine takes its host's; those of Xeon
# Scalable alone would be half of the image's growth. The files become one, in
# the order of their names, because the order of a folder differs from disk to disk.
set -e
cd "$BUILDROOT/usr/lib/firmware"
rm -f intel-ucode/06-{55,6a,8f,ad,ae,af,cf}-* intel-ucode/*.initramfs
for d in intel-ucode amd-ucode; do
  [ -d $d ] || continue
  find $d -maxdepth 1 -type f ! -name '*.bin' ! -name '??-??-??' -delete
  find $d -maxdepth 1 -type f | LC_ALL=C sort | xargs cat > all.$d
  rm -rf $d && mkdir $d && mv all.$d $d/all.bin
done
