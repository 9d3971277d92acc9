package site

import (
	"testing"
	"time"

	"lwc/image/boottest"
)

// A box that works is stopped dead, so that nothing of it runs any more. Its hardware
// watchdog starts it again, and it works again by itself. It is a machine with an NVMe
// disk, and with a card of another make at each port.
func TestImageHang(t *testing.T) {
	ctx, a := newAppliance(t, Config{Devices: 2})
	a.given(ctx)
	for i, model := range []string{"vmxnet3", "rtl8139"} {
		a.nics[i].Model = model
	}
	a.switchOnAs(boottest.Machine{Bus: boottest.NVMe})
	a.goesReady(ctx)
	a.checkWatchdog(ctx)
	before, err := a.collector(ctx)
	must(t, err)
	a.vm.Mark()
	began := time.Now()
	took, err := a.vm.Hang(ctx)
	must(t, err)
	t.Logf("the watchdog resets the machine %v after it hung", took.Round(time.Second))
	a.booted(ctx, ready)
	must(t, a.waitCollector(ctx, "it to work again by itself", func(c collectorState) bool {
		return c.Online && c.Boot != before.Boot
	}))
	t.Logf("it works again %v after it hung", time.Since(began).Round(time.Second))
}
