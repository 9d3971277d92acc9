package collector

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"lwc/junos"
	"lwc/transport/wire"
)

// The stages of a probe after the dial's own.
const (
	stageHello      = "hello"
	stagePermission = "permission"
	stagePrivilege  = "privilege"
	stageParse      = "parse"

	kindOverPrivileged = "over-privileged"
)

// KindPassedOver is the kind of a step that did not lead to the device while the
// next way was still to be tried: port 830 before 22, NETCONF before the CLI.
const KindPassedOver = "passed-over"

// probeTime bounds the probe of one device, once it has its turn: every phase of
// a dial through two bastions at its longest.
const probeTime = 3 * time.Minute

// probe is a staged diagnosis in the making.
type probe struct {
	out    wire.Probe
	inPart bool // the account may run some commands of the profile, and not all
}

// probeDevice diagnoses one device. It waits for its turn as a collection does,
// and dials once: also where the log-in was refused before, since somebody asked.
func (c *Collector) probeDevice(ctx context.Context, r *run, id string) wire.Probe {
	ctx, p := newPatience(ctx, probeTime)
	defer p.end()
	v := &visit{c: c, r: r, id: id, patience: p, begun: time.Now(), probe: &probe{out: wire.Probe{Device: id}}}
	unlock, err := c.busy.lock(ctx, id)
	if err != nil {
		v.probe.failed(v, diagnose(ctx, err))
		return v.probe.out
	}
	defer unlock()
	v.begun = time.Now()
	if f := v.attempt(ctx); f.kind != "" {
		v.probe.failed(v, f)
	}
	v.probe.finish(v)
	return v.probe.out
}

// failed notes what ended the probe: at the last step of the dial where that is
// what failed, else as a step of its own.
func (p *probe) failed(v *visit, f failure) {
	if len(p.out.Steps) == 0 {
		p.dialled(v.steps)
	}
	if n := len(p.out.Steps); n > 0 && !p.out.Steps[n-1].OK {
		last := &p.out.Steps[n-1]
		last.Kind, last.Detail = f.kind, clip(f.advice, 1000)
		return
	}
	p.add(wire.ProbeStep{Stage: f.phase, Kind: f.kind, Detail: f.advice, Seconds: time.Since(v.begun).Seconds()})
}

// dialled takes the steps of a dial.
func (p *probe) dialled(steps []wire.ProbeStep) {
	for _, s := range steps {
		if !s.OK {
			s.Kind = KindPassedOver
		}
		p.add(s)
	}
}

func (p *probe) add(s wire.ProbeStep) {
	s.Detail = clip(s.Detail, 1000)
	p.out.Steps = append(p.out.Steps, s)
}

// finish decides whether the device can be collected, be it in part. Rights
// beyond need do not keep it from that, nor do rights that some items lack.
func (p *probe) finish(v *visit) {
	p.out.Access = v.res.Access
	p.out.OK = true
	for _, s := range p.out.Steps {
		p.out.OK = p.out.OK && (s.OK || s.Kind == KindPassedOver || s.Stage == stagePrivilege ||
			s.Stage == stagePermission && p.inPart)
	}
}

// examine goes through the stages that follow the log-in.
func (p *probe) examine(ctx context.Context, v *visit, f *fleet, d *device, ch Channel) failure {
	p.dialled(v.steps)
	v.depth = 1
	began := time.Now()
	s, err := v.open(ctx, f, ch)
	if err != nil {
		fail := diagnose(ctx, err)
		p.add(wire.ProbeStep{Stage: stageHello, Seconds: time.Since(began).Seconds(), Kind: fail.kind, Detail: fail.advice})
		return failure{}
	}
	defer s.Close()
	p.add(wire.ProbeStep{Stage: stageHello, OK: true, Seconds: time.Since(began).Seconds(), Detail: greeting(s)})
	p.permission(ctx, v, d, s)
	p.parse(ctx, v, s)
	return failure{}
}

func greeting(s talk) string {
	n, ok := s.(*junos.Session)
	switch {
	case !ok:
		return "no NETCONF: the device is asked by commands of its CLI, which costs it about ten times as much"
	case n.Base11():
		return "NETCONF 1.1, chunked framing" + sessionID(n)
	}
	return "NETCONF 1.0 framing" + sessionID(n)
}

// sessionID is by what the session is found in the log of the device. What is no
// number (RFC 6241 §8.1) is left out: it goes to people's screens.
func sessionID(n *junos.Session) string {
	id, err := strconv.ParseUint(n.SessionID(), 10, 32)
	if err != nil {
		return ""
	}
	return fmt.Sprintf(", session %d", id)
}

// permission asks what the account may do, which every account may ask, and
// holds it against what collecting needs.
func (p *probe) permission(ctx context.Context, v *visit, d *device, s talk) {
	h, step := p.ask(ctx, v, s, stagePermission, itemAuthorization)
	if h == nil {
		p.add(step)
		return
	}
	rights, err := junos.ParsePrivileges(h.doc)
	if err != nil {
		step.OK, step.Kind = false, kindMalformed
		step.Detail = "The device answered, but not in a form that tells the permissions of the account. Check the account's login class by hand (show cli authorization)."
		p.add(step)
		return
	}
	step.Detail = fmt.Sprintf("the account may ask; login class %q", clip(rights.Class, 100))
	if missing := rights.Missing(d.items); len(missing) > 0 {
		step.OK, step.Kind, step.Detail = false, kindDenied, tooFew(d, missing)
		p.inPart = len(missing) < len(d.items)
	}
	p.add(step)
	p.out.Class, p.out.Permissions = clip(rights.Class, 100), rights.Permissions
	p.out.Excess = rights.Excess()
	over := wire.ProbeStep{Stage: stagePrivilege, OK: len(p.out.Excess) == 0,
		Detail: "the account can show and nothing else"}
	if !over.OK {
		over.Kind = kindOverPrivileged
		over.Detail = "The account can do more than collecting needs: " + strings.Join(p.out.Excess, "; ") +
			". Give it the login class that is generated for the profile."
		v.overPrivileged(d, p.out.Excess)
	}
	p.add(over)
}

// parse asks for the release and reads it. What it is stays here.
func (p *probe) parse(ctx context.Context, v *visit, s talk) {
	h, step := p.ask(ctx, v, s, stageParse, itemVersion)
	if h != nil {
		id, err := junos.ParseIdentity(itemVersion, h.doc)
		switch {
		case err != nil || id.Version == "":
			step.OK, step.Kind = false, kindMalformed
			step.Detail = "The device answered show version, but the reply names no Junos release. Check that it is a Junos device; if it is, collect it and open a case with the document."
		default:
			step.Detail = "the reply to show version was read, and names a release"
		}
	}
	p.add(step)
}

// ask asks for one item. The answer is nil where the step failed.
func (p *probe) ask(ctx context.Context, v *visit, s talk, stage, item string) (*answer, wire.ProbeStep) {
	began := time.Now()
	h, err := v.aside(ctx, s, item)
	step := wire.ProbeStep{Stage: stage, Seconds: time.Since(began).Seconds()}
	switch {
	case err != nil:
		f := diagnose(ctx, err)
		step.Kind, step.Detail = f.kind, f.advice
		return nil, step
	case h == nil:
		step.Kind, step.Detail = kindInternal, errNoItem.Error()
		return nil, step
	case h.result.Outcome != junos.OK && h.result.Outcome != junos.Partial:
		f := nothingUsable(h.result)
		step.Kind, step.Detail = f.kind, f.advice
		return nil, step
	}
	step.OK = true
	return h, step
}

var errNoItem = errors.New("this version does not know the command")
