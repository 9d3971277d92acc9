package device

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"lwc/transport/secret"
)

// listen serves connections with fn until the test ends, and returns the port.
func listen(t *testing.T, fn func(net.Conn)) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	done := make(chan struct{})
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				stop := make(chan struct{})
				wg.Go(func() {
					select {
					case <-done:
						c.Close()
					case <-stop:
					}
				})
				defer close(stop)
				fn(c)
			})
		}
	})
	t.Cleanup(func() { close(done); l.Close(); wg.Wait() })
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

// silent accepts and says nothing.
func silent(t *testing.T) uint16 {
	return listen(t, func(c net.Conn) {
		b := make([]byte, 1024)
		for _, err := c.Read(b); err == nil; _, err = c.Read(b) {
		}
	})
}

// server is an SSH server whose log-in the test decides. It has no channels.
func server(t *testing.T, config *ssh.ServerConfig) (port uint16, pin string) {
	t.Helper()
	private, pin := newKey(t, ssh.KeyAlgoED25519)
	signer, err := ssh.ParsePrivateKey(private.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	config.AddHostKey(signer)
	return listen(t, func(c net.Conn) {
		conn, channels, requests, err := ssh.NewServerConn(c, config)
		if err != nil {
			return
		}
		go ssh.DiscardRequests(requests)
		for ch := range channels {
			ch.Reject(ssh.ResourceShortage, "no more sessions")
		}
		conn.Wait()
	}), pin
}

func passwordHop(port uint16, pin string) Hop {
	return Hop{Name: "r1", Address: "127.0.0.1", Port: port, HostKeys: []string{pin},
		Auth: Auth{User: "lwc", Password: secret.FromString("hunter2")}}
}

// What a device writes to its standard error is more than the window of the
// channel takes: it must not block what it answers. (OpenSSH drops it.)
func TestStderrIsDrained(t *testing.T) {
	t.Parallel()
	config := &ssh.ServerConfig{NoClientAuth: true}
	private, pin := newKey(t, ssh.KeyAlgoED25519)
	signer, err := ssh.ParsePrivateKey(private.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	config.AddHostKey(signer)
	port := listen(t, func(c net.Conn) {
		_, channels, requests, err := ssh.NewServerConn(c, config)
		if err != nil {
			return
		}
		go ssh.DiscardRequests(requests)
		ch, asked, err := (<-channels).Accept()
		if err != nil {
			return
		}
		(<-asked).Reply(true, nil)
		go ssh.DiscardRequests(asked)
		ch.Stderr().Write(make([]byte, 3<<20))
		io.Copy(ch, ch)
	})
	conn, err := quick(t).Dial(t.Context(), Target{Device: passwordHop(port, pin)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	roundTrip(t, conn)
}

// A wrong password reaches a server once, whatever methods it offers.
func TestPasswordIsSentOnce(t *testing.T) {
	t.Parallel()
	for _, methods := range []string{"password", "keyboard-interactive", "both"} {
		t.Run(methods, func(t *testing.T) {
			var tries atomic.Int32
			refuse := errors.New("wrong password")
			config := &ssh.ServerConfig{MaxAuthTries: 20}
			if methods != "keyboard-interactive" {
				config.PasswordCallback = func(ssh.ConnMetadata, []byte) (*ssh.Permissions, error) {
					tries.Add(1)
					return nil, refuse
				}
			}
			if methods != "password" {
				config.KeyboardInteractiveCallback = func(_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
					if a, err := ask("", "", []string{"Password: "}, []bool{false}); err == nil && a[0] == "hunter2" {
						tries.Add(1)
					}
					return nil, refuse
				}
			}
			port, pin := server(t, config)
			_, err := quick(t).Dial(t.Context(), Target{Device: passwordHop(port, pin)})
			e := wantError(t, err, PhaseAuth, KindAuth, "r1")
			if n := tries.Load(); n != 1 || strings.Contains(e.Error(), "hunter2") {
				t.Errorf("sent %d times: %v", n, e)
			}
		})
	}
}

// Only a question for the password is answered.
func TestPrompts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		prompts []string
		echo    bool
		want    bool
	}{
		{"password", []string{"Password:"}, false, true},
		{"named", []string{"lwc@r1's password: "}, false, true},
		{"passcode", []string{"Enter PASSCODE:"}, false, true},
		{"shown", []string{"Password:"}, true, false},
		{"something else", []string{"Favourite colour:"}, false, false},
		{"new", []string{"New password:"}, false, false},
		{"again", []string{"Retype password:"}, false, false},
		{"two", []string{"Password:", "Token:"}, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var answered atomic.Bool
			config := &ssh.ServerConfig{KeyboardInteractiveCallback: func(_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
				if _, err := ask("", "welcome", nil, nil); err != nil {
					return nil, err
				}
				echos := make([]bool, len(c.prompts))
				for i := range echos {
					echos[i] = c.echo
				}
				if a, err := ask("", "", c.prompts, echos); err != nil || a[0] != "hunter2" {
					return nil, errors.New("no answer")
				}
				answered.Store(true)
				return nil, nil
			}}
			port, pin := server(t, config)
			_, err := quick(t).Dial(t.Context(), Target{Device: passwordHop(port, pin)})
			if answered.Load() != c.want {
				t.Errorf("answered %v: %v", answered.Load(), err)
			}
			if c.want { // logged in; this server is out of sessions
				wantError(t, err, PhaseSubsystem, KindThrottled, "r1")
			} else {
				e := wantError(t, err, PhaseAuth, KindAuth, "r1")
				if _, _, advice := e.Diagnosis(); !strings.Contains(advice, "something else than the password") {
					t.Errorf("advice %q: %v", advice, e)
				}
			}
		})
	}
}

func TestAlgorithms(t *testing.T) {
	t.Parallel()
	config := &ssh.ServerConfig{PasswordCallback: func(ssh.ConnMetadata, []byte) (*ssh.Permissions, error) { return nil, nil }}
	config.KeyExchanges = []string{ssh.InsecureKeyExchangeDH1SHA1}
	config.Ciphers = []string{ssh.InsecureCipherAES128CBC}
	port, pin := server(t, config)
	hop := passwordHop(port, pin)
	_, err := quick(t).Dial(t.Context(), Target{Device: hop})
	wantError(t, err, PhaseKeyExchange, KindAlgorithms, "r1")
	hop.Legacy = true
	_, err = quick(t).Dial(t.Context(), Target{Device: hop})
	wantError(t, err, PhaseSubsystem, KindThrottled, "r1") // logged in
}

func TestStrangePeers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		kind Kind
		fn   func(net.Conn)
	}{
		{"ends at once", KindThrottled, func(net.Conn) {}},
		{"ends after its version", KindThrottled, func(c net.Conn) { c.Write([]byte("SSH-2.0-OpenSSH_9.2\r\n")); c.Read(make([]byte, 1)) }},
		{"says it is full", KindThrottled, func(c net.Conn) { c.Write([]byte("Exceeded MaxStartups\r\n")) }},
		{"web server", KindProtocol, func(c net.Conn) {
			c.Read(make([]byte, 100))
			c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
		}},
		{"noise", KindProtocol, func(c net.Conn) {
			for _, err := c.Write(make([]byte, 4096)); err == nil; _, err = c.Write(make([]byte, 4096)) {
			}
		}},
		{"silence", KindTimeout, func(c net.Conn) { c.Read(make([]byte, 100)); c.Read(make([]byte, 1)) }},
		{"silence after its version", KindTimeout, func(c net.Conn) {
			c.Write([]byte("SSH-2.0-x\r\n"))
			b := make([]byte, 4096)
			for _, err := c.Read(b); err == nil; _, err = c.Read(b) {
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, pin := newKey(t, ssh.KeyAlgoED25519)
			t.Parallel()
			d := quick(t)
			if c.kind == KindTimeout {
				d.Timeouts.KeyExchange = 300 * time.Millisecond
			}
			_, err := d.Dial(t.Context(), Target{Device: passwordHop(listen(t, c.fn), pin)})
			wantError(t, err, PhaseKeyExchange, c.kind, "r1")
		})
	}
}

func TestSlowAuth(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	defer close(release)
	config := &ssh.ServerConfig{PasswordCallback: func(ssh.ConnMetadata, []byte) (*ssh.Permissions, error) {
		<-release
		return nil, nil
	}}
	port, pin := server(t, config)
	d := quick(t)
	d.Timeouts.Auth = 50 * time.Millisecond
	began := time.Now()
	_, err := d.Dial(t.Context(), Target{Device: passwordHop(port, pin)})
	wantError(t, err, PhaseAuth, KindTimeout, "r1")
	if took := time.Since(began); took > d.Timeouts.KeyExchange/2 {
		t.Errorf("the phase ended after %v, as if it were the one before", took)
	}
}

func TestDialFailures(t *testing.T) {
	t.Parallel()
	_, pin := newKey(t, ssh.KeyAlgoED25519)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name  string
		ctx   context.Context
		net   func(ctx context.Context, network, addr string) (net.Conn, error)
		phase Phase
		kind  Kind
	}{
		{"name", t.Context(), func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "r1", IsNotFound: true}}
		}, PhaseResolve, KindResolve},
		{"no answer", t.Context(), func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, PhaseConnect, KindConnect},
		{"cancelled", cancelled, nil, PhaseConnect, KindCancelled},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := &Dialer{Net: c.net, Timeouts: Timeouts{Connect: 20 * time.Millisecond}}
			_, err := d.Dial(c.ctx, Target{Device: passwordHop(1, pin)})
			wantError(t, err, c.phase, c.kind, "r1")
		})
	}
}

func TestConfigErrors(t *testing.T) {
	t.Parallel()
	_, pin := newKey(t, ssh.KeyAlgoED25519)
	port := silent(t)
	for name, change := range map[string]func(*Hop){
		"no address":   func(h *Hop) { h.Address = "" },
		"no user":      func(h *Hop) { h.Auth.User = "" },
		"bad pin":      func(h *Hop) { h.HostKeys = []string{"ssh-ed25519 nonsense"} },
		"no secret":    func(h *Hop) { h.Auth.Password = secret.Text{} },
		"bad key":      func(h *Hop) { h.Auth.PrivateKey = secret.FromString("no key") },
		"foreign type": func(h *Hop) { h.HostKeys = []string{dsaPin} },
	} {
		t.Run(name, func(t *testing.T) {
			hop := passwordHop(port, pin)
			change(&hop)
			_, err := quick(t).Dial(t.Context(), Target{Device: hop})
			wantError(t, err, PhaseConfig, KindConfig, "r1")
		})
	}
}

// dsaPin is a public key of the type ssh-dss, with p = q = g = y = 1.
const dsaPin = "ssh-dss AAAAB3NzaC1kc3MAAAABAQAAAAEBAAAAAQEAAAABAQ=="
