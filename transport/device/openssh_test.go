package device

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"

	"lwc/transport/secret"
)

// TestMain lets more tests run at a time than there are processors: they wait
// for the processes of real servers most of the time.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// echo in the configuration of an sshd stands for a subsystem that answers with
// what it is told.
const (
	echo       = "Subsystem netconf"
	echoScript = "#!/bin/sh\nexec cat\n"
)

// quick returns a Dialer that ends with the test and waits for nothing long.
func quick(t testing.TB) *Dialer {
	t.Helper()
	d := &Dialer{Net: new(net.Dialer).DialContext, Timeouts: Timeouts{Connect: 30 * time.Second, KeyExchange: 30 * time.Second,
		Auth: 30 * time.Second, Channel: 30 * time.Second, Retry: time.Millisecond}}
	t.Cleanup(func() { d.Close() })
	return d
}

// roundTrip checks that a channel carries bytes both ways.
func roundTrip(t *testing.T, c *Conn) {
	t.Helper()
	const text = "<hello/>]]>]]>"
	late := time.AfterFunc(10*time.Second, func() { c.Close() })
	defer late.Stop()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, len(text))
	if _, err := io.ReadFull(c, b); err != nil || string(b) != text {
		t.Fatalf("read %q, %v", b, err)
	}
}

func wantError(t *testing.T, err error, phase Phase, kind Kind, hop string) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Phase != phase || e.Kind != kind || e.Hop != hop {
		t.Fatalf("error %v (%+v), want %s at %s of %s", err, e, kind, phase, hop)
	}
	p, k, advice := e.Diagnosis()
	if p != string(phase) || strings.TrimPrefix(k, "bastion-") != string(kind) || !strings.HasSuffix(advice, ".") && !strings.HasSuffix(advice, ")") {
		t.Errorf("diagnosis %q %q %q", p, k, advice)
	}
	return e
}

func TestDirect(t *testing.T) {
	t.Parallel()
	s := startSSHD(t, echo)
	conn, err := quick(t).Dial(t.Context(), Target{Device: s.hop("r1")})
	if err != nil {
		t.Fatal(err)
	}
	roundTrip(t, conn)
	info := conn.Info()
	if info.HostKeys["r1"] != s.keys[ssh.KeyAlgoED25519] || len(info.FirstUse) != 0 || info.Port != s.port {
		t.Errorf("info %+v", info)
	}
	if a := info.Algorithms["r1"]; a.HostKey != ssh.KeyAlgoED25519 || a.KeyExchange == "" || a.Cipher == "" {
		t.Errorf("algorithms %+v", a)
	}
	if err := conn.Close(); err != nil {
		t.Errorf("closing: %v", err)
	}
	if err := conn.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("read after Close")
	}
}

func TestCloseEndsRead(t *testing.T) {
	t.Parallel()
	s := startSSHD(t, echo)
	conn, err := quick(t).Dial(t.Context(), Target{Device: s.hop("r1")})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		_, err := conn.Read(make([]byte, 1))
		done <- err
	}()
	conn.Close()
	if err := <-done; err == nil {
		t.Error("read succeeded")
	}
}

func TestHostKeys(t *testing.T) {
	t.Parallel()
	s := startSSHD(t, echo)
	_, foreign := newKey(t, ssh.KeyAlgoED25519)
	_, foreignRSA := newKey(t, ssh.KeyAlgoRSA)
	ed, ec, rsa := s.keys[ssh.KeyAlgoED25519], s.keys[ssh.KeyAlgoECDSA256], s.keys[ssh.KeyAlgoRSA]
	for _, c := range []struct {
		name string
		pins []string
		kind Kind // empty: accepted
	}{
		{"ed25519", []string{ed}, ""},
		{"ecdsa, though ed25519 is preferred", []string{ec + " a comment"}, ""},
		{"rsa, though ed25519 is preferred", []string{rsa}, ""},
		{"fingerprint", []string{fingerprint(t, ed)}, ""},
		{"fingerprint of the last type tried", []string{fingerprint(t, rsa)}, ""},
		{"several", []string{foreign, ec}, ""},
		{"foreign of the same type", []string{foreign}, KindHostKeyChanged},
		{"foreign rsa", []string{foreignRSA}, KindHostKeyChanged},
		{"foreign fingerprint", []string{fingerprint(t, foreign)}, KindHostKeyChanged},
		{"none", nil, KindHostKeyUnknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			hop := s.hop("r1")
			hop.HostKeys = c.pins
			conn, err := quick(t).Dial(t.Context(), Target{Device: hop})
			if c.kind != "" {
				e := wantError(t, err, PhaseKeyExchange, c.kind, "r1")
				if _, _, advice := e.Diagnosis(); !strings.Contains(advice, "SHA256:") {
					t.Errorf("no fingerprint to compare in %q", advice)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			conn.Close()
		})
	}
}

func TestTrustFirst(t *testing.T) {
	t.Parallel()
	s := startSSHD(t, echo)
	hop := s.hop("r1")
	hop.HostKeys, hop.TrustFirst = nil, true
	conn, err := quick(t).Dial(t.Context(), Target{Device: hop})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := conn.FirstUse()["r1"]; got != fingerprint(t, s.keys[ssh.KeyAlgoED25519]) {
		t.Errorf("first use %q", got)
	}
	// What was learnt can be pinned; a pin is stronger than trust.
	hop.HostKeys = []string{conn.FirstUse()["r1"]}
	again, err := quick(t).Dial(t.Context(), Target{Device: hop})
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
	hop.HostKeys = []string{"SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}
	_, err = quick(t).Dial(t.Context(), Target{Device: hop})
	wantError(t, err, PhaseKeyExchange, KindHostKeyChanged, "r1")
}

// The credential went to a host that was trusted blindly: whether it was taken
// or not, the next log-in must find the same host.
func TestTrustFirstOfARefusedLogin(t *testing.T) {
	t.Parallel()
	s := startSSHD(t, echo)
	hop := s.hop("r1")
	hop.Auth, hop.HostKeys, hop.TrustFirst = s.other, nil, true
	_, err := quick(t).Dial(t.Context(), Target{Device: hop})
	e := wantError(t, err, PhaseAuth, KindAuth, "r1")
	if got := e.FirstUse()["r1"]; got != fingerprint(t, s.keys[ssh.KeyAlgoED25519]) {
		t.Errorf("first use %q", got)
	}
}

func TestAuthRefused(t *testing.T) {
	t.Parallel()
	s := startSSHD(t, echo)
	hop := s.hop("r1")
	hop.Auth = s.other
	_, err := quick(t).Dial(t.Context(), Target{Device: hop})
	wantError(t, err, PhaseAuth, KindAuth, "r1")

	hop.Auth = Auth{User: s.auth.User, Password: secret.FromString("hunter2")}
	_, err = quick(t).Dial(t.Context(), Target{Device: hop})
	e := wantError(t, err, PhaseAuth, KindAuth, "r1")
	if _, _, advice := e.Diagnosis(); !strings.Contains(advice, "only publickey") {
		t.Errorf("advice %q", advice)
	}
	if !strings.Contains(e.Error(), "only publickey") || strings.Contains(e.Error(), "hunter2") {
		t.Errorf("error %v", e)
	}
}

func TestNoSubsystem(t *testing.T) {
	t.Parallel()
	s := startSSHD(t)
	_, err := quick(t).Dial(t.Context(), Target{Device: s.hop("r1")})
	e := wantError(t, err, PhaseSubsystem, KindSubsystem, "r1")
	if _, _, advice := e.Diagnosis(); !strings.Contains(advice, "set system services netconf ssh") {
		t.Errorf("advice %q", advice)
	}
}

func TestThroughBastions(t *testing.T) {
	t.Parallel()
	b1, b2, dev := startSSHD(t), startSSHD(t), startSSHD(t, echo)
	target := Target{Device: dev.hop("r1"), Via: []Hop{b1.hop("b1"), b2.hop("b2")}}
	conn, err := quick(t).Dial(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	roundTrip(t, conn)
	if info := conn.Info(); len(info.HostKeys) != 3 || info.HostKeys["b2"] != b2.keys[ssh.KeyAlgoED25519] {
		t.Errorf("info %+v", info)
	}

	// The host key of every hop counts.
	target.Via[1].HostKeys = []string{b1.keys[ssh.KeyAlgoED25519]}
	_, err = quick(t).Dial(t.Context(), target)
	e := wantError(t, err, PhaseKeyExchange, KindHostKeyChanged, "b2")
	if _, _, advice := e.Diagnosis(); !e.Bastion || !strings.Contains(advice, `bastion "b2"`) {
		t.Errorf("advice %q", advice)
	}
	target.Via[1] = b2.hop("b2")
	target.Via[1].Auth = b2.other
	_, err = quick(t).Dial(t.Context(), target)
	wantError(t, err, PhaseAuth, KindAuth, "b2")
	target.Via[1] = b2.hop("b2")
	target.Device.HostKeys = []string{b1.keys[ssh.KeyAlgoED25519]}
	_, err = quick(t).Dial(t.Context(), target)
	wantError(t, err, PhaseKeyExchange, KindHostKeyChanged, "r1")
}

func TestForwarding(t *testing.T) {
	t.Parallel()
	open, closed := startSSHD(t), startSSHD(t, "AllowTcpForwarding no")
	narrow, dev := startSSHD(t, "PermitOpen 127.0.0.1:1"), startSSHD(t, echo)
	nothing := dev.hop("r1")
	nothing.Port = freePort(t)
	unnamed := dev.hop("r1")
	unnamed.Address = "no-such-host.invalid"
	for _, c := range []struct {
		name   string
		via    Hop
		device Hop
		kind   Kind
		hop    string
	}{
		{"bastion forwards nothing", closed.hop("b"), dev.hop("r1"), KindForwardRefused, "b"},
		{"bastion forwards elsewhere", narrow.hop("b"), dev.hop("r1"), KindForwardRefused, "b"},
		{"device refuses", open.hop("b"), nothing, KindRefused, "r1"},
		{"device has no such name", open.hop("b"), unnamed, KindResolve, "r1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := quick(t).Dial(t.Context(), Target{Device: c.device, Via: []Hop{c.via}})
			wantError(t, err, PhaseForward, c.kind, c.hop)
		})
	}
}

// sshd is at its limit of log-ins under way.
func TestThrottled(t *testing.T) {
	t.Parallel()
	s := startSSHD(t, echo, "MaxStartups 1:100:1")
	held := s.hold(t)
	defer held.Close()
	_, err := quick(t).Dial(t.Context(), Target{Device: s.hop("r1")})
	wantError(t, err, PhaseKeyExchange, KindThrottled, "r1")
}

// The device behind the bastion accepts and says nothing: the phase ends in
// time, and so does a caller's context.
func TestSilentBehindBastion(t *testing.T) {
	t.Parallel()
	b := startSSHD(t)
	hop := b.hop("r1")
	hop.Port = silent(t)
	d := quick(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second) // the bastion is real, and the machine may be busy
	defer cancel()
	start := time.Now()
	_, err := d.Dial(ctx, Target{Device: hop, Via: []Hop{b.hop("b")}})
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("%v after %v", err, took)
	}
	wantError(t, err, PhaseKeyExchange, KindTimeout, "r1")
}

// A port that is not configured is 830, and 22 where nothing answers there.
func TestPorts(t *testing.T) {
	t.Parallel()
	s := startSSHD(t, echo)
	for _, c := range []struct {
		name    string
		refused int // connections that find nothing
		ports   string
		port    uint16
	}{{"830", 0, "[830]", 830}, {"22", 1, "[830 22]", 22}, {"neither", 2, "[830 22]", 0}} {
		t.Run(c.name, func(t *testing.T) {
			var asked []string
			nothing := freePort(t)
			d := quick(t)
			d.Net = func(ctx context.Context, network, addr string) (net.Conn, error) {
				_, port, _ := net.SplitHostPort(addr)
				asked = append(asked, port)
				to := s.addr()
				if len(asked) <= c.refused {
					to = fmt.Sprintf("127.0.0.1:%d", nothing)
				}
				return (&net.Dialer{}).DialContext(ctx, network, to)
			}
			hop := s.hop("r1")
			hop.Port = 0
			conn, err := d.Dial(t.Context(), Target{Device: hop})
			if fmt.Sprint(asked) != c.ports {
				t.Errorf("asked for ports %v", asked)
			}
			if c.port == 0 {
				e := wantError(t, err, PhaseConnect, KindRefused, "r1")
				if !strings.Contains(e.Error(), "830") {
					t.Errorf("error %v", e)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if conn.Info().Port != c.port {
				t.Errorf("port %d", conn.Info().Port)
			}
		})
	}
}
