package netguardtest

import (
	"fmt"
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The options of a multicast router's socket, as far as they are needed, and their
// structures (linux/mroute.h, linux/mroute6.h).
const (
	mrtInit, mrtAddVIF, mrtAddMFC = 200, 202, 204 // of IPv6 the same numbers
	vifUseIndex                   = 8
	maxVIFs                       = 32
	relayed                       = 2 // links of a relay
)

type vifctl struct {
	number       uint16
	flags, limit byte
	rate         uint32
	link         int32
	remote       [4]byte
}

type mfcctl struct {
	origin, group         [4]byte
	parent                uint16
	limits                [maxVIFs]byte
	packets, bytes, wrong uint32
	expire                int32
}

type mif6ctl struct {
	number       uint16
	flags, limit byte
	link         uint16
	rate         uint32
}

type mf6cctl struct {
	origin, group unix.RawSockaddrInet6
	parent        uint16
	links         [8]uint32
}

// RelayGroup has the host forward what each of the two origins sends to a group,
// the first from the first link to the second, the other the other way, until the
// socket is closed: the kernel's half of a multicast router.
func (h *Host) RelayGroup(group netip.Addr, links [relayed]string, origins [relayed]netip.Addr) (relay *os.File, err error) {
	family, protocol, level := unix.AF_INET, unix.IPPROTO_IGMP, unix.SOL_IP
	if group.Is6() {
		family, protocol, level = unix.AF_INET6, unix.IPPROTO_ICMPV6, unix.SOL_IPV6
	}
	err = h.Do(func() error {
		fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
		if err != nil {
			return os.NewSyscallError("socket", err)
		}
		relay = os.NewFile(uintptr(fd), "multicast relay")
		on := int32(1)
		if err := option(fd, level, mrtInit, unsafe.Pointer(&on), unsafe.Sizeof(on)); err != nil {
			return err
		}
		for i, name := range links {
			l, err := linkHere(name)
			if err != nil {
				return err
			}
			if err := addVIF(fd, level, i, l.Index); err != nil {
				return err
			}
		}
		for i, origin := range origins {
			if err := addFlow(fd, level, i, origin, group); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		if relay != nil {
			relay.Close()
		}
		return nil, fmt.Errorf("relaying group %s: %w", group, err)
	}
	return relay, nil
}

func addVIF(fd, level, number, link int) error {
	if level == unix.SOL_IPV6 {
		v := mif6ctl{number: uint16(number), limit: 1, link: uint16(link)}
		return option(fd, level, mrtAddVIF, unsafe.Pointer(&v), unsafe.Sizeof(v))
	}
	v := vifctl{number: uint16(number), flags: vifUseIndex, limit: 1, link: int32(link)}
	return option(fd, level, mrtAddVIF, unsafe.Pointer(&v), unsafe.Sizeof(v))
}

// addFlow leads the group's packets of that origin from one of the two links to
// the other.
func addFlow(fd, level, from int, origin, group netip.Addr) error {
	to := relayed - 1 - from
	if level == unix.SOL_IPV6 {
		f := mf6cctl{parent: uint16(from)}
		f.origin.Family, f.origin.Addr = unix.AF_INET6, origin.As16()
		f.group.Family, f.group.Addr = unix.AF_INET6, group.As16()
		f.links[0] = 1 << to
		return option(fd, level, mrtAddMFC, unsafe.Pointer(&f), unsafe.Sizeof(f))
	}
	f := mfcctl{origin: origin.As4(), group: group.As4(), parent: uint16(from)}
	for i := range f.limits {
		f.limits[i] = 255 // not there
	}
	f.limits[to] = 1
	return option(fd, level, mrtAddMFC, unsafe.Pointer(&f), unsafe.Sizeof(f))
}

func option(fd, level, name int, value unsafe.Pointer, size uintptr) error {
	_, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), uintptr(level), uintptr(name), uintptr(value), size, 0)
	if errno != 0 {
		return os.NewSyscallError(fmt.Sprintf("setsockopt %d", name), errno)
	}
	return nil
}
