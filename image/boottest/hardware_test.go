package boottest

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"lwc/netguard/netguardtest"
)

// hardwareTime bounds one boot.
const hardwareTime = 6 * time.Minute

// cards are QEMU's network cards, in the order in which the machines get them, and the
// drivers that the screen names them with.
func cards() [][2]string {
	return [][2]string{{"virtio-net-pci", "virtio_net"}, {"e1000", "e1000"}, {"e1000e", "e1000e"}, {"rtl8139", "8139cp"}, {"vmxnet3", "vmxnet3"}}
}

// TestImageHardware boots the image from each sort of disk, up to the screen that waits
// for settings. Each machine has two network cards, which the screen has to name.
func TestImageHardware(t *testing.T) {
	image := Image(t)
	host, err := netguardtest.NewHost()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(host.Close)
	for i, bus := range Buses() {
		t.Run(string(bus), func(t *testing.T) {
			m := Machine{Disk: NewDisk(t, image), Bus: bus, Timeout: hardwareTime}
			var want []string
			for n, k := range []int{i, i + 1} {
				card := cards()[k%len(cards())]
				m.NICs = append(m.NICs, NIC{MAC: fmt.Sprintf("52:54:00:00:00:%02x", n+1), In: host, Link: fmt.Sprintf("box%d", n), Model: card[0]})
				want = append(want, `Card +\S+ +`+m.NICs[n].MAC+` +`+card[1]+`\b`)
			}
			bootsOn(t, m, want)
		})
	}
}

// bootsOn waits for the screen, and for the cards on it, whose modules may come later.
func bootsOn(t *testing.T, m Machine, cards []string) {
	ctx, cancel := context.WithTimeout(t.Context(), hardwareTime)
	defer cancel()
	began := time.Now()
	vm := Start(t, m)
	vm.WaitFor(ctx, regexp.MustCompile(`State +WAITING`))
	t.Logf("it waits for its settings after %v", time.Since(began).Round(time.Second))
	err := vm.Until(ctx, strings.Join(cards, " and "), func(string) bool {
		for _, c := range cards {
			if !regexp.MustCompile(c).MatchString(vm.Screen()) {
				return false
			}
		}
		return true
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, vm.Screen())
	}
	vm.Kill()
}
