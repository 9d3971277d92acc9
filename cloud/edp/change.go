package edp

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// fieldsOf returns v as JSON has it, without the fields that say nothing, so
// that an empty list equals no list.
func fieldsOf(v any) (map[string]any, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encoding a %T: %w", v, err)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var m map[string]any
	if err := dec.Decode(&m); err != nil {
		return nil, fmt.Errorf("decoding a %T: %w", v, err)
	}
	maps.DeleteFunc(m, func(_ string, v any) bool { return says(v) == nothing })
	return m, nil
}

const nothing = "none"

// says puts a JSON value in words; lists only with their length.
func says(v any) string {
	switch v := v.(type) {
	case nil:
		return nothing
	case []any:
		if len(v) == 0 {
			return nothing
		}
		return fmt.Sprintf("%d entries", len(v))
	case map[string]any:
		if len(v) == 0 {
			return nothing
		}
	case string:
		if v == "" {
			return nothing
		}
		return v
	case bool:
		if !v {
			return nothing
		}
	case json.Number:
		if v == "0" {
			return nothing
		}
	}
	return fmt.Sprint(v)
}

// compare tells what turns before into after, in the order of after, removals
// last.
func compare(before, after []entry) []Change {
	type key struct{ kind, id string }
	old := map[key]map[string]any{}
	for _, e := range before {
		old[key{e.kind, e.id}] = e.fields
	}
	var out []Change
	for _, e := range after {
		k := key{e.kind, e.id}
		fields, was := old[k]
		delete(old, k)
		switch {
		case !was:
			out = append(out, Change{Added, e.kind, e.id, ""})
		case !reflect.DeepEqual(fields, e.fields):
			out = append(out, Change{Changed, e.kind, e.id, describe(fields, e.fields)})
		}
	}
	for _, e := range before {
		if _, left := old[key{e.kind, e.id}]; left {
			out = append(out, Change{Removed, e.kind, e.id, ""})
		}
	}
	return out
}

// describe says which fields differ, and how where that is short.
func describe(old, now map[string]any) string {
	keys := slices.Collect(maps.Keys(old))
	keys = append(keys, slices.Collect(maps.Keys(now))...)
	slices.Sort(keys)
	var parts []string
	for _, k := range slices.Compact(keys) {
		if reflect.DeepEqual(old[k], now[k]) {
			continue
		}
		name := strings.ReplaceAll(k, "_", " ")
		_, oldList := old[k].([]any)
		_, nowList := now[k].([]any)
		if k == "secret" || k == "key" || k == "classes" || (oldList && nowList) {
			parts = append(parts, name)
			continue
		}
		parts = append(parts, fmt.Sprintf("%s %.120s → %.120s", name, says(old[k]), says(now[k])))
	}
	return strings.Join(parts, ", ")
}

// applyChange writes one change of the fleet f.
func applyChange(ctx context.Context, t *sql.Tx, f Fleet, c Change) error {
	switch c.Kind {
	case "schedule":
		return setColumn(ctx, t, f.Collector, `UPDATE collectors SET schedules = $1 WHERE id = $2`, nonNil(f.Schedules))
	case "egress":
		return setColumn(ctx, t, f.Collector, `UPDATE collectors SET egress = $1 WHERE id = $2`, f.Egress)
	case "limits":
		return setColumn(ctx, t, f.Collector, `UPDATE collectors SET limits = $1 WHERE id = $2`, f.Limits)
	case "masking":
		return applyMasking(ctx, t, f)
	case "fallback":
		_, err := exec(ctx, t, `UPDATE collectors SET allow_cli = $1 WHERE id = $2`, f.AllowCLI, f.Collector)
		return err
	case "updates":
		return setColumn(ctx, t, f.Collector, `UPDATE collectors SET updates = $1 WHERE id = $2`, f.Updates)
	case "profile":
		return setColumn(ctx, t, f.Collector, `UPDATE collectors SET profiles = $1 WHERE id = $2`, f.Profiles)
	case "credential":
		return applyCredential(ctx, t, f, c)
	case "bastion":
		return applyBastion(ctx, t, f, c)
	}
	return applyDevice(ctx, t, f, c)
}

// nonNil keeps an empty list from becoming null.
func nonNil[T any](list []T) []T { return append([]T{}, list...) }

func setColumn(ctx context.Context, t *sql.Tx, collector, query string, v any) error {
	text, err := asJSON(v)
	if err != nil {
		return err
	}
	_, err = exec(ctx, t, query, text, collector)
	return err
}

// applyMasking writes what is masked. A key whose version is unchanged may come
// without its cipher.
func applyMasking(ctx context.Context, t *sql.Tx, f Fleet) error {
	err := setColumn(ctx, t, f.Collector, `UPDATE collectors SET masking = $1 WHERE id = $2`,
		Masking{Classes: f.Masking.Classes, Rules: f.Masking.Rules})
	if err != nil || len(f.Masking.Cipher) == 0 {
		return err
	}
	_, err = exec(ctx, t, `UPDATE collectors SET mask_version = $1, mask_cipher = $2 WHERE id = $3`,
		f.Masking.Version, f.Masking.Cipher, f.Collector)
	return err
}

func applyCredential(ctx context.Context, t *sql.Tx, f Fleet, c Change) error {
	if c.Action == Removed {
		_, err := exec(ctx, t, `DELETE FROM credentials WHERE collector = $1 AND id = $2`, f.Collector, c.ID)
		return err
	}
	cred := f.Credentials[slices.IndexFunc(f.Credentials, func(x Credential) bool { return x.ID == c.ID })]
	if len(cred.Cipher) > 0 {
		_, err := exec(ctx, t, `INSERT INTO credentials (collector, id, kind, username, version, cipher)
			VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (collector, id) DO UPDATE SET
			kind = excluded.kind, username = excluded.username, version = excluded.version, cipher = excluded.cipher`,
			f.Collector, cred.ID, cred.Kind, cred.Username, cred.Version, cred.Cipher)
		return err
	}
	n, err := exec(ctx, t, `UPDATE credentials SET kind = $1, username = $2 WHERE collector = $3 AND id = $4 AND version = $5`,
		cred.Kind, cred.Username, f.Collector, cred.ID, cred.Version)
	if err == nil && n == 0 {
		err = fmt.Errorf("its secret is missing: %w", ErrInvalid)
	}
	return err
}

func applyBastion(ctx context.Context, t *sql.Tx, f Fleet, c Change) error {
	if c.Action == Removed {
		_, err := exec(ctx, t, `DELETE FROM bastions WHERE collector = $1 AND id = $2`, f.Collector, c.ID)
		return err
	}
	b := f.Bastions[slices.IndexFunc(f.Bastions, func(x Bastion) bool { return x.ID == c.ID })]
	body, err := asJSON(b.Bastion)
	if err != nil {
		return err
	}
	_, err = exec(ctx, t, `INSERT INTO bastions (collector, id, body) VALUES ($1, $2, $3)
		ON CONFLICT (collector, id) DO UPDATE SET body = excluded.body`, f.Collector, b.ID, body)
	return err
}

func applyDevice(ctx context.Context, t *sql.Tx, f Fleet, c Change) error {
	if c.Action == Removed {
		if _, err := exec(ctx, t, `DELETE FROM devices WHERE collector = $1 AND id = $2`, f.Collector, c.ID); err != nil {
			return err
		}
		if _, err := exec(ctx, t, `DELETE FROM done WHERE collector = $1 AND device = $2`, f.Collector, c.ID); err != nil {
			return err
		}
		return dropFromRuns(ctx, t, f.Collector, c.ID)
	}
	d := f.Devices[slices.IndexFunc(f.Devices, func(x Device) bool { return x.ID == c.ID })]
	body, err := asJSON(d)
	if err != nil {
		return err
	}
	_, err = exec(ctx, t, `INSERT INTO devices (collector, id, body) VALUES ($1, $2, $3)
		ON CONFLICT (collector, id) DO UPDATE SET body = excluded.body`, f.Collector, d.ID, body)
	return err
}

// dropFromRuns accounts for the items that nobody will collect any more.
func dropFromRuns(ctx context.Context, t *sql.Tx, collector, device string) error {
	ids, err := all(ctx, t, scanString, `SELECT DISTINCT r.id FROM runs r JOIN run_items i ON i.run = r.id
		WHERE r.collector = $1 AND r.state = $2 AND i.device = $3 AND i.status = 'expected'`, collector, RunRunning, device)
	for i := 0; i < len(ids) && err == nil; i++ {
		var n counters
		n, err = giveUp(ctx, t, ids[i], device, "the device was taken out of the fleet")
		if err == nil {
			err = n.write(ctx, t, ids[i])
		}
		if err == nil {
			err = complete(ctx, t, ids[i], time.Now())
		}
	}
	return err
}
