package netguard

import (
	"bytes"
	"errors"
	"net"
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
	errs = append(errs, sameInterface(c.Internal, c.External)...)
	errs = append(errs, overlaps(c.Internal.claims(), c.External.claims())...)
	return errors.Join(errs...)
}

// sameInterface reports a name or a hardware address that both ports claim.
func sameInterface(a, b Port) []error {
	var errs []error
	if a.Interface != "" && a.Interface == b.Interface {
		errs = append(errs, sameError("interface", a.Interface))
	}
	macA, errA := net.ParseMAC(a.MAC)
	macB, errB := net.ParseMAC(b.MAC)
	if errA == nil && errB == nil && bytes.Equal(macA, macB) {
		errs = append(errs, sameError("mac", b.MAC))
	}
	return errs
}

func sameError(field, value string) error {
	return &ConfigError{
		Port: ExternalSide, Field: field, Value: value, Err: ErrSameInterface,
		Problem: "is the internal port too", Advice: "the two ports need two interfaces",
	}
}
