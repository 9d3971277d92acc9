package site

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"lwc/testdata/need"
)

// badLine is the program badline between the collector and one port of the cloud.
type badLine struct {
	mu  sync.Mutex // a word and its answer belong together
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

// layLine starts a bad line to a port of the cloud, in the cloud's namespace.
func layLine(t *testing.T, s *Site, port string) *badLine {
	t.Helper()
	path := filepath.Join(s.cfg.Bin, "badline")
	if _, err := os.Stat(path); err != nil {
		need.Missing(t, "the programs of make build-chaos in bin/")
	}
	l := &badLine{cmd: newCommand(path, []string{"-listen", net.JoinHostPort(cloudAddr, port), net.JoinHostPort(hiddenAddr, port)}, os.Environ())}
	var err error
	l.in, err = l.cmd.StdinPipe()
	must(t, err)
	out, err := l.cmd.StdoutPipe()
	must(t, err)
	l.cmd.Stderr, l.out = os.Stderr, bufio.NewScanner(out)
	must(t, s.cnet.do(l.cmd.Start))
	t.Cleanup(func() {
		l.in.Close()
		_ = l.cmd.Wait() // it ends with its input
	})
	if !l.out.Scan() {
		t.Fatal("the bad line did not start")
	}
	return l
}

// say tells the line what to do.
func (l *badLine) say(word string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := fmt.Fprintln(l.in, word); err != nil {
		return fmt.Errorf("talking to the bad line: %w", err)
	}
	if !l.out.Scan() || l.out.Text() != "ok" {
		return fmt.Errorf("the bad line answers %q to %q", l.out.Text(), word)
	}
	return nil
}

// disk is a small filesystem for the cloud's data. It is full when it is made as
// small as what is on it.
type disk struct{ dir string }

const (
	roomyDisk = 4 << 30
	lastRoom  = 64 << 10 // less than a write of SQLite's takes
)

func mountDisk(t *testing.T, dir string) disk {
	t.Helper()
	must(t, os.MkdirAll(dir, 0o700))
	must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("mode=0700,size=%d", int64(roomyDisk))))
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmounting the disk of the cloud: %v", err)
		}
	})
	return disk{dir}
}

func (d disk) fill() error {
	var st unix.Statfs_t
	if err := unix.Statfs(d.dir, &st); err != nil {
		return fmt.Errorf("looking at the disk of the cloud: %w", err)
	}
	used := int64(st.Blocks-st.Bfree) * st.Bsize
	return d.resize(used + lastRoom)
}

func (d disk) free() error { return d.resize(roomyDisk) }

func (d disk) resize(size int64) error {
	err := unix.Mount("", d.dir, "", unix.MS_REMOUNT, fmt.Sprintf("mode=0700,size=%d", size))
	if err != nil {
		return fmt.Errorf("making the disk of the cloud %d bytes: %w", size, err)
	}
	return nil
}

// The log-in of the proxy.
const (
	proxyPort     = "8888"
	proxyUser     = "site"
	proxyPassword = "Durchgang-7"
)

// startProxy runs tinyproxy, as Debian ships it, in the cloud's namespace, and
// returns the lines of lwcd's configuration that lead through it.
func startProxy(ctx context.Context, t *testing.T, s *Site) string {
	t.Helper()
	path, conf, secret := need.Program(t, "tinyproxy"), s.path("tinyproxy.conf"), s.path("proxy.password")
	must(t, os.WriteFile(conf, fmt.Appendf(nil, "Port %s\nListen %s\nTimeout 600\nMaxClients 100\nBasicAuth %s %s\nConnectPort %s\nConnectPort %s\nLogLevel Warning\n",
		proxyPort, hiddenAddr, proxyUser, proxyPassword, cloudPort, brokerPort), 0o600))
	must(t, os.WriteFile(secret, []byte(proxyPassword+"\n"), 0o600))
	p, err := s.start(s.cnet, io.Discard, path, "-d", "-c", conf)
	must(t, err)
	t.Cleanup(func() { p.kill() })
	must(t, p.waitFor(ctx, "the proxy to listen", func() bool {
		c, err := s.cnet.dial(ctx, net.JoinHostPort(hiddenAddr, proxyPort))
		if err == nil {
			err = c.Close()
		}
		return err == nil
	}))
	return fmt.Sprintf("proxy = \"http://%s:%s\"\nproxy_user = %q\nproxy_password_file = %q\n", hiddenAddr, proxyPort, proxyUser, secret)
}

// The line and the disk do what the acts ask of them.
func TestLineAndDisk(t *testing.T) {
	s, err := New(Config{Bin: binaries(t), Dir: t.TempDir(), Line: true})
	must(t, err)
	t.Cleanup(func() { s.finish(t) })
	l := layLine(t, s, cloudPort)
	for _, word := range []string{"cut", "black-hole", "heal", "delay 3ms", "rate 1000"} {
		must(t, l.say(word))
	}
	if err := l.say("melt"); err == nil || !strings.Contains(err.Error(), "melt") {
		t.Errorf("a word that the line does not know: %v", err)
	}
	d := mountDisk(t, s.path("disk"))
	write := func() error { return os.WriteFile(filepath.Join(d.dir, "f"), make([]byte, 1<<20), 0o600) }
	must(t, write())
	must(t, d.fill())
	if err := os.WriteFile(filepath.Join(d.dir, "g"), make([]byte, 1<<20), 0o600); err == nil {
		t.Error("a full disk takes a megabyte")
	}
	must(t, d.free())
	must(t, write())
}
