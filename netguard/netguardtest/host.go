package netguardtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Host is a network namespace.
type Host struct {
	file *os.File
	nl   *netlink.Handle
}

// NewHost makes a network namespace, which has no name and ends with its last
// user. Its lo is up.
func NewHost() (*Host, error) {
	h := &Host{}
	err := onOwnThread(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return os.NewSyscallError("unshare", err)
		}
		h.file, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("making host: %w", err)
	}
	if err := h.open(); err != nil {
		return nil, err
	}
	lo, err := h.Link("lo")
	if err == nil {
		err = h.nl.LinkSetUp(lo)
	}
	for _, which := range []string{"all", "default"} {
		if err == nil { // its link-local addresses too are usable at once
			err = h.Set("ipv6/conf/"+which+"/accept_dad", "0")
		}
	}
	if err != nil {
		h.Close()
		return nil, fmt.Errorf("making host: %w", err)
	}
	return h, nil
}

// OpenHost opens the namespace that path names, for example
// /run/netns/lwc-ext or /proc/self/ns/net.
func OpenHost(path string) (*Host, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening host: %w", err)
	}
	h := &Host{file: file}
	return h, h.open()
}

func (h *Host) open() (err error) {
	if h.nl, err = netlink.NewHandleAt(netns.NsHandle(h.file.Fd()), unix.NETLINK_ROUTE); err != nil {
		h.file.Close()
		return fmt.Errorf("opening netlink of host: %w", err)
	}
	return nil
}

// Close lets the namespace go.
func (h *Host) Close() {
	h.nl.Close()
	h.file.Close()
}

// Fd returns the descriptor of the namespace, valid until Close.
func (h *Host) Fd() int { return int(h.file.Fd()) }

// Netlink returns the route socket of the namespace.
func (h *Host) Netlink() *netlink.Handle { return h.nl }

// Do runs f on a thread inside the namespace, which ends with f. Goroutines that
// f starts are outside; sockets that f makes stay inside.
func (h *Host) Do(f func() error) error {
	return onOwnThread(func() error {
		if err := unix.Setns(h.Fd(), unix.CLONE_NEWNET); err != nil {
			return os.NewSyscallError("setns", err)
		}
		return f()
	})
}

// onOwnThread runs f on a locked thread of its own, never the first one of the
// process, which would take /proc/self along.
func onOwnThread(f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() != unix.Getpid() {
			result <- f()
			return
		}
		started := make(chan struct{})
		go func() {
			runtime.LockOSThread()
			close(started)
			result <- f()
		}()
		<-started
		runtime.UnlockOSThread()
	}()
	return <-result
}

// Link returns the link of that name.
func (h *Host) Link(name string) (netlink.Link, error) {
	l, err := h.nl.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("finding link %q: %w", name, err)
	}
	return l, nil
}

// Address gives a link an address with its subnet and sets it up. IPv6 addresses
// are usable at once: duplicate detection is not what is tested.
func (h *Host) Address(link string, addresses ...netip.Prefix) error {
	l, err := h.Link(link)
	if err != nil {
		return err
	}
	for _, a := range addresses {
		n := &net.IPNet{IP: a.Addr().AsSlice(), Mask: net.CIDRMask(a.Bits(), a.Addr().BitLen())}
		if err := h.nl.AddrAdd(l, &netlink.Addr{IPNet: n, Flags: unix.IFA_F_NODAD}); err != nil {
			return fmt.Errorf("adding address %s: %w", a, err)
		}
	}
	if err := h.nl.LinkSetUp(l); err != nil {
		return fmt.Errorf("setting %s up: %w", link, err)
	}
	return nil
}

// AwaitUp waits until the link is in operation: the kernel sees a new carrier
// only after a while, and takes up IPv6 with it.
func (h *Host) AwaitUp(ctx context.Context, link string) error {
	for {
		l, err := h.Link(link)
		if err != nil {
			return err
		}
		if l.Attrs().OperState == netlink.OperUp {
			return nil
		}
		if err := pause(ctx, 2*time.Millisecond); err != nil {
			return fmt.Errorf("waiting for link %s to come up: %w", link, err)
		}
	}
}

// Route leads a prefix through a gateway.
func (h *Host) Route(to netip.Prefix, via netip.Addr) error {
	n := &net.IPNet{IP: to.Addr().AsSlice(), Mask: net.CIDRMask(to.Bits(), to.Addr().BitLen())}
	if err := h.nl.RouteReplace(&netlink.Route{Dst: n, Gw: via.AsSlice()}); err != nil {
		return fmt.Errorf("adding route %s via %s: %w", to, via, err)
	}
	return nil
}

// Set writes a sysctl of the namespace, a path below /proc/sys/net.
func (h *Host) Set(path, value string) error {
	return h.Do(func() error { return os.WriteFile(filepath.Join("/proc/sys/net", path), []byte(value), 0) })
}

// Get reads a sysctl of the namespace.
func (h *Host) Get(path string) (value string, err error) {
	err = h.Do(func() error {
		b, err := os.ReadFile(filepath.Join("/proc/sys/net", path))
		value = string(b[:max(len(b)-1, 0)])
		return err
	})
	return value, err
}

// Forward switches on all that lets a host pass on what is not for it, and
// whatever keeps a port from answering off: the state an attacker would wish
// for. It returns the settings that the kernel refused to write.
func (h *Host) Forward() error {
	var errs []error
	for _, s := range hostile {
		for _, path := range h.matches(s[0]) {
			if err := h.Set(path, s[1]); err != nil && !errors.Is(err, os.ErrNotExist) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// hostile are the sysctls that open a host, in the order of writing: ip_forward
// resets others.
var hostile = [][2]string{
	{"ipv4/ip_forward", "1"}, {"ipv4/icmp_echo_ignore_broadcasts", "0"}, {"ipv4/conf/*/forwarding", "1"},
	{"ipv4/conf/*/rp_filter", "0"}, {"ipv4/conf/*/accept_local", "1"}, {"ipv4/conf/*/route_localnet", "1"},
	{"ipv4/conf/*/accept_source_route", "1"}, {"ipv4/conf/*/bc_forwarding", "1"}, {"ipv4/conf/*/accept_redirects", "1"},
	{"ipv4/conf/*/secure_redirects", "0"}, {"ipv4/conf/*/send_redirects", "1"}, {"ipv4/conf/*/proxy_arp", "1"},
	{"ipv4/conf/*/arp_ignore", "0"}, {"ipv4/conf/*/arp_announce", "0"}, {"ipv4/conf/*/arp_accept", "1"},
	{"ipv4/ip_nonlocal_bind", "1"}, {"ipv6/conf/*/disable_ipv6", "0"}, {"ipv6/conf/*/accept_ra", "2"}, {"ipv6/conf/*/forwarding", "1"},
	{"ipv6/conf/*/accept_source_route", "1"}, {"ipv6/conf/*/accept_redirects", "1"}, {"ipv6/conf/*/proxy_ndp", "1"},
	{"ipv6/ip_nonlocal_bind", "1"},
}

// matches returns the paths below /proc/sys/net that the pattern stands for,
// "all" and "default" before the links.
func (h *Host) matches(pattern string) (paths []string) {
	_ = h.Do(func() error {
		found, err := filepath.Glob(filepath.Join("/proc/sys/net", pattern))
		for _, path := range found {
			if rel, err := filepath.Rel("/proc/sys/net", path); err == nil {
				paths = append(paths, rel)
			}
		}
		return err
	})
	return paths
}

// Listen opens a TCP listener inside the namespace.
func (h *Host) Listen(address string) (l net.Listener, err error) {
	err = h.Do(func() (err error) {
		l, err = net.Listen("tcp", address)
		return err
	})
	return l, err
}

// ListenPacket opens a UDP socket inside the namespace.
func (h *Host) ListenPacket(address string) (c net.PacketConn, err error) {
	err = h.Do(func() (err error) {
		c, err = net.ListenPacket("udp", address)
		return err
	})
	return c, err
}

// Run runs a program inside the namespace and returns what it printed. Tests use
// the kernel's own tools as judges and as attackers.
func (h *Host) Run(name string, args ...string) (output string, err error) {
	err = h.Do(func() error {
		b, err := exec.Command(name, args...).CombinedOutput()
		output = string(b)
		return err
	})
	return output, err
}
