package collector

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"lwc/junos"
	"lwc/transport/wire"
)

// session logs in and asks for the items that are left.
func (v *visit) session(ctx context.Context, f *fleet, d *device) failure {
	ch, fail := v.dial(ctx, f, d)
	if ch == nil {
		return fail
	}
	defer ch.Close()
	opts := v.c.conf.Session
	opts.MaxReply = orDefault(f.limits.MaxDocumentBytes, DefaultMaxDocumentBytes)
	s, err := junos.Open(ctx, ch, opts)
	if err != nil {
		return diagnose(ctx, err)
	}
	defer s.Close()
	for v.next < len(v.device.items) {
		if err := v.item(ctx, s, v.device.items[v.next]); err != nil {
			return diagnose(ctx, err)
		}
		v.next++
	}
	return failure{}
}

// dial logs in, and lets the other devices of the run know how that went.
func (v *visit) dial(ctx context.Context, f *fleet, d *device) (Channel, failure) {
	t := f.target(d)
	v.c.pins.pin(&t)
	logins, names := d.logins(), d.hopNames()
	ch, err := v.c.conf.Dialer.Dial(ctx, t)
	if err == nil {
		v.r.logins.report(logins, len(logins), false, "")
		for i, l := range logins {
			v.c.refusals.remove(l, names[i])
		}
		v.firstUse(d, ch.FirstUse())
		return ch, failure{}
	}
	var trusting interface{ FirstUse() map[string]string }
	if errors.As(err, &trusting) {
		v.firstUse(d, trusting.FirstUse())
	}
	fail := diagnose(ctx, err)
	v.dialFailed(d, fail)
	return nil, fail
}

// dialFailed draws the conclusions of a failed dial for the other devices.
func (v *visit) dialFailed(d *device, fail failure) {
	logins, names := d.logins(), d.hopNames()
	at := slices.Index(names, fail.hop)
	switch {
	case at < 0 && fail.refused():
		at = len(names) - 1
	case fail.phase == phaseSubsystem:
		v.r.logins.report(logins, len(logins), false, "")
		return
	}
	v.r.logins.report(logins, max(at, 0), fail.refused(), names[max(at, 0)])
	if fail.refused() {
		v.c.refusals.add(logins[at], names[at])
		v.c.event(wire.EventCredential, v.id, fmt.Sprintf(
			"%q refused the credential %q; it is not tried again until it changes or a collection is asked for",
			names[at], logins[at].credential))
	}
	if fail.kind == kindKeyChange {
		v.c.event(wire.EventHostKeyChanged, v.id, fail.advice)
	}
}

// firstUse pins the keys that were trusted, and reports them.
func (v *visit) firstUse(d *device, seen map[string]string) {
	if fp := seen[d.ID]; fp != "" {
		v.res.HostKey = fp
		v.trusted(pin{false, d.ID, d.Address}, fp, "the device")
	}
	for _, h := range d.via {
		if fp := seen[h.id]; fp != "" {
			v.trusted(pin{true, h.id, h.Address}, fp, fmt.Sprintf("the bastion %q", h.id))
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

// maxTimeouts is how many items of a device may time out before the rest is
// given up: each costs minutes, and the device is in trouble.
const maxTimeouts = 3

// item asks for one item. An error ends the session; a failure of the item alone
// is accounted for here.
func (v *visit) item(ctx context.Context, s *junos.Session, it junos.Item) error {
	mem, err := v.blocked(ctx, func(ctx context.Context) (*lease, error) {
		return v.c.memory.acquire(ctx, chunkSize)
	})
	if err != nil {
		return err
	}
	reply, err := s.Call(ctx, it)
	if err != nil {
		mem.release()
		return v.itemError(ctx, it, err, nil)
	}
	doc, err := v.read(ctx, reply, mem)
	if err != nil {
		return v.itemError(ctx, it, err, &half{doc, reply.Result(), mem})
	}
	v.publish(it.Name, doc, reply.Result(), mem)
	return nil
}

// itemError decides whether the session goes on after err.
func (v *visit) itemError(ctx context.Context, it junos.Item, err error, h *half) error {
	v.half = h
	var e *junos.Error
	timeout := errors.As(err, &e) && e.Kind != junos.KindTooLarge
	if !itemOnly(err) || ctx.Err() != nil {
		return err
	}
	if timeout {
		if v.timeouts++; v.timeouts >= maxTimeouts {
			return err
		}
	}
	v.skipped = diagnose(ctx, err)
	v.skipped.advice = it.Name + ": " + v.skipped.advice
	if e.Kind == junos.KindTooLarge {
		v.dropHalf() // what is cut off by a limit of ours is not a document of the device
	}
	if v.half == nil {
		v.failItem(it.Name, v.skipped.kind+": "+err.Error())
	} else {
		v.publishHalfOf(it.Name)
	}
	return nil
}

// blocked waits for memory: the time does not count against the device, and is
// bounded by itself.
func (v *visit) blocked(ctx context.Context, wait func(context.Context) (*lease, error)) (*lease, error) {
	v.patience.stop()
	defer v.patience.run()
	ctx, cancel := context.WithTimeoutCause(ctx, v.c.conf.BlockedTimeout, errBlocked)
	defer cancel()
	return wait(ctx)
}
