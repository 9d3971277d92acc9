package sitefile

import (
	"fmt"
	"strings"
)

// Where things are on the box. /run is RAM, /state the partition that lasts.
const (
	DaemonPath        = "/run/lwc/lwcd.toml"
	TokenPath         = "/run/lwc/enrol.token"
	ProxyPasswordPath = "/run/lwc/proxy.password"
	ProxyCAPath       = "/run/lwc/proxy-ca.pem"
	StateDir          = "/state/lwcd"
	ClockSocketPath   = "/run/lwc/clock.sock"
	HalfSocketPath    = "/run/lwc/half.sock"
	PacketSocketPath  = "/run/lwc/packet.sock"
	UpdaterPath       = "/usr/lib/lwc/update"
	SpoolPath         = "/run/lwc/spool"
	ReleaseKeysPath   = "/usr/lib/lwc/release-keys"
)

// Daemon is the configuration of lwcd on the box. It names the files into which
// provisioning writes the token, and the password and the authorities of a proxy.
func (f *File) Daemon() []byte {
	var w writer
	w.line("# Made from lwc.toml; it is made anew at each start.")
	w.text("state_dir", StateDir)
	w.text("enrolment_token_file", TokenPath)
	w.text("collector_id", f.CollectorID)
	w.text("clock_socket", ClockSocketPath)
	w.text("half_socket", HalfSocketPath)
	w.text("packet_socket", PacketSocketPath)
	w.line("\n[guard]\nmode = \"enforce\"\nuser = \"lwcd\"")
	w.internal(f.Internal)
	w.line("\n[external]")
	w.port(f.External.Port)
	w.list("allow", f.External.Allow)
	w.list("ntp", f.External.NTP)
	w.text("proxy", f.External.Proxy)
	w.text("proxy_user", f.External.ProxyUser)
	if !f.External.ProxyPassword.Empty() {
		w.text("proxy_password_file", ProxyPasswordPath)
	}
	if f.External.ProxyCA != "" {
		w.text("proxy_ca_file", ProxyCAPath)
	}
	w.clock(f.External)
	w.line("\n[update]")
	w.text("program", UpdaterPath)
	w.text("timeout", "60m")
	w.text("spool", SpoolPath)
	w.text("keys", ReleaseKeysPath)
	return []byte(w.String())
}

// Settings is the file without its token: what the box keeps. Parse reads it again
// to the same values.
func (f *File) Settings() []byte {
	var w writer
	w.text("endpoint", f.Endpoint)
	w.text("ca_pin", f.CAPin)
	w.text("collector_id", f.CollectorID)
	w.internal(f.Internal)
	w.line("\n[external]")
	w.port(f.External.Port)
	w.list("allow", f.External.Allow)
	w.list("ntp", f.External.NTP)
	w.text("proxy", f.External.Proxy)
	w.text("proxy_user", f.External.ProxyUser)
	w.text("proxy_password", string(f.External.ProxyPassword.Reveal()))
	w.text("proxy_ca", f.External.ProxyCA)
	w.clock(f.External)
	return []byte(w.String())
}

// writer makes TOML. What is empty is left out.
type writer struct{ strings.Builder }

func (w *writer) line(s string) { w.WriteString(s + "\n") }

func (w *writer) internal(p Internal) {
	w.line("\n[internal]")
	w.port(p.Port)
	w.list("ports", p.Ports)
}

func (w *writer) port(p Port) {
	w.text("mac", p.MAC)
	w.number("vlan", p.VLAN)
	if p.DHCP {
		w.line("dhcp = true")
	}
	w.list("addresses", p.Addresses)
	w.text("gateway", p.Gateway)
	w.list("routes", p.Routes)
	w.list("dns", p.DNS)
	w.number("mtu", p.MTU)
}

func (w *writer) clock(e External) {
	if e.NoCloudClock {
		w.line("cloud_clock = false")
	}
}

func (w *writer) text(key, value string) {
	if value != "" {
		w.line(key + " = " + quote(value))
	}
}

func (w *writer) number(key string, n int) {
	if n != 0 {
		w.line(fmt.Sprintf("%s = %d", key, n))
	}
}

func (w *writer) list(key string, values []string) {
	if len(values) > 0 {
		w.line(key + " = " + quoteList(values))
	}
}

func quoteList(values []string) string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = quote(v)
	}
	return "[" + strings.Join(out, ", ") + "]"
}

// quote writes a TOML basic string (TOML 1.0, "String"): of the control characters
// none but those that have a short escape stand as they are.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteString(`\` + string(r))
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
