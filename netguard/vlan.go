package netguard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// The namespaces of the cards that carry ports as sub-interfaces. A card never
// stays in the namespace of the process, nor in a port's: there it would show
// one port the other's frames. It lives in one of these without any address,
// with IPv6 off and walls that let nothing begin or end there. Two cards have
// one each, so that no link of one namespace leads to the other.
const (
	CardNamespace         = "lwc-nic"     // of the card that both ports share
	InternalCardNamespace = "lwc-int-nic" // of the Internal Port's own card
	ExternalCardNamespace = "lwc-ext-nic" // of the External Port's own card
)

// cardSide stands where a Side does for a card that carries ports.
const cardSide Side = "card"

// tagOnMostNatives is the VLAN of untagged frames on switches as they are sold.
const tagOnMostNatives = 1

// maxTag is the highest VLAN identifier that may be used (IEEE 802.1Q-2018
// table 9-2 reserves 4095).
const maxTag = 4094

// cardOf returns the name of the namespace of the card that carries the port as
// a sub-interface, or "" when the card itself is the port.
func (c Config) cardOf(s Side) string {
	switch {
	case sameCard(c.Internal, c.External):
		return CardNamespace
	case c.port(s).VLAN == 0:
		return ""
	case s == InternalSide:
		return InternalCardNamespace
	}
	return ExternalCardNamespace
}

// sameCard reports whether a and b name one card.
func sameCard(a, b Port) bool {
	if a.Interface != "" && a.Interface == b.Interface {
		return true
	}
	macA, errA := net.ParseMAC(a.MAC)
	macB, errB := net.ParseMAC(b.MAC)
	return errA == nil && errB == nil && bytes.Equal(macA, macB)
}

// cards returns, by the name of its namespace, each card to be split, as a Port
// without addresses.
func (c Config) cards() map[string]Port {
	all := map[string]Port{}
	for _, s := range []Side{InternalSide, ExternalSide} {
		name := c.cardOf(s)
		if name == "" {
			continue
		}
		p, card := c.port(s), all[name]
		card.Interface = firstOf(card.Interface, p.Interface)
		card.MAC = firstOf(card.MAC, p.MAC)
		all[name] = card
	}
	return all
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// laneName names the sub-interface: as its card when untagged, else eth0.20 as
// is usual, or vlan20 where that would be longer than the kernel allows.
func laneName(card string, tag uint16) string {
	name := fmt.Sprintf("%s.%d", card, tag)
	switch {
	case tag == 0:
		return card
	case len(name) > maxInterfaceName:
		return fmt.Sprintf("vlan%d", tag)
	}
	return name
}

// isLane reports whether l is the sub-interface for tag of the card with that
// identity, whose namespace is nsid as seen from l's.
func isLane(l netlink.Link, tag uint16, card identity, nsid int) bool {
	a := l.Attrs()
	if a.Name != laneName(card.name, tag) || a.ParentIndex != card.index || a.NetNsID != nsid || nsid < 0 {
		return false
	}
	if a.HardwareAddr.String() != card.mac {
		return false
	}
	if tag == 0 {
		m, ok := l.(*netlink.Macvlan)
		return ok && m.Mode == netlink.MACVLAN_MODE_PASSTHRU
	}
	v, ok := l.(*netlink.Vlan)
	return ok && v.VlanId == int(tag) && v.VlanProtocol == netlink.VLAN_PROTOCOL_8021Q
}

// lane returns the port's sub-interface of the card, which it makes unless it is
// there already. It arrives down. What was there in its place goes.
func (m *member) lane(ctx context.Context, card *member) (identity, error) {
	if err := m.ns.evictBut(func(l netlink.Link) bool { return m.isLaneOf(l, card) }, nil); err != nil {
		return identity{}, err
	}
	if id, err := m.findLane(card); err != nil || id.index != 0 {
		return id, err
	}
	if err := m.addLane(ctx, card); err != nil {
		return identity{}, m.laneError(card, err)
	}
	id, err := m.findLane(card)
	if err == nil && id.index == 0 {
		err = &LinkError{Port: m.plan.side, Link: laneName(card.link.name, m.plan.port.VLAN), Err: ErrNoInterface,
			Detail: "it went away while it was made"}
	}
	return id, errors.Join(err, ctx.Err())
}

// fromCard reports whether l was split off a card in that namespace.
func (n *namespace) fromCard(l netlink.Link, card *namespace) bool {
	nsid, err := n.nl.GetNetNsIdByFd(int(card.file.Fd()))
	return err == nil && nsid >= 0 && l.Attrs().NetNsID == nsid && (l.Type() == "vlan" || l.Type() == "macvlan")
}

func (m *member) isLaneOf(l netlink.Link, card *member) bool {
	nsid, err := m.ns.nl.GetNetNsIdByFd(int(card.ns.file.Fd()))
	return err == nil && isLane(l, m.plan.port.VLAN, card.link, nsid)
}

func (m *member) findLane(card *member) (identity, error) {
	links, err := dump(m.ns.nl.LinkList)
	if err != nil {
		return identity{}, fmt.Errorf("listing links of the %s port: %w", m.plan.side, err)
	}
	i := slices.IndexFunc(links, func(l netlink.Link) bool { return m.isLaneOf(l, card) })
	if i < 0 {
		return identity{}, nil
	}
	return identify(links[i]), nil
}

func (m *member) addLane(ctx context.Context, card *member) error {
	a := netlink.NewLinkAttrs()
	a.Name, a.ParentIndex = laneName(card.link.name, m.plan.port.VLAN), card.link.index
	a.Namespace = netlink.NsFd(int(m.ns.file.Fd()))
	if m.plan.port.VLAN == 0 {
		return m.addNative(ctx, card, a)
	}
	return card.ns.nl.LinkAdd(&netlink.Vlan{LinkAttrs: a, VlanId: int(m.plan.port.VLAN), VlanProtocol: netlink.VLAN_PROTOCOL_8021Q})
}

// macvlanNoPromisc (MACVLAN_FLAG_NOPROMISC, linux/if_link.h) keeps the card from
// taking in frames for other hosts; the sub-interface has the card's own address.
const macvlanNoPromisc = 1

// birthName is what the untagged sub-interface is called until it has its card's
// name: kernels before 6.8 look for that name in the card's namespace too.
const birthName = "lwc-untagged"

func (m *member) addNative(ctx context.Context, card *member, a netlink.LinkAttrs) error {
	name := a.Name
	a.Name = birthName
	if err := card.ns.do(ctx, func() error { return requestNative(a) }); err != nil {
		return err
	}
	l, err := m.ns.nl.LinkByName(birthName)
	if err != nil {
		return err
	}
	return m.ns.nl.LinkSetName(l, name)
}

// requestNative makes the sub-interface of untagged frames: a macvlan in passthru
// mode has the card's address, gets every frame that belongs to no 802.1Q link,
// and is the only one a card can have. It runs in the card's namespace. The request
// is built here because the library has no field for the flag.
func requestNative(a netlink.LinkAttrs) error {
	req := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(a.Name)))
	req.AddData(nl.NewRtAttr(unix.IFLA_LINK, nl.Uint32Attr(uint32(a.ParentIndex))))
	req.AddData(nl.NewRtAttr(unix.IFLA_NET_NS_FD, nl.Uint32Attr(uint32(a.Namespace.(netlink.NsFd)))))
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("macvlan"))
	data := info.AddRtAttr(nl.IFLA_INFO_DATA, nil)
	data.AddRtAttr(nl.IFLA_MACVLAN_MODE, nl.Uint32Attr(nl.MACVLAN_MODE_PASSTHRU))
	data.AddRtAttr(nl.IFLA_MACVLAN_FLAGS, nl.Uint16Attr(macvlanNoPromisc))
	req.AddData(info)
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// laneError says which feature the kernel lacks, if that is why it refused.
func (m *member) laneError(card *member, err error) error {
	name, tag := card.link.name, m.plan.port.VLAN
	switch {
	case lacks(err) && tag == 0:
		return &FeatureError{Port: m.plan.side, Feature: "macvlan links", Needs: "CONFIG_MACVLAN (module macvlan)",
			Effect: "an untagged port cannot share card " + name + ": give both ports a tag, or a card each", Err: err}
	case lacks(err):
		return &FeatureError{Port: m.plan.side, Feature: "802.1Q links", Needs: "CONFIG_VLAN_8021Q (module 8021q)",
			Effect: fmt.Sprintf("vlan %d of card %s cannot be a port: give the port a card of its own", tag, name), Err: err}
	case errors.Is(err, unix.EBUSY), errors.Is(err, unix.EEXIST), errors.Is(err, unix.EINVAL):
		return &LinkError{Port: m.plan.side, Link: laneName(name, tag), Err: ErrInterfaceInUse,
			Detail: fmt.Sprintf("making it on %s: %v", name, err), Advice: "remove what else was put on top of the card"}
	}
	return &LinkError{Port: m.plan.side, Link: laneName(name, tag), Err: privilege(err), Detail: "making it on " + name}
}

// openCards opens a namespace for each card that is to be split, and takes apart
// those of an earlier configuration.
func (g *Guard) openCards(ctx context.Context) error {
	wanted := g.config.cards()
	for _, name := range []string{CardNamespace, InternalCardNamespace, ExternalCardNamespace} {
		path := filepath.Join(filepath.Dir(g.config.paths()[0]), name)
		card, ok := wanted[name]
		if !ok {
			if err := g.dissolve(ctx, path); err != nil {
				return err
			}
			continue
		}
		m, err := g.enter(ctx, newPlan(cardSide, card), path)
		if err != nil {
			return err
		}
		for i, s := range []Side{InternalSide, ExternalSide} {
			if g.config.cardOf(s) == name {
				g.sides[i].card = m
				m.plan.carries(g.sides[i].plan)
			}
		}
		g.cards = append(g.cards, m)
	}
	return nil
}

// dissolve sends the cards of a namespace that is not needed any more home, down,
// and removes what was split off them.
func (g *Guard) dissolve(ctx context.Context, path string) error {
	n, err := openNamespace(ctx, cardSide, path, false)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if n == nil {
		return err
	}
	for _, m := range g.sides {
		if err := m.ns.evictBut(func(l netlink.Link) bool { return !m.ns.fromCard(l, n) }, nil); err != nil {
			return errors.Join(err, n.close())
		}
	}
	err = n.evictBut(func(netlink.Link) bool { return false }, g.home)
	if err := errors.Join(err, n.close()); err != nil {
		return fmt.Errorf("taking namespace %s apart: %w", path, err)
	}
	return errors.Join(unix.Unmount(path, unix.MNT_DETACH), os.Remove(path))
}
