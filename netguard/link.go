package netguard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// identity is what a port's link is known by once it is in its namespace.
type identity struct {
	name  string
	index int
	mac   string
}

func identify(l netlink.Link) identity {
	a := l.Attrs()
	return identity{a.Name, a.Index, a.HardwareAddr.String()}
}

// matches reports whether l is the link that p names.
func (p Port) matches(l netlink.Link) bool {
	a := l.Attrs()
	if isLoopback(l) || (p.Interface != "" && p.Interface != a.Name) {
		return false
	}
	if p.MAC == "" {
		return p.Interface != ""
	}
	mac, err := net.ParseMAC(p.MAC)
	return err == nil && (bytes.Equal(mac, a.HardwareAddr) || bytes.Equal(mac, a.PermHWAddr))
}

func isLoopback(l netlink.Link) bool { return l.Attrs().RawFlags&unix.IFF_LOOPBACK != 0 }

// isFallback reports whether l is one of the tunnel devices that the kernel puts
// into every namespace when their modules are loaded (unless
// net.core.fb_tunnels_only_for_init_net is set). They can neither be removed nor
// moved; while they are down they carry nothing.
func isFallback(l netlink.Link) bool {
	return isFallbackKind(l) && l.Attrs().RawFlags&unix.IFF_UP == 0 && l.Attrs().MasterIndex == 0
}

// isFallbackKind goes by name and kind: a link of another kind may have the name.
// The library tells some kinds of IPv4 and IPv6 apart by an address that these
// devices do not have.
func isFallbackKind(l netlink.Link) bool {
	switch l.Attrs().Name {
	case "tunl0", "gre0", "gretap0", "erspan0", "ip_vti0", "sit0", "ip6tnl0", "ip6gre0", "ip6_vti0":
	default:
		return false
	}
	switch l.Type() {
	case "ipip", "gre", "ip6gre", "gretap", "ip6gretap", "erspan", "vti", "vti6", "sit", "ip6tnl":
		return true
	}
	return false
}

// found is the link of one port and where it is.
type found struct {
	link   netlink.Link
	inHome bool
}

// find looks for the card in the namespace of the process and in its own.
func find(side Side, p Port, h *home, n *namespace) (found, error) {
	atHome, err := dump(h.nl.LinkList)
	if err != nil {
		return found{}, fmt.Errorf("listing own links: %w", err)
	}
	inside, err := dump(n.nl.LinkList)
	if err != nil {
		return found{}, fmt.Errorf("listing links of the %s port: %w", side, err)
	}
	var all []found
	for _, l := range atHome {
		if p.matches(l) {
			all = append(all, found{l, true})
		}
	}
	for _, l := range inside {
		if p.matches(l) {
			all = append(all, found{l, false})
		}
	}
	if len(all) == 1 {
		return all[0], movable(side, all[0], atHome)
	}
	return found{}, notOne(side, p, all)
}

func notOne(side Side, p Port, all []found) error {
	if len(all) == 0 {
		return &LinkError{Port: side, Link: p.name(), Err: ErrNoInterface,
			Advice: "check its name and that the card is in and its driver loaded"}
	}
	var names []string
	for _, f := range all {
		names = append(names, f.link.Attrs().Name)
	}
	return &LinkError{Port: side, Link: p.name(), Err: ErrExtraInterface,
		Detail: fmt.Sprintf("%d interfaces answer to it: %v", len(all), names), Advice: "give interface and mac"}
}

// movable refuses a link that is tied to others: they would stay behind, or
// carry the port's traffic past its namespace.
func movable(side Side, f found, atHome []netlink.Link) error {
	a := f.link.Attrs()
	if a.MasterIndex != 0 {
		return &LinkError{Port: side, Link: a.Name, Err: ErrInterfaceInUse,
			Detail: "it is part of a bridge, bond or vrf", Advice: "take it out first"}
	}
	if t := f.link.Type(); t == "bridge" || t == "bond" || t == "team" || t == "vrf" {
		return &LinkError{Port: side, Link: a.Name, Err: ErrInterfaceInUse,
			Detail: "it is a " + t + ", which joins others", Advice: "name a card"}
	}
	if !f.inHome {
		return nil
	}
	for _, l := range atHome {
		if l.Attrs().ParentIndex == a.Index && l.Attrs().NetNsID < 0 && l.Type() != "veth" {
			return &LinkError{Port: side, Link: a.Name, Err: ErrInterfaceInUse,
				Detail: fmt.Sprintf("%s %q is on top of it", l.Type(), l.Attrs().Name), Advice: "remove that first"}
		}
	}
	return nil
}

// ErrReplaced: a link that answers to the port's name has come, but it is not
// the card that the ports were brought up with.
var ErrReplaced = errors.New("another interface has taken its place")

// known refuses a card that has the name but not the hardware address of the one
// that was there when the ports came up.
func (m *member) known(f found) error {
	mac := f.link.Attrs().HardwareAddr.String()
	if m.link.mac == "" || m.link.mac == mac {
		return nil
	}
	return &LinkError{Port: m.plan.side, Link: f.link.Attrs().Name, Err: ErrReplaced,
		Detail: fmt.Sprintf("it has hardware address %s, the port had %s", mac, m.link.mac),
		Advice: "put the card back, or restart to take the new one"}
}

// evictBut removes from the namespace every link but lo and those to keep: it
// sends them home, down, or deletes what is virtual and cannot go there. When
// home is nil they are deleted.
func (n *namespace) evictBut(keep func(netlink.Link) bool, to *home) error {
	links, err := dump(n.nl.LinkList)
	if err != nil {
		return fmt.Errorf("listing links of namespace %s: %w", n.path, err)
	}
	for _, l := range links {
		if isLoopback(l) || isFallback(l) || keep(l) {
			continue
		}
		// One of a pair is gone when the other was deleted.
		if err := n.evict(l, to); err != nil && !errors.Is(err, unix.ENODEV) {
			return &LinkError{Port: n.side, Link: l.Attrs().Name, Err: ErrExtraInterface,
				Detail: fmt.Sprintf("it does not belong into namespace %s and cannot be moved out: %v", n.path, privilege(err)),
				Advice: "remove it"}
		}
	}
	return nil
}

func (n *namespace) evict(l netlink.Link, to *home) error {
	if err := n.nl.LinkSetDown(l); err != nil || isFallbackKind(l) && l.Attrs().MasterIndex == 0 {
		return err
	}
	if to != nil {
		err := n.nl.LinkSetNsFd(l, int(to.file.Fd()))
		if err == nil || l.Type() == "device" {
			return err
		}
	}
	return n.nl.LinkDel(l)
}

// fetch moves the card into the namespace, where it arrives down, and returns
// what it is known by there.
func (n *namespace) fetch(ctx context.Context, f found, h *home) (identity, error) {
	if f.inHome {
		if err := h.nl.LinkSetNsFd(f.link, int(n.file.Fd())); err != nil {
			return identity{}, &LinkError{Port: n.side, Link: f.link.Attrs().Name, Err: privilege(err),
				Detail: "moving it into namespace " + n.path}
		}
	}
	links, err := dump(n.nl.LinkList)
	if err != nil {
		return identity{}, fmt.Errorf("listing links of the %s port: %w", n.side, err)
	}
	card := f.link.Attrs()
	i := slices.IndexFunc(links, func(l netlink.Link) bool {
		return l.Attrs().Name == card.Name && bytes.Equal(l.Attrs().HardwareAddr, card.HardwareAddr)
	})
	if i < 0 {
		return identity{}, &LinkError{Port: n.side, Link: f.link.Attrs().Name, Err: ErrNoInterface,
			Detail: "it went away while it was moved"}
	}
	return identify(links[i]), ctx.Err()
}
