package boottest

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Hang stops all processors where they are, with interrupts off, as a fault of the
// hardware does: nothing of the box runs any more, no panic and no timer either. It waits
// until the machine's watchdog has reset the machine, and returns how long that took.
func (vm *VM) Hang(ctx context.Context) (time.Duration, error) {
	if _, err := vm.QMP(ctx, "set-action", map[string]any{"watchdog": "reset"}); err != nil {
		return 0, err
	}
	mark, began := vm.qmp.eventMark(), time.Now()
	if err := vm.hang(ctx); err != nil {
		return 0, fmt.Errorf("hanging the machine: %w", err)
	}
	err := vm.qmp.await(ctx, "WATCHDOG", "", mark)
	return time.Since(began), err
}

// hang writes a loop over what each processor does next.
func (vm *VM) hang(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "lwc-gdb-") // short: unix(7)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "gdb")
	if err := vm.debugAt(ctx, "unix:"+socket+",server=on,wait=off"); err != nil {
		return err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket) // which stops the machine
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	d := &debugger{conn: conn, in: bufio.NewReader(conn)}
	for _, thread := range []string{"1", "2"} {
		if err := d.loop(thread); err != nil {
			return err
		}
	}
	if _, err := d.ask("D"); err != nil { // detach: the machine goes on
		return err
	}
	return vm.debugAt(ctx, "none") // one that nobody talks to takes a processor of ours
}

// debugAt opens the machine's port for a debugger, or closes it: "none".
func (vm *VM) debugAt(ctx context.Context, where string) error {
	_, err := vm.QMP(ctx, "human-monitor-command", map[string]any{"command-line": "gdbserver " + where})
	return err
}

// debugger speaks GDB's remote protocol ("GDB Remote Serial Protocol" in its manual).
type debugger struct {
	conn net.Conn
	in   *bufio.Reader
}

// The registers begin with sixteen of eight bytes, the pointer to the next instruction,
// and the flags (64bit-core.xml of GDB). The kernel lies in the upper half.
const (
	nextInstruction = 16 * 8
	upperHalf       = 1 << 63
	// cliLoop: interrupts off, and a jump to itself.
	cliLoop = "faebfe"
)

// loop has a processor go round for ever once it gets on. One that runs a program of the
// box is let go until it is in the kernel, where an idle one always is.
func (d *debugger) loop(thread string) error {
	for {
		if _, err := d.ask("Hg" + thread); err != nil {
			return err
		}
		text, err := d.ask("g")
		if err != nil {
			return err
		}
		registers, err := hex.DecodeString(text)
		if err != nil || len(registers) < nextInstruction+8 {
			return errors.Join(err, fmt.Errorf("the registers of processor %s are %q", thread, text))
		}
		if at := binary.LittleEndian.Uint64(registers[nextInstruction:]); at >= upperHalf {
			_, err := d.ask(fmt.Sprintf("M%x,3:%s", at, cliLoop))
			return err
		}
		if err := d.goOn(); err != nil {
			return err
		}
	}
}

// goOn lets the machine work for a moment.
func (d *debugger) goOn() error {
	const moment = 20 * time.Millisecond
	if err := d.send("c"); err != nil {
		return err
	}
	<-time.After(moment)
	if _, err := d.conn.Write([]byte{3}); err != nil { // stop
		return err
	}
	_, err := d.answer()
	return err
}

// ask sends a packet and returns the answer, of which "E" begins an error. What tells
// that the machine stopped, as after connecting, comes when it likes.
func (d *debugger) ask(packet string) (string, error) {
	err := d.send(packet)
	for err == nil {
		var answer string
		answer, err = d.answer()
		switch {
		case err != nil || strings.HasPrefix(answer, "T"):
			continue
		case strings.HasPrefix(answer, "E"):
			return "", fmt.Errorf("the debugger answers %q with %s", packet, answer)
		}
		return answer, nil
	}
	return "", err
}

func (d *debugger) send(packet string) error {
	_, err := fmt.Fprintf(d.conn, "$%s#%02x", packet, sum(packet))
	return err
}

// answer reads a packet; acknowledgements come before it.
func (d *debugger) answer() (string, error) {
	if _, err := d.in.ReadString('$'); err != nil {
		return "", err
	}
	text, err := d.in.ReadString('#')
	if err == nil {
		_, err = d.in.Discard(2)
	}
	if err == nil {
		_, err = d.conn.Write([]byte("+"))
	}
	return strings.TrimSuffix(text, "#"), err
}

// sum is what a packet ends with.
func sum(packet string) (n byte) {
	for _, c := range []byte(packet) {
		n += c
	}
	return n
}
