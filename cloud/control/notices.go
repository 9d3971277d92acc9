package control

import (
	"context"
	"errors"
	"time"

	"lwc/cloud/broker"
	"lwc/cloud/tidy"
	"lwc/transport/wire"
)

// The kinds of events that the cloud end adds by itself.
const (
	EventClone   = "clone-suspected"  // two boots of one collector take turns
	EventRefused = "message-refused"  // something that came up could not be used
	EventVault   = "credential-vault" // a credential cannot be opened
	EventLost    = "heartbeat-lost"   // a collector is silent
)

const (
	// noticeEvery is how often the same sort of trouble of one collector is
	// reported.
	noticeEvery = time.Minute
	// maxEvents bounds the events of one collector in noticeEvery: all that one keeps
	// while there is no connection. What is beyond has no receipt, and comes again.
	maxEvents = 300
)

// notices keeps reports of one collector rare. Its zero value is ready.
type notices struct {
	last   map[string]time.Time // sorts are few: kinds of message and event
	window time.Time
	events int
}

// due tells whether a sort of report may be made again, and notes it.
func (n *notices) due(sort string, now time.Time) bool {
	if at, ok := n.last[sort]; ok && now.Sub(at) < noticeEvery {
		return false
	}
	if n.last == nil {
		n.last = map[string]time.Time{}
	}
	n.last[sort] = now
	return true
}

func (n *notices) allowEvent(now time.Time) bool {
	if now.Sub(n.window) >= noticeEvery {
		n.window, n.events = now, 0
	}
	n.events++
	return n.events <= maxEvents
}

// note reports trouble with a message: to the log, and as an event to those who
// look after the collector. It says each sort once a minute.
func (l *line) note(ctx context.Context, k wire.Kind, err error) {
	if err == nil || ctx.Err() != nil || errors.Is(err, broker.ErrOffline) || !l.noteworthy(k, err) {
		return
	}
	l.hub.log.Warn("trouble with a collector's message", "collector", l.id, "kind", k, "error", err)
	if l.key != nil {
		l.addEvent(ctx, EventRefused, l.entry.Boot, "a message ("+string(k)+"): "+err.Error())
	}
}

func (l *line) noteworthy(k wire.Kind, err error) bool {
	if !errors.Is(err, errUnknown) {
		return l.notices.due("trouble "+string(k), time.Now())
	}
	l.hub.mu.Lock()
	defer l.hub.mu.Unlock()
	return l.hub.unknown.due("", time.Now())
}

// alert adds an event, each kind once a minute.
func (l *line) alert(ctx context.Context, kind, boot, text string) {
	if !l.notices.due(kind, time.Now()) {
		return
	}
	l.hub.log.Warn("alert", "collector", l.id, "kind", kind, "text", text)
	l.addEvent(ctx, kind, boot, text)
}

func (l *line) addEvent(ctx context.Context, kind, boot, text string) {
	err := l.hub.cfg.Store.AddEvent(ctx, wire.Event{V: wire.Version, Collector: l.id, Boot: boot,
		Time: time.Now().UTC(), Kind: kind, Text: tidy.Text(text, tidy.MaxText)})
	if err != nil && ctx.Err() == nil {
		l.hub.log.Error("an event could not be stored", "collector", l.id, "kind", kind, "error", err)
	}
}
