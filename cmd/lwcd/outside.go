package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"lwc/netguard"
	"lwc/transport/proxy"
	"lwc/transport/secret"
)

// outside is what the External Port reaches besides the cloud, and how.
type outside struct {
	ntp        []netguard.Endpoint
	way        way
	cloudClock bool // the cloud's time may set the machine's clock
}

// way is how the cloud is reached: directly, or through an HTTP proxy.
type way struct {
	proxy        proxy.URL // without a host: directly
	user         string
	passwordFile string
	caFile       string // authorities of a proxy with TLS, beside the system's
}

func (w way) direct() bool { return w.proxy.Host == "" }

// endpoint is what has to be dialled to get to the proxy.
func (w way) endpoint() netguard.Endpoint {
	return netguard.Endpoint{Network: "tcp", Host: w.proxy.Host, Port: w.proxy.Port}
}

const (
	ntpPort = 123
	// maxPassword bounds the file of the proxy's password, maxAuthorities that of its
	// authorities.
	maxPassword    = 1 << 10
	maxAuthorities = 256 << 10
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
	o := outside{way: c.way(f), cloudClock: f.CloudClock == nil || *f.CloudClock}
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

// way reads "http://proxy.example:3128" and what belongs to it. The password
// stands in a file of its own: the configuration is no secret.
func (c *checker) way(f outer) way {
	if f.Proxy == "" {
		for _, k := range []struct{ key, value string }{{"proxy_user", f.ProxyUser}, {"proxy_password_file", f.ProxyPasswordFile}, {"proxy_ca_file", f.ProxyCAFile}} {
			if k.value != "" {
				c.addf("external."+k.key, "there is no external.proxy: give one, or remove this")
			}
		}
		return way{}
	}
	to, err := proxy.ParseURL(f.Proxy)
	if err != nil {
		c.addf("external.proxy", "%v: write it as http://proxy.example:3128, and the log-in as proxy_user and proxy_password_file", err)
		return way{}
	}
	w := way{proxy: to, user: f.ProxyUser}
	if f.ProxyPasswordFile != "" {
		w.passwordFile = c.absolute("external.proxy_password_file", f.ProxyPasswordFile, "")
	}
	if f.ProxyCAFile != "" {
		w.caFile = c.absolute("external.proxy_ca_file", f.ProxyCAFile, "")
		if !to.TLS {
			c.addf("external.proxy_ca_file", "the proxy is reached without TLS: write external.proxy as https://…, or remove this")
		}
	}
	if w.user == "" && w.passwordFile != "" {
		c.addf("external.proxy_password_file", "there is no external.proxy_user: give one, or remove this")
	}
	return w
}

// password reads the proxy's password: the first line of its file.
func (w way) password() (secret.Text, error) {
	if w.passwordFile == "" {
		return secret.Text{}, nil
	}
	b, _, err := readPlain(w.passwordFile, maxPassword)
	if err != nil {
		return secret.Text{}, fmt.Errorf("reading the password of the proxy: %w", err)
	}
	defer clear(b)
	line, rest, _ := bytes.Cut(b, []byte("\n"))
	if len(bytes.TrimSpace(rest)) > 0 {
		return secret.Text{}, fmt.Errorf("reading the password of the proxy: %s has more than one line", w.passwordFile)
	}
	return secret.New(bytes.Clone(bytes.TrimSuffix(line, []byte("\r")))), nil
}

// authorities reads the certificates of the proxy's authorities in PEM form. The
// supervisor does, because the half reads no file of the configuration's.
func (w way) authorities() ([]byte, error) {
	if w.caFile == "" {
		return nil, nil
	}
	b, _, err := readPlain(w.caFile, maxAuthorities)
	if err != nil {
		return nil, fmt.Errorf("reading the authorities of the proxy: %w", err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("reading the authorities of the proxy: %s holds no certificate in PEM form", w.caFile)
	}
	return b, nil
}

// proxyTLS trusts the authorities of the system and those given.
func proxyTLS(extra []byte) *tls.Config {
	if len(extra) == 0 {
		return nil
	}
	roots, err := x509.SystemCertPool()
	if err != nil { // a system that has none
		roots = x509.NewCertPool()
	}
	roots.AppendCertsFromPEM(extra) // the supervisor has found at least one
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
}
