package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// setting reads the lines of a setting of mkosi.conf that has many.
func setting(t *testing.T, name string) []*regexp.Regexp {
	t.Helper()
	b, err := os.ReadFile("../mkosi/mkosi.conf")
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(b), "\n"+name+"=\n")
	if !found {
		t.Fatalf("mkosi.conf has no %s", name)
	}
	var list []*regexp.Regexp
	for line := range strings.Lines(after) {
		word, in := strings.CutPrefix(line, "    ")
		if !in {
			break
		}
		if !strings.HasPrefix(word, "#") {
			list = append(list, regexp.MustCompile(strings.TrimSpace(word)))
		}
	}
	return list
}

// What stands between a kernel and its root has to be in the initrd, for each sort of
// disk that docs/image.md names, and in the root too, which sees disks come and go.
func TestModulesOfDisks(t *testing.T) {
	root, initrd := setting(t, "KernelModulesInclude"), setting(t, "KernelModulesInitrdInclude")
	for disk, modules := range map[string]string{
		"SATA":                      "ata/ahci ata/libahci ata/libata scsi/sd_mod scsi/scsi_mod",
		"NVMe":                      "nvme/host/nvme nvme/host/nvme-core",
		"NVMe behind Intel's VMD":   "pci/controller/vmd",
		"eMMC and SD":               "mmc/core/mmc_block mmc/core/mmc_core mmc/host/sdhci mmc/host/sdhci-pci mmc/host/sdhci-acpi mmc/host/cqhci",
		"USB":                       "usb/storage/usb-storage usb/host/xhci-pci usb/host/xhci-hcd usb/host/ehci-pci usb/host/ohci-pci usb/host/uhci-hcd",
		"USB attached SCSI":         "usb/storage/uas",
		"virtio":                    "block/virtio_blk scsi/virtio_scsi",
		"VMware":                    "scsi/vmw_pvscsi message/fusion/mptspi message/fusion/mptsas message/fusion/mptscsih message/fusion/mptbase",
		"Hyper-V":                   "scsi/hv_storvsc hv/hv_vmbus",
		"Xen":                       "block/xen-blkfront",
		"dm-verity, below the root": "md/dm-mod md/dm-verity md/dm-bufio",
	} {
		for module := range strings.FieldsSeq(modules) {
			path := "kernel/drivers/" + module + ".ko.xz"
			if !matches(root, path) {
				t.Errorf("%s: %s is not in the root", disk, module)
			}
			if !matches(initrd, path) {
				t.Errorf("%s: %s is not in the initrd", disk, module)
			}
		}
	}
	if matches(initrd, "kernel/drivers/net/ethernet/intel/e1000e/e1000e.ko.xz") {
		t.Error("the initrd has network cards: the list says nothing")
	}
}

func matches(list []*regexp.Regexp, path string) bool {
	for _, re := range list {
		if re.MatchString(path) {
			return true
		}
	}
	return false
}
