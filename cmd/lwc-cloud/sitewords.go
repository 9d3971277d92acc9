package main

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"time"

	"lwc/image/sitefile"
)

// siteWords says what a good file amounts to, and what is odd about it: never the token
// itself, nor the password of a proxy.
func siteWords(path string, f *sitefile.File, raw []byte) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: good\n", path)
	fmt.Fprintf(&b, "  cloud          %s\n", cloudWords(f))
	if f.External.Proxy != "" {
		fmt.Fprintf(&b, "  proxy          %s\n", f.External.Proxy)
	}
	fmt.Fprintf(&b, "  internal port  %s\n", portWords(f.Internal.Port))
	fmt.Fprintf(&b, "  external port  %s\n", portWords(f.External.Port))
	token, warning := sitefile.TokenWords(f, raw, time.Now())
	fmt.Fprintf(&b, "  token          %s\n", token)
	b.WriteString(warning)
	if at := f.Loopback(); at != "" {
		fmt.Fprintf(&b, "The cloud at %s is the computer itself: a box never reaches it. Start the cloud with --public-url, then make the file anew.\n", at)
	}
	if name := filepath.Base(path); !strings.EqualFold(name, sitefile.Name) {
		fmt.Fprintf(&b, "The box looks for %s: call the file so on the volume, not %s.\n", sitefile.Name, name)
	}
	return b.String()
}

// cloudWords names the host and port of the cloud, and of a broker elsewhere.
func cloudWords(f *sitefile.File) string {
	var words []string
	for _, s := range f.Clouds() {
		if host, port, err := net.SplitHostPort(s); err == nil {
			words = append(words, host+", port "+port)
		}
	}
	if len(words) == 0 {
		return "the one that the box has enrolled with"
	}
	return strings.Join(words, "; ")
}

func portWords(p sitefile.Port) string {
	words := append([]string{p.MAC}, p.Addresses...)
	if p.DHCP {
		words = append(words, "DHCP")
	}
	if p.Gateway != "" {
		words = append(words, "via "+p.Gateway)
	}
	if p.VLAN > 0 {
		words = append(words, fmt.Sprintf("VLAN %d", p.VLAN))
	}
	return strings.Join(words, " ")
}

// hinted is an error, and what else may be meant.
type hinted struct {
	error
	hint string
}

func (h hinted) Error() string { return h.error.Error() + "\n" + h.hint }

func (h hinted) Unwrap() error { return h.error }

// withHint adds to what is wrong with a file what it is good for.
func withHint(err error, raw []byte) error {
	if hint := sitefile.EnrolledOnly(sitefile.Name, raw); err != nil && hint != "" {
		return hinted{err, hint}
	}
	return err
}
