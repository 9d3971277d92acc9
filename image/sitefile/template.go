package sitefile

import (
	"strings"
)

// Template is a whole lwc.toml with explanations: what f holds is filled in, the rest
// are examples behind #, and what the box cannot do without stands there empty, so
// that Parse names it until somebody has filled it in. Where a port of f has neither
// addresses nor dhcp, the Internal Port's addresses are left to fill in, and the
// External Port asks the network.
func Template(f File) []byte {
	var w form
	w.top(f)
	w.remark("\nThe port towards the devices.")
	w.line("[internal]")
	w.machine("internal", f.Internal.Port)
	w.fixed(f.Internal.Port, inside, "addresses = []   # FILL IN the address of this box, with the length of the subnet: [\"10.1.0.2/24\"]\n"+
		"# dhcp = true   # instead, where the network gives it")
	w.options(f.Internal.Port, inside)
	w.choice("ports", f.Internal.Ports, `["22", "830", "2200-2299"]`, "of devices, where 22 and 830 are not all")
	w.remark("\nThe port towards the cloud.")
	w.line("[external]")
	w.machine("external", f.External.Port)
	w.fixed(f.External.Port, outside, "dhcp = true   # the network gives address, gateway and dns; or remove this line, and give them:\n"+
		"# addresses = "+outside.addresses)
	w.options(f.External.Port, outside)
	w.outside(f.External)
	return []byte(w.String())
}

// examples are what stands behind # for one port.
type examples struct{ addresses, gateway, routes, dns string }

var (
	inside  = examples{`["10.1.0.2/24"]`, `"10.1.0.1"`, `["10.0.0.0/8 via 10.1.0.1"]`, `["10.1.0.53"]`}
	outside = examples{`["192.0.2.10/24"]`, `"192.0.2.1"`, `["198.51.100.0/24 via 192.0.2.2"]`, `["192.0.2.53"]`}
)

// form writes a template.
type form struct{ writer }

func (w *form) remark(text string) {
	blank := strings.HasPrefix(text, "\n")
	if blank {
		w.line("")
	}
	w.line("# " + strings.TrimPrefix(text, "\n"))
}

func (w *form) top(f File) {
	w.remark("lwc.toml: copy this file to the volume LWCCONF of the box, or to a USB stick of that")
	w.remark("name, and start the box. Check it before: \"lwc-cloud image check --config lwc.toml\" on")
	w.remark("Linux, Windows or macOS, or \"lwcd check-config lwc.toml\" on Linux. What is marked")
	w.remark("FILL IN has to be there. A line that begins with # is a remark; where it is a setting")
	w.remark("like # key = value, take that # away to use it.")
	w.line("")
	w.remark("The one-time token. It says where the cloud is, too; the box overwrites it once it was used.")
	token := string(f.Token.Reveal())
	w.line("token = " + quote(token))
	if f.Endpoint != "" {
		w.text("endpoint", f.Endpoint)
	}
	if f.CAPin != "" {
		w.text("ca_pin", f.CAPin)
	}
	w.option("collector_id", f.CollectorID, `"site-0001"`, "when the token is not bound to one")
}

// machine writes which socket it is.
func (w *form) machine(side string, p Port) {
	note := ""
	if p.MAC == "" {
		note = "   # FILL IN the hardware address of the " + side + " socket, as the screen of the box shows it"
	}
	w.line("mac = " + quote(p.MAC) + note)
	if p.VLAN > 0 {
		w.number("vlan", p.VLAN)
	} else {
		w.line("# vlan = 20   # the port is this VLAN of the socket")
	}
}

// fixed writes how the port gets its address; unknown is what stands there when
// nothing is known. No key stands there twice, not even behind #: a key that is given
// a second time makes the file wrong.
func (w *form) fixed(p Port, e examples, unknown string) {
	switch {
	case len(p.Addresses) > 0:
		w.list("addresses", p.Addresses)
		if p.DHCP {
			w.line("dhcp = true")
		}
	case p.DHCP:
		w.line("dhcp = true   # the network gives address, gateway and dns")
		w.line("# addresses = " + e.addresses)
	default:
		w.line(unknown)
	}
}

func (w *form) options(p Port, e examples) {
	w.option("gateway", p.Gateway, e.gateway, "")
	w.choice("routes", p.Routes, e.routes, "")
	w.choice("dns", p.DNS, e.dns, "name servers")
	if p.MTU > 0 {
		w.number("mtu", p.MTU)
	}
}

func (w *form) outside(e External) {
	w.choice("ntp", e.NTP, `["192.0.2.123"]`, "time servers")
	w.option("proxy", e.Proxy, `"http://proxy.example:3128"`, "where the cloud is reached through an HTTP proxy")
	w.option("proxy_user", e.ProxyUser, `"site"`, "with proxy, where it wants a log-in")
	w.option("proxy_password", string(e.ProxyPassword.Reveal()), `"..."`, "with proxy_user")
	if e.ProxyCA != "" {
		w.line("proxy_ca = '''\n" + strings.ReplaceAll(e.ProxyCA, "'''", "") + "'''")
	}
	w.choice("allow", e.Allow, `["cloud.example:443"]`, "nothing else may be reached; left out: what the token names")
	w.clock(e)
}

// option writes a text, or its example behind #.
func (w *form) option(key, value, example, note string) {
	if value != "" {
		w.text(key, value)
		return
	}
	w.example(key, example, note)
}

// choice is option for a list.
func (w *form) choice(key string, values []string, example, note string) {
	if len(values) > 0 {
		w.list(key, values)
		return
	}
	w.example(key, example, note)
}

func (w *form) example(key, example, note string) {
	if note != "" {
		note = "   # " + note
	}
	w.line("# " + key + " = " + example + note)
}
