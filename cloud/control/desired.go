package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"lwc/cloud/broker"
	"lwc/cloud/edp"
	"lwc/cloud/vault"
	"lwc/transport/wire"
)

// resendAfter is how long the hub waits for a word on what it sent.
const resendAfter = time.Minute

// dispatched is what was sent to the current boot of a collector.
type dispatched struct {
	boot    string
	version uint64    // of the configuration
	at      time.Time // when
	settled uint64    // the version that the collector said its last word on
	stated  uint64    // the newest version that it runs, or tried to, and told so
	silent  uint64    // the version of the last heartbeat, where no state told of it
	jobs    map[string]sentJob
	held    map[string]time.Time // decisions on held documents
}

// sentJob is when a job was sent, and when something was last said of it: by it
// being sent, or by its collector.
type sentJob struct{ at, word time.Time }

// again makes what the collector said nothing about due at once: the connection
// that it was sent on is gone.
func (d *dispatched) again() {
	d.at = time.Time{}
	for id, j := range d.jobs {
		d.jobs[id] = sentJob{word: j.word}
	}
	clear(d.held)
}

// sync sends what the collector lacks: the configuration first, then jobs.
func (l *line) sync(ctx context.Context, reload bool) error {
	l.synced = time.Now()
	if reload {
		if err := l.load(ctx, true); err != nil {
			return err
		}
	}
	if !l.isOnline() || len(l.entry.BootKey) == 0 {
		return nil
	}
	if l.sent.boot != l.entry.Boot {
		l.sent = dispatched{boot: l.entry.Boot, jobs: map[string]sentJob{}, held: map[string]time.Time{}}
	}
	err := l.sendDesired(ctx)
	if err == nil && l.ready() {
		err = l.sendJobs(ctx)
	}
	if err == nil {
		err = l.sendDecisions(ctx)
	}
	if errors.Is(err, broker.ErrOffline) {
		return nil // it will be back, and say hello
	}
	return err
}

// reported tells whether the collector has said what became of the wanted
// configuration: it runs it, or it cannot, and then sending it again is no use.
func (l *line) reported() bool {
	want := l.entry.ConfigVersion
	return l.entry.Applied.Version == want || l.sent.settled == want
}

// ready tells whether jobs may follow: they name devices of the configuration.
// A collector that does not say what became of it is not waited for.
func (l *line) ready() bool {
	return l.reported() || time.Since(l.sent.at) > l.hub.cfg.Heartbeat/2
}

func (l *line) sendDesired(ctx context.Context) error {
	waiting := l.sent.version == l.entry.ConfigVersion && time.Since(l.sent.at) < resendAfter
	if l.entry.ConfigVersion == 0 || l.reported() || waiting {
		return nil
	}
	fleet, err := l.hub.cfg.Store.GetFleet(ctx, l.id)
	if err != nil {
		return fmt.Errorf("reading the fleet: %w", err)
	}
	done, err := l.hub.cfg.Store.Done(ctx, l.id)
	if err != nil {
		return err
	}
	d, err := l.desired(fleet)
	d.Done = done
	if err != nil {
		l.alert(ctx, EventVault, l.entry.Boot, err.Error())
	}
	if err := l.sendFrames(ctx, d); err != nil {
		return err
	}
	l.sent.version, l.sent.at = fleet.Version, time.Now()
	l.hub.log.Info("configuration sent", "collector", l.id, "version", fleet.Version, "devices", len(d.Devices))
	return nil
}

func (l *line) sendFrames(ctx context.Context, d wire.Desired) error {
	plain, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("encoding a configuration: %w", err)
	}
	h := wire.Header{ID: wire.NewID(), Type: wire.KindDesired, Collector: l.id, Boot: d.Boot}
	frames, err := wire.Split(h, plain, wire.Packing{Key: l.hub.cfg.Key, Version: d.Version})
	if err != nil {
		return err
	}
	for _, f := range frames {
		if err := l.hub.publish(ctx, l.id, wire.KindDesired, f); err != nil {
			return err
		}
	}
	return nil
}

// desired makes the configuration for this boot. With an error it is still of
// use: the credentials that the error names are in it without their secret, and
// the collector says so at each device that needs them.
func (l *line) desired(f edp.Fleet) (wire.Desired, error) {
	d := wire.Desired{
		V: wire.Version, Collector: l.id, Boot: l.entry.Boot, Version: f.Version,
		Schedules: f.Schedules, Egress: f.Egress, Profiles: f.Profiles, Limits: f.Limits,
		Credentials: make(map[string]wire.Credential, len(f.Credentials)),
		Bastions:    make(map[string]wire.Bastion, len(f.Bastions)),
		Devices:     make([]wire.Device, 0, len(f.Devices)),
		AllowCLI:    f.AllowCLI,
	}
	for _, b := range f.Bastions {
		d.Bastions[b.ID] = b.Bastion
	}
	for _, dev := range f.Devices {
		d.Devices = append(d.Devices, dev.Device)
	}
	masking, all := l.masking(f.Masking)
	d.Masking = masking
	for _, c := range f.Credentials {
		sealed, err := l.seal(c)
		all = errors.Join(all, err)
		d.Credentials[c.ID] = wire.Credential{Kind: c.Kind, Username: c.Username, Version: c.Version, Sealed: sealed}
	}
	return d, all
}

// masking makes the masking of this boot. Without a key that can be opened it
// still masks: the collector makes a key of its own, for this boot.
func (l *line) masking(m edp.Masking) (wire.Masking, error) {
	out := wire.Masking{Classes: m.Classes, Rules: m.Rules}
	if m.Version == "" {
		return out, nil
	}
	key, err := l.hub.cfg.Vault.Unseal(vault.MaskingKey(l.id), m.Cipher)
	if err != nil {
		return out, fmt.Errorf("the masking key cannot be opened here, make a new one (lwc-cloud masking rotate): %w", err)
	}
	defer clear(key)
	sealed, err := wire.SealTo(l.entry.BootKey, wire.MaskingInfo(l.id, l.entry.Boot, m.Version), key)
	if err != nil {
		return out, fmt.Errorf("sealing the masking key: %w", err)
	}
	out.Key, out.Version = sealed, m.Version
	return out, nil
}

// seal moves a secret from the vault to the key of the collector's boot.
func (l *line) seal(c edp.Credential) ([]byte, error) {
	open, err := l.hub.cfg.Vault.Decrypt(c.ID, c.Cipher)
	if err != nil {
		return nil, fmt.Errorf("credential %q cannot be opened here, enter it again: %w", c.ID, err)
	}
	defer open.Wipe()
	plain, err := open.Marshal()
	if err != nil {
		return nil, fmt.Errorf("encoding credential %q: %w", c.ID, err)
	}
	defer clear(plain)
	sealed, err := wire.SealTo(l.entry.BootKey, wire.CredentialInfo(l.id, l.entry.Boot, c.ID, c.Version), plain)
	if err != nil {
		return nil, fmt.Errorf("sealing credential %q: %w", c.ID, err)
	}
	return sealed, nil
}
