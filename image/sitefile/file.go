package sitefile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"lwc/transport/secret"
)

// Name is how the file is called on its volume.
const Name = "lwc.toml"

// MaxSize bounds the file in bytes: a full one, with the certificates of a proxy, has
// 10 KiB.
const MaxSize = 64 << 10

// The labels of volumes on which a box looks for the file, in any case.
const (
	VolumeLabel = "LWCCONF" // the partition of the image, or an attached volume
	SeedLabel   = "CIDATA"  // a NoCloud seed: lwc.toml, or user-data that is one
)

// File is a whole lwc.toml. The texts are those of the file, checked; what is left
// out is empty. The keys stand behind the fields.
type File struct {
	Token       secret.Text // token: one-time, of lwc-cloud enrol-token; empty: none, or one that was used
	TokenUsed   bool        // the token was overwritten after it had been used
	Endpoint    string      // endpoint: https://host[:port] of the cloud; optional, must be the token's
	CAPin       string      // ca_pin: 64 hexadecimal digits of the cloud's authority; optional, must be the token's
	CollectorID string      // collector_id: to propose when the token is not bound to one
	Internal    Internal    // [internal]: the port towards the devices
	External    External    // [external]: the port towards the cloud

	at map[string]mark // of each key that stands in the file
}

// Port is what both ports have.
type Port struct {
	MAC       string   // mac: hardware address of the socket; required
	VLAN      int      // vlan: 1 to 4094; 0: untagged
	DHCP      bool     // dhcp
	Addresses []string // addresses: "10.1.0.2/24"
	Gateway   string   // gateway
	Routes    []string // routes: "10.0.0.0/8 via 10.1.0.1"
	DNS       []string // dns
	MTU       int      // mtu; 0: as it is
}

// Internal is the port towards the devices.
type Internal struct {
	Port
	Ports []string // ports: TCP ports of devices, "22", "2200-2299"; empty: 22 and 830
}

// External is the port towards the cloud.
type External struct {
	Port
	Allow         []string    // allow: "cloud.example:443"; empty: from the token
	NTP           []string    // ntp: time servers
	Proxy         string      // proxy: "http://proxy.example:3128"
	ProxyUser     string      // proxy_user
	ProxyPassword secret.Text // proxy_password
	ProxyCA       string      // proxy_ca: certificates in PEM form, for an https proxy
	NoCloudClock  bool        // cloud_clock = false: the cloud's time does not set the box's clock
}

// mark is a place in a file: both count from 1, columns in characters.
type mark struct{ line, column int }

// Problem is one thing that is wrong with a file.
type Problem struct {
	Kind   Kind   `json:"kind"`
	Line   int    `json:"line,omitempty"`   // from 1; 0: the file as a whole
	Column int    `json:"column,omitempty"` // from 1, in characters as editors count them; 0: the whole line
	Key    string `json:"key,omitempty"`    // like internal.mac; empty: no key
	Text   string `json:"text"`             // what is wrong
	Do     string `json:"do"`               // what to do about it
}

// String is the problem on one line: "line 3, column 9: internal.mac: … - …".
func (p Problem) String() string {
	var b strings.Builder
	if p.Line > 0 {
		fmt.Fprintf(&b, "line %d", p.Line)
		if p.Column > 0 {
			fmt.Fprintf(&b, ", column %d", p.Column)
		}
		b.WriteString(": ")
	}
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Text)
	if p.Do != "" {
		b.WriteString(": " + p.Do)
	}
	return b.String()
}

// Problems is all that is wrong with a file, in the order of its lines. It is the
// error of [Parse].
type Problems []Problem

// Error implements error: one line for each problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, one := range p {
		lines[i] = one.String()
	}
	return strings.Join(lines, "\n")
}

func (p Problems) sorted() Problems {
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return p
}

// Problem is one about a key of this file, at its place: for checks that need more
// than the file.
func (f *File) Problem(kind Kind, key, text, do string) Problem {
	m := f.at[key]
	return Problem{Kind: kind, Line: m.line, Column: m.column, Key: key, Text: text, Do: do}
}
