package badline

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

const testTime = 10 * time.Second

// pair is a connection through a line: both its ends.
type pair struct {
	line      *Line
	near, far net.Conn
}

func connect(t *testing.T, condition func(*Line)) pair {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	line := Start(t, l.Addr().String())
	if condition != nil {
		condition(line)
	}
	near, err := net.Dial("tcp", line.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = near.Close() })
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = far.Close() })
	for _, c := range []net.Conn{near, far} {
		if err := c.SetDeadline(time.Now().Add(testTime)); err != nil {
			t.Fatal(err)
		}
	}
	return pair{line, near, far}
}

// crosses sends a byte there and one back.
func (p pair) crosses(t *testing.T) {
	t.Helper()
	for _, c := range [][2]net.Conn{{p.near, p.far}, {p.far, p.near}} {
		if _, err := c[0].Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c[1], make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCarries(t *testing.T) {
	p := connect(t, func(l *Line) { l.Delay(time.Millisecond) })
	sent := make([]byte, 3<<20+17)
	_, _ = rand.Read(sent)
	go func() {
		_, _ = p.near.Write(sent)
		_ = p.near.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(p.far)
	if err != nil || !bytes.Equal(got, sent) {
		t.Fatalf("%d of %d bytes came (%v), or others", len(got), len(sent), err)
	}
	if _, err := p.far.Write([]byte("y")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(p.near, make([]byte, 1)); err != nil {
		t.Errorf("the other direction after a half close: %v", err)
	}
	if p.line.Accepted() != 1 || p.line.Carried() != uint64(len(sent))+1 {
		t.Errorf("%d connections, %d bytes", p.line.Accepted(), p.line.Carried())
	}
}

func TestCutAndReset(t *testing.T) {
	p := connect(t, nil)
	p.crosses(t)
	p.line.Cut()
	for _, c := range []net.Conn{p.near, p.far} {
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("after a cut: %v", err)
		}
	}
	p = connect(t, nil)
	p.crosses(t)
	p.line.Reset()
	for _, c := range []net.Conn{p.near, p.far} {
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("after a reset: %v", err)
		}
	}
}

func TestHalfOpen(t *testing.T) {
	for _, far := range []bool{true, false} {
		p := connect(t, nil)
		p.crosses(t)
		gone, left := p.far, p.near
		act := p.line.HalfOpen
		if !far {
			gone, left, act = left, gone, p.line.HalfOpenFar
		}
		act()
		if _, err := gone.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the end that is gone: %v", err)
		}
		if _, err := left.Write(make([]byte, 8<<20)); err != nil {
			t.Errorf("the end that is left cannot write: %v", err)
		}
		silent(t, left)
		_ = left.Close()
	}
}

// silent checks that nothing comes.
func silent(t *testing.T, c net.Conn) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read %d bytes, %v, of a line that says nothing", n, err)
	}
	if err := c.SetReadDeadline(time.Now().Add(testTime)); err != nil {
		t.Fatal(err)
	}
}

func TestBlackHole(t *testing.T) {
	p := connect(t, nil)
	p.crosses(t)
	p.line.BlackHole()
	if _, err := p.near.Write([]byte("late")); err != nil {
		t.Fatal(err)
	}
	silent(t, p.far)
	p.line.Heal()
	got := make([]byte, 4)
	if _, err := io.ReadFull(p.far, got); err != nil || string(got) != "late" {
		t.Errorf("after healing: %q, %v", got, err)
	}
}

func TestRefuse(t *testing.T) {
	p := connect(t, nil)
	p.line.Refuse()
	c, err := net.Dial("tcp", p.line.Addr())
	if err == nil {
		_, err = c.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a connection that is refused: %v", err)
	}
	p.crosses(t)
}

func TestDelayAndRate(t *testing.T) {
	p := connect(t, func(l *Line) { l.Delay(50 * time.Millisecond) })
	at := time.Now()
	p.crosses(t)
	if took := time.Since(at); took < 100*time.Millisecond {
		t.Errorf("there and back took %s", took)
	}
	p.line.Heal()
	p.line.Rate(100_000)
	at = time.Now()
	go func() { _, _ = p.near.Write(make([]byte, 20_000)) }()
	if _, err := io.ReadFull(p.far, make([]byte, 20_000)); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(at); took < 140*time.Millisecond || took > 2*time.Second {
		t.Errorf("20 kB at 100 kB/s took %s", took)
	}
}
