package proxy

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// URL says where a proxy is.
type URL struct {
	TLS  bool   // the connection to the proxy itself is made with TLS
	Host string // a name or an address
	Port uint16
}

// ParseURL parses "http://proxy.example:3128" or "https://proxy.example". The
// port is that of the scheme when there is none (RFC 9110 section 4.2). A URL
// that holds credentials is refused: they are secrets, and belong into a file of
// their own.
func ParseURL(s string) (URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		// Not the error itself: it repeats what may be a password.
		return URL{}, errors.New("parsing the URL of the proxy: it is no URL: write it as http://proxy.example:3128")
	}
	out, err := fromURL(u)
	if err != nil {
		return URL{}, fmt.Errorf("parsing the URL of the proxy: %w", err)
	}
	return out, nil
}

func fromURL(u *url.URL) (URL, error) {
	out := URL{TLS: u.Scheme == "https", Host: strings.ToLower(u.Hostname()), Port: 80}
	if out.TLS {
		out.Port = 443
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return out, errors.New("the scheme is neither http nor https: write it as http://proxy.example:3128")
	case u.User != nil:
		return out, errors.New("credentials stand in it: give the user and the file of the password by themselves")
	case out.Host == "" || strings.ContainsFunc(out.Host, outsideHost):
		return out, errors.New("the host is missing or no host: write it as http://proxy.example:3128")
	case u.Path != "" && u.Path != "/", u.RawQuery != "", u.Fragment != "", u.Opaque != "":
		return out, errors.New("there is more than a host and a port in it")
	}
	if p := u.Port(); p != "" {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return out, errors.New("the port is not a number from 1 to 65535")
		}
		out.Port = uint16(n)
	} else if strings.HasSuffix(u.Host, ":") {
		return out, errors.New("the port is empty")
	}
	return out, nil
}

// outsideHost reports what would end or change a line of the request.
func outsideHost(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("/\\@?#%\"<>", r) }

// Address returns "host:port", as it is dialled.
func (u URL) Address() string { return net.JoinHostPort(u.Host, strconv.Itoa(int(u.Port))) }

// String returns the form that ParseURL takes.
func (u URL) String() string {
	if u.TLS {
		return "https://" + u.Address()
	}
	return "http://" + u.Address()
}

// UnmarshalText parses the form that ParseURL takes.
func (u *URL) UnmarshalText(text []byte) error {
	parsed, err := ParseURL(string(text))
	if err != nil {
		return err
	}
	*u = parsed
	return nil
}

// MarshalText returns the form that ParseURL takes.
func (u URL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }
