package device

import (
	"strings"
	"sync"
	"testing"
	"time"

	"lwc/junos/junostest"
	"lwc/transport/secret"
)

// startFleet runs simulated devices, the last half behind two bastions.
func startFleet(t *testing.T, c junostest.Config) *junostest.Fleet {
	t.Helper()
	f, err := junostest.NewFleet(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// target is the way to a simulated device.
func target(f *junostest.Fleet, d *junostest.Device) Target {
	to := Target{Device: Hop{Name: d.Name, Address: d.Addr.Addr().String(), Port: d.Addr.Port(),
		Auth: Auth{User: d.User, Password: secret.FromString(d.Password)}, HostKeys: []string{d.HostKey}}}
	for _, b := range f.Bastions() {
		if b.Name == d.Behind {
			to.Via = append(to.Via, Hop{Name: b.Name, Address: b.Addr.Addr().String(), Port: b.Addr.Port(),
				Auth: Auth{User: b.User, PrivateKey: secret.FromString(b.ClientKey)}, HostKeys: []string{b.HostKey}})
		}
	}
	return to
}

// readHello reads what every NETCONF server sends first.
func readHello(t *testing.T, c *Conn) {
	t.Helper()
	late := time.AfterFunc(10*time.Second, func() { c.Close() })
	defer late.Stop()
	var got []byte
	b := make([]byte, 4096)
	for !strings.Contains(string(got), "]]>]]>") {
		n, err := c.Read(b)
		if err != nil {
			t.Errorf("after %q: %v", got, err)
			return
		}
		got = append(got, b[:n]...)
	}
	if !strings.Contains(string(got), "hello>") {
		t.Errorf("first message %q", got)
	}
}

func TestFleet(t *testing.T) {
	t.Parallel()
	for _, auth := range []string{"password", "keyboard-interactive", "publickey"} {
		f := startFleet(t, junostest.Config{Devices: 6, Bastions: 2, Behind: 3, Auth: []string{auth, "publickey"}})
		var wg sync.WaitGroup
		for _, d := range f.Devices() {
			wg.Go(func() {
				to := target(f, d)
				if auth == "publickey" {
					to.Device.Auth = Auth{User: d.User, PrivateKey: secret.FromString(d.ClientKey)}
				}
				conn, err := quick(t).Dial(t.Context(), to)
				if err != nil {
					t.Errorf("%s by %s: %v", d.Name, auth, err)
					return
				}
				defer conn.Close()
				readHello(t, conn)
			})
		}
		wg.Wait()
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fault junostest.Fault
		phase Phase
		kind  Kind
	}{
		{junostest.NoNETCONF, PhaseSubsystem, KindSubsystem},
		{junostest.RefuseAuth, PhaseAuth, KindAuth},
		{junostest.Silent, PhaseKeyExchange, KindTimeout},
		{junostest.Throttle, PhaseKeyExchange, KindThrottled},
		{junostest.Unreachable, PhaseConnect, KindRefused},
	} {
		t.Run(string(c.fault), func(t *testing.T) {
			t.Parallel()
			faults := map[string]junostest.Fault{}
			fleet := junostest.Config{Devices: 2, Bastions: 1, Behind: 1, Models: []junostest.Model{junostest.QFX}, Faults: faults}
			faults["qfx-0001"], faults["qfx-0002"] = c.fault, c.fault
			f := startFleet(t, fleet)
			d := quick(t)
			if c.kind == KindTimeout {
				d.Timeouts.KeyExchange = 500 * time.Millisecond
			}
			for _, dev := range f.Devices() {
				if dev.Addr.Port() == 0 {
					continue // nothing that could be dialled
				}
				phase := c.phase
				if dev.Behind != "" && phase == PhaseConnect {
					phase = PhaseForward
				}
				_, err := d.Dial(t.Context(), target(f, dev))
				wantError(t, err, phase, c.kind, dev.Name)
			}
		})
	}
}

// Faults of a bastion are named as such.
func TestFaultsOfBastion(t *testing.T) {
	t.Parallel()
	for fault, kind := range map[junostest.Fault]Kind{junostest.RefuseAuth: KindAuth, junostest.Throttle: KindThrottled} {
		f := startFleet(t, junostest.Config{Devices: 1, Bastions: 1, Behind: 1})
		b := f.Bastions()[0]
		b.SetFault(fault)
		_, err := quick(t).Dial(t.Context(), target(f, f.Devices()[0]))
		phase := PhaseAuth
		if kind == KindThrottled {
			phase = PhaseKeyExchange
		}
		if e := wantError(t, err, phase, kind, b.Name); !e.Bastion {
			t.Errorf("%v is not told as the bastion's", e)
		}
	}
}
