package sitefile

import (
	"strings"
	"testing"

	"lwc/transport/secret"
	"lwc/transport/wire"
)

// tokenOf is a whole token of the cloud at url, with other endpoints.
func tokenOf(url string, endpoints ...string) secret.Text {
	return wire.Token{Sort: wire.EnrolToken, URL: url, ID: "t1", Secret: secret.FromString("0123456789abcdef"), Endpoints: endpoints}.Encode()
}

// fixed is a file whose External Port has one address, and what change gives it.
func fixed(cloud string, change func(*File)) File {
	f := filled()
	f.Token = tokenOf(cloud)
	f.External.DHCP, f.External.Addresses = false, []string{"192.0.2.10/24"}
	if change != nil {
		change(&f)
	}
	return f
}

const nowhere = "is outside of the subnets of this port, and no gateway leads there"

// A box that can never reach its cloud is told before somebody travels to it.
func TestWhatIsCutOffIsRefused(t *testing.T) {
	const far, named = "https://203.0.113.9:8443", "https://cloud.example"
	for name, tt := range map[string]struct {
		cloud  string
		change func(*File)
		want   string
	}{
		"no gateway":              {far, nil, "external.addresses: the cloud at 203.0.113.9 " + nowhere + `: write gateway = "192.0.2.1" under [external]`},
		"a route elsewhere":       {far, func(f *File) { f.External.Routes = []string{"198.51.100.0/24 via 192.0.2.1"} }, "external.addresses: the cloud at 203.0.113.9 " + nowhere},
		"another family":          {"https://[2001:db8::9]", func(f *File) { f.External.Gateway = "192.0.2.1" }, "external.addresses: the cloud at 2001:db8::9 " + nowhere + ": give the port an address of that family"},
		"IPv6, and a lease":       {"https://[2001:db8::9]", func(f *File) { f.External.Addresses, f.External.DHCP = nil, true }, "external.dhcp: the cloud at 2001:db8::9 " + nowhere + ": dhcp gives an IPv4 address alone"},
		"a name server far away":  {named, func(f *File) { f.External.DNS = []string{"198.51.100.53"} }, `external.dns: "198.51.100.53" ` + nowhere + `: write gateway = "192.0.2.1" under [external]`},
		"one of two":              {named, func(f *File) { f.External.DNS = []string{"192.0.2.53", "198.51.100.53:5353"} }, `external.dns: "198.51.100.53:5353" ` + nowhere},
		"one of the devices":      {far, func(f *File) { f.External.Gateway, f.Internal.DNS = "192.0.2.1", []string{"198.51.100.53"} }, `internal.dns: "198.51.100.53" ` + nowhere + `: write gateway = "10.1.0.1" under [internal]`},
		"a proxy far away":        {named, func(f *File) { f.External.Proxy = "http://198.51.100.7:3128" }, "external.addresses: the proxy at 198.51.100.7 " + nowhere},
		"the broker far away":     {"https://192.0.2.9", func(f *File) { f.Token = tokenOf("https://192.0.2.9", "203.0.113.9:8883") }, "external.addresses: the cloud at 203.0.113.9 " + nowhere},
		"the cloud among devices": {"https://10.200.0.9", func(f *File) { f.External.Gateway = "192.0.2.1" }, `internal.routes: "10.0.0.0/8 via 10.1.0.1" covers the cloud at 10.200.0.9, which the external port alone may reach: write narrower networks of the devices`},
		"the same, with a lease":  {"https://10.1.0.9", func(f *File) { f.External.Addresses, f.External.DHCP, f.Internal.Routes = nil, true, nil }, `internal.addresses: "10.1.0.2/24" covers the cloud at 10.1.0.9`},
		"a proxy among devices":   {named, func(f *File) { f.External.Gateway, f.External.Proxy = "192.0.2.1", "http://10.3.0.1:3128" }, `internal.routes: "10.0.0.0/8 via 10.1.0.1" covers the proxy at 10.3.0.1`},
		"a server of the devices": {named, func(f *File) { f.External.Gateway, f.External.DNS = "192.0.2.1", []string{"10.1.0.53"} }, `external.dns: "10.1.0.53" lies in the network 10.1.0.2/24 of the internal port: give a name server of this port's own side`},
		"a server outside":        {far, func(f *File) { f.External.Gateway, f.Internal.DNS = "192.0.2.1", []string{"192.0.2.53"} }, `internal.dns: "192.0.2.53" lies in the network 192.0.2.10/24 of the external port`},
		"the broker has a name":   {"https://192.0.2.9", func(f *File) { f.Token = tokenOf("https://192.0.2.9", "broker.example:8883") }, "external.dns: is missing: broker.example is a name"},
	} {
		_, err := Parse(Name, Template(fixed(tt.cloud, tt.change)))
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Count(err.Error(), "\n") != 0 {
			t.Errorf("%s: error is\n%v\nwant\n%s", name, err, tt.want)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "line ") && name != "the broker has a name" {
			t.Errorf("%s: no line: %v", name, err)
		}
	}
}

// What can work is not refused.
func TestWhatMayBeReachedIsTaken(t *testing.T) {
	const far, named = "https://203.0.113.9:8443", "https://cloud.example"
	for name, f := range map[string]File{
		"the cloud in the subnet":       fixed("https://192.0.2.9:8443", nil),
		"name servers in the subnet":    fixed(named, func(f *File) { f.External.DNS = []string{"192.0.2.53", "192.0.2.54:5353"} }),
		"a gateway":                     fixed(far, func(f *File) { f.External.Gateway = "192.0.2.1" }),
		"a route to the cloud":          fixed(far, func(f *File) { f.External.Routes = []string{"203.0.113.0/24 via 192.0.2.1"} }),
		"a default route":               fixed(far, func(f *File) { f.External.Routes = []string{"default via 192.0.2.1"} }),
		"the second address":            fixed(far, func(f *File) { f.External.Addresses = append(f.External.Addresses, "203.0.113.2/24") }),
		"a lease":                       fixed(far, func(f *File) { f.External.Addresses, f.External.DHCP = nil, true }),
		"an address and a lease":        fixed(far, func(f *File) { f.External.DHCP = true }),
		"a proxy in the subnet":         fixed(far, func(f *File) { f.External.Proxy = "http://192.0.2.7:3128" }),
		"a proxy that knows the names":  fixed(named, func(f *File) { f.External.Proxy = "http://192.0.2.7:3128" }),
		"IPv6 by a link-local gateway":  fixed("https://[2001:db8::9]", func(f *File) { f.External.Addresses, f.External.Gateway = []string{"2001:db8:1::2/64"}, "fe80::1" }),
		"devices' servers by a gateway": fixed("https://192.0.2.9", func(f *File) { f.Internal.Gateway, f.Internal.DNS = "10.1.0.1", []string{"198.51.100.53"} }),
		"beside the devices":            fixed("https://11.0.0.9", func(f *File) { f.External.Gateway = "192.0.2.1" }),
		"a default route inside": fixed(far, func(f *File) {
			f.External.Gateway, f.Internal.Routes = "192.0.2.1", []string{"default via 10.1.0.1", "0.0.0.0/0 via 10.1.0.1"}
		}),
		"a demo on one machine": fixed("https://127.0.0.1:8443", nil),
	} {
		if _, err := Parse(Name, Template(f)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Beside a value that is wrong in itself nothing is said of what may follow from it.
func TestACutOffBoxIsOneProblem(t *testing.T) {
	f := fixed("https://203.0.113.9", func(f *File) { f.External.Gateway = "192.0.3.1" })
	_, err := Parse(Name, Template(f))
	if err == nil || !strings.Contains(err.Error(), "is in no subnet of this port") || strings.Contains(err.Error(), nowhere) {
		t.Errorf("a wrong gateway: %v", err)
	}
	f = fixed("https://203.0.113.9", func(f *File) { f.External.Addresses = []string{"192.0.2.10"} })
	if _, err = Parse(Name, Template(f)); err == nil || strings.Contains(err.Error(), nowhere) {
		t.Errorf("a wrong address: %v", err)
	}
}

// A box that has enrolled gets files that do not name its cloud, which it knows.
func TestSettingsForACloudThatIsKnown(t *testing.T) {
	f := fixed("https://203.0.113.9", nil)
	f.Token = secret.Text{}
	settings, err := ParseSettings(Name, f.Settings())
	if err != nil {
		t.Fatal(err)
	}
	if p := settings.CutOff(); p != nil {
		t.Errorf("of a cloud that it does not know it says %v", p)
	}
	settings.Endpoint = "https://203.0.113.9"
	if p := settings.CutOff(); len(p) != 1 || p[0].Line == 0 || p[0].Column == 0 || p[0].Key != "external.addresses" {
		t.Errorf("it says %v", p)
	}
}
