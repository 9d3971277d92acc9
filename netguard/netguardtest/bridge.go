package netguardtest

import (
	"fmt"

	"github.com/vishvananda/netlink"
)

// Bridge makes a bridge of the links of a host, which hears all that they hear.
func (h *Host) Bridge(name string, links ...string) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	bridge := &netlink.Bridge{LinkAttrs: attrs}
	if err := h.nl.LinkAdd(bridge); err != nil {
		return fmt.Errorf("adding bridge: %w", err)
	}
	for _, link := range links {
		l, err := h.Link(link)
		if err != nil {
			return err
		}
		if err := h.nl.LinkSetMaster(l, bridge); err != nil {
			return fmt.Errorf("putting %s into a bridge: %w", link, err)
		}
		if err := h.nl.LinkSetUp(l); err != nil {
			return fmt.Errorf("setting %s up: %w", link, err)
		}
	}
	return h.nl.LinkSetUp(bridge)
}

// Cable joins two hosts by a veth pair whose ends have these names.
func Cable(a *Host, nameA string, b *Host, nameB string) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = nameA
	if err := a.nl.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: nameB, PeerNamespace: netlink.NsFd(b.Fd())}); err != nil {
		return fmt.Errorf("adding cable %s: %w", nameA, err)
	}
	for h, name := range map[*Host]string{a: nameA, b: nameB} {
		if err := h.Up(name); err != nil {
			return err
		}
	}
	return nil
}

// Up sets a link up.
func (h *Host) Up(link string) error {
	l, err := h.Link(link)
	if err != nil {
		return err
	}
	if err := h.nl.LinkSetUp(l); err != nil {
		return fmt.Errorf("setting %s up: %w", link, err)
	}
	return nil
}

// Move moves a link to another host, where it arrives down.
func (h *Host) Move(link string, to *Host) error {
	l, err := h.Link(link)
	if err != nil {
		return err
	}
	if err := h.nl.LinkSetNsFd(l, to.Fd()); err != nil {
		return fmt.Errorf("moving %s: %w", link, err)
	}
	return nil
}

// MACVLAN puts a macvlan on a link of a host and moves it to another one. It
// takes all that the link hears.
func (h *Host) MACVLAN(link, name string, to *Host) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	if err := h.addMACVLAN(link, attrs); err != nil {
		return err
	}
	if err := h.Move(name, to); err != nil {
		return err
	}
	return to.Up(name)
}

// MACVLANIn makes one in the other host at once: it never was in the link's.
func (h *Host) MACVLANIn(link, name string, other *Host) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Namespace = name, netlink.NsFd(other.Fd())
	if err := h.addMACVLAN(link, attrs); err != nil {
		return err
	}
	return other.Up(name)
}

func (h *Host) addMACVLAN(link string, attrs netlink.LinkAttrs) error {
	parent, err := h.Link(link)
	if err != nil {
		return err
	}
	attrs.ParentIndex = parent.Attrs().Index
	if err := h.nl.LinkAdd(&netlink.Macvlan{LinkAttrs: attrs, Mode: netlink.MACVLAN_MODE_PASSTHRU}); err != nil {
		return fmt.Errorf("adding macvlan: %w", err)
	}
	return nil
}
