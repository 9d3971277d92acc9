package boottest

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"lwc/testdata/need"
)

// Timeout bounds the life of a machine whose Timeout is zero: a boot takes half a
// minute on a quiet machine, and minutes on a busy one.
const Timeout = 15 * time.Minute

// The firmware of Debian's package ovmf. It knows Secure Boot, which is off, in
// setup mode, as long as its variables hold no keys. There is another one that keeps
// its variables by System Management Mode: under emulation the kernel dies of it.
const (
	Code      = "/usr/share/OVMF/OVMF_CODE_4M.fd"
	EmptyVars = "/usr/share/OVMF/OVMF_VARS_4M.fd"
)

// processor is all that the emulator can do but CMPXCHG16B, which QEMU 7.2 gets wrong
// when an interrupt comes in the middle of it: the kernel's allocator goes on with
// flags that are half an address, and dies. 57-bit addresses only cost time.
const processor = "max,cx16=off,la57=off"

// Machine describes a machine. Its zero value but for Disk is a good one: 1 GiB,
// no network cards, no TPM, Secure Boot off.
type Machine struct {
	// Disk is the raw file that the machine boots from, and changes.
	Disk string
	// Memory in MiB; zero: 1024.
	Memory int
	// Vars is the file of the firmware's variables, which the machine changes: a copy of
	// EmptyVars at first. Empty: fresh ones, forgotten with the VM.
	Vars string
	// TPM is a folder that keeps the state of a TPM 2.0; empty: there is none.
	TPM string
	// NICs are the network cards, in the order of their PCI slots.
	NICs []NIC
	// Volumes are attached from the start.
	Volumes []Volume
	// Extra are more arguments of QEMU.
	Extra []string
	// Timeout bounds the machine's life: it is killed then, and the test fails; zero:
	// the constant of that name.
	Timeout time.Duration
	// Bus is what the disk hangs on; empty: Virtio.
	Bus Bus
	// Clock is what the machine's clock says at the start, RFC 3339 without a zone; empty:
	// the right time.
	Clock string
	// NoReboot ends the machine where it would start again.
	NoReboot bool
}

// VM is a machine that was switched on.
type VM struct {
	t       testing.TB
	cmd     *exec.Cmd
	keys    io.WriteCloser
	console *console
	qmp     *monitor
	volumes map[string]Volume
	errors  *console // what QEMU itself complains of
	done    chan struct{}
	cancel  context.CancelFunc
	endTPM  func()
}

// Start switches a machine on. It is switched off when the test ends; what its
// console said is shown if the test failed.
func Start(t testing.TB, m Machine) *VM {
	t.Helper()
	vm := &VM{t: t, console: newConsole(), errors: newConsole(), volumes: map[string]Volume{}, done: make(chan struct{}), endTPM: func() {}}
	ctx, cancel := context.WithTimeout(context.Background(), cmp.Or(m.Timeout, Timeout))
	vm.cancel = cancel
	if err := vm.start(ctx, m); err != nil {
		cancel()
		vm.endTPM()
		t.Fatalf("switching the machine on: %v", err)
	}
	t.Cleanup(vm.finish)
	for _, v := range m.Volumes {
		vm.Attach(ctx, v)
	}
	return vm
}

func (vm *VM) start(ctx context.Context, m Machine) error {
	dir, err := os.MkdirTemp("", "lwc-vm-") // the path of a socket has 107 bytes at most, unix(7)
	if err != nil {
		return err
	}
	vm.t.Cleanup(func() { os.RemoveAll(dir) })
	args, err := m.firmware(dir)
	if err != nil {
		return err
	}
	more, err := m.arguments()
	if err != nil {
		return err
	}
	args = append(args, more...)
	if m.TPM != "" {
		if err := vm.startTPM(ctx, m.TPM, filepath.Join(dir, "tpm")); err != nil {
			return err
		}
		args = append(args, "-chardev", "socket,id=tpm,path="+filepath.Join(dir, "tpm"),
			"-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", "tpm-crb,tpmdev=tpm0")
	}
	vm.cmd = exec.CommandContext(ctx, need.Program(vm.t, "qemu-system-x86_64"))
	files, err := vm.wires(m.NICs, &args)
	defer closeAll(files)
	if err != nil {
		return err
	}
	vm.cmd.Args, vm.cmd.ExtraFiles = append(vm.cmd.Args, args...), files
	vm.cmd.Stdout, vm.cmd.Stderr = vm.kept(), vm.errors
	if vm.keys, err = vm.cmd.StdinPipe(); err != nil {
		return err
	}
	if err := vm.launch(); err != nil {
		return err
	}
	return vm.qmp.open(ctx)
}

// kept is the console, which goes to a file too, as it comes, where LWC_IMAGE_CONSOLE
// names one.
func (vm *VM) kept() io.Writer {
	name := os.Getenv("LWC_IMAGE_CONSOLE")
	if name == "" {
		return vm.console
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		vm.t.Logf("keeping the console: %v", err)
		return vm.console
	}
	vm.t.Cleanup(func() { f.Close() })
	fmt.Fprintf(f, "==== %s\n", vm.t.Name())
	return io.MultiWriter(vm.console, f)
}

// wires makes the monitor's socket and the cards' links, whose ends the machine
// inherits, and adds the arguments that name them.
func (vm *VM) wires(nics []NIC, args *[]string) ([]*os.File, error) {
	const first = 3 // os/exec: ExtraFiles begin at this descriptor
	near, far, err := socketPair()
	if err != nil {
		return nil, err
	}
	vm.qmp = newMonitor(near)
	files := []*os.File{far}
	*args = append(*args, "-chardev", "socket,id=qmp,fd="+strconv.Itoa(first), "-mon", "chardev=qmp,mode=control")
	for i, n := range nics {
		tap, err := n.open()
		if err != nil {
			return files, err
		}
		*args = append(*args, "-netdev", fmt.Sprintf("tap,id=net%d,fd=%d", i, first+len(files)),
			"-device", fmt.Sprintf("%s,netdev=net%d,mac=%s,id=nic%d,romfile=", cmp.Or(n.Model, "virtio-net-pci"), i, n.MAC, i))
		files = append(files, tap)
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// launch runs QEMU on a thread that lives as long: the death signal comes when
// the thread that started it ends (prctl(2), PR_SET_PDEATHSIG).
func (vm *VM) launch() error {
	vm.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := vm.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		defer close(vm.done)
		// How it ended does not matter: most machines are killed.
		_ = vm.cmd.Wait()
		vm.console.end()
	}()
	return <-started
}

// firmware is the flash of the machine, whose variables are its own.
func (m Machine) firmware(dir string) ([]string, error) {
	vars := m.Vars
	if vars == "" {
		vars = filepath.Join(dir, "vars.fd")
		if err := copyFile(vars, EmptyVars); err != nil {
			return nil, err
		}
	}
	return []string{"-machine", "q35,smm=off",
		"-drive", "if=pflash,format=raw,readonly=on,file=" + Code,
		"-drive", "if=pflash,format=raw,file=" + vars}, nil
}

// arguments are those of every machine: a disk whose writes reach the file at once,
// so that they outlive the kill; a display and a PS/2 keyboard; a port for sticks; a
// watchdog, which is armed and only tells; a balloon, which says how much memory is free.
func (m Machine) arguments() ([]string, error) {
	accel := []string{"-accel", "tcg,thread=multi"}
	if f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0); err == nil && os.Getenv("LWC_IMAGE_KVM") != "" {
		f.Close()
		accel = []string{"-accel", "kvm"}
	}
	disk, err := m.Bus.devices()
	if err != nil {
		return nil, err
	}
	args := append(accel, "-cpu", processor, "-smp", "2", "-m", strconv.Itoa(cmp.Or(m.Memory, 1024)),
		"-nodefaults", "-display", "none", "-vga", "std", "-chardev", "stdio,id=serial,signal=off", "-serial", "chardev:serial",
		"-drive", "if=none,id=disk,format=raw,cache=unsafe,discard=unmap,file="+m.Disk,
		"-device", "virtio-rng-pci", "-device", "qemu-xhci,id=usb", "-device", "pcie-root-port,id=bay,chassis=1", "-device", "i6300esb", "-action", "watchdog=none",
		"-device", "virtio-balloon-pci,id=balloon")
	args = append(args, disk...)
	if m.Clock != "" {
		args = append(args, "-rtc", "base="+m.Clock)
	}
	if os.Getenv("LWC_IMAGE_JOURNAL") != "" { // systemd-stub(7): more words for the kernel's command line
		args = append(args, "-smbios", "type=11,value=io.systemd.stub.kernel-cmdline-extra=systemd.journald.forward_to_console=1")
	}
	if m.NoReboot {
		args = append(args, "-no-reboot")
	}
	return append(args, m.Extra...), nil
}
