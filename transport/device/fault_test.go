package device

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"lwc/junos/junostest"
	"lwc/transport/secret"
)

// patient returns a Dialer that waits shortly where the fault is found by a
// deadline only, and in no other phase.
func patient(t *testing.T, kind Kind, phase Phase) *Dialer {
	d := quick(t)
	switch {
	case kind == KindTimeout && phase == PhaseKeyExchange:
		d.Timeouts.KeyExchange = 400 * time.Millisecond
	case kind == KindTimeout:
		d.Timeouts.Auth = 600 * time.Millisecond
	}
	return d
}

// Each way in which a device can keep one out has its phase and kind, direct and
// behind a bastion, and as a bastion has it too.
func TestEveryFaultHasItsKind(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fault junostest.Fault
		phase Phase
		kind  Kind // empty: no fault of the log-in
		words string
	}{
		{junostest.Unreachable, PhaseConnect, KindRefused, "nothing listens"},
		{junostest.Silent, PhaseKeyExchange, KindTimeout, "went silent"},
		{junostest.Throttle, PhaseKeyExchange, KindThrottled, "Wait a minute"},
		{junostest.StallBanner, PhaseKeyExchange, KindTimeout, "went silent"},
		{junostest.StallKex, PhaseKeyExchange, KindTimeout, "went silent"},
		{junostest.OldAlgorithms, PhaseKeyExchange, KindAlgorithms, "legacy"},
		{junostest.NewHostKey, PhaseKeyExchange, KindHostKeyChanged, "SHA256:"},
		{junostest.BannerFlood, PhaseAuth, KindProtocol, "banners"},
		{"banner-flood:lines", PhaseKeyExchange, KindProtocol, "SSH"},
		{junostest.StallAuth, PhaseAuth, KindTimeout, "went silent"},
		{junostest.SlowAuth, PhaseAuth, KindTimeout, "went silent"},
		{"slow-auth:10ms", "", "", ""},
		{junostest.RefuseAuth, PhaseAuth, KindAuth, "refused the log-in"},
		{junostest.Lockout, PhaseAuth, KindLockedOut, "Unlock it"},
		{junostest.EndlessPrompts, PhaseAuth, KindAuth, ""},
		{"endless-prompts:empty", PhaseAuth, KindAuth, ""},
		{junostest.NoNETCONF, PhaseSubsystem, KindSubsystem, "set system services netconf ssh"},
		{junostest.CLIOnly, PhaseSubsystem, KindSubsystem, "set system services netconf ssh"},
		{"cli-only:text", PhaseSubsystem, KindSubsystem, "set system services netconf ssh"},
		{junostest.NoSubsystem, "", "", ""},
	} {
		t.Run(string(c.fault), func(t *testing.T) {
			t.Parallel()
			faults := map[string]junostest.Fault{"qfx-0001": c.fault, "qfx-0002": c.fault}
			if onBastions(c.fault) {
				faults["bastion-2"] = c.fault
			}
			f := startFleet(t, junostest.Config{Devices: 3, Bastions: 2, Behind: 2, Models: []junostest.Model{junostest.QFX}, Faults: faults})
			b := f.Bastions()[1]
			auth := Auth{User: b.User, Password: secret.FromString(b.Password)}
			for _, dev := range f.Devices() {
				if dev.Name == "qfx-0003" && faults["bastion-2"] == "" {
					continue
				}
				checkFault(t, target(f, dev), auth, c.phase, c.kind, c.words)
			}
		})
	}
}

func onBastions(f junostest.Fault) bool {
	return slices.ContainsFunc(junostest.FaultKinds(), func(k junostest.FaultKind) bool { return k.Name == f.Kind() && k.Bastion })
}

func checkFault(t *testing.T, to Target, bastionAuth Auth, phase Phase, kind Kind, words string) {
	t.Helper()
	at, bastion := to.Device.Name, false
	if to.Device.Name == "qfx-0003" { // it is its bastion that has the fault
		at, bastion = to.Via[0].Name, true
		to.Via[0].Auth = bastionAuth
	}
	if to.Device.Port == 0 && !bastion || bastion && to.Via[0].Port == 0 {
		return // nothing that could be dialled
	}
	if phase == PhaseConnect && len(to.Via) > 0 && !bastion {
		phase = PhaseForward
	}
	conn, err := patient(t, kind, phase).Dial(t.Context(), to)
	if kind == "" {
		if err != nil {
			t.Errorf("%s: %v", at, err)
			return
		}
		readHello(t, conn)
		conn.Close()
		return
	}
	e := wantError(t, err, phase, kind, at)
	if _, k, advice := e.Diagnosis(); e.Bastion != bastion || strings.HasPrefix(k, "bastion-") != bastion || !strings.Contains(advice, words) {
		t.Errorf("%s: kind %s, advice %q", at, k, advice)
	}
	if n := len(e.Steps); n == 0 || e.Steps[n-1].Err == nil || e.Steps[n-1].Hop != at {
		t.Errorf("%s: steps %+v", at, e.Steps)
	}
}

// Old algorithms are for the hop that is told to be old, and for no other.
func TestLegacyIsPerHop(t *testing.T) {
	t.Parallel()
	f := startFleet(t, junostest.Config{Devices: 1, Bastions: 1, Behind: 1, Models: []junostest.Model{junostest.QFX},
		Faults: map[string]junostest.Fault{"qfx-0001": junostest.OldAlgorithms, "bastion-1": junostest.OldAlgorithms}})
	to := target(f, f.Devices()[0])
	// An old server shows an old key: what it shows is not the point here.
	to.Device.HostKeys, to.Device.TrustFirst = nil, true
	to.Via[0].HostKeys, to.Via[0].TrustFirst = nil, true
	to.Device.Legacy = true
	_, err := quick(t).Dial(t.Context(), to)
	wantError(t, err, PhaseKeyExchange, KindAlgorithms, to.Via[0].Name)
	to.Device.Legacy, to.Via[0].Legacy = false, true
	_, err = quick(t).Dial(t.Context(), to)
	wantError(t, err, PhaseKeyExchange, KindAlgorithms, to.Device.Name)
	to.Device.Legacy = true
	c, err := quick(t).Dial(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for name, a := range c.Info().Algorithms {
		if !strings.Contains(a.KeyExchange, "group1-sha1") {
			t.Errorf("%s: %+v", name, a)
		}
	}
	if len(c.Info().Algorithms) != 2 {
		t.Errorf("algorithms %v", c.Info().Algorithms)
	}
}

// A reset comes while the connection is made or right after.
func TestReset(t *testing.T) {
	t.Parallel()
	f := startFleet(t, junostest.Config{Devices: 1, Faults: map[string]junostest.Fault{"mx-0001": "throttle:rst"}})
	_, err := quick(t).Dial(t.Context(), target(f, f.Devices()[0]))
	if e, ok := errors.AsType[*Error](err); !ok || e.Kind != KindThrottled {
		t.Error(err)
	}
}

// Refusals to forward are told apart.
func TestForwardFaults(t *testing.T) {
	t.Parallel()
	for fault, want := range map[junostest.Fault]struct {
		kind Kind
		hop  string
	}{junostest.NoForward: {KindForwardRefused, "bastion-1"}, "no-forward:shortage": {KindThrottled, "bastion-1"}} {
		f := startFleet(t, junostest.Config{Devices: 1, Bastions: 1, Behind: 1, Faults: map[string]junostest.Fault{"bastion-1": fault}})
		_, err := quick(t).Dial(t.Context(), target(f, f.Devices()[0]))
		wantError(t, err, PhaseForward, want.kind, want.hop)
	}
}

// Certificates of the fleet's authorities do for hosts and users.
func TestFleetCertificates(t *testing.T) {
	t.Parallel()
	f := startFleet(t, junostest.Config{Devices: 2, Bastions: 1, Behind: 1, HostCA: true})
	for _, dev := range f.Devices() {
		to := target(f, dev)
		authority := []string{authorityMark + " " + f.HostCA()}
		to.Device.HostKeys = authority
		to.Device.Auth = Auth{User: dev.User, PrivateKey: secret.FromString(dev.ClientKey), Certificate: secret.FromString(dev.ClientCert)}
		for i := range to.Via {
			to.Via[i].HostKeys = authority
		}
		c, err := quick(t).Dial(t.Context(), to)
		if err != nil {
			t.Errorf("%s: %v", dev.Name, err)
			continue
		}
		readHello(t, c)
		c.Close()
	}
}

// The steps tell stage by stage what was found.
func TestSteps(t *testing.T) {
	t.Parallel()
	f := startFleet(t, junostest.Config{Devices: 1, Bastions: 1, Behind: 1, Models: []junostest.Model{junostest.QFX}})
	d, to := quick(t), target(f, f.Devices()[0])
	to.Via[0].Address = "localhost"
	const stages = "bastion-1 resolve, bastion-1 connect, bastion-1 version, bastion-1 key-exchange, bastion-1 host-key, bastion-1 auth, " +
		"qfx-0001 connect, qfx-0001 version, qfx-0001 key-exchange, qfx-0001 host-key, qfx-0001 auth, qfx-0001 subsystem"
	for i := range 2 {
		c, err := d.Dial(t.Context(), to)
		if err != nil {
			t.Fatal(err)
		}
		var names, details []string
		for _, s := range c.Info().Steps {
			names, details = append(names, s.Hop+" "+s.Stage), append(details, s.Detail)
			if s.Err != nil || s.Bastion != (s.Hop == "bastion-1") || (s.Took == 0) != (i == 1 && s.Bastion) {
				t.Errorf("dial %d: %+v", i, s)
			}
		}
		if got := strings.Join(names, ", "); got != stages {
			t.Errorf("steps %s", got)
		}
		all := strings.Join(details, "|")
		for _, want := range []string{"127.0.0.1", "SSH-2.0-OpenSSH", "mlkem768x25519-sha256", "aes128-gcm", "SHA256:", "publickey", "netconf"} {
			if !strings.Contains(all, want) {
				t.Errorf("no %s in %s", want, all)
			}
		}
		c.Close()
	}
}
