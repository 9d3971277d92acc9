package device

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"lwc/testdata/need"
	"lwc/testdata/script"
	"lwc/transport/secret"
)

// sshd is a real OpenSSH server on loopback that lets one key in.
type sshd struct {
	port  uint16
	keys  map[string]string // host keys as pins, by type
	auth  Auth
	other Auth // a key that it refuses
	log   *logText
	dir   string

	program, config string
	cmd             *exec.Cmd
}

// logText is what a server tells; it is read while it grows.
type logText struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// noStartup keeps the shell of the user of the test from reading what it reads
// first when sshd starts it, which may take long or hang: bash does not where it
// is not the outermost. Of several such lines sshd takes the first.
const noStartup = "SetEnv SHLVL=3"

// startSSHD runs sshd as the user of the test, with the given lines of
// configuration, until the test ends.
func startSSHD(t testing.TB, config ...string) *sshd {
	t.Helper()
	program := need.Program(t, "sshd")
	if os.Geteuid() == 0 { // sshd asks for it; its package makes it at boot
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			need.Missing(t, "/run/sshd")
		}
	}
	dir := t.TempDir()
	s := &sshd{keys: map[string]string{}, log: new(logText), dir: dir}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	s.auth, s.other = Auth{User: me.Username}, Auth{User: me.Username}
	var public string
	s.auth.PrivateKey, public = newKey(t, ssh.KeyAlgoED25519)
	s.other.PrivateKey, _ = newKey(t, ssh.KeyAlgoED25519)
	writeFile(t, dir, "authorized", public)
	answer := script.Write(t, dir, "echo", echoScript)
	lines := strings.Split(strings.ReplaceAll(strings.Join(config, "\n"), echo, echo+" "+answer), "\n")
	lines = append(lines, "ListenAddress 127.0.0.1", "UsePAM no", "StrictModes no", "PidFile none",
		"AuthorizedKeysFile "+filepath.Join(dir, "authorized"), "PermitRootLogin yes", "LogLevel VERBOSE",
		"PasswordAuthentication no", "KbdInteractiveAuthentication no", "UseDNS no", noStartup)
	for _, kind := range []string{ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoRSA} {
		private, pin := serverKey(t, kind)
		s.keys[kind] = pin
		lines = append(lines, "HostKey "+writeFile(t, dir, kind, string(private.Reveal())))
	}
	s.port = freePort(t)
	lines = append(lines, fmt.Sprintf("Port %d", s.port))
	s.program, s.config = program, writeFile(t, dir, "config", strings.Join(lines, "\n")+"\n")
	s.restart(t)
	t.Cleanup(func() {
		s.kill()
		if t.Failed() {
			t.Logf("sshd on port %d:\n%s", s.port, s.log)
		}
	})
	return s
}

// kill ends sshd and the processes of its connections, which it does not take
// along.
func (s *sshd) kill() {
	children := descendants(s.cmd.Process.Pid)
	s.cmd.Process.Kill()
	for _, pid := range children {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	s.cmd.Wait()
}

// descendants of a process, from /proc.
func descendants(of int) (all []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		var state string
		var parent int
		if n, _ := fmt.Sscan(rest, &state, &parent); n == 2 && parent == of {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			all = append(append(all, pid), descendants(pid)...)
		}
	}
	return all
}

func (s *sshd) restart(t testing.TB) {
	cmd := exec.Command(s.program, "-D", "-e", "-f", s.config)
	s.cmd, s.log = cmd, new(logText)
	cmd.Stderr = s.log
	cmd.WaitDelay = 5 * time.Second                                    // its children hold the pipe while a connection is open
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // outlives no test that panics
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(30 * time.Second)
	for time.Now().Before(deadline) {
		if strings.Contains(s.log.String(), fmt.Sprintf("listening on 127.0.0.1 port %d.", s.port)) {
			return
		}
		time.Sleep(5 * time.Millisecond) // polls a real process
	}
	t.Fatalf("sshd does not listen: %s", s.log)
}

// hold opens a connection that takes the one place of a server with MaxStartups 1.
func (s *sshd) hold(t *testing.T) net.Conn {
	t.Helper()
	for range 500 {
		c, err := net.Dial("tcp", s.addr())
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 4)
		if io.ReadFull(c, b); string(b) == "SSH-" {
			return c
		}
		c.Close()
		time.Sleep(10 * time.Millisecond) // the place is still taken: polls a real process
	}
	t.Fatal("sshd has no place")
	return nil
}

func (s *sshd) addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(int(s.port))) }

// hop is the way in that works.
func (s *sshd) hop(name string) Hop {
	return Hop{Name: name, Address: "127.0.0.1", Port: s.port, Auth: s.auth, HostKeys: []string{s.keys[ssh.KeyAlgoED25519]}}
}

// lastPort was given to a test of this process.
var lastPort atomic.Uint32

// freePort is free when it returns, which is as good as it gets for a program
// that cannot be handed a listener. It is below the ports that the kernel gives
// to others by itself, and no two tests get the same.
func freePort(t testing.TB) uint16 {
	t.Helper()
	const first, count = 12000, 20000
	for range count {
		port := uint16(first + (uint32(os.Getpid())*37+lastPort.Add(1))%count)
		if l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port)))); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

func writeFile(t testing.TB, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// rsaKey is the RSA key of all servers here: to make one takes long.
var rsaKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// serverKey is newKey, but for RSA always the same.
func serverKey(t testing.TB, kind string) (private secret.Text, public string) {
	t.Helper()
	if kind != ssh.KeyAlgoRSA {
		return newKey(t, kind)
	}
	key, err := rsaKey()
	if err != nil {
		t.Fatal(err)
	}
	return marshalKey(t, key)
}

// newKey returns a private key and the line of its public half.
func newKey(t testing.TB, kind string) (private secret.Text, public string) {
	t.Helper()
	var key any
	var err error
	switch kind {
	case ssh.KeyAlgoED25519:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	case ssh.KeyAlgoECDSA256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	default:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	return marshalKey(t, key)
}

func marshalKey(t testing.TB, key any) (private secret.Text, public string) {
	t.Helper()
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(block)
	signer, err := ssh.ParsePrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return secret.New(text), strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
}

// fingerprint of a pin line.
func fingerprint(t *testing.T, line string) string {
	t.Helper()
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		t.Fatal(err)
	}
	return ssh.FingerprintSHA256(key)
}
