package netguardtest

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
)

// Wire is one port of the box and what it leads to.
type Wire struct {
	// Port is the name of the box's link. It keeps its hardware address MAC and
	// becomes Index in whichever namespace it is moved to.
	Port string
	MAC  net.HardwareAddr
	// Near4 and Near6 are the box's addresses there, with their subnets.
	Near4, Near6 netip.Prefix
	// Far is the host at the other end, whose link FarLink has the hardware
	// address FarMAC and the addresses Far4 and Far6.
	Far        *Host
	FarMAC     net.HardwareAddr
	Far4, Far6 netip.Prefix
}

// FarLink is the name of the link of the device and of the cloud.
const FarLink = "eth0"

// Site is a simulated customer site: a box with two ports, a device at the
// internal one, the cloud at the external one.
type Site struct {
	Box      *Host
	Internal Wire // leads to the device
	External Wire // leads to the cloud
}

// NewSite makes the device and the cloud as namespaces and links them to ports
// of those names in the box. The ports have no addresses and are down. All sites
// have the same addresses: 10.11.0.0/24 and fd00:11::/64 internally,
// 192.0.2.0/24 and fd00:22::/64 externally, where .2 is the box and .1 the far
// host, which routes everything through the box.
func NewSite(box *Host, internal, external string) (s *Site, err error) {
	s = &Site{Box: box, Internal: wire(internal, "10.11.0.", "fd00:11::"), External: wire(external, "192.0.2.", "fd00:22::")}
	for _, w := range []*Wire{&s.Internal, &s.External} {
		if err := w.link(box); err != nil {
			s.Close()
			return nil, fmt.Errorf("making site: %w", err)
		}
	}
	return s, nil
}

func wire(port, net4, net6 string) Wire {
	return Wire{Port: port,
		Near4: netip.MustParsePrefix(net4 + "2/24"), Near6: netip.MustParsePrefix(net6 + "2/64"),
		Far4: netip.MustParsePrefix(net4 + "1/24"), Far6: netip.MustParsePrefix(net6 + "1/64")}
}

func (w *Wire) link(box *Host) (err error) {
	if w.Far, err = NewHost(); err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = w.Port
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: FarLink, PeerNamespace: netlink.NsFd(w.Far.Fd())}
	if err := box.nl.LinkAdd(veth); err != nil {
		return fmt.Errorf("adding port %s: %w", w.Port, err)
	}
	near, err := box.Link(w.Port)
	if err != nil {
		return err
	}
	far, err := w.Far.Link(FarLink)
	if err != nil {
		return err
	}
	w.MAC, w.FarMAC = near.Attrs().HardwareAddr, far.Attrs().HardwareAddr
	if err := w.Far.Address(FarLink, w.Far4, w.Far6); err != nil {
		return err
	}
	for _, via := range []netip.Prefix{w.Near4, w.Near6} {
		if err := w.Far.Route(netip.PrefixFrom(zero(via.Addr()), 0), via.Addr()); err != nil {
			return err
		}
	}
	return nil
}

func zero(a netip.Addr) netip.Addr {
	if a.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// NewOpenSite makes a site whose box nobody guards: both ports in one namespace,
// with their addresses, up, and every sysctl as an attacker would wish.
func NewOpenSite() (*Site, error) {
	box, err := NewHost()
	if err != nil {
		return nil, err
	}
	s, err := NewSite(box, "lwcint0", "lwcext0")
	if err != nil {
		box.Close()
		return nil, err
	}
	for _, w := range []Wire{s.Internal, s.External} {
		if err == nil {
			err = box.Address(w.Port, w.Near4, w.Near6)
		}
	}
	if err == nil {
		err = box.Forward()
	}
	if err == nil {
		err = s.awaitUp()
	}
	if err != nil {
		s.Close()
		box.Close()
		return nil, fmt.Errorf("making open site: %w", err)
	}
	return s, nil
}

// awaitUp waits until all four ends of the wires are in operation.
func (s *Site) awaitUp() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, w := range []Wire{s.Internal, s.External} {
		if err := s.Box.AwaitUp(ctx, w.Port); err != nil {
			return err
		}
		if err := w.Far.AwaitUp(ctx, FarLink); err != nil {
			return err
		}
	}
	return nil
}

// Close ends the device and the cloud; their links, and with them the ports, go
// when the kernel gets to it. The box stays.
func (s *Site) Close() {
	for _, w := range []Wire{s.Internal, s.External} {
		if w.Far == nil {
			continue
		}
		if l, err := w.Far.Link(FarLink); err == nil {
			_ = w.Far.nl.LinkDel(l) // takes the port along, wherever it is
		}
		w.Far.Close()
	}
}

// Near returns the box's address of that family, Far the far host's.
func (w Wire) Near(six bool) netip.Addr {
	if six {
		return w.Near6.Addr()
	}
	return w.Near4.Addr()
}

// FarAddr returns the far host's address of that family.
func (w Wire) FarAddr(six bool) netip.Addr {
	if six {
		return w.Far6.Addr()
	}
	return w.Far4.Addr()
}
