package device

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"lwc/testdata/need"
	"lwc/testdata/script"
	"lwc/transport/secret"
)

// Chains of one, two and three OpenSSH bastions; each connection of a chain is
// made once for all who go that way.
func TestChains(t *testing.T) {
	t.Parallel()
	dev := startSSHD(t, echo)
	hops := []Hop{startSSHD(t).hop("b1"), startSSHD(t).hop("b2"), startSSHD(t).hop("b3")}
	d := quick(t)
	tcp := counting(d)
	for n := 1; n <= len(hops); n++ {
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				c, err := d.Dial(t.Context(), Target{Device: dev.hop("r1"), Via: hops[:n]})
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				roundTrip(t, c)
				if i := c.Info(); len(i.HostKeys) != n+1 || len(i.Algorithms) != n+1 {
					t.Errorf("info %+v", i)
				}
			})
		}
		wg.Wait()
		if links, _ := d.tunnels(); links != n || tcp.Load() != 1 {
			t.Errorf("%d connections to bastions after chains of %d, %d of TCP", links, n, tcp.Load())
		}
	}
	_, err := d.Dial(t.Context(), Target{Device: dev.hop("r1"), Via: make([]Hop, maxHops+1)})
	wantError(t, err, PhaseConfig, KindConfig, "")
}

// An OpenSSH server at its limit of log-ins is throttled, never anything else.
func TestMaxStartups(t *testing.T) {
	t.Parallel()
	s := startSSHD(t, echo, "MaxStartups 2:100:2")
	d := quick(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	kinds := map[Kind]int{}
	for range 20 {
		wg.Go(func() {
			c, err := d.Dial(t.Context(), Target{Device: s.hop("r1")})
			kind := Kind("ok")
			if e, ok := errors.AsType[*Error](err); ok {
				kind = e.Kind
			} else {
				defer c.Close()
			}
			mu.Lock()
			defer mu.Unlock()
			kinds[kind]++
		})
	}
	wg.Wait()
	if kinds["ok"] == 0 || kinds[KindThrottled] == 0 || kinds["ok"]+kinds[KindThrottled] != 20 {
		t.Errorf("ended %v", kinds)
	}
}

func TestBastionsThatForwardOrNot(t *testing.T) {
	t.Parallel()
	dev := startSSHD(t, echo)
	forced, closed := startSSHD(t, "ForceCommand /bin/false"), startSSHD(t, "DisableForwarding yes")
	c, err := quick(t).Dial(t.Context(), Target{Device: dev.hop("r1"), Via: []Hop{forced.hop("b")}})
	if err != nil {
		t.Fatal(err)
	}
	roundTrip(t, c)
	c.Close()
	_, err = quick(t).Dial(t.Context(), Target{Device: dev.hop("r1"), Via: []Hop{closed.hop("b")}})
	e := wantError(t, err, PhaseForward, KindForwardRefused, "b")
	if _, kind, _ := e.Diagnosis(); kind != "forward-refused" {
		t.Errorf("kind %s", kind)
	}
}

// A server that lets only one failure pass says so when it ends the connection.
func TestTooManyFailures(t *testing.T) {
	t.Parallel()
	s := startSSHD(t, echo, "MaxAuthTries 1")
	hop := s.hop("r1")
	hop.Auth = s.other
	_, err := quick(t).Dial(t.Context(), Target{Device: hop})
	e := wantError(t, err, PhaseAuth, KindLockedOut, "r1")
	if strings.Contains(e.Error(), "Too many") {
		t.Errorf("the words of the server are kept: %v", e)
	}
}

// keygen runs ssh-keygen in a folder.
func keygen(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command(need.Program(t, "ssh-keygen"), append([]string{"-q"}, args...)...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen %v: %v: %s", args, err, out)
	}
}

func readText(t *testing.T, path ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// Keys of every sort that ssh-keygen writes open the door, with and without a
// passphrase.
func TestPrivateKeys(t *testing.T) {
	t.Parallel()
	s := startSSHD(t, echo)
	d, dir := quick(t), t.TempDir()
	for i, sort := range []string{"-t ed25519", "-t ecdsa -b 256", "-t ecdsa -b 384", "-t ecdsa -b 521", "-t rsa -b 2048",
		"-t rsa -b 2048 -m PEM", "-t ecdsa -m PEM", "-t rsa -b 2048 -m PKCS8"} {
		for _, phrase := range []string{"", "a long phrase"} {
			if phrase != "" && strings.HasSuffix(sort, "PKCS8") {
				continue // x/crypto reads no encrypted PKCS #8
			}
			name := fmt.Sprint("key", i, len(phrase))
			keygen(t, dir, append(strings.Fields(sort), "-a", "1", "-N", phrase, "-f", name)...)
			writeFile(t, s.dir, "authorized", readText(t, dir, name+".pub")+"\n")
			hop := s.hop("r1")
			hop.Auth.PrivateKey = secret.FromString(readText(t, dir, name) + "\n")
			hop.Auth.Passphrase = secret.FromString("a long phrase") // also where the key has none
			c, err := d.Dial(t.Context(), Target{Device: hop})
			if err != nil {
				t.Errorf("%s with phrase %q: %v", sort, phrase, err)
				continue
			}
			c.Close()
			hop.Auth.Passphrase = secret.FromString("a wrong one")
			_, err = d.Dial(t.Context(), Target{Device: hop})
			if phrase != "" {
				if e := wantError(t, err, PhaseConfig, KindConfig, "r1"); strings.Contains(e.Error(), "a wrong one") {
					t.Error(e)
				}
			}
		}
	}
}

// A real sshd takes user certificates; ours are those of ssh-keygen.
func TestUserCertificates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	keygen(t, dir, "-t", "ed25519", "-N", "", "-f", "ca")
	keygen(t, dir, "-t", "ed25519", "-N", "", "-f", "other")
	s := startSSHD(t, echo, "TrustedUserCAKeys "+filepath.Join(dir, "ca.pub"))
	cert := func(name, sort, ca string, args ...string) Hop {
		keygen(t, dir, "-t", sort, "-N", "", "-f", name)
		keygen(t, dir, append([]string{"-s", ca, "-I", "lwc", "-n", s.auth.User}, append(args, name+".pub")...)...)
		hop := s.hop("r1")
		hop.Auth = Auth{User: s.auth.User, PrivateKey: secret.FromString(readText(t, dir, name) + "\n"),
			Certificate: secret.FromString(readText(t, dir, name+"-cert.pub"))}
		return hop
	}
	for _, sort := range []string{"ed25519", "ecdsa", "rsa"} {
		c, err := quick(t).Dial(t.Context(), Target{Device: cert("good-"+sort, sort, "ca")})
		if err != nil {
			t.Errorf("%s: %v", sort, err)
			continue
		}
		c.Close()
	}
	_, err := quick(t).Dial(t.Context(), Target{Device: cert("foreign", "ed25519", "other")})
	wantError(t, err, PhaseAuth, KindAuth, "r1")
	_, err = quick(t).Dial(t.Context(), Target{Device: cert("old", "ed25519", "ca", "-V", "20200101:20210101")})
	if e := wantError(t, err, PhaseConfig, KindConfig, "r1"); !strings.Contains(e.Error(), "expired at 202") {
		t.Error(e)
	}
	mixed := cert("mixed", "ed25519", "ca")
	mixed.Auth.PrivateKey = s.other.PrivateKey
	_, err = quick(t).Dial(t.Context(), Target{Device: mixed})
	wantError(t, err, PhaseConfig, KindConfig, "r1")
}

// Host certificates of a pinned authority are taken for the name or address of
// the hop, and for nothing else.
func TestHostCertificates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	keygen(t, dir, "-t", "ed25519", "-N", "", "-f", "ca")
	keygen(t, dir, "-t", "ed25519", "-N", "", "-f", "other")
	mark := func(ca string) string { return "@cert-authority " + readText(t, dir, ca+".pub") }
	for i, c := range []struct {
		name string
		sort string
		args []string
		pin  string
		text string // empty: accepted
	}{
		{"address", "ed25519", []string{"-h", "-n", "127.0.0.1"}, mark("ca"), ""},
		{"name", "rsa", []string{"-h", "-n", "elsewhere,r1"}, mark("ca"), ""},
		{"another host", "ed25519", []string{"-h", "-n", "r2"}, mark("ca"), "it is for r2"},
		{"any host", "ed25519", []string{"-h"}, mark("ca"), "it is for "},
		{"expired", "ecdsa", []string{"-h", "-n", "r1", "-V", "20200101:20210101"}, mark("ca"), "expired"},
		{"of a user", "ed25519", []string{"-n", "r1"}, mark("ca"), ""}, // sshd does not show it
		{"another authority", "ed25519", []string{"-h", "-n", "r1"}, mark("other"), "another authority"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			key := fmt.Sprint("host", i)
			keygen(t, dir, "-t", c.sort, "-N", "", "-f", key)
			keygen(t, dir, append(append([]string{"-s", "ca", "-I", "host"}, c.args...), key+".pub")...)
			s := startSSHD(t, echo, "HostKey "+filepath.Join(dir, key), "HostCertificate "+filepath.Join(dir, key+"-cert.pub"))
			hop := s.hop("r1")
			hop.HostKeys = []string{c.pin}
			conn, err := quick(t).Dial(t.Context(), Target{Device: hop})
			if c.text == "" && c.name != "of a user" {
				if err != nil {
					t.Fatal(err)
				}
				conn.Close()
				return
			}
			e := wantError(t, err, PhaseKeyExchange, KindHostKeyUnknown, "r1")
			if _, _, advice := e.Diagnosis(); !strings.Contains(advice, c.text) || !strings.Contains(advice, "SHA256:") {
				t.Errorf("advice %q", advice)
			}
		})
	}
}

// What stands in for the subsystem, in the order of the field: a command, then
// the CLI where that is allowed.
func TestStandIns(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	command := func(name, text string) string {
		script.Write(t, dir, name, "#!/bin/sh\n"+text)
		return dir
	}
	path := noStartup + " PATH=" + command("xml-mode", "printf '\\n<hello></hello>]]>]]>'; exec cat\n") + ":/usr/bin:/bin"
	s := startSSHD(t, path)
	c, err := quick(t).Dial(t.Context(), Target{Device: s.hop("r1")})
	if err != nil {
		t.Fatal(err)
	}
	if c.Info().Mode != ModeXML {
		t.Errorf("mode %s", c.Info().Mode)
	}
	readHello(t, c)
	c.Close()

	command("xml-mode", "echo 'unknown command.'; exit 1\n")
	command("show", `case $1 in
fail) echo half; kill -9 $$;;
slow) echo begun; exec sleep 60;;
*) echo "<output>$*</output>"; echo noise >&2;;
esac
`)
	_, err = quick(t).Dial(t.Context(), Target{Device: s.hop("r1")})
	wantError(t, err, PhaseSubsystem, KindSubsystem, "r1")
	testCLI(t, s)
}
