package main

import (
	"net/netip"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"

	"lwc/netguard"
	"lwc/netguard/netguardtest"
	"lwc/transport/wire"
)

// A card that is pulled out blocks the ports, and lwcd and its half live; once it
// is back, it is fetched, and the cloud is reached again and hears of it.
func TestCardGoesAndReturns(t *testing.T) {
	e := newEnforced(t)
	e.enrol()
	half := e.half()
	far := e.site.External.Far
	port := must[*netguardtest.Host](t)(netguardtest.OpenHost(namesDir() + "/" + netguard.ExternalNamespace))
	defer port.Close()
	card := must[netlink.Link](t)(port.Link("lwcext0"))
	if err := port.Netlink().LinkDel(card); err != nil {
		t.Fatal(err)
	}
	e.sd.await("ports blocked")
	if err := e.site.Box.Netlink().LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "lwcext0", HardwareAddr: card.Attrs().HardwareAddr},
		PeerName: netguardtest.FarLink, PeerNamespace: netlink.NsFd(far.Fd())}); err != nil {
		t.Fatal(err)
	}
	if err := far.Address(netguardtest.FarLink, netip.MustParsePrefix("192.0.2.1/24")); err != nil {
		t.Fatal(err)
	}
	e.sd.await("ports open", "welcomed by the cloud") // in one text or in two
	e.awaitEvent(wire.EventPortViolation, "lwcext0")
	if e.half() != half {
		t.Error("the half is another one")
	}
	if code := e.stop(syscall.SIGTERM); code != exitStopped {
		t.Errorf("exit code %d", code)
	}
}
