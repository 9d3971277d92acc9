package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"lwc/cmd/lwcd/halves"
	"lwc/netguard"
	"lwc/transport/wire"
)

// site is one configuration at work: the two ports, and the collector half that
// dials through them.
type site struct {
	conf    config
	path    string // of the configuration file
	version string // of it
	guard   *netguard.Guard
	log     *slog.Logger
	notices *notices
	setup   halves.Setup
	allowed *allowed
	half    *keeper
	updates *updater
	clock   *machineClock
	timed   atomic.Bool // a time server has answered

	mu      sync.Mutex      // guards what follows
	refused map[string]bool // destinations that were refused and told
	problem string          // the last one, with its time
	kind    string          // of the last violation
}

// newSite brings the ports up as a configuration wants them. The error is what is told and
// waited out.
func newSite(ctx context.Context, s *supervisor, from source) (*site, error) {
	conf := from.conf
	who, note, err := whose(conf)
	if err != nil {
		return nil, errors.Join(err, netguard.Silence(ctx, netguard.Config{}))
	}
	if err := errors.Join(who.kept(s.path), who.kept(conf.tokenFile), who.kept(conf.outside.way.passwordFile), who.kept(conf.outside.way.caFile),
		who.kept(conf.console), who.kept(conf.clockSocket), who.kept(conf.halfSocket), who.kept(conf.packetSocket), who.kept(conf.stateDir), who.kept(conf.update.program), who.kept(conf.update.keys)); err != nil {
		return nil, &configError{errors.Join(err, netguard.Silence(ctx, netguard.Config{}))}
	}
	password, err := conf.outside.way.password()
	authorities, cerr := conf.outside.way.authorities()
	if err := errors.Join(err, cerr); err != nil {
		return nil, &configError{errors.Join(err, netguard.Silence(ctx, netguard.Config{}))}
	}
	state := folder{conf.stateDir, who}
	if err := state.give(); err != nil {
		return nil, errors.Join(err, netguard.Silence(ctx, netguard.Config{}))
	}
	t := &site{conf: conf, path: s.path, version: from.version, log: s.log, notices: s.notices, refused: map[string]bool{},
		setup: halves.Setup{Path: s.path, Text: from.text, UID: who.uid, GID: who.gid, ProxyPassword: password.Reveal(), ProxyCA: authorities}}
	if t.setup.ReleaseKeys, err = conf.update.releaseKeys(); err != nil {
		s.log.Error("no release can be downloaded", "error", err) // the ports do not wait for that
	}
	if t.guard, err = netguard.Up(ctx, conf.ports); err != nil {
		return nil, err
	}
	t.allowed = &allowed{conf: conf, state: state, set: t.guard.SetAllowed}
	t.tellError("setting what may be dialled", t.allowed.load())
	t.half = newKeeper(t, state, s.stderr)
	t.updates, t.clock = newUpdater(conf.update, who, s.log), newMachineClock(conf, t.timed.Load)
	if note != "" && conf.ports.Mode != netguard.Unprotected {
		t.setup.Degraded = []string{note}
	}
	t.announce()
	return t, nil
}

// announce logs what is up, and what the separation lacks.
func (t *site) announce() {
	s := t.guard.State()
	if s.Mode == netguard.Unprotected {
		t.log.Warn("the two ports are NOT separated: mode unprotected")
	}
	for _, d := range append(s.Degraded, t.setup.Degraded...) {
		t.log.Warn("the separation is degraded", "detail", d)
	}
	t.log.Info("ports are up", "mode", string(s.Mode), "internal", s.Internal, "external", s.External)
}

// run works until ctx ends, the collector half cannot be kept running, or a
// changed configuration may free ports that are blocked.
func (t *site) run(ctx context.Context) error {
	return together(ctx, t.half.run, t.watch, t.reload, t.keepTime, t.updates.run)
}

// watch reports what the guard finds.
func (t *site) watch(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-t.guard.Events():
			if !ok {
				return nil
			}
			t.event(e)
		}
	}
}

func (t *site) event(e netguard.Event) {
	if e.Violation == nil {
		t.log.Info("ports", "status", string(e.Status), "text", e.Text)
		return
	}
	v := e.Violation
	t.trouble(e.Text)
	t.noteKind(string(v.Kind))
	t.log.Error("port violation", "status", string(e.Status), "kind", string(v.Kind), "port", string(v.Port),
		"text", e.Text, "healed", v.Healed, "at", v.At)
	t.notices.add(halves.Notice{Kind: wire.EventPortViolation, Text: e.Text, Violation: &wire.PortViolation{
		Kind: string(v.Kind), Port: string(v.Port), Detail: v.Detail, Healed: v.Healed, At: v.At}})
}

// tellChanged says whether the file that has changed is good: a wrong one would
// keep the ports down after the next start.
func (t *site) tellChanged() {
	conf, err := loadConfig(t.path)
	if err == nil {
		err = netguard.Check(conf.ports)
	}
	if err != nil {
		t.log.Error("the configuration file has changed and is wrong: the next start would leave the ports down", "file", t.path, "error", err)
		return
	}
	t.log.Info("the configuration file has changed: it is used from the next start on", "file", t.path)
}

// reload ends the site when its ports are blocked and the file has become
// another, good one: an overlap waits for just that. A change while the ports are
// open is for the next start; it is told.
func (t *site) reload(ctx context.Context) error {
	for told, last := t.version, t.version; sleep(ctx, firstRetry); {
		now := versionOf(t.path)
		whole := now == last // a file that is still being written changes with each look
		last = now
		if now == t.version || !whole {
			continue
		}
		if t.guard.State().Status == netguard.Open {
			if now != told {
				t.tellChanged()
				told = now
			}
			continue
		}
		if _, err := loadConfig(t.path); err == nil {
			return errReload
		}
	}
	return nil
}

// View implements netguard.Upstream.
func (t *site) View(ctx context.Context, serial uint64) (netguard.View, error) {
	return t.guard.View(ctx, serial)
}

// maxRefused is how many refused destinations are told apart.
const maxRefused = 64

// Permit implements netguard.Upstream. What is not allowed is told once.
func (t *site) Permit(ctx context.Context, e netguard.Endpoint) ([]netip.AddrPort, error) {
	addrs, err := t.guard.Permit(ctx, e)
	if errors.Is(err, netguard.ErrNotAllowed) && t.firstRefusal(e) {
		const advice = "if it belongs to the cloud, put it into external.allow, or enrol anew with a token that names it"
		t.log.Error("a destination was refused", "host", e.Host, "port", e.Port, "network", e.Network, "error", err, "advice", advice)
		t.notices.add(halves.Notice{Kind: wire.EventDialRefused,
			Text: fmt.Sprintf("the collector half asked for a destination that is not allowed: %v; %s", err, advice)})
	}
	return addrs, err
}

func (t *site) firstRefusal(e netguard.Endpoint) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := fmt.Sprint(e)
	if t.refused[key] || len(t.refused) >= maxRefused {
		return false
	}
	t.refused[key] = true
	return true
}

// Setup implements half of halves.Desk.
func (t *site) Setup(context.Context) (halves.Setup, error) { return t.setup, nil }

// offer is what a collector half can ask for.
func (t *site) offer() halves.Offer {
	return halves.Offer{Ports: t, Desk: desk{t, t.notices}, Tokens: &tokenFile{path: t.conf.tokenFile,
		offer: t.allowed.offer, enrolled: t.allowed.enrolled}, Machine: t}
}

// desk joins the two halves of a halves.Desk.
type desk struct {
	*site
	*notices
}

func (t *site) tellError(doing string, err error) {
	if err != nil {
		t.log.Error(doing, "error", err)
	}
}

// status says in words what this site is doing.
func (t *site) status() string {
	s := t.guard.State()
	text := fmt.Sprintf("ports %s (%s)", s.Status, s.Mode)
	if n := len(s.Degraded) + len(t.setup.Degraded); n > 0 {
		text = fmt.Sprintf("ports %s (%s, degraded)", s.Status, s.Mode)
	}
	if s.Status != netguard.Open {
		text += ": " + s.Detail
	}
	return text + "; " + t.half.status()
}

// trouble notes what went wrong last.
func (t *site) trouble(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.problem = time.Now().UTC().Format("2006-01-02 15:04 UTC ") + text
}

func (t *site) noteKind(kind string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kind = kind
}

func (t *site) lastKind() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.kind
}

func (t *site) lastProblem() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.problem
}

// address says where a port is: its first address, with what a lease gave.
func (t *site) address(side netguard.Side) string {
	port, link := t.port(side)
	if len(port.Addresses) == 0 {
		return named(link.Name, "?") + " without an address"
	}
	return link.Name + " " + port.Addresses[0].String()
}

// port returns what is applied of a port, and its link.
func (t *site) port(side netguard.Side) (netguard.Port, netguard.LinkView) {
	now, done := context.WithCancel(context.Background())
	done()
	v, err := t.guard.View(now, 0) // serial 0 is nobody's: it does not wait
	if err != nil {
		return netguard.Port{}, netguard.LinkView{}
	}
	if side == netguard.InternalSide {
		return v.Config.Internal, v.Links[0]
	}
	return v.Config.External, v.Links[1]
}
