package control

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"lwc/cloud/tidy"
	"lwc/transport/wire"
)

// current refuses what an earlier boot, or another collector, says. Another node
// of the cloud end may have taken the last hello.
func (l *line) current(ctx context.Context, collector, boot string) error {
	if collector != l.id {
		return fmt.Errorf("it is of collector %.80q", collector)
	}
	if boot == l.entry.Boot {
		return nil
	}
	if err := l.load(ctx, true); err != nil {
		return err
	}
	if boot != l.entry.Boot {
		return errOtherBoot
	}
	return nil
}

var errOtherBoot = errors.New("it is of another boot than the last hello")

// state records what became of a configuration, after which jobs may follow.
func (l *line) state(ctx context.Context, payload []byte) error {
	var s wire.State
	if err := wire.Verify(wire.KindState, payload, l.key, &s); err != nil {
		return err
	}
	if err := l.current(ctx, s.Collector, s.Boot); err != nil {
		return fmt.Errorf("reading a state: %w", err)
	}
	l.heard = time.Now()
	s.Error = tidy.Text(s.Error, tidy.MaxText)
	for i := range s.Items {
		s.Items[i].Path, s.Items[i].Error = tidy.Text(s.Items[i].Path, tidy.MaxText), tidy.Text(s.Items[i].Error, tidy.MaxText)
	}
	if err := l.hub.cfg.Store.SawState(ctx, s); err != nil {
		return err
	}
	if s.Status == wire.ConfigReceived || s.Status == wire.ConfigApplying {
		return nil
	}
	if l.sent.boot == s.Boot {
		l.sent.settled = s.Config.Version
		if s.Status != wire.ConfigRejected {
			l.sent.stated = s.Config.Version
		}
	}
	return l.sync(ctx, true)
}

// health records a heartbeat. One of a boot that never said hello here is
// answered with the wish for a hello.
func (l *line) health(ctx context.Context, payload []byte) error {
	var h wire.Health
	if err := wire.Decode(wire.KindHealth, payload, &h); err != nil {
		return err
	}
	if err := wire.CheckID(h.Boot); err != nil {
		return fmt.Errorf("reading a heartbeat: boot: %w", err)
	}
	switch err := l.current(ctx, h.Collector, h.Boot); {
	case errors.Is(err, errOtherBoot):
		return l.askHello(ctx, h.Boot)
	case err != nil:
		return fmt.Errorf("reading a heartbeat: %w", err)
	}
	l.heard = time.Now()
	tidyPorts(&h.Ports)
	tidy.Health(&h)
	if err := l.hub.cfg.Store.SawHealth(ctx, h); err != nil {
		return err
	}
	if !l.isOnline() {
		l.setOnline(true)
		l.hub.log.Info("collector online", "collector", l.id, "boot", h.Boot)
		if err := l.sync(ctx, true); err != nil {
			return err
		}
	}
	return l.askState(ctx, h)
}

// askState asks for the state of the version that a second heartbeat tells of while
// none came: it was lost, and with it the errors of single items. At the first one it
// may be on its way.
func (l *line) askState(ctx context.Context, h wire.Health) error {
	v := h.Config.Version
	if v == 0 || v == l.sent.stated || h.Boot != l.sent.boot {
		return nil
	}
	if l.sent.silent != v {
		l.sent.silent = v
		return nil
	}
	if !l.notices.due("state", time.Now()) {
		return nil
	}
	return l.hub.send(ctx, l.id, wire.KindNeed, wire.Need{
		V: wire.Version, Collector: l.id, Boot: h.Boot, Resync: "state"})
}

func (l *line) askHello(ctx context.Context, boot string) error {
	if !l.notices.due("resync", time.Now()) {
		return nil
	}
	return l.wantHello(ctx, boot)
}

func (l *line) wantHello(ctx context.Context, boot string) error {
	return l.hub.send(ctx, l.id, wire.KindNeed, wire.Need{
		V: wire.Version, Collector: l.id, Boot: boot, Resync: "hello"})
}

var eventKind = regexp.MustCompile(`^[a-z][a-z0-9-]{0,39}$`)

// event records what a collector wants an operator to know.
func (l *line) event(ctx context.Context, payload []byte) error {
	var e wire.Event
	if err := wire.Decode(wire.KindEvent, payload, &e); err != nil {
		return err
	}
	switch {
	case e.Collector != l.id:
		return fmt.Errorf("reading an event: it is of collector %.80q", e.Collector)
	case !l.notices.allowEvent(time.Now()):
		return errors.New("putting off an event: the collector sends too many")
	}
	if err := checkEvent(e); err != nil { // sent again it would not be better
		return errors.Join(fmt.Errorf("reading an event: %w", err),
			l.eventReceipt(ctx, e, wire.Receipt{Status: wire.Rejected, Code: codeEvent}))
	}
	tidy.Event(&e)
	e.Time = believable(e.Time)
	if e.Violation != nil {
		e.Violation.At = believable(e.Violation.At)
	}
	status, err := l.hub.cfg.Store.TakeEvent(ctx, e)
	if err != nil {
		return err
	}
	return l.eventReceipt(ctx, e, wire.Receipt{Status: status})
}

// codeEvent says that an event has not the form of one.
const codeEvent = "event"

func checkEvent(e wire.Event) error {
	if !eventKind.MatchString(e.Kind) {
		return errors.New("its kind is not one word")
	}
	if err := wire.CheckID(e.Boot); err != nil {
		return fmt.Errorf("boot: %w", err)
	}
	if e.ID == "" {
		return nil
	}
	if err := wire.CheckID(e.ID); err != nil {
		return fmt.Errorf("id: %w", err)
	}
	return nil
}

// eventReceipt tells the boot that sent an event what became of it. One without an
// id is not waited for.
func (l *line) eventReceipt(ctx context.Context, e wire.Event, r wire.Receipt) error {
	if wire.CheckID(e.ID) != nil || wire.CheckID(e.Boot) != nil {
		return nil
	}
	r.ID = e.ID
	return l.hub.send(ctx, l.id, wire.KindReceipt, wire.Receipts{V: wire.Version, Collector: l.id, Boot: e.Boot,
		Receipts: []wire.Receipt{r}})
}

// firstClock is the start of 2024, in seconds since 1970: a clock that is behind
// it was never set.
const firstClock = 1704067200

// believable is the time that a collector gives, or now where its clock is ahead
// or was not set yet.
func believable(at time.Time) time.Time {
	if !canBe(at) {
		return time.Now().UTC()
	}
	return at
}

func canBe(at time.Time) bool { return at.Unix() >= firstClock && time.Until(at) <= time.Hour }

// tidyPorts bounds what a collector says of its ports. A time that cannot be is
// not known.
func tidyPorts(p *wire.PortState) {
	tidy.Ports(p)
	if !canBe(p.Since) {
		p.Since = time.Time{}
	}
}

// bye records a clean stop, or the will of a connection that broke. A bye of a
// connection that was followed by another means nothing.
func (l *line) bye(ctx context.Context, payload []byte) error {
	var b wire.Bye
	if err := wire.Decode(wire.KindBye, payload, &b); err != nil {
		return err
	}
	if b.Collector != l.id || b.Boot != l.entry.Boot || b.Conn < l.entry.Conn {
		return nil
	}
	l.hub.log.Info("collector offline", "collector", l.id, "boot", b.Boot, "conn", b.Conn, "clean", b.Clean)
	return l.gone(ctx, b.Clean)
}
