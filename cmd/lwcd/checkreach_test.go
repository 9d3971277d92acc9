package main

import (
	"strings"
	"testing"

	"lwc/image/sitefile"
	"lwc/transport/secret"
	"lwc/transport/wire"
)

// reachable is a site whose box may reach its cloud: what the file says of that, the
// guard of the ports has to take too, or the box refuses what the check called good.
func reachable(cloud string, change func(*sitefile.File)) string {
	f := sitefile.File{Token: wire.Token{Sort: wire.EnrolToken, URL: cloud, ID: "t1", Secret: secret.FromString("0123456789abcdef")}.Encode()}
	f.Internal.Port = sitefile.Port{MAC: "52:54:00:12:34:56", Addresses: []string{"10.1.0.2/24"}}
	f.External.Port = sitefile.Port{MAC: "52:54:00:12:34:57", Addresses: []string{"192.0.2.10/24"}}
	change(&f)
	return string(sitefile.Template(f))
}

func TestWhatTheFileSaysCanBeReachedTheGuardTakes(t *testing.T) {
	const far, named = "https://203.0.113.9:8443", "https://cloud.example"
	for name, text := range map[string]string{
		"the cloud in the subnet": reachable("https://192.0.2.9", func(*sitefile.File) {}),
		"a gateway":               reachable(far, func(f *sitefile.File) { f.External.Gateway = "192.0.2.1" }),
		"a route to the cloud":    reachable(far, func(f *sitefile.File) { f.External.Routes = []string{"203.0.113.0/24 via 192.0.2.1"} }),
		"a default route":         reachable(far, func(f *sitefile.File) { f.External.Routes = []string{"default via 192.0.2.1"} }),
		"a second address":        reachable(far, func(f *sitefile.File) { f.External.Addresses = append(f.External.Addresses, "203.0.113.2/24") }),
		"servers by a gateway":    reachable(named, func(f *sitefile.File) { f.External.Gateway, f.External.DNS = "192.0.2.1", []string{"198.51.100.53"} }),
		"servers in the subnet":   reachable(named, func(f *sitefile.File) { f.External.DNS = []string{"192.0.2.53", "192.0.2.54:5353"} }),
		"servers by a route": reachable(named, func(f *sitefile.File) {
			f.External.Routes, f.External.DNS = []string{"198.51.100.0/24 via 192.0.2.1"}, []string{"198.51.100.53"}
		}),
		"servers of a lease": reachable(named, func(f *sitefile.File) {
			f.External.Addresses, f.External.DHCP, f.External.DNS = nil, true, []string{"198.51.100.53"}
		}),
		"IPv6 by a link-local gateway": reachable("https://[2001:db8::9]", func(f *sitefile.File) {
			f.External.Addresses, f.External.Gateway = []string{"2001:db8:1::2/64"}, "fe80::1"
		}),
		"both families, each its way": reachable("https://[2001:db8::9]", func(f *sitefile.File) {
			f.External.Addresses, f.External.Gateway, f.External.Routes = []string{"192.0.2.10/24", "2001:db8:1::2/64"}, "192.0.2.1", []string{"default via 2001:db8:1::1"}
		}),
	} {
		if code, out, errs := checkedConfig(t, "lwc.toml", text); code != exitStopped {
			t.Errorf("%s: exit code %d\n%s%s", name, code, out, errs)
		}
	}
	// And what the guard finds out of reach, the file says at its own line.
	for name, text := range map[string]string{
		"a server":                reachable(named, func(f *sitefile.File) { f.External.DNS = []string{"198.51.100.53"} }),
		"a server of the devices": reachable("https://192.0.2.9", func(f *sitefile.File) { f.Internal.DNS = []string{"198.51.100.53"} }),
	} {
		_, _, errs := checkedConfig(t, "lwc.toml", text)
		if !strings.Contains(errs, "dns: \"198.51.100.53\" is outside of the subnets of this port") || strings.Count(errs, "\n") != 1 {
			t.Errorf("%s: %s", name, errs)
		}
	}
}
