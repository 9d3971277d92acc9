package collector

import (
	"cmp"
	"context"
	"fmt"
	"slices"
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

// maxNamed commands are named to the operator, who gives the account a class
// rather than single commands.
const maxNamed = 5

// tooFew says which commands of the device's profile the account may not run,
// and what to do.
func tooFew(d *device, missing []junos.Item) string {
	var named []string
	for _, it := range missing[:min(len(missing), maxNamed)] {
		named = append(named, it.CLI)
	}
	list := strings.Join(named, ", ")
	if more := len(missing) - len(named); more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	rest := "The others can be collected."
	if len(missing) == len(d.items) {
		rest = "Nothing can be collected."
	}
	return fmt.Sprintf("The account may not run %d of the %d commands of its profile: %s. %s Give the account the login class that %s prints.",
		len(missing), len(d.items), list, rest, classCommand(d))
}

// classCommand is what prints the class that is enough for the device. It knows
// profiles that are built in by name, and others by their items.
func classCommand(d *device) string {
	name := cmp.Or(d.Profile, wire.DefaultProfile)
	items, _ := junos.Profile(name)
	if slices.EqualFunc(items, d.items, func(a, b junos.Item) bool { return a.Name == b.Name }) {
		return "`lwc-cloud login-class --profile " + name + "`"
	}
	return fmt.Sprintf("`lwc-cloud login-class` with --item for each item of the profile %q", clip(name, 80))
}
