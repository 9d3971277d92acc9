package device

import (
	"io"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"lwc/junos/junostest"
)

// cpu is the processor time of this process so far.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkDial logs in at a real sshd: by this package, by the SSH package
// alone, and by this package through an OpenSSH bastion.
func BenchmarkDial(b *testing.B) {
	dev, bastion := startSSHD(b, echo), startSSHD(b)
	run := func(name string, dial func() (io.Closer, error)) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			began := cpu()
			for b.Loop() {
				c, err := dial()
				if err != nil {
					b.Fatal(err)
				}
				c.Close()
			}
			b.ReportMetric(float64((cpu()-began).Microseconds())/float64(b.N), "cpu-µs/op")
		})
	}
	d := quick(b)
	run("direct", func() (io.Closer, error) { return d.Dial(b.Context(), Target{Device: dev.hop("r1")}) })
	run("raw", func() (io.Closer, error) { return rawDial(dev) })
	run("bastion", func() (io.Closer, error) {
		return d.Dial(b.Context(), Target{Device: dev.hop("r1"), Via: []Hop{bastion.hop("b")}})
	})
}

// rawDial does no more than the SSH package must.
func rawDial(s *sshd) (io.Closer, error) {
	signer, err := ssh.ParsePrivateKey(s.auth.PrivateKey.Reveal())
	if err != nil {
		return nil, err
	}
	c, err := ssh.Dial("tcp", s.addr(), &ssh.ClientConfig{User: s.auth.User, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyCallback: ssh.InsecureIgnoreHostKey(), HostKeyAlgorithms: []string{ssh.KeyAlgoED25519}})
	if err != nil {
		return nil, err
	}
	session, err := c.NewSession()
	if err != nil {
		return nil, err
	}
	return c, session.RequestSubsystem("netconf")
}

// BenchmarkTransfer carries a megabyte from a real sshd.
func BenchmarkTransfer(b *testing.B) {
	const size = 1 << 20
	dev, bastion := startSSHD(b, "Subsystem\tnetconf /usr/bin/yes"), startSSHD(b)
	for name, via := range map[string][]Hop{"direct": nil, "bastion": {bastion.hop("b")}} {
		b.Run(name, func(b *testing.B) {
			c, err := quick(b).Dial(b.Context(), Target{Device: dev.hop("r1"), Via: via})
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			b.SetBytes(size)
			buf := make([]byte, 64<<10)
			began := cpu()
			for b.Loop() {
				for left := size; left > 0; {
					n, err := c.Read(buf[:min(left, len(buf))])
					if err != nil {
						b.Fatal(err)
					}
					left -= n
				}
			}
			b.ReportMetric(float64((cpu()-began).Microseconds())/float64(b.N), "cpu-µs/op")
		})
	}
}

// A device costs at most nine goroutines, also behind a bastion.
func TestGoroutinesOfADevice(t *testing.T) {
	const devices = 20
	b, dev := startSSHD(t), startSSHD(t, echo)
	for name, via := range map[string][]Hop{"direct": nil, "bastion": {b.hop("b")}} {
		d := quick(t)
		first, err := d.Dial(t.Context(), Target{Device: dev.hop("r1"), Via: via})
		if err != nil {
			t.Fatal(err)
		}
		before := runtime.NumGoroutine()
		var all []*Conn
		for range devices {
			c, err := d.Dial(t.Context(), Target{Device: dev.hop("r1"), Via: via})
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, c)
		}
		if each := float64(runtime.NumGoroutine()-before) / devices; each > 9 {
			t.Errorf("%s: %.1f goroutines a device", name, each)
		} else {
			t.Logf("%s: %.1f goroutines a device", name, each)
		}
		for _, c := range append(all, first) {
			c.Close()
		}
	}
}

// What is negotiated with a modern server is the best of both for the least.
func TestNegotiation(t *testing.T) {
	t.Parallel()
	s := startSSHD(t, echo, "KexAlgorithms curve25519-sha256,sntrup761x25519-sha512@openssh.com",
		"Ciphers chacha20-poly1305@openssh.com,aes256-gcm@openssh.com,aes128-gcm@openssh.com")
	hop := s.hop("r1")
	hop.HostKeys, hop.TrustFirst = nil, true
	c, err := quick(t).Dial(t.Context(), Target{Device: hop})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if a := c.Info().Algorithms["r1"]; a.Cipher != ssh.CipherAES128GCM || a.HostKey != ssh.KeyAlgoED25519 {
		t.Errorf("negotiated %+v", a)
	}
	f := startFleet(t, junostest.Config{Devices: 1})
	c, err = quick(t).Dial(t.Context(), target(f, f.Devices()[0]))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, a := range c.Info().Algorithms {
		if !strings.HasPrefix(a.KeyExchange, "mlkem768") || a.Cipher != ssh.CipherAES128GCM {
			t.Errorf("negotiated %+v", a)
		}
	}
}
