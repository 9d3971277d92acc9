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
	if err := u.publishManifest(m, plain, done); err != nil {
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

func (u *Uplink) publishManifest(m wire.Manifest, plain []byte, done func(wire.Receipt)) error {
	h := wire.Header{ID: wire.NewID(), Type: wire.KindRun, Collector: u.cfg.Collector, Boot: u.cfg.Boot,
		Run: m.Run, CollectedAt: m.Finished}
	p := u.packing()
	p.Key = u.cfg.Key
	frames, err := wire.Split(h, plain, p)
	if err != nil {
		return err
	}
	d := &document{id: h.ID, run: m.Run, kind: wire.KindRun, share: 1, done: func(v wire.Delivery) {
		if done != nil {
			done(v.Receipt)
		}
	}}
	if err := u.out.register(d); err != nil {
		return err
	}
	u.out.put(&parcel{kind: wire.KindRun, docs: []*document{d}}, frames, 0)
	return nil
}

// packing is how frames are made as the last welcome wants them. They are sealed
// when they leave, for the key of the connection that carries them.
func (u *Uplink) packing() wire.Packing {
	p := wire.Packing{Next: func() uint64 { return u.seq.Add(1) - 1 }}
	if w := u.lastWelcome(); w != nil {
		p.MaxFrame = w.Limits.MaxFrame
	}
	return p
}

func (u *Uplink) lastWelcome() *wire.Welcome {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.welcome
}

// SendState tells what became of a configuration. It never blocks. One that failed is
// not held: the cloud may send it again.
func (u *Uplink) SendState(s wire.State) {
	s.V, s.Collector, s.Boot = wire.Version, u.cfg.Collector, u.cfg.Boot
	if s.Status != wire.ConfigRejected {
		u.mu.Lock()
		u.state = &s
		if s.Status == wire.ConfigApplied {
			u.applied = s.Config
		}
		if s.Status == wire.ConfigFailed && s.Config.Version == u.accepted.Version {
			u.accepted = u.before
		}
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

// SendEvent reports something that an operator should know. It never blocks. The
// event is sent again until the cloud has it, or newer ones took its room.
func (u *Uplink) SendEvent(e wire.Event) {
	e.V, e.Collector, e.Boot = wire.Version, u.cfg.Collector, u.cfg.Boot
	if e.Time.IsZero() {
		e.Time = time.Now().UTC()
	}
	if e.ID == "" {
		e.ID = wire.NewID()
	}
	u.events.put(e)
}
