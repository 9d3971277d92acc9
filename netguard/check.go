package netguard

import (
	"errors"
	"fmt"
	"net"
	"slices"
)

// Check reports everything that is wrong with c, joined into one error whose
// parts are *ConfigError and *OverlapError. It looks at c alone: not at the
// kernel, and it needs no privileges. In mode unprotected the ports are not
// looked at.
func Check(c Config) error {
	if err := c.Mode.check(); err != nil {
		return err
	}
	if c.Mode == Unprotected {
		return nil
	}
	var errs []error
	for _, side := range []Side{InternalSide, ExternalSide} {
		pc := portCheck{side: side, port: c.port(side), foreign: c.port(side.other()).claims()}
		errs = append(errs, pc.run()...)
	}
	errs = append(errs, checkDevicePorts(c.DevicePorts)...)
	errs = append(errs, checkAllow(c)...)
	errs = append(errs, sameInterface(c.Internal, c.External)...)
	errs = append(errs, overlaps(c.Internal.claims(), c.External.claims())...)
	return errors.Join(errs...)
}

// sameInterface reports a card that both ports claim without telling their
// frames apart by VLAN tags, and names that contradict each other.
func sameInterface(a, b Port) []error {
	macA, errA := net.ParseMAC(a.MAC)
	macB, errB := net.ParseMAC(b.MAC)
	bothMAC := errA == nil && errB == nil
	sameMAC := bothMAC && slices.Equal(macA, macB)
	sameName := a.Interface != "" && a.Interface == b.Interface
	switch {
	case !sameName && !sameMAC:
		return nil
	case a.VLAN == b.VLAN && a.VLAN != 0:
		return []error{sameError("vlan", fmt.Sprint(b.VLAN), "two ports on one interface need two tags")}
	case a.VLAN == b.VLAN:
		return sameUntagged(a, b, sameName, sameMAC)
	case sameName && bothMAC && !sameMAC:
		return []error{sameError("mac", b.MAC, "the interface has one address: remove one")}
	case sameMAC && a.Interface != "" && b.Interface != "" && !sameName:
		return []error{sameError("mac", b.MAC, "name the same interface for both, or another mac")}
	case min(a.VLAN, b.VLAN) == 0 && max(a.VLAN, b.VLAN) == tagOnMostNatives:
		return []error{&ConfigError{Port: ExternalSide, Field: "vlan", Value: fmt.Sprint(b.VLAN), Err: ErrSameInterface,
			Problem: "is beside vlan " + fmt.Sprint(a.VLAN) + " on one interface: most switches take untagged frames as vlan 1",
			Advice:  "use a tag from 2 to 4094"}}
	}
	return nil
}

func sameUntagged(a, b Port, name, mac bool) []error {
	const advice = "the two ports need two interfaces, or two VLANs of one"
	var errs []error
	if name {
		errs = append(errs, sameError("interface", a.Interface, advice))
	}
	if mac {
		errs = append(errs, sameError("mac", b.MAC, advice))
	}
	return errs
}

func sameError(field, value, advice string) error {
	return &ConfigError{
		Port: ExternalSide, Field: field, Value: value, Err: ErrSameInterface,
		Problem: "is the internal port too", Advice: advice,
	}
}

// checkDevicePorts reports ranges that hold no port, or one twice.
func checkDevicePorts(list []PortRange) []error {
	var errs []error
	add := func(r PortRange, problem, advice string) {
		errs = append(errs, &ConfigError{Port: InternalSide, Field: "ports", Value: r.String(), Problem: problem, Advice: advice})
	}
	if len(list) > maxDevicePorts {
		errs = append(errs, &ConfigError{Port: InternalSide, Field: "ports", Value: fmt.Sprint(len(list)),
			Problem: "ranges are too many", Advice: fmt.Sprintf("give at most %d", maxDevicePorts)})
		return errs
	}
	for i, r := range list {
		switch {
		case r.First == 0:
			add(r, "has port 0", "give a port from 1 to 65535, or a range like 2200-2299")
		case r.First > r.Last:
			add(r, "ends before it begins", "give the lower port first")
		case slices.ContainsFunc(list[:i], func(o PortRange) bool { return o.First <= r.Last && r.First <= o.Last }):
			add(r, "overlaps another range", "give each port once")
		}
	}
	return errs
}

// maxDevicePorts bounds the ranges; devices answer at a handful of ports.
const maxDevicePorts = 64

// checkAllow reports endpoints of the External Port that cannot be dialled, or
// must not be: those in the Internal Port's networks.
func checkAllow(c Config) []error {
	var errs []error
	if err := checkEndpoints(c.Allow); err != nil {
		errs = append(errs, err)
	}
	own, foreign := c.External.addressSet(), c.Internal.claims()
	for _, e := range c.Allow {
		if problem := badEndpointAddress(e.Host, own, foreign); problem != "" {
			errs = append(errs, &ConfigError{Port: ExternalSide, Field: "allow", Value: e.String(), Problem: problem,
				Advice: "give an address or a name on the cloud's side"})
		}
	}
	return errs
}
