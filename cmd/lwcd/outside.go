package main

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"lwc/netguard"
	"lwc/transport/secret"
)

// outside is what the External Port reaches besides the cloud, and how.
type outside struct {
	ntp   []netguard.Endpoint
	proxy proxy
}

// proxy is the HTTP proxy that leads to the cloud; an empty host means none.
type proxy struct {
	host         string // host:port
	user         string
	passwordFile string
}

const (
	ntpPort = 123
	// maxPassword bounds the file of the proxy's password.
	maxPassword = 1 << 10
)

// allow reads the destinations of the External Port.
func (c *checker) allow(list []string) []netguard.Endpoint {
	var out []netguard.Endpoint
	for _, s := range list {
		e, err := endpoint(s)
		if err != nil {
			c.addf("external.allow", "%q is not a destination: write it as cloud.example:443, or [2001:db8::1]:443", s)
			continue
		}
		out = append(out, e)
	}
	return out
}

// endpoint reads "host:port".
func endpoint(s string) (netguard.Endpoint, error) {
	host, number, err := net.SplitHostPort(s)
	if err != nil {
		return netguard.Endpoint{}, err
	}
	n, err := portNumber(number)
	if err != nil {
		return netguard.Endpoint{}, err
	}
	if !plausibleHost(host) {
		return netguard.Endpoint{}, fmt.Errorf("%q is not a host", host)
	}
	return netguard.Endpoint{Network: "tcp", Host: host, Port: n}, nil
}

// plausibleHost tells a name or an address from what is certainly neither.
func plausibleHost(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	const most = 253 // RFC 1035 section 3.1: 255 octets with length bytes
	return s != "" && len(s) <= most && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r == '-' || r == '.' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z')
	})
}

func (c *checker) outside(f outer) outside {
	o := outside{proxy: c.proxy(f)}
	for _, s := range f.NTP {
		e, err := timeServer(s)
		if err != nil {
			c.addf("external.ntp", "%q is not a time server: write its address or name, with :port where it is not %d", s, ntpPort)
			continue
		}
		o.ntp = append(o.ntp, e)
	}
	return o
}

// timeServer reads "192.0.2.123", "ntp.example" or "192.0.2.123:1123".
func timeServer(s string) (netguard.Endpoint, error) {
	e := netguard.Endpoint{Host: s, Port: ntpPort}
	if !plausibleHost(s) {
		var err error
		if e, err = endpoint(s); err != nil {
			return e, err
		}
	}
	e.Network = "udp"
	return e, nil
}

// proxy reads "http://proxy.example:3128" and what belongs to it. The password
// stands in a file of its own: the configuration is no secret.
func (c *checker) proxy(f outer) proxy {
	if f.Proxy == "" {
		for key, value := range map[string]string{"external.proxy_user": f.ProxyUser, "external.proxy_password_file": f.ProxyPasswordFile} {
			if value != "" {
				c.addf(key, "there is no external.proxy: give one, or remove this")
			}
		}
		return proxy{}
	}
	u, err := url.Parse(f.Proxy)
	if err == nil && u.User != nil {
		c.addf("external.proxy", "the log-in does not belong here: use proxy_user and proxy_password_file")
		return proxy{}
	}
	var e netguard.Endpoint
	if err == nil {
		e, err = endpoint(u.Host)
	}
	if err != nil || u.Scheme != "http" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		c.addf("external.proxy", "%q is not a proxy: write it as http://proxy.example:3128", f.Proxy)
		return proxy{}
	}
	p := proxy{host: net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port))), user: f.ProxyUser}
	if f.ProxyPasswordFile != "" {
		p.passwordFile = c.absolute("external.proxy_password_file", f.ProxyPasswordFile, "")
	}
	if p.user == "" && p.passwordFile != "" {
		c.addf("external.proxy_password_file", "there is no external.proxy_user: give one, or remove this")
	}
	return p
}

// password reads the proxy's password: the first line of its file.
func (p proxy) password() (secret.Text, error) {
	if p.passwordFile == "" {
		return secret.Text{}, nil
	}
	info, err := os.Stat(p.passwordFile)
	if err != nil {
		return secret.Text{}, fmt.Errorf("reading the password of the proxy: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxPassword {
		return secret.Text{}, fmt.Errorf("reading the password of the proxy: %s is not a file of at most %d bytes", filepath.Clean(p.passwordFile), maxPassword)
	}
	b, err := os.ReadFile(p.passwordFile)
	if err != nil {
		return secret.Text{}, fmt.Errorf("reading the password of the proxy: %w", err)
	}
	defer clear(b)
	line, rest, _ := bytes.Cut(b, []byte("\n"))
	if len(bytes.TrimSpace(rest)) > 0 {
		return secret.Text{}, fmt.Errorf("reading the password of the proxy: %s has more than one line", p.passwordFile)
	}
	return secret.New(bytes.Clone(bytes.TrimSuffix(line, []byte("\r")))), nil
}
