package keeper_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"lwc/cloud/edp"
	"lwc/cloud/fleet"
	"lwc/cloud/fleet/keeper"
	"lwc/cloud/vault"
	"lwc/transport/secret"
	"lwc/transport/wire"
)

const collector = "site-berlin-01"

// open returns a keeper over a real store, and counts what it tells.
func open(t *testing.T) (*keeper.Keeper, *edp.Store, *vault.Vault, func() int) {
	t.Helper()
	dir := t.TempDir()
	store, err := edp.Open(t.Context(), filepath.Join(dir, "lwc.db"))
	must(t, err)
	t.Cleanup(func() { must(t, store.Close()) })
	v, err := vault.Open(dir)
	must(t, err)
	var mu sync.Mutex
	told := 0
	k := keeper.New(store, v, func(string) { mu.Lock(); told++; mu.Unlock() })
	return k, store, v, func() int { mu.Lock(); defer mu.Unlock(); return told }
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func device(id string) fleet.Device {
	return fleet.Device{Device: wire.Device{ID: id, Address: "192.0.2.1", Credential: "lab", TrustFirst: true}}
}

func spec(password string, devices ...string) fleet.Spec {
	s := fleet.Spec{Credentials: []fleet.Credential{{ID: "lab", Username: "lwc", Password: secret.FromString(password)}}}
	for _, d := range devices {
		s.Devices = append(s.Devices, device(d))
	}
	return s
}

// told renders changes for comparison.
func told(cs []edp.Change) string {
	var out []string
	for _, c := range cs {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", c.Action, c.Kind, c.ID, c.Detail)))
	}
	return strings.Join(out, "; ")
}

func TestApply(t *testing.T) {
	k, store, v, calls := open(t)
	schedule := spec("two", "b", "c")
	schedule.Schedules = []wire.Schedule{{Start: "02:00"}}
	schedule.Devices[0].Port = 22
	for _, c := range []struct {
		spec    fleet.Spec
		changes string
		version uint64
	}{
		{spec("one", "a", "b"), "added credential lab; added device a; added device b", 1},
		{spec("one", "a", "b"), "", 1},
		{spec("one", "b", "a"), "", 1},
		{spec("two", "b", "a"), "changed credential lab secret", 2},
		{schedule, "added schedule daily daily at 02:00 UTC; added device c; changed device b port 0 → 22; removed device a", 3},
	} {
		r, err := k.Apply(t.Context(), collector, "ada", c.spec, false)
		must(t, err)
		want := strings.Split(c.changes, "; ")
		got := strings.Split(told(r.Changes), "; ")
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) || r.Version != c.version || r.State != edp.CollectorPending {
			t.Errorf("got %q, version %d, state %s; want %q, version %d", got, r.Version, r.State, want, c.version)
		}
	}
	if calls() != 3 {
		t.Errorf("the hub was told %d times", calls())
	}
	f, err := store.GetFleet(t.Context(), collector)
	must(t, err)
	plain, err := v.Decrypt("lab", f.Credentials[0].Cipher)
	must(t, err)
	if !plain.Password.Equal(secret.FromString("two")) {
		t.Error("the stored secret is another one")
	}
}

func TestDryRunChangesNothing(t *testing.T) {
	k, store, _, calls := open(t)
	r, err := k.Apply(t.Context(), collector, "ada", spec("one", "a"), true)
	must(t, err)
	if len(r.Changes) != 2 || r.Version != 0 || calls() != 0 {
		t.Errorf("%+v, told %d times", r, calls())
	}
	if _, err := store.Collector(t.Context(), collector); !errors.Is(err, edp.ErrNotFound) {
		t.Errorf("the dry run made the collector: %v", err)
	}
}

func TestRefused(t *testing.T) {
	k, _, _, calls := open(t)
	without := spec("", "a")
	for name, c := range map[string]struct {
		id   string
		spec fleet.Spec
		want string
	}{
		"a bad id":           {"X", spec("one", "a"), "a collector id has"},
		"a missing secret":   {collector, without, `the secret of "lab" is missing`},
		"an unknown item":    {collector, fleet.Spec{Profiles: map[string][]string{"p": {"show-verson"}}}, "did you mean"},
		"a dangling bastion": {collector, func() fleet.Spec { s := spec("one", "a"); s.Devices[0].Bastions = []string{"j"}; return s }(), `no bastion "j"`},
	} {
		_, err := k.Apply(t.Context(), c.id, "ada", c.spec, false)
		var ps fleet.Problems
		if !errors.As(err, &ps) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if calls() != 0 {
		t.Error("something was changed")
	}
}

// Devices that many people add at the same time are all there afterwards.
func TestNoUpdateIsLost(t *testing.T) {
	k, store, _, _ := open(t)
	_, err := k.Apply(t.Context(), collector, "ada", spec("one"), false)
	must(t, err)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if _, err := k.AddDevices(t.Context(), collector, []fleet.Device{device(fmt.Sprint("d", i))}, false); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	f, err := store.GetFleet(t.Context(), collector)
	must(t, err)
	if len(f.Devices) != 20 {
		t.Errorf("%d devices", len(f.Devices))
	}
}

func TestAddAndDeleteDevices(t *testing.T) {
	k, _, _, _ := open(t)
	_, err := k.Apply(t.Context(), collector, "ada", spec("one", "a"), false)
	must(t, err)
	if _, err := k.AddDevices(t.Context(), collector, []fleet.Device{device("b"), device("a")}, false); err == nil || !strings.Contains(err.Error(), `"a" is taken`) {
		t.Errorf("a taken id: %v", err)
	}
	if _, err := k.AddDevices(t.Context(), collector, []fleet.Device{device("b"), device("b")}, true); err == nil {
		t.Error("the same device twice was accepted")
	}
	changed := device("a")
	changed.Address = "192.0.2.9"
	r, err := k.AddDevices(t.Context(), collector, []fleet.Device{changed, device("b")}, true)
	must(t, err)
	if told(r.Changes) != "changed device a address 192.0.2.1 → 192.0.2.9; added device b" {
		t.Errorf("replacing: %s", told(r.Changes))
	}
	_, err = k.DeleteDevice(t.Context(), collector, "a")
	must(t, err)
	if _, err := k.DeleteDevice(t.Context(), collector, "a"); !errors.Is(err, edp.ErrNotFound) {
		t.Errorf("deleting twice: %v", err)
	}
}
