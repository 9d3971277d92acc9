package main

import (
	"fmt"
	"strings"

	"lwc/netguard"
)

// summary says in words what a configuration amounts to.
func (c config) summary(path string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: good\n", path)
	fmt.Fprintf(&b, "  state            %s\n", c.stateDir)
	fmt.Fprintf(&b, "  enrolment token  %s\n", c.tokenFile)
	if c.collectorID != "" {
		fmt.Fprintf(&b, "  proposed id      %s\n", c.collectorID)
	}
	fmt.Fprintf(&b, "  ports            %s\n", c.ports.Mode)
	if c.ports.Mode == netguard.Unprotected {
		b.WriteString("                   NOT separated: nothing keeps the two networks apart in this mode\n")
		return b.String()
	}
	fmt.Fprintf(&b, "  internal port    %s\n", portWords(c.ports.Internal))
	fmt.Fprintf(&b, "  external port    %s\n", portWords(c.ports.External))
	return b.String()
}

func portWords(p netguard.Port) string {
	words := p.Interface
	if p.MAC != "" {
		words = strings.TrimSpace(words + " " + p.MAC)
	}
	if p.VLAN != 0 {
		words += fmt.Sprintf(" vlan %d", p.VLAN)
	}
	if p.DHCP {
		words += " dhcp"
	}
	for _, a := range p.Addresses {
		words += " " + a.String()
	}
	if p.Gateway.IsValid() {
		words += " via " + p.Gateway.String()
	}
	return words
}
