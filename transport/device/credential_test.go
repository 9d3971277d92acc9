package device

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"math/big"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"

	"lwc/transport/secret"
)

// A password that is shared by nobody but the dial of a bastion that others wait
// for is still whole when its first owner has wiped his.
func TestFirstOwnerWipesHisPassword(t *testing.T) {
	t.Parallel()
	asked, answer := make(chan struct{}), make(chan struct{})
	got := make(chan string, 1)
	config := &ssh.ServerConfig{KeyboardInteractiveCallback: func(_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
		close(asked)
		<-answer
		a, err := ask("", "", []string{"Password:"}, []bool{false})
		if err == nil {
			got <- a[0]
		}
		return nil, err
	}}
	port, pin := server(t, config)
	via := func() Hop { return passwordHop(port, pin) }
	d, mine := quick(t), via()
	ctx, leave := context.WithCancel(t.Context())
	errs := make(chan error, 2)
	dial := func(ctx context.Context, h Hop) {
		_, err := d.Dial(ctx, Target{Device: passwordHop(1, pin), Via: []Hop{h}})
		errs <- err
	}
	go dial(ctx, mine)
	<-asked
	go dial(t.Context(), via())
	eventually(t, "both wait", func() bool { return waiters(d) == 2 })
	leave()
	<-errs
	mine.Auth.Password.Wipe()
	close(answer)
	<-errs
	select {
	case p := <-got:
		if p != "hunter2" {
			t.Errorf("the password sent was %q", p)
		}
	default:
		t.Error("no password was sent")
	}
}

// An opened key is wiped when it is forgotten and nobody uses it any more.
func TestOpenedKeysAreWiped(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoRSA} {
		private, _ := newKey(t, kind)
		a := Auth{User: "u", PrivateKey: private}
		signs := func(o *opened) bool {
			s, err := o.signer.Sign(zeros{}, []byte("data"))
			return err == nil && o.signer.PublicKey().Verify([]byte("data"), s) == nil
		}
		synctest.Test(t, func(t *testing.T) {
			var r keyring
			held := r.open(digest{1}, a, time.Minute)
			if again := r.open(digest{1}, a, time.Minute); again != held {
				t.Error("opened twice")
			}
			held.drop()
			time.Sleep(2 * time.Minute) // of the bubble
			synctest.Wait()
			if !signs(held) {
				t.Errorf("%s: wiped while it is held", kind)
			}
			next := r.open(digest{1}, a, time.Minute)
			if next == held {
				t.Error("not forgotten")
			}
			held.drop()
			if !wiped(held.raw) || wiped(next.raw) {
				t.Errorf("%s: wiped %v and %v", kind, wiped(held.raw), wiped(next.raw))
			}
			next.drop()
			r.close()
			late := r.open(digest{1}, a, time.Minute)
			if !wiped(next.raw) || wiped(late.raw) || len(r.known) != 0 {
				t.Errorf("%s: Close left a key", kind)
			}
			if late.drop(); !wiped(late.raw) {
				t.Errorf("%s: opened after Close and kept", kind)
			}
			time.Sleep(time.Minute)
		})
	}
}

// wiped tells whether the numbers of a key are zero.
func wiped(raw any) bool {
	switch k := raw.(type) {
	case *ed25519.PrivateKey:
		return bytes.Count(*k, []byte{0}) == len(*k)
	case *ecdsa.PrivateKey:
		//lint:ignore SA1019 it is only looked at
		return onlyZeros(k.D)
	case *rsa.PrivateKey:
		return onlyZeros(append(slices.Clone(k.Primes), k.D, k.Precomputed.Dp, k.Precomputed.Dq, k.Precomputed.Qinv)...)
	}
	return false
}

func onlyZeros(numbers ...*big.Int) bool {
	for _, n := range numbers {
		for _, w := range n.Bits() {
			if w != 0 {
				return false
			}
		}
	}
	return true
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// A private RSA key signs by SHA-2, and by SHA-1 only where Legacy says so.
func TestSignaturesBySHA1AreLegacy(t *testing.T) {
	t.Parallel()
	private, _ := newKey(t, ssh.KeyAlgoRSA)
	config := &ssh.ServerConfig{PublicKeyAuthAlgorithms: []string{ssh.KeyAlgoRSA},
		PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) { return nil, nil }}
	port, pin := server(t, config)
	hop := passwordHop(port, pin)
	hop.Auth = Auth{User: "lwc", PrivateKey: private}
	_, err := quick(t).Dial(t.Context(), Target{Device: hop})
	e := wantError(t, err, PhaseAuth, KindAlgorithms, "r1")
	if _, _, advice := e.Diagnosis(); !strings.Contains(advice, "SHA-1") || !strings.Contains(advice, "legacy") {
		t.Errorf("advice %q", advice)
	}
	hop.Legacy = true
	_, err = quick(t).Dial(t.Context(), Target{Device: hop})
	wantError(t, err, PhaseSubsystem, KindThrottled, "r1") // logged in
	hop.Legacy, hop.Auth.PrivateKey = false, secret.Text{}
	_, err = quick(t).Dial(t.Context(), Target{Device: hop})
	wantError(t, err, PhaseConfig, KindConfig, "r1")
}

// Host certificates: who signed them, how, for whom and for how long.
func TestHostCertificateRules(t *testing.T) {
	t.Parallel()
	signer := func(kind string) ssh.Signer {
		private, _ := newKey(t, kind)
		s, err := ssh.ParsePrivateKey(private.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	ed, rsaCA, host := signer(ssh.KeyAlgoED25519), signer(ssh.KeyAlgoRSA).(ssh.AlgorithmSigner), signer(ssh.KeyAlgoED25519)
	with := func(algorithm string) ssh.Signer {
		s, err := ssh.NewSignerWithAlgorithms(rsaCA, []string{algorithm})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	now := uint64(time.Now().Unix())
	p := pins{authorities: []ssh.PublicKey{ed.PublicKey(), rsaCA.PublicKey()}, principals: []string{"192.0.2.1", "r1"}}
	for _, c := range []struct {
		name  string
		ca    ssh.Signer
		spoil func(*ssh.Certificate)
		text  string // empty: accepted
	}{
		{"good", ed, func(*ssh.Certificate) {}, ""},
		{"good, of some time", ed, func(c *ssh.Certificate) { c.ValidAfter, c.ValidBefore = now-60, now+60 }, ""},
		{"SHA-2 of RSA", with(ssh.KeyAlgoRSASHA512), func(*ssh.Certificate) {}, ""},
		{"SHA-1 of RSA", with(ssh.KeyAlgoRSA), func(*ssh.Certificate) {}, "SHA-1"},
		{"not yet", ed, func(c *ssh.Certificate) { c.ValidAfter = now + 60 }, "not valid before"},
		{"no more", ed, func(c *ssh.Certificate) { c.ValidBefore = now - 1 }, "expired"},
		{"of a user", ed, func(c *ssh.Certificate) { c.CertType = ssh.UserCert }, "not that of a host"},
		{"for another", ed, func(c *ssh.Certificate) { c.ValidPrincipals = []string{"r2"} }, "it is for r2"},
		{"for nobody", ed, func(c *ssh.Certificate) { c.ValidPrincipals = nil }, "it is for"},
		{"with an option that must be understood", ed, func(c *ssh.Certificate) { c.CriticalOptions = map[string]string{"x": "y"} }, "critical option"},
		{"of a stranger", host, func(*ssh.Certificate) {}, "another authority"},
	} {
		cert := &ssh.Certificate{Key: host.PublicKey(), CertType: ssh.HostCert, ValidPrincipals: []string{"r1"}, ValidBefore: ssh.CertTimeInfinity}
		c.spoil(cert)
		if err := cert.SignCert(zeros{}, c.ca); err != nil {
			t.Fatal(err)
		}
		_, err := p.verify(cert, true)
		if c.text == "" && err != nil || c.text != "" && (err == nil || !strings.Contains(err.Error(), c.text)) {
			t.Errorf("%s: %v", c.name, err)
		}
		cert.Serial++ // after the signature
		if _, err := p.verify(cert, true); err == nil {
			t.Errorf("%s: accepted with a wrong signature", c.name)
		}
	}
}

// A log-in that is over, whichever way, holds no credential.
func TestLoginForgetsItsCredential(t *testing.T) {
	t.Parallel()
	s := startSSHD(t, echo)
	d := quick(t)
	for _, auth := range []Auth{s.auth, s.other, {User: s.auth.User, Password: secret.FromString("hunter2")}} {
		to := s.hop("r1")
		to.Auth = auth
		hops, e := d.prepare(Target{Device: to})
		if e != nil {
			t.Fatal(e)
		}
		h := &handshake{hop: hops[0], times: d.Timeouts.withDefaults(), rec: &record{}}
		c, _ := d.attempt(t.Context(), h, nil)
		if h.hop.key != nil || h.hop.Auth != (Auth{}) || h.login.password != nil || h.login.signer != nil {
			t.Errorf("it holds %+v", h.hop)
		}
		if _, err := h.login.reveal(); err != errOver {
			t.Errorf("the password: %v", err)
		}
		if _, err := h.login.key(); err != errOver {
			t.Errorf("the key: %v", err)
		}
		if c != nil {
			c.end()
		}
		hops[0].key.drop()
		eventually(t, "nobody holds the key", func() bool {
			d.keys.mu.Lock()
			defer d.keys.mu.Unlock()
			return hops[0].key.holders == 0
		})
	}
}

// Nobody holds a key when the dials are over, good or bad, though the
// connections stand.
func TestKeysOfADialAreGivenBack(t *testing.T) {
	t.Parallel()
	b, dev := startSSHD(t), startSSHD(t, echo)
	d := quick(t)
	to := Target{Device: dev.hop("r1"), Via: []Hop{b.hop("b")}}
	c, err := d.Dial(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	to.Device.Auth = dev.other
	_, err = d.Dial(t.Context(), to)
	wantError(t, err, PhaseAuth, KindAuth, "r1")
	to.Device.HostKeys = []string{"nonsense"}
	_, err = d.Dial(t.Context(), to)
	wantError(t, err, PhaseConfig, KindConfig, "r1")
	eventually(t, "nobody holds a key", func() bool {
		d.keys.mu.Lock()
		defer d.keys.mu.Unlock()
		for _, o := range d.keys.known {
			if o.holders != 0 {
				return false
			}
		}
		return len(d.keys.known) == 3
	})
	roundTrip(t, c)
}
