package site

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"github.com/vishvananda/netlink"

	"lwc/netguard"
	"lwc/netguard/netguardtest"
)

// The names of the links: the collector's two ports, and what they lead to.
const (
	internalLink = "lwcint0"
	externalLink = "lwcext0"
	deviceLink   = "dev0"
	cloudLink    = "wan0"
)

// Room is a network namespace that lwcd has to do with.
type Room struct {
	Name string
	Path string // names the namespace, for setns
	// Port is the one link that it has to hold beside lo; empty: none.
	Port  string
	Links []string // that it holds beside lo, each with its addresses
}

// Rooms looks into the namespaces of lwcd: the two ports', the one that it was
// started in, and the collector half's own. The error says what is not as it has
// to be.
func (s *Site) Rooms() ([]Room, error) {
	supervisor, collector, err := s.Halves()
	if err != nil {
		return nil, err
	}
	rooms := []Room{
		{Name: "where lwcd was started", Path: netOf(supervisor.PID)},
		{Name: "of the collector half", Path: netOf(collector.PID)},
		{Name: netguard.InternalNamespace, Path: filepath.Join(namespaceDir, netguard.InternalNamespace), Port: internalLink},
		{Name: netguard.ExternalNamespace, Path: filepath.Join(namespaceDir, netguard.ExternalNamespace), Port: externalLink},
	}
	var wrong []error
	for i := range rooms {
		wrong = append(wrong, rooms[i].look())
	}
	return rooms, errors.Join(wrong...)
}

func netOf(pid int) string { return fmt.Sprintf("/proc/%d/ns/net", pid) }

// look fills in Links, and says when the port is missing or something else there.
func (r *Room) look() error {
	h, err := netguardtest.OpenHost(r.Path)
	if err != nil {
		return fmt.Errorf("looking into the namespace %s: %w", r.Name, err)
	}
	defer h.Close()
	links, err := h.Netlink().LinkList()
	if err != nil {
		return fmt.Errorf("listing the links of the namespace %s: %w", r.Name, err)
	}
	found := false
	var wrong []error
	for _, l := range links {
		name := l.Attrs().Name
		if name == "lo" {
			continue
		}
		addrs, err := h.Netlink().AddrList(l, netlink.FAMILY_ALL)
		if err != nil {
			return fmt.Errorf("listing the addresses of %s: %w", name, err)
		}
		words := []string{name}
		for _, a := range addrs {
			words = append(words, a.IPNet.String())
		}
		r.Links = append(r.Links, strings.Join(words, " "))
		if found = found || name == r.Port; name != r.Port {
			wrong = append(wrong, fmt.Errorf("the namespace %s holds %s", r.Name, name))
		}
	}
	if r.Port != "" && !found {
		wrong = append(wrong, fmt.Errorf("the namespace %s lacks %s", r.Name, r.Port))
	}
	return errors.Join(wrong...)
}

// plainTime is how long a plain connection may take to fail; where there is no
// route it fails at once.
const plainTime = 3 * time.Second

// PlainDial is what became of a connection that was made past netguard, as a
// mistake in the collector's code would make it.
type PlainDial struct {
	To    string // "the cloud 192.0.2.1:8443"
	Error error  // nil: it was answered, which must not be
}

// PlainDials tries the cloud and a device from the collector half's own
// namespace, after it has shown from theirs that both answer.
func (s *Site) PlainDials(ctx context.Context) ([]PlainDial, error) {
	device, err := s.anyDevice()
	if err != nil {
		return nil, err
	}
	_, collector, err := s.Halves()
	if err != nil {
		return nil, err
	}
	half, err := netguardtest.OpenHost(netOf(collector.PID))
	if err != nil {
		return nil, err
	}
	defer half.Close()
	cloud := netip.MustParseAddrPort(cloudAddr + ":" + cloudPort).String()
	var out []PlainDial
	for _, to := range []struct {
		name, addr string
		near       func(func() error) error
	}{{"the cloud", cloud, s.cnet.do}, {"a device", device, s.site.do}} {
		if err := to.near(func() error { return knock(ctx, to.addr) }); err != nil {
			return nil, fmt.Errorf("connecting to %s from its own side: %w", to.name, err)
		}
		err := half.Do(func() error { return knock(ctx, to.addr) })
		out = append(out, PlainDial{To: to.name + " " + to.addr, Error: err})
	}
	return out, nil
}

// anyDevice is the address of a device that no bastion stands before.
func (s *Site) anyDevice() (string, error) {
	inv, err := s.Inventory()
	if err != nil {
		return "", err
	}
	for _, d := range inv.Devices {
		if d.Bastion == "" {
			return net.JoinHostPort(d.Address, fmt.Sprint(d.Port)), nil
		}
	}
	return "", errors.New("every device stands behind a bastion")
}

// knock connects from the namespace of the calling thread.
func knock(ctx context.Context, addr string) error {
	d := net.Dialer{Timeout: plainTime}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	return c.Close()
}

// scanner is an address of the cloud's subnet that no host has: any frame to it
// answers a probe.
const scanner = "192.0.2.66"

// scanTries is how often the scan is tried on a machine that is too busy to see
// every frame.
const scanTries = 3

// Scan probes the External Port from the cloud's network, and, so that silence
// says something, the same port of a box that nobody guards.
func (s *Site) Scan(ctx context.Context) (guarded, open netguardtest.Report, err error) {
	cloud, err := netguardtest.OpenHost(filepath.Join(namespaceDir, s.cnet.name))
	if err != nil {
		return guarded, open, err
	}
	defer cloud.Close()
	target := netip.MustParsePrefix(collectorExt).Addr()
	for range scanTries {
		err = cloud.Do(func() (err error) {
			guarded, err = netguardtest.Scan(ctx, cloudLink, netip.MustParseAddr(scanner), target, nil)
			return err
		})
		if !errors.Is(err, netguardtest.ErrDropped) {
			break
		}
	}
	if err != nil {
		return guarded, open, err
	}
	bare, err := netguardtest.NewOpenSite()
	if err != nil {
		return guarded, open, err
	}
	defer bare.Box.Close()
	defer bare.Close()
	w := bare.External
	err = w.Far.Do(func() (err error) {
		open, err = netguardtest.Scan(ctx, netguardtest.FarLink, unused(w.Near4), w.Near4.Addr(), nil)
		return err
	})
	if errors.Is(err, netguardtest.ErrDropped) && open.Answered > 0 {
		err = nil // answers by the hundred thousand: that some were missed proves no less
	}
	return guarded, open, err
}

// unused is the last address of a subnet before its broadcast address.
func unused(subnet netip.Prefix) netip.Addr {
	b := subnet.Masked().Addr().As4()
	b[3] = 254
	return netip.AddrFrom4(b)
}
