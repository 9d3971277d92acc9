package netguard

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const sysctlRoot = "/proc/sys/net"

// setting is one sysctl below /proc/sys/net and the value it must have.
type setting struct{ path, value string }

// perDevice4 are the IPv4 settings of all, default and each link. With
// forwarding off they keep a port from answering or believing what is not its own.
var perDevice4 = []setting{
	{"forwarding", "0"}, {"accept_redirects", "0"}, {"secure_redirects", "0"}, {"send_redirects", "0"},
	{"accept_source_route", "0"}, {"accept_local", "0"}, {"route_localnet", "0"}, {"bootp_relay", "0"},
	{"src_valid_mark", "0"}, {"rp_filter", "1"}, {"proxy_arp", "0"}, {"proxy_arp_pvlan", "0"},
	{"arp_ignore", "1"}, {"arp_announce", "2"}, {"arp_accept", "0"},
}

// perDevice6 are those of IPv6. accept_source_route -1 refuses every routing
// header, 0 would still take type 2; force_forwarding (Linux 6.17) forwards where
// forwarding is 0, and a segment routing header leads a packet on without it.
var perDevice6 = []setting{
	{"forwarding", "0"}, {"accept_ra", "0"}, {"accept_redirects", "0"}, {"accept_source_route", "-1"},
	{"autoconf", "0"}, {"use_tempaddr", "0"}, {"proxy_ndp", "0"}, {"router_solicitations", "0"},
	{"force_forwarding", "0"}, {"seg6_enabled", "0"}, {"rpl_seg_enabled", "0"},
}

// sysctls returns the settings of a namespace, and of its link when that is
// given, in the order in which they must be written: ip_forward comes first
// because writing it resets others, accept_redirects among them.
func (p plan) sysctls(link string) []setting {
	all := []setting{{"ipv4/ip_forward", "0"}, {"ipv4/ip_nonlocal_bind", "0"}, {"ipv6/ip_nonlocal_bind", "0"},
		{"mpls/platform_labels", "0"},
		// Routers on the way that no route of the port leads to say in vain that a packet
		// is too big: their word does not pass the wall. TCP finds out by itself (RFC 4821).
		{"ipv4/tcp_mtu_probing", "1"}}
	devices := []string{"all", "default"}
	if link != "" {
		devices = append(devices, link)
	}
	for _, d := range devices {
		for _, s := range perDevice4 {
			all = append(all, setting{filepath.Join("ipv4/conf", d, s.path), s.value})
		}
		for _, s := range perDevice6 {
			all = append(all, setting{filepath.Join("ipv6/conf", d, s.path), s.value})
		}
		all = append(all, setting{filepath.Join("ipv6/conf", d, "disable_ipv6"), fmt.Sprint(boolInt(!p.has6))})
	}
	return all
}

// quieten writes what differs. It runs on the namespace's thread, because
// /proc/sys/net shows the namespace of the thread that opens it.
func quieten(settings []setting) error {
	for _, s := range settings {
		have, err := s.read()
		if err != nil {
			return err
		}
		if have == s.value || have == absent {
			continue
		}
		if err := os.WriteFile(filepath.Join(sysctlRoot, s.path), []byte(s.value), 0); err != nil {
			return fmt.Errorf("writing sysctl: %w", sysctlError(err))
		}
	}
	return nil
}

// absent stands for a setting that this kernel does not have.
const absent = "absent"

// read returns the value, or absent: a kernel without IPv6 has none of its
// settings and needs none. What forwards IPv4 must be there.
func (s setting) read() (string, error) {
	b, err := os.ReadFile(filepath.Join(sysctlRoot, s.path))
	if errors.Is(err, fs.ErrNotExist) {
		if s.path == "ipv4/ip_forward" {
			return "", errNoSysctl()
		}
		return absent, nil
	}
	if err != nil {
		return "", fmt.Errorf("reading sysctl: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

func errNoSysctl() error {
	return fmt.Errorf("%w: /proc/sys/net/ipv4 is missing (CONFIG_SYSCTL, /proc)", ErrUnsupported)
}

func sysctlError(err error) error {
	if errors.Is(err, os.ErrPermission) || errors.Is(err, unix.EROFS) {
		return fmt.Errorf("%w: %w: /proc/sys/net must be writable (systemd: ProtectKernelTunables=no)", ErrPrivilege, err)
	}
	return err
}
