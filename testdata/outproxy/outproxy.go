// Package outproxy runs real HTTP proxies, of the sort that a site puts between its
// networks and the world, for the length of a test: tinyproxy and squid, from the
// distribution's packages, with a user and a password.
package outproxy

import (
	"crypto/md5"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"lwc/testdata/need"
)

// startTime bounds starting a proxy.
const startTime = 20 * time.Second

// Proxy is a running proxy.
type Proxy struct {
	Host string
	Port uint16
	cmd  *exec.Cmd
}

// Address is host:port.
func (p *Proxy) Address() string { return net.JoinHostPort(p.Host, strconv.Itoa(int(p.Port))) }

// Stop ends the proxy and all that goes through it.
func (p *Proxy) Stop() {
	_ = p.cmd.Process.Kill() // it may be gone
	_ = p.cmd.Wait()
}

// Tinyproxy starts tinyproxy; more is further lines of its configuration.
func Tinyproxy(t testing.TB, name, password, more string) *Proxy {
	t.Helper()
	program, dir, port := need.Program(t, "tinyproxy"), folder(t), freePort(t)
	conf := fmt.Sprintf("Port %d\nListen 127.0.0.1\nTimeout 600\nLogLevel Critical\nMaxClients 100\nBasicAuth %s %s\n%s\n", port, name, password, more)
	write(t, dir, "tinyproxy.conf", conf)
	return start(t, port, exec.Command(program, "-d", "-c", filepath.Join(dir, "tinyproxy.conf")))
}

// Squid starts squid, which lets only those pass that CONNECT with the credentials,
// and to those ports alone if any are given.
func Squid(t testing.TB, name, password string, ports ...string) *Proxy {
	t.Helper()
	port := freePort(t)
	return squid(t, port, fmt.Sprintf("http_port 127.0.0.1:%d\n", port), name, password, ports)
}

// SecureSquid is Squid behind TLS, with a certificate and its key in PEM form.
func SecureSquid(t testing.TB, certPEM, keyPEM []byte, name, password string, ports ...string) *Proxy {
	t.Helper()
	port, dir := freePort(t), folder(t)
	write(t, dir, "cert.pem", string(certPEM))
	write(t, dir, "key.pem", string(keyPEM))
	listen := fmt.Sprintf("https_port 127.0.0.1:%d tls-cert=%[2]s/cert.pem tls-key=%[2]s/key.pem\n", port, dir)
	return squid(t, port, listen, name, password, ports)
}

const squidConf = `%[1]s
auth_param basic program /usr/lib/squid/basic_ncsa_auth %[2]s/users
auth_param basic children 2 startup=1
auth_param basic realm outproxy
acl known proxy_auth REQUIRED
%[3]s
http_access allow CONNECT known
http_access deny all
cache deny all
cache_mem 8 MB
access_log none
cache_store_log none
cache_log %[2]s/cache.log
pid_filename %[2]s/squid.pid
coredump_dir %[2]s
netdb_filename none
pinger_enable off
visible_hostname outproxy
max_filedescriptors 1024
`

func squid(t testing.TB, port uint16, listen, name, password string, ports []string) *Proxy {
	program, dir, rule := need.Program(t, "squid"), folder(t), ""
	if len(ports) > 0 {
		rule = "acl wanted port"
		for _, p := range ports {
			rule += " " + p
		}
		rule += "\nhttp_access deny !wanted"
	}
	// The helper takes a plain MD5 among others.
	write(t, dir, "users", fmt.Sprintf("%s:%x\n", name, md5.Sum([]byte(password))))
	write(t, dir, "squid.conf", fmt.Sprintf(squidConf, listen, dir, rule))
	return start(t, port, exec.Command(program, "-N", "-f", filepath.Join(dir, "squid.conf")))
}

// start runs a proxy until the test ends, and returns when it listens.
func start(t testing.TB, port uint16, cmd *exec.Cmd) *Proxy {
	t.Helper()
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Host: "127.0.0.1", Port: port, cmd: cmd}
	t.Cleanup(p.Stop)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(startTime); ; {
		if c, err := net.Dial("tcp", p.Address()); err == nil {
			_ = c.Close()
			return p
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("nothing listens at %s", p.Address())
		}
	}
}

// folder makes a folder that the user can read whom squid turns into when root
// starts it.
func folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "outproxy")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if os.Geteuid() == 0 {
		own(t, dir)
	}
	return dir
}

// own gives a file to the user proxy, where there is one.
func own(t testing.TB, path string) {
	u, err := user.Lookup("proxy")
	if err != nil {
		return // tinyproxy does not need it
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	if err := os.Chown(path, uid, gid); err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		own(t, path)
	}
}

func freePort(t testing.TB) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}
