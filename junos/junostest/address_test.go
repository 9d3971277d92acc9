package junostest

import (
	"net/netip"
	"testing"
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func TestAddresses(t *testing.T) {
	for _, tt := range []struct {
		name                 string
		c                    Config
		first, last, bastion string
	}{
		{"own addresses", Config{Devices: 3, Bastions: 1, DevicePort: 830}, "127.0.0.1:830", "127.0.0.3:830", "127.0.0.4:22"},
		{"past the end of a /24", Config{Devices: 300, Bastions: 1, DevicePort: 830}, "127.0.0.1:830", "127.0.1.46:830", "127.0.1.47:22"},
		{"counted ports", Config{Devices: 3, Bastions: 1, BasePort: 20830}, "127.0.0.1:20830", "127.0.0.1:20832", "127.0.0.1:20833"},
		{"prefix", Config{Devices: 3, Bastions: 1, Bind: prefix("10.9.0.0/24")}, "10.9.0.1:830", "10.9.0.3:830", "10.9.0.4:22"},
		{"prefix from the middle", Config{Devices: 3, Bastions: 1, Bind: prefix("10.9.0.100/24"), BastionPort: 2222}, "10.9.0.100:830", "10.9.0.102:830", "10.9.0.103:2222"},
		{"IPv6 prefix", Config{Devices: 3, Bastions: 1, Bind: prefix("2001:db8::/64")}, "[2001:db8::1]:830", "[2001:db8::3]:830", "[2001:db8::4]:22"},
		{"behind, ports of the kernel", Config{Devices: 2, Bastions: 1, Behind: 1}, "127.0.0.1:0", "127.83.0.1:830", "127.0.0.1:0"},
	} {
		f := newFleet(t, tt.c)
		devices := f.Devices()
		first, last, bastion := devices[0].Addr.String(), devices[len(devices)-1].Addr.String(), f.Bastions()[0].Addr.String()
		if first != tt.first || last != tt.last || bastion != tt.bastion {
			t.Errorf("%s: %s … %s, %s; want %s … %s, %s", tt.name, first, last, bastion, tt.first, tt.last, tt.bastion)
		}
	}
}
