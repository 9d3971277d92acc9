package boottest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// Console returns what the serial console said since the machine was switched on,
// without the sequences that move the cursor and colour the text.
func (vm *VM) Console() string { return vm.console.text(0) }

// Screen returns the last whole screen that the box drew on its serial console: what
// stands after the last time that it cleared it.
func (vm *VM) Screen() string { return vm.console.screen() }

// Mark has WaitFor look only at what the console says from now on: after
// something was done whose answer is expected.
func (vm *VM) Mark() { vm.console.mark() }

// WaitFor waits until the console, since the last Mark, matches, and returns the
// match and its groups. The test fails if ctx or the machine ends before.
func (vm *VM) WaitFor(ctx context.Context, re *regexp.Regexp) []string {
	vm.t.Helper()
	found, err := vm.Await(ctx, re)
	if err != nil {
		vm.t.Fatalf("%v\n%s", err, vm.Tail())
	}
	return found
}

// ErrEnded: the machine ended while it was waited for.
var ErrEnded = errors.New("the machine ended")

// Await is WaitFor with an error in place of a failed test.
func (vm *VM) Await(ctx context.Context, re *regexp.Regexp) (found []string, err error) {
	err = vm.Until(ctx, fmt.Sprintf("%q on the console", re), func(text string) bool {
		found = re.FindStringSubmatch(text)
		return found != nil
	})
	return found, err
}

// Until waits until ok of what the console said since the last Mark; what names it
// in the error.
func (vm *VM) Until(ctx context.Context, what string, ok func(text string) bool) error {
	for {
		text, change, ended := vm.console.since()
		if ok(text) {
			return nil
		}
		if ended {
			return fmt.Errorf("waiting for %s: %w: %s", what, ErrEnded, vm.errors.text(0))
		}
		select {
		case <-change:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, ctx.Err())
		}
	}
}

// tailLines are as many lines as the screen of status and a panic have.
const tailLines = 60

// Tail returns the last lines of the console, for the message of a failed test.
func (vm *VM) Tail() string {
	lines := strings.Split(strings.TrimSpace(vm.Console()), "\n")
	return "the console's last lines:\n" + strings.Join(lines[max(0, len(lines)-tailLines):], "\n")
}

// Type hits the keys of the serial console.
func (vm *VM) Type(keys string) error {
	_, err := vm.keys.Write([]byte(keys))
	return err
}

// Done is closed when the machine is off.
func (vm *VM) Done() <-chan struct{} { return vm.done }

// Kill cuts the power, and returns when the machine is off. What the box wrote to
// its disk and volumes is in their files then, what it only had in its memory is gone.
func (vm *VM) Kill() {
	_ = vm.cmd.Process.Kill() // one that has ended is off already
	<-vm.done
	vm.endTPM()
	vm.cancel()
	vm.qmp.close()
}

// PowerOff presses the power button and waits until the machine is off. A box
// that listens to no button does not go off: Kill then.
func (vm *VM) PowerOff(ctx context.Context) error {
	if _, err := vm.QMP(ctx, "system_powerdown", nil); err != nil {
		return err
	}
	select {
	case <-vm.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for the machine to go off: %w", ctx.Err())
	}
}

// Reset presses the reset button: the machine starts again at once, with its
// disk as it is, its cards and its volumes.
func (vm *VM) Reset(ctx context.Context) error {
	_, err := vm.QMP(ctx, "system_reset", nil)
	return err
}

// QMP has the machine's monitor do something, and returns what it answered: QEMU
// QMP Reference Manual. arguments may be nil.
func (vm *VM) QMP(ctx context.Context, command string, arguments any) (json.RawMessage, error) {
	return vm.qmp.do(ctx, command, arguments)
}

// Dump writes the machine's whole memory into a file, as it is, and has the machine
// stand still meanwhile.
func (vm *VM) Dump(ctx context.Context, file string) error {
	size, err := vm.memorySize(ctx)
	if err == nil {
		_, err = vm.QMP(ctx, "pmemsave", map[string]any{"val": 0, "size": size, "filename": file})
	}
	if err != nil {
		return fmt.Errorf("dumping the machine's memory: %w", err)
	}
	return nil
}

func (vm *VM) memorySize(ctx context.Context) (int64, error) {
	raw, err := vm.QMP(ctx, "query-memory-size-summary", nil)
	if err != nil {
		return 0, err
	}
	var size struct {
		Base int64 `json:"base-memory"`
	}
	return size.Base, json.Unmarshal(raw, &size)
}

// Memory is what the box's kernel says of its memory, in bytes, as /proc/meminfo
// does: MemTotal, MemFree and MemAvailable.
type Memory struct{ Total, Free, Available int64 }

// Memory asks the box's kernel by the balloon, a new figure each time. The box needs
// the driver virtio_balloon.
func (vm *VM) Memory(ctx context.Context) (Memory, error) {
	const path = "/machine/peripheral/balloon"
	set := map[string]any{"path": path, "property": "guest-stats-polling-interval", "value": 1}
	if _, err := vm.QMP(ctx, "qom-set", set); err != nil {
		return Memory{}, fmt.Errorf("asking for the memory: %w", err)
	}
	asked := time.Now().Unix()
	for {
		raw, err := vm.QMP(ctx, "qom-get", map[string]any{"path": path, "property": "guest-stats"})
		if err != nil {
			return Memory{}, fmt.Errorf("asking for the memory: %w", err)
		}
		var s struct {
			Updated int64 `json:"last-update"`
			Stats   struct {
				Total     int64 `json:"stat-total-memory"`
				Free      int64 `json:"stat-free-memory"`
				Available int64 `json:"stat-available-memory"`
			}
		}
		if err := json.Unmarshal(raw, &s); err != nil {
			return Memory{}, fmt.Errorf("reading the memory's figures: %w", err)
		}
		if s.Updated > asked && s.Stats.Total > 0 {
			return Memory{s.Stats.Total, s.Stats.Free, s.Stats.Available}, nil
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-vm.done:
			return Memory{}, ErrEnded
		case <-ctx.Done():
			return Memory{}, fmt.Errorf("waiting for the memory's figures: %w", ctx.Err())
		}
	}
}

// finish ends the machine with the test.
func (vm *VM) finish() {
	vm.Kill()
	_ = vm.keys.Close()
	if vm.t.Failed() {
		vm.t.Log(vm.Tail())
	}
	if e := vm.errors.text(0); e != "" {
		vm.t.Logf("QEMU said: %s", e)
	}
}
