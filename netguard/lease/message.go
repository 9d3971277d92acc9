package lease

import (
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// maxMessage is what the client can take in one datagram: an Ethernet frame's
// worth, less the headers of IP and UDP.
const maxMessage = 1472

// message begins a request of that kind for transaction xid.
func (c *Client) message(kind dhcpv4.MessageType, xid dhcpv4.TransactionID, elapsed time.Duration, options ...dhcpv4.Option) *dhcpv4.DHCPv4 {
	m := &dhcpv4.DHCPv4{OpCode: dhcpv4.OpcodeBootRequest, HWType: 1, TransactionID: xid, ClientHWAddr: c.MAC, Options: dhcpv4.Options{}}
	m.NumSeconds = uint16(min(elapsed/time.Second, 0xffff))
	m.UpdateOption(dhcpv4.OptMessageType(kind))
	if kind != dhcpv4.MessageTypeDecline {
		m.UpdateOption(dhcpv4.OptMaxMessageSize(maxMessage))
		// RFC 3442: a client that asks for both must put the routes first.
		m.UpdateOption(dhcpv4.OptParameterRequestList(dhcpv4.OptionClasslessStaticRoute, dhcpv4.OptionSubnetMask,
			dhcpv4.OptionRouter, dhcpv4.OptionDomainNameServer, dhcpv4.OptionInterfaceMTU, dhcpv4.OptionIPAddressLeaseTime,
			dhcpv4.OptionRenewTimeValue, dhcpv4.OptionRebindingTimeValue))
	}
	for _, o := range options {
		m.UpdateOption(o)
	}
	return m
}

func requested(a netip.Addr) dhcpv4.Option { return dhcpv4.OptRequestedIPAddress(a.AsSlice()) }

func chosen(server netip.Addr) dhcpv4.Option { return dhcpv4.OptServerIdentifier(server.AsSlice()) }

// discover asks any server for an address, for a certain one if it was had before.
func (c *Client) discover(xid dhcpv4.TransactionID, elapsed time.Duration) *dhcpv4.DHCPv4 {
	if !c.last.IsValid() {
		return c.message(dhcpv4.MessageTypeDiscover, xid, elapsed)
	}
	return c.message(dhcpv4.MessageTypeDiscover, xid, elapsed, requested(c.last))
}

// request asks the server for what it offered (RFC 2131 table 4, SELECTING).
func (c *Client) request(xid dhcpv4.TransactionID, elapsed time.Duration, l Lease) *dhcpv4.DHCPv4 {
	return c.message(dhcpv4.MessageTypeRequest, xid, elapsed, requested(l.Address.Addr()), chosen(l.Server))
}

// reboot asks all servers whether an address may still be used (INIT-REBOOT).
func (c *Client) reboot(xid dhcpv4.TransactionID, elapsed time.Duration, a netip.Addr) *dhcpv4.DHCPv4 {
	return c.message(dhcpv4.MessageTypeRequest, xid, elapsed, requested(a))
}

// extend asks for more time (RENEWING and REBINDING).
func (c *Client) extend(xid dhcpv4.TransactionID, elapsed time.Duration, a netip.Addr) *dhcpv4.DHCPv4 {
	m := c.message(dhcpv4.MessageTypeRequest, xid, elapsed)
	m.ClientIPAddr = a.AsSlice()
	return m
}

// decline gives an address back that cannot be used (RFC 2131 section 4.4.4).
func (c *Client) decline(xid dhcpv4.TransactionID, l Lease) *dhcpv4.DHCPv4 {
	return c.message(dhcpv4.MessageTypeDecline, xid, 0, requested(l.Address.Addr()), chosen(l.Server))
}
