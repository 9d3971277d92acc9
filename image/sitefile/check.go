package sitefile

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"lwc/transport/secret"
	"lwc/transport/wire"
)

// check looks at what the values mean, and completes the file from its token.
func (c *checker) check(fresh bool) {
	c.cloud(fresh)
	if id := c.file.CollectorID; id != "" && wire.CheckCollectorID(id) != nil {
		c.add(KindCloud, "collector_id", quoted(id)+" is not an id of a collector", "use 8 to 63 of a-z, 0-9 and -, like site-0001")
	}
	c.port("internal", c.file.Internal.Port)
	c.port("external", c.file.External.Port)
	c.devicePorts()
	c.outside()
	c.apart()
	c.reach()
}

const newFile = "get a new file from the cloud"

// usedToken is what Scrub leaves of a token.
var usedToken = regexp.MustCompile(`^used-*$`)

// cloud checks the token, and what the file says of the cloud against it.
func (c *checker) cloud(fresh bool) {
	f := c.file
	endpoint := c.endpoint()
	pin := c.pin()
	text := f.Token
	switch {
	case usedToken.Match(text.Reveal()):
		f.Token, f.TokenUsed = secret.Text{}, true
		if fresh {
			c.add(KindTokenUsed, "token", "was used already", newFile)
		}
		return
	case text.Empty():
		if fresh {
			c.missing("token", newFile)
		}
		return
	}
	t, err := wire.ParseToken(wire.EnrolToken, text)
	if err != nil {
		c.damagedToken(text)
		return
	}
	if own, err := wire.URLHostPort(t.URL); err == nil && endpoint != "" && own != endpoint {
		c.add(KindCloud, "endpoint", "is not the cloud of the token, which is "+clip(own), "remove the line, or "+newFile)
	}
	if own := hex.EncodeToString(t.CAPin[:]); pin != "" && own != pin {
		c.add(KindCloud, "ca_pin", "is not the authority of the token's cloud", "remove the line, or "+newFile)
	}
	f.Endpoint, f.CAPin = t.URL, hex.EncodeToString(t.CAPin[:])
}

// damagedToken says how, never repeating it.
func (c *checker) damagedToken(text secret.Text) {
	s := string(text.Reveal())
	switch {
	case strings.HasPrefix(s, string(wire.APIToken)):
		c.add(KindToken, "token", "is one for programs (lwca1_), which enrols nothing", "put in the token of lwc-cloud enrol-token")
	case strings.ContainsAny(s, " \t\n"):
		c.add(KindToken, "token", "has blanks or line ends in it, which it got while it was copied", "copy it again, whole, on one line")
	case !strings.HasPrefix(s, string(wire.EnrolToken)):
		c.add(KindToken, "token", "does not begin with "+string(wire.EnrolToken), "copy the whole token of lwc-cloud enrol-token")
	default:
		c.add(KindToken, "token", "is damaged or incomplete, since its check digits do not fit", "copy it again, whole, on one line")
	}
}

// endpoint is the cloud's host:port, where the file names it.
func (c *checker) endpoint() string {
	s := c.file.Endpoint
	if _, there := c.places["endpoint"]; !there {
		return ""
	}
	const do = "write it as https://cloud.example or https://cloud.example:8443"
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.User != nil || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" || !plausibleHost(u.Hostname()) {
		c.add(KindCloud, "endpoint", quoted(s)+" is not the address of a cloud", do)
		return ""
	}
	hostPort, err := wire.URLHostPort(s)
	if err != nil {
		c.add(KindCloud, "endpoint", quoted(s)+" is not the address of a cloud", do)
		return ""
	}
	return hostPort
}

// pin is the hash of the cloud's authority in lower case, where the file names it.
func (c *checker) pin() string {
	s := c.file.CAPin
	if _, there := c.places["ca_pin"]; !there {
		return ""
	}
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 32 {
		c.add(KindCloud, "ca_pin", fmt.Sprintf("is not 64 hexadecimal digits, but %d characters", len(s)), "copy it again, or remove the line: the token holds it too")
		return ""
	}
	c.file.CAPin = strings.ToLower(s)
	return c.file.CAPin
}

// outside checks what the External Port has besides.
func (c *checker) outside() {
	e := c.file.External
	for _, s := range e.Allow {
		if !hostPort(s) {
			c.addItem(KindNetwork, "external.allow", s, " is not a destination", "write it as cloud.example:443")
		}
	}
	for _, s := range e.NTP {
		if !plausibleHost(s) && !hostPort(s) {
			c.addItem(KindNetwork, "external.ntp", s, " is not a time server", "write its address or its name, like 192.0.2.123")
		}
	}
	c.proxy(e)
}

func (c *checker) proxy(e External) {
	if e.Proxy == "" {
		for _, key := range []string{"proxy_user", "proxy_password", "proxy_ca"} {
			if _, there := c.places["external."+key]; there {
				c.add(KindProxy, "external."+key, "stands here without external.proxy", "give the proxy, or remove this")
			}
		}
		return
	}
	tls, err := proxyURL(e.Proxy)
	if err != nil {
		// Not the text itself: it may hold a password.
		c.add(KindProxy, "external.proxy", err.Error(), "write it as http://proxy.example:3128")
		return
	}
	if e.ProxyUser == "" && !e.ProxyPassword.Empty() {
		c.add(KindProxy, "external.proxy_password", "stands here without external.proxy_user", "give the user, or remove this")
	}
	if strings.ContainsAny(e.ProxyUser, ":\r\n") {
		// RFC 7617 section 2: the first colon ends the user.
		c.add(KindProxy, "external.proxy_user", "has a colon or a line end in it", "correct it")
	}
	if strings.ContainsAny(string(e.ProxyPassword.Reveal()), "\r\n") {
		c.add(KindProxy, "external.proxy_password", "has more than one line", "write it on one line")
	}
	c.proxyCA(e, tls)
}

func proxyURL(s string) (tls bool, err error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return false, errors.New("is not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return false, errors.New("begins neither with http:// nor with https://")
	case u.User != nil:
		return false, errors.New("has a log-in in it: write that as proxy_user and proxy_password")
	case !plausibleHost(u.Hostname()):
		return false, errors.New("has no host that can be one")
	case u.Path != "" && u.Path != "/", u.RawQuery != "", u.Fragment != "":
		return false, errors.New("has more than a host and a port in it")
	case strings.HasSuffix(u.Host, ":"), u.Port() != "" && !portNumber(u.Port()):
		return false, errors.New("has a port that is not a number from 1 to 65535")
	}
	return u.Scheme == "https", nil
}

// quoted repeats a value of the file in a message, unless it may be part of a secret.
func quoted(s string) string {
	if c := clip(s); c != s {
		return "the value"
	}
	return fmt.Sprintf("%q", s)
}
