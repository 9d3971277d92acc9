package device

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"lwc/junos/junostest"
	"lwc/testdata/need"
	"lwc/transport/secret"
)

// eachPlace runs a check against a fault of a device dialled directly, of one
// behind a bastion, and of a bastion. at is the hop of the target that has it.
func eachPlace(t *testing.T, fault junostest.Fault, check func(t *testing.T, to *Target, at *Hop)) {
	for _, c := range []struct {
		place, host string
		bastions    int
	}{{"direct", "qfx-0001", 0}, {"behind", "qfx-0001", 1}, {"bastion", "bastion-1", 1}} {
		t.Run(c.place, func(t *testing.T) {
			t.Parallel()
			f := startFleet(t, junostest.Config{Devices: 1, Bastions: c.bastions, Behind: c.bastions, Models: []junostest.Model{junostest.QFX},
				Faults: map[string]junostest.Fault{c.host: fault}})
			to := target(f, f.Devices()[0])
			at := &to.Device
			if c.place == "bastion" {
				at = &to.Via[0]
				at.Auth = Auth{User: at.Auth.User, Password: secret.FromString(f.Bastions()[0].Password)}
			}
			check(t, &to, at)
		})
	}
}

// dialWell dials by a Dialer of its own, which shares and remembers nothing, and
// holds the connection until the test ends.
func dialWell(t *testing.T, to Target) *Conn {
	t.Helper()
	c, err := quick(t).Dial(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	readHello(t, c)
	return c
}

// dialBadly dials by a Dialer of its own and checks what at is blamed for.
func dialBadly(t *testing.T, to *Target, at *Hop, phase Phase, kind Kind) {
	t.Helper()
	c, err := quick(t).Dial(t.Context(), *to)
	if err == nil {
		c.Close()
	}
	if e := wantError(t, err, phase, kind, at.Name); e.Bastion != (at != &to.Device) {
		t.Errorf("%v blames the wrong sort of hop", e)
	}
}

// Connections beyond connection-limit, and beyond rate-limit, are throttled.
func TestBeyondLimit(t *testing.T) {
	t.Parallel()
	for fault, most := range map[junostest.Fault]int{"limit:1": 1, "limit:2": 2, "rate:1": 1, "rate:3": 3} {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			eachPlace(t, fault, func(t *testing.T, to *Target, at *Hop) {
				for range most {
					c := dialWell(t, *to)
					if fault.Kind() == junostest.Rate {
						c.Close() // it is not those that are open that count
					}
				}
				dialBadly(t, to, at, PhaseKeyExchange, KindThrottled)
			})
		})
	}
}

// The right password logs in until the last refusal that the account bears, and
// is then told to be locked out. A Dial with a bad one is one refusal; its kind
// depends on whether the server speaks of too many failures with it.
func TestLockoutAfterRefusals(t *testing.T) {
	t.Parallel()
	eachPlace(t, "lockout:2", func(t *testing.T, to *Target, at *Hop) {
		good, bad := at.Auth, Auth{User: at.Auth.User, Password: secret.FromString("wrong")}
		for range 2 {
			at.Auth = good
			dialWell(t, *to)
			at.Auth = bad
			_, err := quick(t).Dial(t.Context(), *to)
			if e, ok := errors.AsType[*Error](err); !ok || !e.refused() || e.Hop != at.Name {
				t.Errorf("a bad password: %v", err)
			}
		}
		at.Auth = good
		dialBadly(t, to, at, PhaseAuth, KindLockedOut)
	})
}

// A host key that changes between two log-ins is seen.
func TestHostKeyChangesLater(t *testing.T) {
	t.Parallel()
	eachPlace(t, "new-host-key:later", func(t *testing.T, to *Target, at *Hop) {
		dialWell(t, *to)
		dialBadly(t, to, at, PhaseKeyExchange, KindHostKeyChanged)
	})
}

// A bastion that does not reach the device is not to blame.
func TestForwardReachesNobody(t *testing.T) {
	t.Parallel()
	for host, c := range map[string]struct {
		fault junostest.Fault
		kind  Kind
	}{"bastion-1": {"no-forward:connect", KindConnect}, "qfx-0001": {junostest.Unreachable, KindRefused}} {
		f := startFleet(t, junostest.Config{Devices: 1, Bastions: 1, Behind: 1, Models: []junostest.Model{junostest.QFX},
			Faults: map[string]junostest.Fault{host: c.fault}})
		to := target(f, f.Devices()[0])
		dialBadly(t, &to, &to.Device, PhaseForward, c.kind)
	}
}

// The words of a bastion that did not connect tell what ended it; any other
// refusal is known by its code.
func TestConnectWords(t *testing.T) {
	t.Parallel()
	for message, want := range map[string]Kind{
		"Connection refused": KindRefused, "connect failed: Connection refused": KindRefused,
		"dial tcp 192.0.2.1:830: connect: connection refused": KindRefused,
		"Temporary failure in name resolution":                KindResolve,
		"Unknown host":                                        KindResolve, "open failed: unknown host r1": KindResolve,
		"Name or service not known":     KindResolve,
		"lookup r1: no such host":       KindResolve,
		"Connection timed out":          KindConnect,
		"No route to host":              KindConnect,
		"":                              KindConnect,
		"CONNECT FAILED: NOT KNOWN":     KindResolve,
		"the host is \xff\x00 down":     KindConnect,
		"Network is unreachable":        KindConnect,
		"Operation timed out, NO REPLY": KindConnect,
	} {
		if got := connectWords(message); got != want {
			t.Errorf("%q is %s, want %s", message, got, want)
		}
		kind, ours := forwardKind(&ssh.OpenChannelError{Reason: ssh.ConnectionFailed, Message: message})
		if kind != want || ours {
			t.Errorf("a connection that failed with %q is %s, of the bastion: %v", message, kind, ours)
		}
		kind, ours = forwardKind(&ssh.OpenChannelError{Reason: ssh.Prohibited, Message: message})
		if kind != KindForwardRefused || !ours {
			t.Errorf("a refusal with %q is %s, of the bastion: %v", message, kind, ours)
		}
	}
}

// freeSix returns a port of the IPv6 loopback that nobody listens on.
func freeSix(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		need.Missing(t, fmt.Sprintf("an IPv6 loopback (%v)", err))
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort().Port()
}

// startSixBehind runs a device with an IPv6 address behind a bastion with one.
// Only with ports that are given does a device there have such an address, so
// one that is taken meanwhile is replaced.
func startSixBehind(t *testing.T) *junostest.Fleet {
	t.Helper()
	var err error
	for range 10 {
		c := junostest.Config{Devices: 1, Bastions: 1, Behind: 1, Listen: netip.IPv6Loopback(), BasePort: freeSix(t) - 1}
		var f *junostest.Fleet
		if f, err = junostest.NewFleet(c); err != nil {
			t.Fatal(err)
		}
		if err = f.Start(t.Context()); err == nil {
			t.Cleanup(func() { f.Close() })
			return f
		}
	}
	t.Fatal(err)
	return nil
}

// IPv6 addresses are dialled, and forwarded to, without brackets of their own.
func TestIPv6(t *testing.T) {
	t.Parallel()
	freeSix(t)
	direct := startFleet(t, junostest.Config{Devices: 1, Listen: netip.IPv6Loopback()})
	for _, f := range []*junostest.Fleet{direct, startSixBehind(t)} {
		to := target(f, f.Devices()[0])
		for _, h := range append(slices.Clone(to.Via), to.Device) {
			if h.Address != "::1" {
				t.Fatalf("%s is at %s", h.Name, h.Address)
			}
		}
		info := dialWell(t, to).Info()
		for _, h := range append(slices.Clone(to.Via), to.Device) {
			i := slices.IndexFunc(info.Steps, func(s Step) bool { return s.Hop == h.Name && s.Stage == StageConnect })
			if want := fmt.Sprintf("[::1]:%d", h.Port); i < 0 || !strings.HasSuffix(info.Steps[i].Detail, want) {
				t.Errorf("%s: steps %+v, want one to %s", h.Name, info.Steps, want)
			}
		}
	}
}
