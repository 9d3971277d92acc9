package boottest

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// The watchdog of every machine, an Intel 6300ESB on the first bus, and its lock
// register, whose second bit says that it counts (ESB_LOCK_REG and ESB_WDT_ENABLE in
// Linux, drivers/watchdog/i6300esb.c).
const (
	watchdogVendor, watchdogDevice = 0x8086, 0x25ab
	watchdogLock, watchdogCounts   = 0x68, 1 << 1
)

// The words of QEMU's monitor for people: where the configuration space of PCI Express
// lies in the memory, and what a byte of the memory holds.
var (
	configSpace = regexp.MustCompile(`([0-9a-f]{16})-[0-9a-f]{16} \(prio \d+, i/o\): pcie-mmcfg-mmio`)
	byteOf      = regexp.MustCompile(`[0-9a-f]+: 0x([0-9a-f]{2})\b`)
)

// AwaitWatchdog waits until the box, which shows its screen, has armed the machine's
// hardware watchdog. It looks at the register, so that the box has to tell nothing.
func (vm *VM) AwaitWatchdog(ctx context.Context) error {
	slot, err := vm.watchdogSlot(ctx)
	for err == nil {
		var base, lock []string
		if base, err = vm.ask(ctx, "info mtree -f", configSpace); err != nil {
			break
		}
		at, _ := strconv.ParseUint(base[1], 16, 64) // the expression lets digits alone pass
		if lock, err = vm.ask(ctx, fmt.Sprintf("xp /1xb 0x%x", at+slot<<15+watchdogLock), byteOf); err != nil {
			break
		}
		if flags, _ := strconv.ParseUint(lock[1], 16, 8); flags&watchdogCounts != 0 {
			return nil
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-vm.done:
			err = ErrEnded
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	return fmt.Errorf("waiting for the watchdog to be armed: %w", err)
}

// watchdogSlot is the place of the watchdog on the first bus.
func (vm *VM) watchdogSlot(ctx context.Context) (uint64, error) {
	raw, err := vm.QMP(ctx, "query-pci", nil)
	if err != nil {
		return 0, err
	}
	var buses []struct {
		Devices []struct {
			Slot uint64 `json:"slot"`
			ID   struct{ Vendor, Device int }
		}
	}
	if err := json.Unmarshal(raw, &buses); err != nil {
		return 0, err
	}
	if len(buses) > 0 {
		for _, d := range buses[0].Devices {
			if d.ID.Vendor == watchdogVendor && d.ID.Device == watchdogDevice {
				return d.Slot, nil
			}
		}
	}
	return 0, fmt.Errorf("the machine has none")
}

// ask has the monitor for people answer with what matches.
func (vm *VM) ask(ctx context.Context, line string, want *regexp.Regexp) ([]string, error) {
	raw, err := vm.QMP(ctx, "human-monitor-command", map[string]any{"command-line": line})
	if err != nil {
		return nil, err
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return nil, err
	}
	if found := want.FindStringSubmatch(text); found != nil {
		return found, nil
	}
	return nil, fmt.Errorf("the monitor answers %s with %q", line, text)
}
