package keeper_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"lwc/cloud/edp"
	"lwc/cloud/fleet"
	"lwc/cloud/vault"
	"lwc/transport/wire"
)

// A collector has one masking key for as long as nobody asks for another,
// whatever else changes, and it stands nowhere in clear.
func TestMaskingKey(t *testing.T) {
	k, store, v, calls := open(t)
	s := spec("secret", "edge-1")
	s.Masking = fleet.Masking{Classes: map[string]bool{"mac-addresses": true, "user-names": true}, Rules: []wire.MaskRule{{Class: "site", Path: "description"}}}
	r, err := k.Apply(t.Context(), collector, "ada", s, false)
	must(t, err)
	if got := told(r.Changes); got != "changed masking  mac-addresses off → on, rules 0 → 1; added credential lab; added device edge-1" {
		t.Errorf("changes:\n%s", got)
	}
	first := maskingKey(t, store, v)
	r, err = k.Apply(t.Context(), collector, "ada", s, false)
	must(t, err)
	if len(r.Changes) != 0 || calls() != 1 {
		t.Errorf("applying twice: %+v, told %d times", r, calls())
	}
	s.Masking.Classes = map[string]bool{"secrets": false}
	r, err = k.Apply(t.Context(), collector, "ada", s, false)
	must(t, err)
	if got := told(r.Changes); got != "changed masking  secrets on → off, mac-addresses on → off" {
		t.Errorf("changes:\n%s", got)
	}
	if again := maskingKey(t, store, v); !bytes.Equal(again, first) {
		t.Error("another key after a change of classes")
	}
	r, err = k.RotateMasking(t.Context(), collector)
	must(t, err)
	if got := told(r.Changes); got != "changed masking  a new key" || calls() != 3 {
		t.Errorf("rotating: %s, told %d times", got, calls())
	}
	if again := maskingKey(t, store, v); bytes.Equal(again, first) || len(again) != 32 {
		t.Error("the key is the old one, or none")
	}
	if _, err := k.RotateMasking(t.Context(), "nobody-0001"); !errors.Is(err, edp.ErrNotFound) {
		t.Errorf("rotating the key of nobody: %v", err)
	}
}

func maskingKey(t *testing.T, store *edp.Store, v *vault.Vault) []byte {
	t.Helper()
	f, err := store.GetFleet(t.Context(), collector)
	must(t, err)
	key, err := v.Unseal(vault.MaskingKey(collector), f.Masking.Cipher)
	must(t, err)
	if bytes.Contains(f.Masking.Cipher, key) || f.Masking.Version == "" {
		t.Error("the key is in clear, or has no version")
	}
	if _, err := v.Unseal(vault.MaskingKey("another-0001"), f.Masking.Cipher); !errors.Is(err, vault.ErrCipher) {
		t.Errorf("the key opens for another collector: %v", err)
	}
	return key
}

// Fleets from before there were masking keys get one, once.
func TestPrepare(t *testing.T) {
	k, store, v, calls := open(t)
	_, err := store.PutFleet(t.Context(), edp.Fleet{Collector: collector, Schedules: []wire.Schedule{{Name: "daily", Start: "02:00"}}})
	must(t, err)
	_, err = store.PutFleet(t.Context(), edp.Fleet{Collector: "site-empty-01"})
	must(t, err)
	must(t, k.Prepare(t.Context()))
	first := maskingKey(t, store, v)
	must(t, k.Prepare(t.Context()))
	if again := maskingKey(t, store, v); !bytes.Equal(again, first) || calls() != 1 {
		t.Errorf("prepared twice: told %d times", calls())
	}
	if f, err := store.GetFleet(t.Context(), "site-empty-01"); err != nil || f.Version != 0 {
		t.Errorf("a collector without a fleet got one: %+v, %v", f, err)
	}
}

// Each new key of a fleet file is told when it changes.
func TestChangesAreTold(t *testing.T) {
	k, _, _, _ := open(t)
	s := spec("secret", "edge-1")
	s.Bastions = []fleet.Bastion{{ID: "jump", Bastion: wire.Bastion{Address: "192.0.2.9", Credential: "lab", TrustFirst: true}}}
	_, err := k.Apply(t.Context(), collector, "ada", s, false)
	must(t, err)
	for want, change := range map[string]func(*fleet.Spec){
		"changed device edge-1 legacy_algorithms false → true": func(s *fleet.Spec) { s.Devices[0].Legacy = true },
		"changed device edge-1 pipeline 0 → 4":                 func(s *fleet.Spec) { s.Devices[0].Pipeline = 4 },
		"changed bastion jump legacy_algorithms false → true":  func(s *fleet.Spec) { s.Bastions[0].Legacy = true },
		"added fallback  to CLI commands":                      func(s *fleet.Spec) { s.AllowCLI = true },
		"added limits  per_bastion 8, logins_per_second 2.5":   func(s *fleet.Spec) { s.Limits = wire.CollectLimits{PerBastion: 8, LoginsPerSecond: 2.5} },
	} {
		next := s
		next.Devices, next.Bastions = slices.Clone(s.Devices), slices.Clone(s.Bastions)
		change(&next)
		r, err := k.Apply(t.Context(), collector, "ada", next, true)
		must(t, err)
		if got := told(r.Changes); got != want {
			t.Errorf("told %q, want %q", got, want)
		}
	}
}
