package junostest

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Fraction deals faults out to a share of the devices. The seed picks them.
type Fraction struct {
	// Share of all devices, from 0 to 1.
	Share float64
	// Faults are given out in turn, so that each comes as often. Empty: every
	// kind that a device can have without an argument.
	Faults []Fault
}

// ParseFraction reads "0.2" or "0.2=kind,kind:arg".
func ParseFraction(s string) (Fraction, error) {
	share, list, named := strings.Cut(s, "=")
	n, err := strconv.ParseFloat(share, 64)
	if err != nil || !(n >= 0 && n <= 1) {
		return Fraction{}, fmt.Errorf("share %q: want a number from 0 to 1", share)
	}
	f := Fraction{Share: n}
	if !named {
		return f, nil
	}
	for _, word := range strings.Split(list, ",") {
		fault, err := ParseFault(strings.TrimSpace(word))
		if err == nil && fault == NoFault {
			err = errors.New("a share of the devices wants a list of faults after =")
		}
		if err != nil {
			return Fraction{}, err
		}
		f.Faults = append(f.Faults, fault)
	}
	return f, nil
}

func (c Config) checkFaults() error {
	for name, f := range c.Faults {
		if _, err := ParseFault(string(f)); err != nil {
			return fmt.Errorf("%w (of %s)", err, name)
		}
		if _, err := path.Match(name, ""); err != nil {
			return fmt.Errorf("fault of %q: the pattern is malformed", name)
		}
	}
	total := 0.0
	for _, fr := range c.Faulty {
		total += fr.Share
		if !(fr.Share >= 0 && fr.Share <= 1) || total > 1+1e-9 {
			return fmt.Errorf("faulty shares add up to %g of the devices: want 0 to 1", total)
		}
		if err := fr.check(); err != nil {
			return err
		}
	}
	return nil
}

func (fr Fraction) check() error {
	for _, f := range fr.Faults {
		if _, err := ParseFault(string(f)); err != nil {
			return err
		}
		if f != NoFault && !kindOf(f).Device {
			return fmt.Errorf("fault %q is one of bastions; a share of the devices cannot have it", f)
		}
	}
	return nil
}

// kindOf explains a fault that ParseFault takes.
func kindOf(f Fault) FaultKind {
	all := FaultKinds()
	return all[slices.IndexFunc(all, func(k FaultKind) bool { return k.Name == f.Kind() })]
}

// matches says whether a name, or a pattern, of the list fits.
func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, name)
		return ok && err == nil
	})
}

// giveFaults sets the faults of the configuration: by name, by pattern, by share.
func (f *Fleet) giveFaults() error {
	left := make([]*Device, 0, len(f.devices))
	for _, d := range f.devices {
		fault, rule := f.faultByRule(d.Name)
		if rule == "" {
			left = append(left, d)
			continue
		}
		if fault != NoFault && !kindOf(fault).Device {
			return fmt.Errorf("fault %q of %s: it is a fault of bastions only", fault, d.Name)
		}
		d.fault.set(fault)
	}
	for _, b := range f.bastions {
		fault, _ := f.faultByRule(b.Name)
		if fault != NoFault && !kindOf(fault).Bastion {
			return fmt.Errorf("fault %q of %s: it is a fault of devices only", fault, b.Name)
		}
		b.fault.set(fault)
	}
	if err := f.checkRules(); err != nil {
		return err
	}
	f.deal(left)
	return f.showOldKeys()
}

// checkRules finds names and patterns that fit nothing, which are misspelt.
func (f *Fleet) checkRules() error {
	for name := range f.cfg.Faults {
		fits := func(host string) bool { return matches([]string{name}, host) }
		if !slices.ContainsFunc(f.devices, func(d *Device) bool { return fits(d.Name) }) &&
			!slices.ContainsFunc(f.bastions, func(b *Bastion) bool { return fits(b.Name) }) {
			return fmt.Errorf("fault of %q: there is no such device or bastion; the first are %v", name, f.someNames())
		}
	}
	for _, p := range f.cfg.Superusers {
		if !slices.ContainsFunc(f.devices, func(d *Device) bool { return matches([]string{p}, d.Name) }) {
			return fmt.Errorf("superuser of %q: there is no such device; the first are %v", p, f.someNames())
		}
	}
	return nil
}

// showOldKeys has who has old algorithms tell the host key that goes with them.
func (f *Fleet) showOldKeys() error {
	for _, d := range f.devices {
		if d.Fault().Kind() == OldAlgorithms {
			signer, err := f.oldSigner()
			if err != nil {
				return err
			}
			d.HostKey = authorizedLine(signer.PublicKey())
		}
	}
	for _, b := range f.bastions {
		if b.Fault().Kind() == OldAlgorithms {
			signer, err := f.oldSigner()
			if err != nil {
				return err
			}
			b.HostKey = authorizedLine(signer.PublicKey())
		}
	}
	return nil
}

// faultByRule finds the rule for a name; it is empty where there is none.
func (f *Fleet) faultByRule(name string) (fault Fault, rule string) {
	if fault, ok := f.cfg.Faults[name]; ok {
		return fault, name
	}
	for _, p := range f.patterns {
		if ok, err := path.Match(p, name); ok && err == nil {
			return f.cfg.Faults[p], p
		}
	}
	return NoFault, ""
}

// patterns are the rules that are no plain names, the longest first.
func (c Config) patterns() []string {
	all := slices.Sorted(maps.Keys(c.Faults))
	all = slices.DeleteFunc(all, func(p string) bool { return !strings.ContainsAny(p, `*?[\`) })
	slices.SortStableFunc(all, func(a, b string) int { return len(b) - len(a) })
	return all
}

// deal gives the shares of Faulty out to devices without a rule.
func (f *Fleet) deal(left []*Device) {
	r := rng(f.cfg.Seed, "faulty")
	r.Shuffle(len(left), func(i, j int) { left[i], left[j] = left[j], left[i] })
	for _, fr := range f.cfg.Faulty {
		faults := fr.Faults
		if len(faults) == 0 {
			faults = dealt()
		}
		n := min(len(left), int(math.Round(fr.Share*float64(len(f.devices)))))
		first := r.IntN(len(faults))
		for i, d := range left[:n] {
			d.fault.set(faults[(first+i)%len(faults)])
		}
		left = left[n:]
	}
}

// dealt are the faults that a device can have without an argument.
func dealt() []Fault {
	var all []Fault
	for _, k := range FaultKinds() {
		if k.Device && k.check("") == nil {
			all = append(all, k.Name)
		}
	}
	return all
}
