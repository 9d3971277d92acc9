package collector

import (
	"context"
	"fmt"
	"strings"

	"lwc/junos"
	"lwc/transport/wire"
)

// checkAccount looks, once a boot for each account on each device, at what the
// account may do, and tells of rights that collecting does not need. The device
// is asked what they are; nothing is tried. Where it does not say, nothing is
// known, and nothing fails.
func (v *visit) checkAccount(ctx context.Context, d *device, s talk) {
	if v.record.checked == d.login {
		return
	}
	h, err := v.aside(ctx, s, itemAuthorization)
	if ctx.Err() == nil && (err == nil || itemOnly(err)) {
		v.record.checked = d.login // who does not answer is not waited for again
	}
	if err != nil || h == nil {
		return
	}
	if p, err := junos.ParsePrivileges(h.doc); err == nil && h.result.Outcome == junos.OK {
		v.overPrivileged(d, p.Excess())
	}
}

// overPrivileged tells of rights beyond need, once a boot for each account on each
// device: a probe and a collection find the same.
func (v *visit) overPrivileged(d *device, excess []string) {
	if len(excess) == 0 || v.record.excessive == d.login {
		return
	}
	v.record.excessive = d.login
	v.c.event(wire.EventOverPrivileged, v.id, clip(fmt.Sprintf(
		"the account of the credential %q can do more on this device than show what is collected: %s. Give it the login class that is generated for the profile",
		d.login.credential, strings.Join(excess, "; ")), 1000))
}
