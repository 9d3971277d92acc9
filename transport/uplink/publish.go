package uplink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"lwc/transport/wire"
)

// defaultWindow is the window where the welcome says nothing.
const defaultWindow = 8 << 20

// ErrNoWelcome says that a manifest was published before the first welcome.
// There can be nothing to account for then.
var ErrNoWelcome = errors.New("the cloud has not welcomed this boot yet")

// Publish takes over a document. It compresses it, blocks while the window is
// full or no welcome came yet, and returns once the document is queued, or with
// the error of ctx. h needs no Collector, Boot, Type or Seq; an empty ID is
// filled in. plain is not kept.
//
// done is called once, when the cloud has stored the document or refused it for
// good, with the receipt and the bytes that left, without redelivery. It is not
// called after an error, nor if Run ends first. It must return soon and must not
// call Publish.
func (u *Uplink) Publish(ctx context.Context, h wire.Header, plain []byte, done func(r wire.Receipt, sent int64)) error {
	if h.ID == "" {
		h.ID = wire.NewID()
	}
	if err := u.out.opened(ctx); err != nil {
		return fmt.Errorf("publishing %s of %s: waiting for the first connection: %w", h.Item, h.Device, err)
	}
	h.Type = wire.KindFact
	p, err := u.pack(h, plain, wire.Packing{})
	if err != nil {
		return fmt.Errorf("publishing %s of %s: %w", h.Item, h.Device, err)
	}
	p.done = done
	if err := u.out.admit(ctx, p); err != nil {
		return fmt.Errorf("publishing %s of %s: %w", h.Item, h.Device, err)
	}
	return nil
}

// PublishRun takes over the manifest of a run, signs it, and returns its hash.
// An empty Previous is filled in with the hash of the manifest before. It never
// blocks, so that a done function may call it. done is called once, when every
// document that the manifest names is stored, or the manifest is refused.
func (u *Uplink) PublishRun(_ context.Context, m wire.Manifest, done func(r wire.Receipt)) (hash string, err error) {
	if u.lastWelcome() == nil {
		return "", fmt.Errorf("publishing the manifest of run %s: %w", m.Run, ErrNoWelcome)
	}
	m.V, m.Collector, m.Boot = wire.Version, u.cfg.Collector, u.cfg.Boot
	if m.Previous == "" {
		m.Previous = u.lastManifest()
	}
	plain, err := json.Marshal(m)
	if err != nil {
		return "", fmt.Errorf("encoding the manifest of run %s: %w", m.Run, err)
	}
	h := wire.Header{ID: wire.NewID(), Type: wire.KindRun, Run: m.Run, CollectedAt: m.Finished}
	p, err := u.pack(h, plain, wire.Packing{Key: u.cfg.Key})
	if err != nil {
		return "", fmt.Errorf("publishing the manifest of run %s: %w", m.Run, err)
	}
	p.done = func(r wire.Receipt, _ int64) { done(r) }
	if err := u.out.force(p); err != nil {
		return "", fmt.Errorf("publishing the manifest of run %s: %w", m.Run, err)
	}
	hash = wire.Digest(plain)
	u.mu.Lock()
	u.manifest = hash
	u.mu.Unlock()
	return hash, nil
}

// lastManifest is the hash that the next manifest chains to: of the newest of
// this boot, or else of the newest that the cloud holds.
func (u *Uplink) lastManifest() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.manifest == "" && u.welcome != nil {
		return u.welcome.LastManifest
	}
	return u.manifest
}

// pack makes the frames of a body as the last welcome wants them.
func (u *Uplink) pack(h wire.Header, plain []byte, p wire.Packing) (*parcel, error) {
	if w := u.lastWelcome(); w != nil {
		p.MaxFrame, p.SealTo = w.Limits.MaxFrame, w.IngestKey
	}
	u.framing.Lock()
	defer u.framing.Unlock()
	h.Collector, h.Boot, h.Seq = u.cfg.Collector, u.cfg.Boot, u.seq
	frames, err := wire.Split(h, plain, p)
	if err != nil {
		return nil, err
	}
	u.seq += uint64(len(frames))
	out := &parcel{id: h.ID, kind: h.Type, frames: frames}
	for _, f := range frames {
		out.size += int64(len(f))
	}
	return out, nil
}

func (u *Uplink) lastWelcome() *wire.Welcome {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.welcome
}

// SendState tells what became of a configuration. It never blocks.
func (u *Uplink) SendState(s wire.State) {
	s.V, s.Collector, s.Boot = wire.Version, u.cfg.Collector, u.cfg.Boot
	if s.Status != wire.ConfigRejected {
		u.mu.Lock()
		u.state = &s
		u.mu.Unlock()
	}
	u.notices.put(notice{kind: wire.KindState, msg: s})
}

// SendJobStatus tells where a job is. It never blocks.
func (u *Uplink) SendJobStatus(j wire.JobStatus) {
	j.V, j.Collector, j.Boot = wire.Version, u.cfg.Collector, u.cfg.Boot
	u.jobs.told(j)
	u.notices.put(notice{kind: wire.KindJob, msg: j})
}

// SendEvent reports something that an operator should know. It never blocks.
func (u *Uplink) SendEvent(e wire.Event) {
	e.V, e.Collector, e.Boot = wire.Version, u.cfg.Collector, u.cfg.Boot
	if e.Time.IsZero() {
		e.Time = time.Now().UTC()
	}
	u.notices.put(notice{kind: wire.KindEvent, msg: e})
}
