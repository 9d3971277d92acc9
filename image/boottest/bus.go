package boottest

import "fmt"

// Bus is what a machine's disk hangs on. Those of real boxes come first, that of
// hypervisors last.
type Bus string

// The buses that QEMU can show and its firmware can boot from.
const (
	SATA   Bus = "SATA"   // the AHCI of the chip set
	NVMe   Bus = "NVMe"   // on PCI Express
	USB    Bus = "USB"    // mass storage, as most sticks are
	Virtio Bus = "virtio" // a block device; the default
)

// Buses returns all of them.
func Buses() []Bus { return []Bus{SATA, NVMe, USB, Virtio} }

// devices are QEMU's arguments for the drive called "disk". The controller for USB is
// every machine's.
func (b Bus) devices() ([]string, error) {
	switch b {
	case SATA:
		return []string{"-device", "ide-hd,bus=ide.0,drive=disk,bootindex=0"}, nil
	case NVMe:
		return []string{"-device", "nvme,serial=lwc,drive=disk,bootindex=0"}, nil
	case USB:
		return []string{"-device", "usb-storage,bus=usb.0,drive=disk,bootindex=0"}, nil
	case Virtio, "":
		return []string{"-device", "virtio-blk-pci,drive=disk,bootindex=0"}, nil
	}
	return nil, fmt.Errorf("no machine has a disk on %q", string(b))
}
