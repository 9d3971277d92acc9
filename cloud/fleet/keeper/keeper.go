// Package keeper puts fleets into the store. It is the one place where the
// secrets of devices enter the cloud: they are encrypted before anything else
// is done with them, and never come back out.
//
// The API and the portal share one Keeper, whose lock makes each change a
// read, a check and a write that nothing comes between.
package keeper

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"lwc/cloud/edp"
	"lwc/cloud/fleet"
	"lwc/cloud/vault"
	"lwc/transport/wire"
)

// Keeper changes and shows fleets. It is safe for concurrent use.
type Keeper struct {
	store   *edp.Store
	vault   *vault.Vault
	changed func(collector string)
	mu      sync.Mutex // held from reading a fleet to writing it back
}

// New returns a Keeper. After a change it calls changed with the collector's
// id, so that the collector is sent its new configuration; nil is allowed.
func New(store *edp.Store, v *vault.Vault, changed func(collector string)) *Keeper {
	if changed == nil {
		changed = func(string) {}
	}
	return &Keeper{store: store, vault: v, changed: changed}
}

// Result is what a change did.
type Result struct {
	State   edp.CollectorState // of the collector; pending: the fleet waits for it
	Version uint64             // of the wanted configuration, afterwards
	Changes []edp.Change
}

// Apply makes s the whole desired configuration of a collector: what s does not
// name is removed. A secret that equals the stored one leaves it as it is, so
// that applying twice changes nothing. With dryRun it only tells what it would
// change. A fleet that breaks the rules is refused with fleet.Problems, whole. By is
// who changes it, for the event of another policy of updates.
func (k *Keeper) Apply(ctx context.Context, collector, by string, s fleet.Spec, dryRun bool) (Result, error) {
	if err := s.Check(); err != nil {
		return Result{}, err
	}
	return k.edit(ctx, collector, dryRun, func(old edp.Fleet) (edp.Fleet, error) {
		return k.build(old, s, by)
	})
}

// Spec returns the stored fleet without its secrets.
func (k *Keeper) Spec(ctx context.Context, collector string) (fleet.Spec, error) {
	f, err := k.store.GetFleet(ctx, collector)
	if err != nil {
		return fleet.Spec{}, err
	}
	return toSpec(f), nil
}

// AddDevices adds devices to a fleet; one that has the id of another is refused
// unless replace is set. All are added or none.
func (k *Keeper) AddDevices(ctx context.Context, collector string, ds []fleet.Device, replace bool) (Result, error) {
	return k.edit(ctx, collector, false, func(old edp.Fleet) (edp.Fleet, error) {
		s := toSpec(old)
		var taken fleet.Problems
		for i, d := range ds {
			at := slices.IndexFunc(s.Devices, func(o fleet.Device) bool { return o.ID == d.ID })
			switch {
			case at < 0 || slices.ContainsFunc(ds[:i], func(o fleet.Device) bool { return o.ID == d.ID }):
				s.Devices = append(s.Devices, d)
			case replace:
				s.Devices[at] = d
			default:
				taken = append(taken, fleet.Problem{Path: "id", Text: fmt.Sprintf("the id %q is taken: choose another, or delete that device first", d.ID)})
			}
		}
		if len(taken) > 0 {
			return edp.Fleet{}, taken
		}
		return k.rebuild(old, s, "")
	})
}

// DeleteDevice removes a device from a fleet. What was collected from it stays.
func (k *Keeper) DeleteDevice(ctx context.Context, collector, id string) (Result, error) {
	return k.edit(ctx, collector, false, func(old edp.Fleet) (edp.Fleet, error) {
		n := len(old.Devices)
		old.Devices = slices.DeleteFunc(slices.Clone(old.Devices), func(d edp.Device) bool { return d.ID == id })
		if len(old.Devices) == n {
			return old, fmt.Errorf("device %q of %s: %w", id, collector, edp.ErrNotFound)
		}
		return old, nil
	})
}

// Revise changes parts of a fleet: revise gets the stored one without its
// secrets, and may add, change and delete entries. A credential that is left
// without a secret keeps its stored one. By is as in Apply.
func (k *Keeper) Revise(ctx context.Context, collector, by string, revise func(*fleet.Spec) error) (Result, error) {
	return k.edit(ctx, collector, false, func(old edp.Fleet) (edp.Fleet, error) {
		s := toSpec(old)
		if err := revise(&s); err != nil {
			return edp.Fleet{}, err
		}
		return k.rebuild(old, s, by)
	})
}

func (k *Keeper) rebuild(old edp.Fleet, s fleet.Spec, by string) (edp.Fleet, error) {
	if err := s.Check(); err != nil {
		return edp.Fleet{}, err
	}
	return k.build(old, s, by)
}

// edit reads, changes and writes one fleet under the lock.
func (k *Keeper) edit(ctx context.Context, collector string, dryRun bool, change func(edp.Fleet) (edp.Fleet, error)) (Result, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := wire.CheckCollectorID(collector); err != nil {
		return Result{}, fleet.Problems{{Path: "collector", Text: err.Error()}}
	}
	old, err := k.current(ctx, collector)
	if err != nil {
		return Result{}, err
	}
	next, err := change(old)
	if err != nil {
		return Result{}, err
	}
	next.Collector = collector
	if next.Masking.Version == "" {
		if err := k.newMaskingKey(&next); err != nil {
			return Result{}, err
		}
	}
	changes := Diff(old, next)
	if dryRun {
		return k.result(ctx, collector, changes)
	}
	stored, err := k.store.PutFleet(ctx, next)
	if err != nil {
		return Result{}, err
	}
	if len(stored) > 0 {
		k.changed(collector)
	}
	return k.result(ctx, collector, changes)
}

// current returns the stored fleet, or an empty one for a collector that has
// none yet. A fleet may be there before its collector is.
func (k *Keeper) current(ctx context.Context, collector string) (edp.Fleet, error) {
	f, err := k.store.GetFleet(ctx, collector)
	if errors.Is(err, edp.ErrNotFound) {
		return edp.Fleet{Collector: collector}, nil
	}
	return f, err
}

func (k *Keeper) result(ctx context.Context, collector string, changes []edp.Change) (Result, error) {
	c, err := k.store.Collector(ctx, collector)
	if errors.Is(err, edp.ErrNotFound) { // a dry run for one that is not there yet
		return Result{State: edp.CollectorPending, Changes: changes}, nil
	}
	return Result{State: c.State, Version: c.ConfigVersion, Changes: changes}, err
}

// build turns a checked Spec into what is stored. Ciphers and versions of
// unchanged secrets are taken over from old.
func (k *Keeper) build(old edp.Fleet, s fleet.Spec, by string) (edp.Fleet, error) {
	next := edp.Fleet{Collector: old.Collector, Schedules: named(s.Schedules), Egress: usual(s.Egress), Limits: s.Limits, Profiles: s.Profiles,
		Masking: old.Masking, AllowCLI: s.AllowCLI, Updates: s.Updates, By: by}
	next.Masking.Classes, next.Masking.Rules = s.Masking.Classes, s.Masking.Rules
	stored := map[string]edp.Credential{}
	for _, c := range old.Credentials {
		stored[c.ID] = c
	}
	var missing fleet.Problems
	for i, given := range s.Credentials {
		had, known := stored[given.ID]
		if given.Kind() == "" && !known {
			missing = append(missing, fleet.Problem{Path: fmt.Sprintf("credentials[%d]", i),
				Text: fmt.Sprintf("the secret of %q is missing: give a password or a private key", given.ID)})
			continue
		}
		c, err := k.credential(given, had)
		if err != nil {
			return edp.Fleet{}, err
		}
		next.Credentials = append(next.Credentials, c)
	}
	if len(missing) > 0 {
		return edp.Fleet{}, missing
	}
	for _, b := range s.Bastions {
		next.Bastions = append(next.Bastions, edp.Bastion{ID: b.ID, Bastion: b.Bastion})
	}
	for _, d := range s.Devices {
		next.Devices = append(next.Devices, edp.Device(d))
	}
	return next, nil
}

// named gives a schedule without a name the one that it stands for.
func named(list []wire.Schedule) []wire.Schedule {
	out := slices.Clone(list)
	for i := range out {
		out[i].Name = cmp.Or(out[i].Name, wire.DefaultProfile)
	}
	return out
}

// usual makes the mode that is meant when none is said the empty one, so that
// saying it changes nothing.
func usual(e wire.Egress) wire.Egress {
	if e.Mode == wire.EgressSend {
		e.Mode = ""
	}
	return e
}

// credential encrypts a secret, or keeps the stored cipher when it holds the
// same one: the version is a keyed hash of the secret.
func (k *Keeper) credential(given fleet.Credential, had edp.Credential) (edp.Credential, error) {
	out := edp.Credential{ID: given.ID, Kind: given.Kind(), Username: given.Username}
	if out.Kind == "" {
		out.Kind, out.Version, out.Cipher = had.Kind, had.Version, had.Cipher
		return out, nil
	}
	var err error
	if out.Version, err = k.vault.Version(given.ID, given.Secret()); err != nil {
		return edp.Credential{}, err
	}
	if out.Version == had.Version && out.Kind == had.Kind {
		out.Cipher = had.Cipher
		return out, nil
	}
	out.Cipher, err = k.vault.Encrypt(given.ID, given.Secret())
	return out, err
}

// toSpec shows a stored fleet without its secrets.
func toSpec(f edp.Fleet) fleet.Spec {
	s := fleet.Spec{Schedules: slices.Clone(f.Schedules), Egress: f.Egress, Limits: f.Limits, Profiles: maps.Clone(f.Profiles), AllowCLI: f.AllowCLI, Updates: f.Updates,
		Masking:     fleet.Masking{Classes: maps.Clone(f.Masking.Classes), Rules: slices.Clone(f.Masking.Rules)},
		Credentials: make([]fleet.Credential, 0, len(f.Credentials)), Bastions: make([]fleet.Bastion, 0, len(f.Bastions))}
	for _, c := range f.Credentials {
		s.Credentials = append(s.Credentials, fleet.Credential{ID: c.ID, Username: c.Username})
	}
	for _, b := range f.Bastions {
		s.Bastions = append(s.Bastions, fleet.Bastion{ID: b.ID, Bastion: b.Bastion})
	}
	for _, d := range f.Devices {
		s.Devices = append(s.Devices, fleet.Device(d))
	}
	return s
}
