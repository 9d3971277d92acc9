package screen

import (
	"lwc/cmd/lwcd/report"
	"lwc/image/provision"
)

// Kind is one state of the box, as the screen tells it.
type Kind struct {
	Name  string // one word, for the field guide
	State string // what the screen says
	Do    string // what the engineer does about it; empty: nothing
}

// Good tells whether there is nothing to do.
func (k Kind) Good() bool { return k.Do == "" }

// The kinds that are no causes of ports that are not open.
const (
	starting    = "starting"
	silent      = "silent"
	waiting     = "waiting"
	refused     = "refused"
	noToken     = "no-token"
	notEnrolled = "not-enrolled"
	noIdentity  = "no-identity"
	noCloud     = "no-cloud"
	ready       = "ready"
	raising     = "raising"
)

// Kinds is the closed set. The causes of ports that are not open have the words
// that lwcd uses for them (docs/lwcd.md, "From power-on to work").
func Kinds() []Kind {
	return []Kind{
		{starting, "STARTING", "Wait a minute. If this stays for five minutes, switch the box off and on."},
		{silent, "NOT ANSWERING - the collector program gives no sign of life", "Wait two minutes: it is started again by itself. If it comes back to this, note the version and ask for another image."},
		{waiting, "WAITING FOR SETTINGS - both ports are down", "Put the file lwc.toml on the volume LWCCONF of the disk, or on a USB stick with the label LWCCONF, and plug it in. Nothing else is needed: the box looks every two seconds."},
		{refused, "SETTINGS REFUSED - both ports are down", "Correct lwc.toml as said below and plug it in again. Before that, on a computer: lwcd check-config lwc.toml"},
		{noToken, "READY - ports open, not enrolled: no token", "Make a new file with a new token in the portal (or lwc-cloud enrol-token --file lwc.toml), and plug it in."},
		{notEnrolled, "READY - ports open, not enrolled yet", "Wait a minute. If Work above names a reason that stays: check cable, gateway and DNS of the External Port, and whether the cloud waits for an approval."},
		{noIdentity, "READY - ports open, the identity cannot be used", "Switch the TPM on in the firmware's set-up, or put the disk back into its own machine. If the TPM was cleared: revoke the collector in the portal, factory reset, new lwc.toml."},
		{noCloud, "READY - ports open, no connection to the cloud", "Check the cable of the External Port, its gateway and DNS, and that the firewall of the site lets the box out to the cloud. The box tries again by itself."},
		{ready, "READY - ports open, connected to the cloud", ""},
		{raising, "STARTING - the two ports are being brought up", "Wait a minute: a port with DHCP waits for its lease, and for its cable."},
		{"configuration", "PORTS DOWN - the settings cannot be used", "Correct lwc.toml as said below and plug it in again."},
		{"overlap", "PORTS NOT OPEN - the networks of the two ports overlap", "Give the two ports different networks in lwc.toml, or have the DHCP server lend others."},
		{"same-interface", "PORTS DOWN - both ports are the same card", "Give each port the MAC address of its own card in lwc.toml; the cards are listed above."},
		{"missing-interface", "PORTS DOWN - a card is not there", "Compare the MAC addresses of lwc.toml with those above and on the labels of the box; see that an adapter is plugged in."},
		{"interface-in-use", "PORTS DOWN - a card is part of something else", "Switch the box off and on. If it stays: another card, and ask for help with a photo of this screen."},
		{"extra-interface", "PORTS NOT OPEN - there is a card that is neither port", "Unplug it."},
		{"same-segment", "PORTS NOT OPEN - both cables lead to the same network", "Check the cabling: the Internal Port leads to the devices, the External Port to the Internet, never to the same switch and VLAN."},
		{"in-use", "PORTS DOWN - another program holds them", "Switch the box off and on."},
		{"unsupported", "PORTS DOWN - the kernel lacks something", "Ask for another image, with a photo of this screen."},
		{"privilege", "PORTS DOWN - lwcd may not do what it has to", "Ask for another image, with a photo of this screen."},
		{"namespace", "PORTS NOT OPEN - a network namespace is not the one that was made", "Switch the box off and on."},
		{"user", "PORTS DOWN - the user of lwcd is missing", "Ask for another image, with a photo of this screen."},
		{"state", "PORTS DOWN - the state folder cannot be used", "Switch the box off and on. If it stays: factory reset (boot menu); if that does not help, another disk."},
		{"home-holds-port", "PORTS BLOCKED - a port left its namespace", "Nothing at first: it is put right by itself. If it stays, switch the box off and on."},
		{"link", "PORTS BLOCKED - a port's link is missing, replaced or down", "Check that both cards are there and plugged in."},
		{"address", "PORTS BLOCKED - a port's address is wrong, or another host has it", "Ask who else uses the address, or give the port another one in lwc.toml."},
		{"route", "PORTS BLOCKED - a route was changed", "Nothing at first: it is put right by itself. If it stays, switch the box off and on."},
		{"rule", "PORTS BLOCKED - a routing rule was changed", "Nothing at first: it is put right by itself. If it stays, switch the box off and on."},
		{"sysctl", "PORTS BLOCKED - a setting of the kernel was changed", "Nothing at first: it is put right by itself. If it stays, switch the box off and on."},
		{"nftables", "PORTS BLOCKED - the wall was changed", "Nothing at first: it is put right by itself. If it stays, switch the box off and on."},
		{"traffic-control", "PORTS BLOCKED - something could redirect frames", "Switch the box off and on."},
		{"watch", "PORTS BLOCKED - the kernel cannot be followed", "Switch the box off and on."},
		{"other", "PORTS NOT OPEN - see below", "Switch the box off and on. If it stays, ask for help with a photo of this screen."},
	}
}

func kindOf(name string) Kind {
	other := Kind{}
	for _, k := range Kinds() {
		if k.Name == name {
			return k
		}
		if k.Name == "other" {
			other = k
		}
	}
	return other
}

// Kind tells which state this is.
func (v View) Kind() Kind {
	r := v.Report
	switch {
	case v.Silent:
		return kindOf(silent)
	case r == nil:
		return kindOf(starting)
	case r.Ports == report.Open:
		return kindOf(v.working(r))
	case r.Cause == report.NoConfiguration:
		switch v.Provision.State {
		case provision.Refused:
			return kindOf(refused)
		case provision.Ready, provision.Enrolled:
			return kindOf(raising) // lwcd takes the settings with its next look
		}
		return kindOf(waiting)
	case r.Cause == "":
		return kindOf(raising)
	}
	return kindOf(r.Cause)
}

// working tells apart what a box with open ports may be doing.
func (v View) working(r *report.Report) string {
	switch {
	case r.Connected:
		return ready
	case r.Collector != "":
		return noCloud
	case r.Withheld:
		return noIdentity
	case v.lacks(provision.KindNoToken):
		return noToken
	}
	return notEnrolled
}
