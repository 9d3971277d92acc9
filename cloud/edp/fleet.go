package edp

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"lwc/junos"
	"lwc/transport/wire"
)

// GetFleet returns the desired configuration of a collector, its entries by id.
// A collector without one has an empty fleet of version 0.
func (s *Store) GetFleet(ctx context.Context, collector string) (Fleet, error) {
	var f Fleet
	err := s.snapshot(ctx, func(t *sql.Tx) (err error) {
		f, err = loadFleet(ctx, t, collector)
		return err
	})
	if err != nil {
		return Fleet{}, fmt.Errorf("reading the fleet of collector %.80q: %w", collector, err)
	}
	return f, nil
}

func loadFleet(ctx context.Context, q querier, collector string) (Fleet, error) {
	f := Fleet{Collector: collector}
	err := q.QueryRowContext(ctx, `SELECT config_version, schedules, egress, profiles, limits, masking, mask_version, mask_cipher, allow_cli, updates
		FROM collectors WHERE id = $1`, collector).
		Scan(&f.Version, jsonColumn{&f.Schedules}, jsonColumn{&f.Egress}, jsonColumn{&f.Profiles}, jsonColumn{&f.Limits},
			jsonColumn{&f.Masking}, &f.Masking.Version, &f.Masking.Cipher, &f.AllowCLI, jsonColumn{&f.Updates})
	if errors.Is(err, sql.ErrNoRows) {
		return f, ErrNotFound
	} else if err != nil {
		return f, err
	}
	f.Credentials, err = all(ctx, q, func(r row) (c Credential, err error) {
		return c, r.Scan(&c.ID, &c.Kind, &c.Username, &c.Version, &c.Cipher)
	}, `SELECT id, kind, username, version, cipher FROM credentials WHERE collector = $1 ORDER BY id`, collector)
	if err != nil {
		return f, err
	}
	f.Bastions, err = all(ctx, q, func(r row) (b Bastion, err error) {
		err = r.Scan(&b.ID, jsonColumn{&b.Bastion})
		return b, err
	}, `SELECT id, body FROM bastions WHERE collector = $1 ORDER BY id`, collector)
	if err != nil {
		return f, err
	}
	f.Devices, err = all(ctx, q, func(r row) (d Device, err error) {
		return d, r.Scan(jsonColumn{&d})
	}, `SELECT body FROM devices WHERE collector = $1 ORDER BY id`, collector)
	return f, err
}

// InGroups returns the ids of devices that are in one of these groups, with those
// of ids, each once. ErrNotFound names a group that no device is in.
func (f Fleet) InGroups(ids, groups []string) ([]string, error) {
	out := slices.Clone(ids)
	for _, g := range groups {
		n := len(out)
		for _, d := range f.Devices {
			if slices.Contains(d.Groups, g) {
				out = append(out, d.ID)
			}
		}
		if len(out) == n {
			return nil, fmt.Errorf("no device of collector %s is in the group %.80q (groups: %s): %w", f.Collector, g, orNone(f.Groups()), ErrNotFound)
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(out))), nil
}

func orNone(names []string) string {
	if len(names) == 0 {
		return nothing
	}
	return strings.Join(names, ", ")
}

// Groups lists the groups that devices are in.
func (f Fleet) Groups() []string {
	var out []string
	for _, d := range f.Devices {
		out = append(out, d.Groups...)
	}
	return slices.Compact(slices.Sorted(slices.Values(out)))
}

// PutFleet makes f the desired configuration of a collector, and says what that
// changed. Entries that f lacks are removed; a fleet that is already so changes
// nothing. A credential whose version is unchanged may come without its cipher.
// ErrInvalid says that f contradicts itself. A collector that never enrolled
// becomes a pending one.
func (s *Store) PutFleet(ctx context.Context, f Fleet) ([]Change, error) {
	if err := errors.Join(checkCollector(f.Collector), f.check()); err != nil {
		return nil, fmt.Errorf("changing the fleet of collector %.80q: %w", f.Collector, err)
	}
	var changes []Change
	err := s.tx(ctx, func(t *sql.Tx) error {
		old, err := loadFleet(ctx, t, f.Collector)
		if errors.Is(err, ErrNotFound) {
			_, err = exec(ctx, t, `INSERT INTO collectors (id, state, created_at) VALUES ($1, $2, $3)`,
				f.Collector, CollectorPending, micros(time.Now()))
		}
		if err != nil {
			return err
		}
		changes, err = replaceFleet(ctx, t, old, f)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("changing the fleet of collector %.80q: %w", f.Collector, err)
	}
	return changes, nil
}

// replaceFleet writes the difference of two fleets.
func replaceFleet(ctx context.Context, t *sql.Tx, old, f Fleet) ([]Change, error) {
	before, err := old.entries()
	if err != nil {
		return nil, err
	}
	after, err := f.entries()
	if err != nil {
		return nil, err
	}
	changes := compare(before, after)
	if len(changes) == 0 {
		return nil, nil
	}
	for _, c := range changes {
		if err := applyChange(ctx, t, f, c); err != nil {
			return nil, fmt.Errorf("%s %s: %w", c.Kind, c.ID, err)
		}
	}
	if slices.ContainsFunc(changes, func(c Change) bool { return c.Kind == "updates" }) {
		err = told(ctx, t, nil, EventPolicyChanged, f.Collector, "when the box may change its release was changed by %s: %s; it was: %s", whom(f.By), f.Updates, old.Updates)
		if err != nil {
			return nil, err
		}
	}
	_, err = exec(ctx, t, `UPDATE collectors SET config_version = config_version + 1 WHERE id = $1`, f.Collector)
	return changes, err
}

// PutDevices adds devices to a fleet or replaces those of the same id.
func (s *Store) PutDevices(ctx context.Context, collector string, devices []Device) ([]Change, error) {
	return s.editFleet(ctx, collector, func(f *Fleet) error {
		for _, d := range devices {
			f.Devices = slices.DeleteFunc(f.Devices, func(o Device) bool { return o.ID == d.ID })
		}
		f.Devices = append(f.Devices, devices...)
		return nil
	})
}

// DeleteDevice takes one device out of a fleet. Its documents stay.
func (s *Store) DeleteDevice(ctx context.Context, collector, id string) error {
	_, err := s.editFleet(ctx, collector, func(f *Fleet) error {
		n := len(f.Devices)
		f.Devices = slices.DeleteFunc(f.Devices, func(d Device) bool { return d.ID == id })
		if len(f.Devices) == n {
			return fmt.Errorf("device %.80q: %w", id, ErrNotFound)
		}
		return nil
	})
	return err
}

// editFleet loads a fleet, changes it and writes the difference.
func (s *Store) editFleet(ctx context.Context, collector string, edit func(*Fleet) error) ([]Change, error) {
	var changes []Change
	err := s.tx(ctx, func(t *sql.Tx) error {
		old, err := loadFleet(ctx, t, collector)
		if err != nil {
			return err
		}
		f := old
		f.Devices = slices.Clone(old.Devices)
		if err := edit(&f); err != nil {
			return err
		}
		if err := f.check(); err != nil {
			return err
		}
		changes, err = replaceFleet(ctx, t, old, f)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("changing the fleet of collector %.80q: %w", collector, err)
	}
	return changes, nil
}

// check refuses a fleet with two entries of one id, or with a reference to
// nothing. Whether addresses and items make sense is for whoever takes a fleet
// from a person.
func (f Fleet) check() error {
	creds, bastions, devices := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, c := range f.Credentials {
		if err := add(creds, "credential", c.ID); err != nil {
			return err
		}
	}
	if err := f.checkSchedules(); err != nil {
		return err
	}
	for _, b := range f.Bastions {
		if err := add(bastions, "bastion", b.ID); err != nil {
			return err
		}
	}
	for _, b := range f.Bastions {
		if err := errors.Join(known(creds, "credential", b.Credential), known(bastions, "bastion", b.Via...)); err != nil {
			return fmt.Errorf("bastion %.80q: %w", b.ID, err)
		}
	}
	for _, d := range f.Devices {
		if err := add(devices, "device", d.ID); err != nil {
			return err
		}
		if err := errors.Join(known(creds, "credential", d.Credential), known(bastions, "bastion", d.Bastions...),
			f.knownProfile(d.Profile)); err != nil {
			return fmt.Errorf("device %.80q: %w", d.ID, err)
		}
	}
	return nil
}

// checkSchedules refuses schedules without a name of their own, or of profiles
// that there are none of.
func (f Fleet) checkSchedules() error {
	names := map[string]bool{}
	for _, s := range f.Schedules {
		if err := add(names, "schedule", s.Name); err != nil {
			return err
		}
		for _, p := range append([]string{s.Collect}, s.Profiles...) {
			if err := f.knownProfile(p); err != nil {
				return fmt.Errorf("schedule %.80q: %w", s.Name, err)
			}
		}
	}
	return nil
}

func add(set map[string]bool, kind, id string) error {
	if id == "" || len(id) > 255 {
		return fmt.Errorf("a %s has the id %.80q: %w", kind, id, ErrInvalid)
	}
	if set[id] {
		return fmt.Errorf("two entries are %s %.80q: %w", kind, id, ErrInvalid)
	}
	set[id] = true
	return nil
}

// known returns an error for the first name that is not in set. An empty name
// refers to nothing.
func known(set map[string]bool, kind string, names ...string) error {
	for _, n := range names {
		if n != "" && !set[n] {
			return fmt.Errorf("there is no %s %.80q: %w", kind, n, ErrInvalid)
		}
	}
	return nil
}

func (f Fleet) knownProfile(name string) error {
	if name == "" {
		name = wire.DefaultProfile
	}
	_, own := f.Profiles[name]
	if _, builtIn := junos.Profile(name); !own && !builtIn {
		return fmt.Errorf("there is no profile %.80q: %w", name, ErrInvalid)
	}
	return nil
}

// items returns what a profile collects: one of the fleet, or else one that is
// built in.
func (f Fleet) items(profile string) []string {
	if profile == "" {
		profile = wire.DefaultProfile
	}
	if own, ok := f.Profiles[profile]; ok {
		return slices.Compact(slices.Sorted(slices.Values(own)))
	}
	builtIn, _ := junos.Profile(profile)
	names := make([]string, 0, len(builtIn))
	for _, it := range builtIn {
		names = append(names, it.Name)
	}
	return names
}

// entry is one comparable thing of a fleet.
type entry struct {
	kind, id string
	fields   map[string]any // as JSON decodes them
}

// entries lists all of a fleet in the order in which changes are told.
func (f Fleet) entries() ([]entry, error) {
	var out []entry
	var errs []error
	put := func(kind, id string, v any) {
		fields, err := fieldsOf(v)
		errs = append(errs, err)
		out = append(out, entry{kind, id, fields})
	}
	for _, s := range f.Schedules {
		put("schedule", s.Name, s)
	}
	put("egress", "", f.Egress)
	put("limits", "", f.Limits)
	put("masking", "", map[string]any{"classes": f.Masking.Classes, "rules": f.Masking.Rules, "key": f.Masking.Version})
	put("updates", "", f.Updates)
	put("fallback", "", map[string]any{"cli": f.AllowCLI})
	for _, name := range slices.Sorted(maps.Keys(f.Profiles)) {
		put("profile", name, map[string]any{"items": f.Profiles[name]})
	}
	for _, c := range f.Credentials {
		put("credential", c.ID, map[string]any{"kind": c.Kind, "username": c.Username, "secret": c.Version})
	}
	for _, b := range f.Bastions {
		put("bastion", b.ID, b.Bastion)
	}
	for _, d := range f.Devices {
		put("device", d.ID, d)
	}
	return out, errors.Join(errs...)
}
