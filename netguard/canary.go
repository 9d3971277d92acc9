package netguard

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	// canaryEvery is how long a watch that hears nothing any more can go unnoticed.
	canaryEvery = time.Minute
	// canaryPatience is what an event may take: it is queued before the change that
	// causes it returns, so this allows for a machine that is very busy.
	canaryPatience = 2 * time.Second
	// canaryLife is after how many seconds the kernel removes the address by itself,
	// should the process end between adding and removing it.
	canaryLife = 5
)

// sing makes one harmless change in each namespace, of which each reader must
// hear: an address out of 127/8, which is the machine's own already, on lo; and
// in the tables whatever the wall does for the purpose.
func (w *watch) sing() error {
	id := newCanary()
	for _, r := range w.readers {
		r.canary.Store(id)
	}
	a := &netlink.Addr{IPNet: &net.IPNet{IP: binary.BigEndian.AppendUint32(nil, id), Mask: net.CIDRMask(32, 32)},
		Scope: unix.RT_SCOPE_HOST, ValidLft: canaryLife, PreferedLft: canaryLife}
	if err := perch(w.home.nl, a); err != nil {
		return fmt.Errorf("trying the watch of the home namespace: %w", privilege(err))
	}
	for _, m := range w.members {
		err := perch(m.ns.nl, a)
		if err == nil && m.wall != nil {
			err = m.wall.Pulse()
		}
		if err != nil {
			return fmt.Errorf("trying the watch of the %s namespace: %w", m.plan.side, privilege(err))
		}
	}
	return nil
}

// newCanary returns an address of 127.128.0.0/9 that none has used before.
func newCanary() uint32 {
	var b [4]byte
	rand.Read(b[:]) // never fails
	return 127<<24 | 1<<23 | binary.BigEndian.Uint32(b[:])>>9
}

// perch adds the address to lo and removes it.
func perch(nl *netlink.Handle, a *netlink.Addr) error {
	lo, err := nl.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := nl.AddrAdd(lo, a); err != nil {
		return err
	}
	return nl.AddrDel(lo, a)
}

// unheard returns where a canary was sung and not heard of.
func (w *watch) unheard() []string {
	var all []string
	for _, r := range w.readers {
		if r.canary.Load() != 0 {
			all = append(all, r.name())
		}
	}
	return all
}

// name says which reader it is.
func (r *reader) name() string {
	if r.protocol == unix.NETLINK_NETFILTER {
		return r.where + " tables"
	}
	return r.where
}
