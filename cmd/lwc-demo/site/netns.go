package site

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// space is a network namespace with a thread of its own. Whatever do runs,
// sockets and child processes included, is inside the namespace. The thread is
// never given back to Go's scheduler, and lives until close: the death signal
// of children is tied to it.
type space struct {
	name string
	work chan func()
	done chan struct{}
}

// newSpace makes a namespace; an empty name means the one that the program is in.
func newSpace(name string) (*space, error) {
	s := &space{name: name, work: make(chan func()), done: make(chan struct{})}
	ready := make(chan error)
	go func() {
		defer close(s.done)
		runtime.LockOSThread()
		err := s.enter()
		ready <- err
		if err != nil {
			return
		}
		for f := range s.work {
			f()
		}
	}()
	if err := <-ready; err != nil {
		return nil, fmt.Errorf("making network namespace %q: %w", name, err)
	}
	return s, nil
}

func (s *space) enter() error {
	if s.name == "" {
		return linkUp("lo")
	}
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return err
	}
	path := filepath.Join(namespaceDir, s.name)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	return linkUp("lo")
}

// do runs f on the namespace's thread and returns its error.
func (s *space) do(f func() error) error {
	result := make(chan error, 1)
	s.work <- func() { result <- f() }
	return <-result
}

func (s *space) close() {
	close(s.work)
	<-s.done
}

// forgetSpaces takes the names off all namespaces, those that the collector
// made included, so that the kernel ends them once nobody is inside.
func forgetSpaces() error {
	names, err := os.ReadDir(namespaceDir)
	if err != nil {
		return err
	}
	var problems []error
	for _, n := range names {
		path := filepath.Join(namespaceDir, n.Name())
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			problems = append(problems, fmt.Errorf("unmounting %s: %w", path, err))
		}
		problems = append(problems, os.Remove(path))
	}
	return errors.Join(problems...)
}

// dial connects from inside the namespace; addr must be numeric, because only
// the calling thread is there.
func (s *space) dial(ctx context.Context, addr string) (net.Conn, error) {
	if _, err := netip.ParseAddrPort(addr); err != nil {
		return nil, err
	}
	var c net.Conn
	err := s.do(func() error {
		var d net.Dialer
		var err error
		c, err = d.DialContext(ctx, "tcp", addr)
		return err
	})
	return c, err
}

func linkUp(name string) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("finding link %s: %w", name, err)
	}
	return netlink.LinkSetUp(l)
}

// cable lays a veth pair from the home namespace (link home, left down for the
// collector to take) to another (link far, up, with addresses).
func cable(home, to *space, near, far string, addrs ...string) error {
	handle, err := netns.GetFromPath(filepath.Join(namespaceDir, to.name))
	if err != nil {
		return fmt.Errorf("opening namespace %s: %w", to.name, err)
	}
	defer handle.Close()
	err = home.do(func() error {
		if err := removeLink(near); err != nil {
			return err
		}
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: near}, PeerName: far,
			PeerNamespace: netlink.NsFd(int(handle))})
	})
	if err != nil {
		return fmt.Errorf("laying the cable %s: %w", near, err)
	}
	err = to.do(func() error { return errors.Join(addAddresses(far, addrs), linkUp(far)) })
	if err != nil {
		return fmt.Errorf("setting up the far end of %s: %w", near, err)
	}
	return nil
}

// removeLink takes a link away that a site before left: the kernel ends a namespace,
// and with it the far end of a cable, some time after the last process left it.
func removeLink(name string) error {
	l, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkDel(l)
	}
	var gone netlink.LinkNotFoundError
	if errors.As(err, &gone) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

func addAddresses(link string, addrs []string) error {
	l, err := netlink.LinkByName(link)
	if err != nil {
		return err
	}
	for _, a := range addrs {
		addr, err := netlink.ParseAddr(a)
		if err != nil {
			return err
		}
		if err := netlink.AddrAdd(l, addr); err != nil {
			return fmt.Errorf("adding %s to %s: %w", a, link, err)
		}
	}
	return nil
}
