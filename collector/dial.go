package collector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"lwc/transport/wire"
)

// dial logs in, and lets the other devices of the run know how that went.
func (v *visit) dial(ctx context.Context, f *fleet, d *device) (Channel, failure) {
	t := f.target(d)
	v.c.pins.pin(&t)
	logins, names := d.logins(), d.hopNames()
	ch, err := v.c.conf.Dialer.Dial(ctx, t)
	if err == nil {
		v.r.logins.report(logins, len(logins), false, "")
		v.c.refusals.remove(logins, names)
		for _, h := range d.via {
			v.c.bastions.passed(h.id)
		}
		v.firstUse(d, ch.FirstUse())
		v.reached(d, ch)
		return ch, failure{}
	}
	var trusting interface{ FirstUse() map[string]string }
	if errors.As(err, &trusting) {
		v.firstUse(d, trusting.FirstUse())
	}
	var staged interface{ Steps() []wire.ProbeStep }
	if errors.As(err, &staged) {
		v.steps = staged.Steps()
	}
	fail := diagnose(ctx, err)
	v.dialFailed(d, fail)
	return nil, fail
}

// dialFailed draws the conclusions of a failed dial for the other devices.
func (v *visit) dialFailed(d *device, fail failure) {
	logins, names := d.logins(), d.hopNames()
	at := slices.Index(names, fail.hop)
	if at < 0 && fail.refused() {
		at = len(names) - 1
	}
	done := max(at, 0)
	if fail.phase == phaseSubsystem {
		done = len(names)
	}
	v.c.refusals.remove(logins[:done], names)
	v.r.logins.report(logins, done, fail.refused(), names[max(at, 0)])
	if fail.refused() {
		v.c.refusals.add(logins[at], names[at])
		v.c.event(wire.EventCredential, v.id, fmt.Sprintf(
			"%q refused the credential %q; it is not tried again until it changes or a collection is asked for",
			names[at], logins[at].credential))
	}
	if fail.of(kindThrottled) && at >= 0 && at < len(d.via) {
		v.c.bastions.throttled(names[at])
	}
	if fail.of(kindKeyChange) && v.r.changed.once(names[max(at, 0)]) {
		v.c.event(wire.EventHostKeyChanged, v.id, fail.advice)
	}
}

// firstUse pins the keys that were trusted, and reports them.
func (v *visit) firstUse(d *device, seen map[string]string) {
	if fp := seen[d.ID]; fp != "" {
		v.res.HostKey = fp
		v.trusted(pin{false, d.ID, d.Address, d.Port}, fp, "the device")
	}
	for _, h := range d.via {
		if fp := seen[h.id]; fp != "" {
			v.trusted(pin{true, h.id, h.Address, h.Port}, fp, fmt.Sprintf("the bastion %q", h.id))
		}
	}
}

func (v *visit) trusted(k pin, fp, who string) {
	switch before := v.c.pins.learn(k, fp); before {
	case fp:
	case "":
		v.c.event(wire.EventHostKeyFirst, v.id, fmt.Sprintf(
			"trusted the host key %s of %s at first use: pin it in the configuration", fp, who))
	default:
		v.c.event(wire.EventHostKeyChanged, v.id, fmt.Sprintf(
			"%s showed the host key %s and, at nearly the same time, %s: both were trusted at first use, and one may be somebody in between. "+
				"Change the credential that was used, and pin the true key", who, before, fp))
	}
}

// reached takes note of how the device was reached, and tells once a boot of
// weak algorithms on the way.
func (v *visit) reached(d *device, ch Channel) {
	v.steps = ch.Steps()
	v.res.Access = ch.Access()
	if v.res.Access == nil {
		return
	}
	for i, h := range v.res.Access.Hops {
		names, place := strings.Join(weak(h), ", "), "bastion "+h.Name
		if i == len(v.res.Access.Hops)-1 {
			place = fmt.Sprintf("device %s at %s:%d", d.ID, d.Address, d.Port)
		}
		if names == "" || !v.c.weak.once(place+" "+names) {
			continue
		}
		v.c.event(wire.EventLegacy, v.id, fmt.Sprintf(
			"the connection to %q uses weak algorithms (%s), as legacy_algorithms allows: upgrade it or allow newer ones there, then take the permission back", h.Name, names))
	}
}

// weak lists what was negotiated on a hop and is broken or too short: what
// golang.org/x/crypto/ssh calls insecure.
func weak(h wire.Hop) []string {
	var out []string
	for _, a := range []string{h.KeyExchange, h.HostKey, h.Cipher, h.MAC} {
		if isWeak(a) && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

func isWeak(algorithm string) bool {
	switch algorithm {
	case "diffie-hellman-group1-sha1", "diffie-hellman-group14-sha1", "diffie-hellman-group-exchange-sha1",
		"ssh-dss", "ssh-rsa", "ssh-dss-cert-v01@openssh.com", "ssh-rsa-cert-v01@openssh.com",
		"hmac-sha1-96", "hmac-md5", "hmac-md5-96":
		return true
	}
	return strings.HasSuffix(algorithm, "-cbc") || strings.HasPrefix(algorithm, "arcfour")
}
