package junostest

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"

	"lwc/testdata/need"
)

const aMoment = 300 * time.Millisecond // in which a device that stalls says nothing

// attempt logs in to an address and gives up after limit.
func attempt(t *testing.T, addr string, cfg *ssh.ClientConfig, limit time.Duration) error {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	c, channels, requests, err := ssh.NewClientConn(conn, "", cfg)
	if err != nil {
		return err
	}
	return ssh.NewClient(c, channels, requests).Close()
}

// rawDial connects without SSH, with a deadline on all that follows.
func rawDial(t *testing.T, addr string, limit time.Duration) net.Conn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err == nil {
		err = conn.SetDeadline(time.Now().Add(limit))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func timedOut(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// TestFaultsAtTheDoor has devices and bastions fail log-ins alike.
func TestFaultsAtTheDoor(t *testing.T) {
	for _, tt := range []struct {
		fault Fault
		limit time.Duration
		want  func(error) bool
	}{
		{Silent, aMoment, timedOut},
		{StallBanner, aMoment, timedOut},
		{StallKex, aMoment, timedOut},
		{StallAuth, aMoment, timedOut},
		{"slow-auth:30s", aMoment, timedOut},
		{"banner-flood:lines", aMoment, func(err error) bool { return err != nil }},
		{Throttle, 10 * time.Second, closedEarly},
		{"throttle:rst", 10 * time.Second, closedEarly},
		{RefuseAuth, 10 * time.Second, said("unable to authenticate")},
		{Lockout, 10 * time.Second, said(`disconnect, reason 2: "too many authentication failures"`)},
		{NewHostKey, 10 * time.Second, said("host key mismatch")},
		{OldAlgorithms, 10 * time.Second, func(err error) bool { _, ok := errors.AsType[*ssh.AlgorithmNegotiationError](err); return ok }},
		{"slow-auth:1ms", 10 * time.Second, func(err error) bool { return err == nil }},
		{"banner-flood:100KB", 10 * time.Second, func(err error) bool { return err == nil }},
	} {
		t.Run(string(tt.fault), func(t *testing.T) {
			f := startFleet(t, Config{Devices: 1, Bastions: 1})
			d, b := f.Devices()[0], f.Bastions()[0]
			d.SetFault(tt.fault)
			b.SetFault(tt.fault)
			for addr, cfg := range map[string]*ssh.ClientConfig{d.Addr.String(): clientConfig(t, d.User, d.Password, d.HostKey),
				b.Addr.String(): clientConfig(t, b.User, b.Password, b.HostKey)} {
				if err := attempt(t, addr, cfg, tt.limit); !tt.want(err) {
					t.Errorf("logging in to %s: %v", addr, err)
				}
			}
			d.SetFault(NoFault)
			if err := attempt(t, d.Addr.String(), clientConfig(t, d.User, d.Password, d.HostKey), 10*time.Second); err != nil {
				t.Errorf("after the fault: %v", err)
			}
		})
	}
}

func said(text string) func(error) bool {
	return func(err error) bool { return err != nil && strings.Contains(err.Error(), text) }
}

// closedEarly is an end or a reset before the version of the server.
func closedEarly(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// TestFirstWords reads what comes before and around the version.
func TestFirstWords(t *testing.T) {
	for fault, want := range map[Fault]struct {
		text string
		end  func(error) bool
	}{
		Silent:      {"", timedOut},
		StallBanner: {"SSH-2.0-Open", timedOut},
		StallKex:    {version + "\r\n", timedOut},
		Throttle:    {"", func(err error) bool { return errors.Is(err, io.EOF) }},
	} {
		_, d := faultyDevice(t, MXDualRE, fault)
		conn := rawDial(t, d.Addr.String(), aMoment)
		text, err := io.ReadAll(conn)
		if err == nil {
			err = io.EOF
		}
		if string(text) != want.text || !want.end(err) {
			t.Errorf("%s: %q, %v", fault, text, err)
		}
	}
	_, d := faultyDevice(t, MXDualRE, "throttle:rst")
	if err := attempt(t, d.Addr.String(), clientConfig(t, d.User, d.Password, d.HostKey), 10*time.Second); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("throttle:rst: %v", err) // while connecting, or soon after
	}
	d.SetFault("banner-flood:lines")
	r := bufio.NewReader(rawDial(t, d.Addr.String(), 10*time.Second))
	for range 10000 {
		if line, err := r.ReadString('\n'); err != nil || strings.HasPrefix(line, "SSH-") {
			t.Fatalf("%q, %v", line, err)
		}
	}
}

func TestThrottleTheFirst(t *testing.T) {
	_, d := faultyDevice(t, MXDualRE, "throttle:2")
	cfg := clientConfig(t, d.User, d.Password, d.HostKey)
	for i := range 4 {
		if err := attempt(t, d.Addr.String(), cfg, 10*time.Second); (err == nil) != (i >= 2) {
			t.Errorf("connection %d: %v", i+1, err)
		}
	}
}

func TestConnectionLimit(t *testing.T) {
	f, d := faultyDevice(t, MXDualRE, "limit:2")
	first, _ := logIn(t, f, d), logIn(t, f, d)
	cfg := clientConfig(t, d.User, d.Password, d.HostKey)
	if err := attempt(t, d.Addr.String(), cfg, 10*time.Second); !closedEarly(err) {
		t.Errorf("the third connection: %v", err)
	}
	first.Close()
	deadline := time.Now().Add(10 * time.Second)
	for attempt(t, d.Addr.String(), cfg, 10*time.Second) != nil {
		if time.Now().After(deadline) {
			t.Fatal("no connection is let in after one has ended")
		}
	}
}

func TestRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s faultSwitch
		s.set("rate:3")
		st := s.v.Load()
		in := func() bool { _, ok := st.admit(); return ok }
		for i := range 5 {
			if in() != (i < 3) {
				t.Errorf("connection %d", i+1)
			}
		}
		time.Sleep(30 * time.Second)
		if in() {
			t.Error("a connection is let in half a minute later")
		}
		time.Sleep(61 * time.Second)
		if !in() {
			t.Error("no connection is let in a minute later")
		}
	})
	_, d := faultyDevice(t, MXDualRE, "rate:1")
	cfg := clientConfig(t, d.User, d.Password, d.HostKey)
	for i := range 2 {
		if err := attempt(t, d.Addr.String(), cfg, 10*time.Second); (err == nil) != (i == 0) {
			t.Errorf("connection %d: %v", i+1, err)
		}
	}
}

// TestLockout fails twice and finds the account locked, the right password
// refused, and the reason told in both forms of log-in.
func TestLockout(t *testing.T) {
	_, d := faultyDevice(t, MXDualRE, "lockout:2")
	addr := d.Addr.String()
	if err := attempt(t, addr, clientConfig(t, d.User, d.Password, d.HostKey), 10*time.Second); err != nil {
		t.Errorf("before it is locked: %v", err)
	}
	for range 2 {
		if err := attempt(t, addr, clientConfig(t, d.User, "bad", d.HostKey), 10*time.Second); err == nil {
			t.Error("a bad password is taken")
		}
	}
	cfg := clientConfig(t, d.User, d.Password, d.HostKey)
	var heard []string
	cfg.BannerCallback = func(text string) error { heard = append(heard, text); return nil }
	if err := attempt(t, addr, cfg, 10*time.Second); !said("too many authentication failures")(err) || !slices.Contains(heard, locked) {
		t.Errorf("password of a locked account: %v, %q", err, heard)
	}
	cfg.Auth = []ssh.AuthMethod{ssh.KeyboardInteractive(func(_, instruction string, questions []string, _ []bool) ([]string, error) {
		heard = []string{instruction}
		return make([]string, len(questions)), nil
	})}
	if err := attempt(t, addr, cfg, 10*time.Second); !said("too many authentication failures")(err) || !slices.Equal(heard, []string{locked}) {
		t.Errorf("keyboard-interactive of a locked account: %v, %q", err, heard)
	}
}

func TestEndlessPrompts(t *testing.T) {
	for fault, questions := range map[Fault]int{EndlessPrompts: 1, "endless-prompts:empty": 0} {
		_, d := faultyDevice(t, MXDualRE, fault)
		cfg, rounds, enough := clientConfig(t, d.User, d.Password, d.HostKey), 0, errors.New("enough")
		cfg.Auth = []ssh.AuthMethod{ssh.Password(d.Password), ssh.KeyboardInteractive(func(_, _ string, q []string, _ []bool) ([]string, error) {
			if rounds++; rounds == 50 || len(q) != questions {
				return nil, enough
			}
			return slices.Repeat([]string{d.Password}, len(q)), nil
		})}
		if err := attempt(t, d.Addr.String(), cfg, 10*time.Second); !errors.Is(err, enough) || rounds != 50 {
			t.Errorf("%s: %d rounds, %v", fault, rounds, err)
		}
	}
}

func TestBannerFlood(t *testing.T) {
	_, d := faultyDevice(t, MXDualRE, BannerFlood)
	cfg, total := clientConfig(t, d.User, d.Password, d.HostKey), 0
	cfg.BannerCallback = func(text string) error { total += len(text); return nil }
	if err := attempt(t, d.Addr.String(), cfg, 20*time.Second); err != nil || total < 4<<20 {
		t.Errorf("%d bytes of banner, %v", total, err)
	}
}

func TestNewHostKeyLater(t *testing.T) {
	for _, m := range []Model{MXDualRE, EXVC, ACX} { // with keys of both types
		_, d := faultyDevice(t, m, "new-host-key:later")
		cfg := clientConfig(t, d.User, d.Password, d.HostKey)
		for i := range 3 {
			if err := attempt(t, d.Addr.String(), cfg, 10*time.Second); i == 0 && err != nil || i > 0 && !said("host key mismatch")(err) {
				t.Errorf("connection %d to %s: %v", i+1, m, err)
			}
		}
	}
}

// TestOldAlgorithms logs in with what is insecure, and the key of the inventory.
func TestOldAlgorithms(t *testing.T) {
	f := startFleet(t, Config{Devices: 1, Bastions: 1, Faults: map[string]Fault{"*": OldAlgorithms}})
	d := f.Devices()[0]
	if !strings.HasPrefix(d.HostKey, "ssh-rsa ") || f.Bastions()[0].HostKey != d.HostKey {
		t.Fatalf("host key %.20s", d.HostKey)
	}
	cfg, old := clientConfig(t, d.User, d.Password, d.HostKey), ssh.InsecureAlgorithms()
	cfg.KeyExchanges, cfg.Ciphers, cfg.MACs = old.KeyExchanges, old.Ciphers, ssh.SupportedAlgorithms().MACs
	if err := attempt(t, d.Addr.String(), cfg, 10*time.Second); err != nil {
		t.Errorf("logging in: %v", err)
	}
	again := newFleet(t, Config{Devices: 1, Bastions: 1, Faults: map[string]Fault{"*": OldAlgorithms}})
	if again.Devices()[0].HostKey != d.HostKey {
		t.Error("the same seed has another key")
	}
	program, config := need.Program(t, "ssh"), sshFiles(t, f)
	args := []string{"-F", config, "-o", "KexAlgorithms=diffie-hellman-group1-sha1", "-o", "HostKeyAlgorithms=ssh-rsa", d.Name, "show version | display xml"}
	for _, cipher := range []string{"aes128-cbc", "3des-cbc"} {
		out, err := runClient(t, "", program, append([]string{"-o", "Ciphers=" + cipher}, args...)...)
		if err != nil || !strings.Contains(out, d.HostName) {
			t.Errorf("OpenSSH with %s: %v, %.100s", cipher, err, out)
		}
	}
	if _, err := runClient(t, "", program, args...); err == nil {
		t.Error("OpenSSH logs in with its own ciphers")
	}
}

func TestNoForward(t *testing.T) {
	f := startFleet(t, Config{Devices: 1, Bastions: 1, Behind: 1})
	c, b := logInBastion(t, f, "bastion-1"), f.Bastions()[0]
	for fault, want := range map[Fault]ssh.RejectionReason{NoForward: ssh.Prohibited, "no-forward:shortage": ssh.ResourceShortage,
		"no-forward:connect": ssh.ConnectionFailed} {
		b.SetFault(fault)
		_, err := c.Dial("tcp", f.Devices()[0].Addr.String())
		if refused, ok := errors.AsType[*ssh.OpenChannelError](err); !ok || refused.Reason != want {
			t.Errorf("%s: %v, want %v", fault, err, want)
		}
	}
}

// TestStallsEnd closes a fleet while clients wait for it.
func TestStallsEnd(t *testing.T) {
	for _, fault := range []Fault{Silent, StallBanner, StallKex, StallAuth, "slow-auth:1h", "endless-prompts", "banner-flood:lines", "banner-flood:1GB"} {
		f := newFleet(t, Config{Devices: 1, Faults: map[string]Fault{"mx-0001": fault}})
		if err := f.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		d := f.Devices()[0]
		cfg, stuck := clientConfig(t, d.User, d.Password, d.HostKey), make(chan error, 1)
		go func() { stuck <- attempt(t, d.Addr.String(), cfg, time.Minute) }()
		conn := rawDial(t, d.Addr.String(), 10*time.Second)
		if _, err := conn.Write([]byte("SSH-2.0-test\r\n")); err != nil && !closedEarly(err) {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Errorf("%s: %v", fault, err)
		}
		if err := <-stuck; err == nil {
			t.Errorf("%s: logged in", fault)
		}
	}
}
