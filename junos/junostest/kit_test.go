package junostest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"

	"lwc/junos"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// startFleet runs a fleet on loopback until the test ends.
func startFleet(t testing.TB, c Config) *Fleet {
	t.Helper()
	f := newFleet(t, c)
	if err := f.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// clientConfig logs in with a password and pins the host key.
func clientConfig(t testing.TB, user, password, hostKey string) *ssh.ClientConfig {
	t.Helper()
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(hostKey))
	if err != nil {
		t.Fatal(err)
	}
	return &ssh.ClientConfig{User: user, Auth: []ssh.AuthMethod{ssh.Password(password)},
		HostKeyCallback: ssh.FixedHostKey(key), HostKeyAlgorithms: []string{key.Type()}}
}

// dial connects and logs in within ten seconds.
func dial(conn net.Conn, cfg *ssh.ClientConfig) (*ssh.Client, error) {
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second)) // a forwarded connection has none
	c, channels, requests, err := ssh.NewClientConn(conn, "", cfg)
	if err != nil {
		conn.Close()
		return nil, err
	}
	_ = conn.SetDeadline(time.Time{})
	return ssh.NewClient(c, channels, requests), nil
}

func dialAddr(addr string, cfg *ssh.ClientConfig) (*ssh.Client, error) {
	conn, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		return nil, err
	}
	return dial(conn, cfg)
}

// logIn connects to a device, through its bastion if it has one.
func logIn(t testing.TB, f *Fleet, d *Device) *ssh.Client {
	t.Helper()
	var c *ssh.Client
	var err error
	if d.Behind == "" {
		c, err = dialAddr(d.Addr.String(), clientConfig(t, d.User, d.Password, d.HostKey))
	} else {
		var conn net.Conn
		if conn, err = logInBastion(t, f, d.Behind).Dial("tcp", d.Addr.String()); err == nil {
			c, err = dial(noDeadline{conn}, clientConfig(t, d.User, d.Password, d.HostKey))
		}
	}
	if err != nil {
		t.Fatalf("logging in to %s: %v", d.Name, err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// noDeadline is a forwarded connection, which has no deadlines.
type noDeadline struct{ net.Conn }

func (noDeadline) SetDeadline(time.Time) error { return nil }

func logInBastion(t testing.TB, f *Fleet, name string) *ssh.Client {
	t.Helper()
	i := slices.IndexFunc(f.Bastions(), func(b *Bastion) bool { return b.Name == name })
	b := f.Bastions()[i]
	c, err := dialAddr(b.Addr.String(), clientConfig(t, b.User, b.Password, b.HostKey))
	if err != nil {
		t.Fatalf("logging in to %s: %v", name, err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// channel is the netconf subsystem of a connection.
type channel struct {
	io.Reader
	io.WriteCloser
	session *ssh.Session
}

// Close tells nothing when the device has closed first, as it does after
// close-session.
func (c channel) Close() error {
	if err := c.session.Close(); !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

func netconf(t testing.TB, c *ssh.Client) (channel, error) {
	t.Helper()
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	in, err := s.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	return channel{out, in, s}, s.RequestSubsystem("netconf")
}

// openSession opens a session of the product's own client.
func openSession(t testing.TB, f *Fleet, d *Device) *junos.Session {
	t.Helper()
	ch, err := netconf(t, logIn(t, f, d))
	if err != nil {
		t.Fatalf("%s: %v", d.Name, err)
	}
	s, err := junos.Open(t.Context(), ch, junos.Options{HelloTimeout: 10 * time.Second, StallTimeout: 10 * time.Second})
	if err != nil {
		t.Fatalf("%s: %v", d.Name, err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// call reads the reply to one item.
func call(t testing.TB, s *junos.Session, item junos.Item) ([]byte, junos.Result) {
	t.Helper()
	r, err := s.Call(t.Context(), item)
	if err != nil {
		t.Fatalf("%s: %v", item.Name, err)
	}
	doc, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("%s: %v", item.Name, err)
	}
	return doc, r.Result()
}

// sshFiles writes what OpenSSH's client needs: a configuration, known hosts, a key.
func sshFiles(t testing.TB, f *Fleet) (config string) {
	t.Helper()
	dir := t.TempDir()
	var conf, known strings.Builder
	host := func(name, addr string, port uint16, user, via, key string) {
		fmt.Fprintf(&conf, "Host %s\n HostName %s\n Port %d\n User %s\n HostKeyAlias %s\n", name, addr, port, user, name)
		if via != "" {
			fmt.Fprintf(&conf, " ProxyJump %s\n", via)
		}
		fmt.Fprintf(&known, "%s %s\n", name, key)
	}
	for _, b := range f.Bastions() {
		host(b.Name, b.Addr.Addr().String(), b.Addr.Port(), b.User, "", b.HostKey)
	}
	for _, d := range f.Devices() {
		host(d.Name, d.Addr.Addr().String(), d.Addr.Port(), d.User, d.Behind, d.HostKey)
	}
	fmt.Fprintf(&conf, "Host *\n IdentityFile %s/key\n IdentitiesOnly yes\n IdentityAgent none\n UserKnownHostsFile %s/known\n GlobalKnownHostsFile none\n"+
		" StrictHostKeyChecking yes\n BatchMode yes\n ConnectTimeout 20\n LogLevel ERROR\n", dir, dir)
	for name, text := range map[string]string{"config": conf.String(), "known": known.String(), "key": f.clientPEM} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "config")
}

// sentOf are the hashes of what one device has sent for an item.
func sentOf(f *Fleet, device, item string) []string {
	var all []string
	for _, s := range f.Sent() {
		if s.Device == device && s.Item == item {
			all = append(all, s.SHA256)
		}
	}
	return all
}

// readTo reads from r up to and including a mark.
func readTo(t testing.TB, r io.Reader, mark string) string {
	t.Helper()
	var b bytes.Buffer
	one := make([]byte, 1)
	for !bytes.HasSuffix(b.Bytes(), []byte(mark)) {
		if _, err := r.Read(one); err != nil {
			t.Fatalf("reading to %q: %v after %.300q", mark, err, b.String())
		}
		b.Write(one)
	}
	return b.String()
}

func writeJSON(t testing.TB, path string, v any) {
	t.Helper()
	text, err := json.Marshal(v)
	if err == nil {
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func readFacts(t testing.TB, line string) map[string]any {
	t.Helper()
	facts := map[string]any{}
	if err := json.Unmarshal([]byte(line), &facts); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return facts
}

// logInWatched logs in and tells the error that the connection ends with.
func logInWatched(t testing.TB, d *Device, end *error) *ssh.Client {
	t.Helper()
	conn, err := net.DialTimeout("tcp", d.Addr.String(), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	c, err := dial(lastWords{conn, end}, clientConfig(t, d.User, d.Password, d.HostKey))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// lastWords notes the first error of a connection's Read; Wait of an ssh.Client
// returns after it.
type lastWords struct {
	net.Conn
	end *error
}

func (l lastWords) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	if err != nil && *l.end == nil {
		*l.end = err
	}
	return n, err
}
