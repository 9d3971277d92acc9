package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// systemd is the service manager's end of sd_notify: a real datagram socket.
type systemd struct {
	t    *testing.T
	conn *net.UnixConn
	seen []string
}

func listenAsSystemd(t *testing.T, watchdog string) *systemd {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", watchdog)
	t.Setenv("WATCHDOG_PID", "")
	return &systemd{t: t, conn: conn}
}

// await reads until each of words was in a datagram, in any order.
func (s *systemd) await(words ...string) string {
	s.t.Helper()
	if err := s.conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		s.t.Fatal(err)
	}
	last := ""
	for b := make([]byte, 8<<10); len(words) > 0; {
		n, err := s.conn.Read(b)
		if err != nil {
			s.t.Fatalf("waiting for %q: %v; seen %q", words, err, s.seen)
		}
		last = string(b[:n])
		s.seen = append(s.seen, last)
		words = slices.DeleteFunc(words, func(w string) bool { return strings.Contains(last, w) })
	}
	return last
}

// none reads for a while, and fails if a datagram holds words.
func (s *systemd) none(words string, during time.Duration) {
	s.t.Helper()
	if err := s.conn.SetReadDeadline(time.Now().Add(during)); err != nil {
		s.t.Fatal(err)
	}
	for b := make([]byte, 8<<10); ; {
		n, err := s.conn.Read(b)
		if err != nil {
			return
		}
		if strings.Contains(string(b[:n]), words) {
			s.t.Fatalf("got %q", b[:n])
		}
	}
}

// part is a task that does what a test says.
type part struct {
	name  string
	ready chan struct{}
	dead  atomic.Bool
}

func (p *part) Run(ctx context.Context) error { <-ctx.Done(); return nil }
func (p *part) Ready() <-chan struct{}        { return p.ready }
func (p *part) String() string                { return p.name }
func (p *part) Alive(ctx context.Context) error {
	if p.dead.Load() {
		<-ctx.Done()
		return errors.New("stuck")
	}
	return nil
}

func TestNotify(t *testing.T) {
	s := listenAsSystemd(t, "300000") // 0.3 s
	ready, work := make(chan struct{}), &part{name: "work"}
	var text atomic.Value
	text.Store("ports\nare coming  up")
	n := newNotifier(ready, work.Alive, func() string { return text.Load().(string) }, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { n.run(ctx); close(ended) }()

	if got := s.await("STATUS="); got != "STATUS=ports; are coming up" {
		t.Errorf("status %q", got)
	}
	s.await("WATCHDOG=1")
	s.await("EXTEND_TIMEOUT_USEC=")
	for _, d := range s.seen {
		if strings.Contains(d, "READY") {
			t.Errorf("ready before the ports: %q", d)
		}
	}
	close(ready)
	s.await("READY=1")
	text.Store("ports are open")
	s.await("STATUS=ports are open")
	work.dead.Store(true)
	s.none("READY", 2*statusEvery) // takes in what was sent before
	s.none("WATCHDOG=1", 2*time.Second)
	n.stopping()
	s.await("STOPPING=1\nSTATUS=stopping")
	cancel()
	<-ended
}

// A systemd that does not read does not hold up the daemon.
func TestNotifyDoesNotHang(t *testing.T) {
	s := listenAsSystemd(t, "")
	socket := s.conn.LocalAddr().String()
	for began := time.Now(); ; {
		if err := notify(socket, "STATUS="+strings.Repeat("x", 900)); err != nil {
			return
		}
		if time.Since(began) > time.Minute {
			t.Fatal("the socket is never full")
		}
	}
}

func TestOneLine(t *testing.T) {
	long := strings.Repeat("é", maxStatus)
	if got := oneLine(long); len(got) > maxStatus+3 || !strings.HasSuffix(got, "…") {
		t.Errorf("%d bytes", len(got))
	}
}
