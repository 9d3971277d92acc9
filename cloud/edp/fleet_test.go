package edp_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"lwc/cloud/edp"
	"lwc/junos"
	"lwc/transport/wire"
)

func told(changes []edp.Change) (out []string) {
	for _, c := range changes {
		out = append(out, strings.TrimRight(fmt.Sprintf("%s %s %s %s", c.Action, c.Kind, c.ID, c.Detail), " "))
	}
	return out
}

func TestPutFleetSaysWhatItChanged(t *testing.T) {
	s, ctx := open(t), t.Context()
	enrol(t, s, site)
	base := func() edp.Fleet {
		f := smallFleet(site, "edge-1", "edge-2")
		f.Bastions = []edp.Bastion{{ID: "jump", Bastion: wire.Bastion{Address: "192.0.2.9", Credential: "lab"}}}
		f.Devices[1].Bastions = []string{"jump"}
		return f
	}
	version := uint64(0)
	for _, step := range []struct {
		name string
		edit func(*edp.Fleet)
		want []string
	}{
		{"the first", func(*edp.Fleet) {}, []string{"added profile small", "added credential lab", "added bastion jump", "added device edge-1", "added device edge-2"}},
		{"the same", func(*edp.Fleet) {}, nil},
		{"the same in another order, freshly sealed", func(f *edp.Fleet) {
			slices.Reverse(f.Devices)
			f.Credentials[0].Cipher = []byte("sealed again")
			f.Devices[0].HostKeys = []string{}
		}, nil},
		{"a secret", func(f *edp.Fleet) { f.Credentials[0].Version, f.Credentials[0].Cipher = "2", []byte("new") },
			[]string{"changed credential lab secret"}},
		{"a name, with the secret it has", func(f *edp.Fleet) {
			f.Credentials[0] = edp.Credential{ID: "lab", Kind: wire.KindPassword, Username: "netops", Version: "2"}
		}, []string{"changed credential lab username lab → netops"}},
		{"a device", func(f *edp.Fleet) {
			f.Credentials[0].Username, f.Credentials[0].Version, f.Credentials[0].Cipher = "netops", "2", nil
			f.Devices[0].Address, f.Devices[0].Port = "192.0.2.77", 22
		}, []string{"changed device edge-1 address 192.0.2.1 → 192.0.2.77, port none → 22"}},
		{"a schedule, and one device less", func(f *edp.Fleet) {
			f.Credentials[0].Username, f.Credentials[0].Version, f.Credentials[0].Cipher = "netops", "2", nil
			f.Schedules = []wire.Schedule{{Name: "daily", Start: "02:00"}}
			f.Devices = f.Devices[1:]
		}, []string{"added schedule daily", "removed device edge-1"}},
		{"nothing left", func(f *edp.Fleet) { *f = edp.Fleet{Collector: site} },
			[]string{"removed schedule daily", "removed profile small", "removed credential lab", "removed bastion jump", "removed device edge-2"}},
	} {
		f := base()
		step.edit(&f)
		got := told(must[[]edp.Change](t)(s.PutFleet(ctx, f)))
		if !slices.Equal(got, step.want) {
			t.Fatalf("%s:\n got %q\nwant %q", step.name, got, step.want)
		}
		if len(step.want) > 0 {
			version++
		}
		if now := must[edp.Fleet](t)(s.GetFleet(ctx, site)); now.Version != version || len(now.Devices) != len(f.Devices) {
			t.Fatalf("%s: version %d, want %d; %d devices", step.name, now.Version, version, len(now.Devices))
		}
	}
}

func TestTheOldSecretStaysWithItsVersion(t *testing.T) {
	s, ctx := open(t), t.Context()
	f := smallFleet(site)
	must[[]edp.Change](t)(s.PutFleet(ctx, f))
	f.Credentials[0].Username, f.Credentials[0].Cipher = "netops", nil
	must[[]edp.Change](t)(s.PutFleet(ctx, f))
	c := must[edp.Fleet](t)(s.GetFleet(ctx, site)).Credentials[0]
	if string(c.Cipher) != "sealed" || c.Username != "netops" {
		t.Fatalf("%+v", c)
	}
}

func TestABadFleetChangesNothing(t *testing.T) {
	s, ctx := open(t), t.Context()
	must[[]edp.Change](t)(s.PutFleet(ctx, smallFleet(site, "edge-1")))
	for name, c := range map[string]struct {
		edit func(*edp.Fleet)
		want string
	}{
		"two of one id":          {func(f *edp.Fleet) { f.Devices = append(f.Devices, device("edge-1")) }, `two entries are device "edge-1"`},
		"an unknown credential":  {func(f *edp.Fleet) { f.Devices[0].Credential = "nope" }, `device "edge-1": there is no credential "nope"`},
		"an unknown bastion":     {func(f *edp.Fleet) { f.Devices[0].Bastions = []string{"nope"} }, `there is no bastion "nope"`},
		"an unknown profile":     {func(f *edp.Fleet) { f.Devices[0].Profile = "nope" }, `there is no profile "nope"`},
		"a new secret, unsealed": {func(f *edp.Fleet) { f.Credentials[0].Version, f.Credentials[0].Cipher = "2", nil }, "secret is missing"},
		"no id":                  {func(f *edp.Fleet) { f.Devices[0].ID = "" }, `a device has the id ""`},
		"no collector":           {func(f *edp.Fleet) { f.Collector = "x" }, "8 to 63 characters"},
	} {
		f := smallFleet(site, "edge-1", "edge-new")
		c.edit(&f)
		if _, err := s.PutFleet(ctx, f); !errors.Is(err, edp.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if now := must[edp.Fleet](t)(s.GetFleet(ctx, site)); now.Version != 1 || len(now.Devices) != 1 {
		t.Fatalf("%+v", now)
	}
}

func TestEditingDevices(t *testing.T) {
	s, ctx := open(t), t.Context()
	must[[]edp.Change](t)(s.PutFleet(ctx, smallFleet(site, "edge-1")))
	moved := device("edge-1")
	moved.Address = "192.0.2.50"
	got := told(must[[]edp.Change](t)(s.PutDevices(ctx, site, []edp.Device{moved, device("edge-2")})))
	if !slices.Equal(got, []string{"changed device edge-1 address 192.0.2.1 → 192.0.2.50", "added device edge-2"}) {
		t.Fatal(got)
	}
	if got := told(must[[]edp.Change](t)(s.PutDevices(ctx, site, []edp.Device{device("edge-2")}))); got != nil {
		t.Fatal(got)
	}
	ok(t, s.DeleteDevice(ctx, site, "edge-2"))
	if err := s.DeleteDevice(ctx, site, "edge-2"); !errors.Is(err, edp.ErrNotFound) {
		t.Fatal(err)
	}
	if _, err := s.PutDevices(ctx, "nobody-here", nil); !errors.Is(err, edp.ErrNotFound) {
		t.Fatal(err)
	}
}

func TestAFleetBeforeItsCollector(t *testing.T) {
	s, ctx := open(t), t.Context()
	if _, err := s.GetFleet(ctx, site); !errors.Is(err, edp.ErrNotFound) {
		t.Fatal(err)
	}
	must[[]edp.Change](t)(s.PutFleet(ctx, smallFleet(site, "edge-1")))
	if c := must[edp.Collector](t)(s.Collector(ctx, site)); c.State != edp.CollectorPending || c.ConfigVersion != 1 {
		t.Fatalf("%+v", c)
	}
	enrol(t, s, site)
	if c := must[edp.Collector](t)(s.Collector(ctx, site)); c.State != edp.CollectorActive || c.ConfigVersion != 1 {
		t.Fatalf("%+v", c)
	}
}

func TestIdentityIsPutTogether(t *testing.T) {
	s, ctx := open(t), t.Context()
	must[[]edp.Change](t)(s.PutFleet(ctx, smallFleet(site, "edge-1")))
	ok(t, s.SetIdentity(ctx, site, "edge-1", junos.Identity{HostName: "edge-1.example", Model: "mx480", Version: "23.4R2"}))
	ok(t, s.SetIdentity(ctx, site, "edge-1", junos.Identity{Serials: []string{"JN123", "CARD9"}}))
	ok(t, s.SetIdentity(ctx, site, "gone", junos.Identity{HostName: "x"}))
	d := must[[]edp.DeviceRow](t)(s.Devices(ctx, ""))[0]
	if d.HostName != "edge-1.example" || d.Model != "mx480" || d.Version != "23.4R2" || d.Serial != "JN123" || len(d.Serials) != 2 || d.State != edp.DeviceNew {
		t.Fatalf("%+v", d)
	}
}
