package boottest

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Namespace is a network namespace: Do runs a function on a thread inside of it.
// netguardtest.Host is one.
type Namespace interface {
	Do(func() error) error
}

// NIC is a network card of a machine, whose cable leads to a link of the test's.
type NIC struct {
	// MAC is the card's own address; "52:54:00:" begins those of QEMU.
	MAC string
	// In and Link name the link at the other end of the cable. It is made unless it is
	// there, and stays when the machine ends, with the addresses that the test gave it; it has a
	// carrier while a machine is on.
	In   Namespace
	Link string
	// Model of QEMU; empty: virtio-net-pci. "e1000e" is a real card's.
	Model string
}

// MakeLink makes the far end of the card's cable, so that it can be given
// addresses before the machine is switched on.
func (n NIC) MakeLink() error {
	f, err := n.open()
	if err != nil {
		return err
	}
	return f.Close()
}

// open returns the descriptor of the link: what is written to it, the link
// receives (Documentation/networking/tuntap.rst of Linux).
func (n NIC) open() (f *os.File, err error) {
	err = n.In.Do(func() error {
		f, err = openTap(n.Link)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("making link %s: %w", n.Link, err)
	}
	return f, nil
}

func openTap(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: "/dev/net/tun", Err: err}
	}
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
		err = os.NewSyscallError("TUNSETIFF", unix.IoctlIfreq(fd, unix.TUNSETIFF, req))
	}
	if err == nil {
		err = os.NewSyscallError("TUNSETPERSIST", unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 1))
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}
