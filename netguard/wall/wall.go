package wall

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"
)

// Port describes the walls of one port namespace. The zero Port closes it:
// nothing comes in and nothing goes out by any link.
type Port struct {
	// Link and Index name the port's link, a VLAN sub-interface like any other.
	// Both zero: the link is not in the namespace yet, and everything is closed.
	Link  string
	Index int
	// MAC is the link's own address; frames with another source do not leave.
	MAC net.HardwareAddr
	// IPv6 lets neighbour discovery and IPv6 in general through.
	IPv6 bool
	// DNS are the servers that may be asked, by UDP and TCP.
	DNS []netip.AddrPort
	// Destinations and Ports are what TCP connections may be opened to. Without
	// Ports, nothing.
	Destinations []netip.Prefix
	Ports        []Range
	// Dynamic lets out what Permit names as well.
	Dynamic bool
	// Carrier says that the link carries ports of other namespaces: their frames
	// pass, nothing begins or ends in this one.
	Carrier bool
}

// Range is the ports from First to Last, both included.
type Range struct{ First, Last uint16 }

// closed reports whether the port has no link yet.
func (p Port) closed() bool { return p.Link == "" && p.Index == 0 }

func (p Port) clone() Port {
	p.MAC = slices.Clone(p.MAC)
	p.DNS = slices.Clone(p.DNS)
	p.Destinations = slices.Clone(p.Destinations)
	p.Ports = slices.Clone(p.Ports)
	return p
}

func (p Port) equal(q Port) bool {
	return p.Link == q.Link && p.Index == q.Index && slices.Equal(p.MAC, q.MAC) &&
		p.IPv6 == q.IPv6 && p.Dynamic == q.Dynamic && slices.Equal(p.DNS, q.DNS) &&
		slices.Equal(p.Destinations, q.Destinations) && slices.Equal(p.Ports, q.Ports)
}

// check says what of the port cannot be made into rules.
func (p Port) check() error {
	if p.closed() {
		return nil
	}
	if p.Link == "" || len(p.Link) > 15 || p.Index <= loopback {
		return fmt.Errorf("%w: link %q with index %d", ErrBadPort, p.Link, p.Index)
	}
	if len(p.MAC) != 6 {
		return fmt.Errorf("%w: %s has hardware address %q, want 6 bytes", ErrBadPort, p.Link, p.MAC)
	}
	for _, d := range p.Destinations {
		if !d.IsValid() || d.Addr().Is4In6() {
			return fmt.Errorf("%w: destination %s", ErrBadPort, d)
		}
	}
	for _, s := range p.DNS {
		if !s.IsValid() || s.Port() == 0 {
			return fmt.Errorf("%w: dns server %s", ErrBadPort, s)
		}
	}
	for _, r := range p.Ports {
		if r.First == 0 || r.First > r.Last {
			return fmt.Errorf("%w: ports %d-%d", ErrBadPort, r.First, r.Last)
		}
	}
	return nil
}

// Wall is the nftables tables of one port namespace. Its methods may be called
// from several goroutines; they take turns.
type Wall struct {
	mu sync.Mutex // one netlink exchange at a time; guards all below
	nl *conn

	applied *Port    // what the last Apply left; nil when that is not known
	objects []object // the same as the kernel tells it
	// gen is the generation at which all was seen to be well, and which only
	// changes of ours have raised since; zero: look again.
	gen uint32

	permitted map[permission]time.Time // until when

	kernel kernel
}

// Open opens a netlink socket inside the namespace, which stays there whichever
// thread uses it. Nothing is changed until Apply. The error is ErrPrivilege or
// ErrUnsupported where that is the reason.
func Open(ns *os.File) (*Wall, error) {
	nl, err := dial(ns)
	if err != nil {
		return nil, fmt.Errorf("opening nftables of %s: %w", ns.Name(), err)
	}
	return &Wall{nl: nl}, nil
}

// PortID is the netlink port id of the Wall's socket: what Apply and Permit
// change carries it in the header of the kernel's notifications.
func (w *Wall) PortID() uint32 { return w.nl.portID }

// Close closes the socket. The tables stay and keep the namespace closed to all
// but what they let through.
func (w *Wall) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.nl.close()
}
