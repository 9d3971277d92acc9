package clock

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lwc/testdata/need"
)

// ntpSeconds is t as NTP has it (RFC 5905 section 6).
func ntpSeconds(t time.Time) uint64 {
	d := t.Sub(time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC).Add(0))
	return uint64(d/time.Second)<<32 | uint64(float64(d%time.Second)/1e9*(1<<32))
}

// reply is a good answer to a request, of a server whose clock is ahead.
func reply(request []byte, ahead time.Duration) []byte {
	b := make([]byte, 48)
	now := ntpSeconds(time.Now().Add(ahead))
	b[0], b[1], b[2], b[3] = 4<<3|4, 2, 6, 0xec
	binary.BigEndian.PutUint32(b[4:], 1<<8) // root delay, 4 ms
	binary.BigEndian.PutUint32(b[8:], 1<<8) // root dispersion
	copy(b[12:], []byte{192, 0, 2, 1})      // reference
	binary.BigEndian.PutUint64(b[16:], now-(10<<32))
	copy(b[24:32], request[40:48])
	binary.BigEndian.PutUint64(b[32:], now)
	binary.BigEndian.PutUint64(b[40:], now)
	return b
}

// respond is an NTP server that answers with what change makes of a good answer.
func respond(t *testing.T, ahead time.Duration, change func(b []byte) []byte) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	go func() {
		b := make([]byte, 512)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			if n < 48 || b[0]&7 != 3 {
				t.Errorf("the question is %x", b[:n])
				return
			}
			if a := change(reply(b[:n], ahead)); a != nil {
				_, _ = c.WriteTo(a, from)
			}
		}
	}()
	return c.LocalAddr().String()
}

func asIs(b []byte) []byte { return b }

func oneQuery(t *testing.T, address string) (sample, error) {
	t.Helper()
	k, err := New(Config{Dial: new(net.Dialer).DialContext, Servers: []string{address}, Setter: &fakeClock{}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return k.query(ctx, k.servers[0])
}

func TestQuery(t *testing.T) {
	for _, ahead := range []time.Duration{0, 90 * time.Second, -time.Hour, 10 * 365 * 24 * time.Hour} {
		s, err := oneQuery(t, respond(t, ahead, asIs))
		if err != nil || (s.offset-ahead).Abs() > 500*time.Millisecond || s.distance < minDistance || s.stratum != 2 {
			t.Errorf("a server %v ahead: %+v, %v", ahead, s, err)
		}
	}
}

func TestQueryRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		ahead  time.Duration
		change func([]byte) []byte
		says   string
	}{
		"kiss of death":        {change: func(b []byte) []byte { b[1] = 0; copy(b[12:], "DENY"); return b }, says: `"DENY" instead of the time`},
		"kiss with an escape":  {change: func(b []byte) []byte { b[1] = 0; copy(b[12:], "\x1b[2J"); return b }, says: "instead of the time"},
		"not synchronised":     {change: func(b []byte) []byte { b[0] |= 3 << 6; return b }, says: "leap"},
		"stratum 16":           {change: func(b []byte) []byte { b[1] = 16; return b }, says: "stratum"},
		"of nobody's question": {change: func(b []byte) []byte { b[24]++; return b }, says: "match"},
		"cut short":            {change: func(b []byte) []byte { return b[:40] }, says: ""},
		"a question":           {change: func(b []byte) []byte { b[0] = 4<<3 | 3; return b }, says: "mode"},
		"very unsure":          {change: func(b []byte) []byte { binary.BigEndian.PutUint32(b[8:], 3<<16); return b }, says: "wrong by"},
		"long ago":             {ahead: -20 * 365 * 24 * time.Hour, change: asIs, says: "absurd"},
		"far away":             {ahead: 60 * 365 * 24 * time.Hour, change: asIs, says: "absurd"},
		"in the next era":      {ahead: 80 * 365 * 24 * time.Hour, change: asIs, says: "absurd"},
		"answered late": {change: func(b []byte) []byte {
			binary.BigEndian.PutUint32(b[40:], binary.BigEndian.Uint32(b[40:])+10)
			return b
		}, says: "absurd"},
		"sent before received": {change: func(b []byte) []byte {
			binary.BigEndian.PutUint32(b[32:], binary.BigEndian.Uint32(b[32:])+60)
			return b
		}, says: "backwards"},
	} {
		s, err := oneQuery(t, respond(t, c.ahead, c.change))
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.ContainsRune(err.Error(), 0x1b) {
			t.Errorf("%s: %+v, %v, want %q", name, s, err, c.says)
		}
	}
}

// A server that says nothing is left at once when the task ends.
func TestQueryCancelled(t *testing.T) {
	asked := make(chan struct{}, 1)
	address := respond(t, 0, func([]byte) []byte { asked <- struct{}{}; return nil })
	k, err := New(Config{Dial: new(net.Dialer).DialContext, Servers: []string{address}, Setter: &fakeClock{}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- k.Run(ctx) }()
	<-asked
	began := time.Now()
	cancel()
	if err := <-ended; err != nil || time.Since(began) > time.Second {
		t.Errorf("Run ended with %v after %v", err, time.Since(began))
	}
}

// A dial that is refused is told as such: nothing was sent.
func TestQueryNotDialled(t *testing.T) {
	blocked := errors.New("ports are blocked")
	k, err := New(Config{Servers: []string{"192.0.2.1:123"}, Setter: &fakeClock{},
		Dial: func(_ context.Context, network, addr string) (net.Conn, error) {
			if network != "udp" || addr != "192.0.2.1:123" {
				t.Errorf("dialled %s %s", network, addr)
			}
			return nil, blocked
		}})
	if err != nil {
		t.Fatal(err)
	}
	if r := k.round(t.Context()); !errors.Is(r.Err, blocked) || r.Next != redial {
		t.Errorf("round: %+v", r)
	}
}

// A real server, which leaves the clock of the machine alone (-x).
func TestChrony(t *testing.T) {
	program := need.Program(t, "chronyd")
	dir := t.TempDir()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := c.LocalAddr().String()
	_ = c.Close()
	_, port, _ := net.SplitHostPort(address)
	conf := filepath.Join(dir, "chrony.conf")
	text := fmt.Sprintf("local stratum 3\nallow 127.0.0.0/8\nport %s\nbindaddress 127.0.0.1\ncmdport 0\nbindcmdaddress /\npidfile %s/pid\n", port, dir)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd := exec.Command(program, "-d", "-x", "-U", "-f", conf)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(said.String())
		}
	}()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		s, err := oneQuery(t, address)
		if err == nil {
			if s.offset.Abs() > 100*time.Millisecond || s.stratum != 3 {
				t.Errorf("chrony on this machine is %v off, stratum %d", s.offset, s.stratum)
			}
			return
		}
		select {
		case <-tick.C: // it may not listen yet, which nothing tells
		case <-deadline:
			t.Fatalf("no answer: %v", err)
		}
	}
}

// bytesConn answers the first question with a message of the fuzzer's, in which
// the origin is the right one.
type bytesConn struct {
	net.Conn
	message, request []byte
}

func (c *bytesConn) Write(b []byte) (int, error) { c.request = bytes.Clone(b); return len(b), nil }
func (c *bytesConn) Read(b []byte) (int, error) {
	m := bytes.Clone(c.message)
	if len(m) >= 32 {
		copy(m[24:32], c.request[40:48])
	}
	return copy(b, m), nil
}
func (c *bytesConn) Close() error                { return nil }
func (c *bytesConn) SetDeadline(time.Time) error { return nil }

// Whatever a server sends, what is taken of it is a plausible time.
func FuzzQuery(f *testing.F) {
	request := make([]byte, 48)
	f.Add(reply(request, 0))
	f.Add(reply(request, -20*365*24*time.Hour))
	kiss := reply(request, 0)
	kiss[1] = 0
	copy(kiss[12:], "RATE")
	f.Add(kiss)
	f.Add([]byte("short"))
	f.Fuzz(func(t *testing.T, message []byte) {
		k, err := New(Config{Servers: []string{"192.0.2.1:123"}, Setter: &fakeClock{},
			Dial: func(context.Context, string, string) (net.Conn, error) { return &bytesConn{message: message}, nil }})
		if err != nil {
			t.Fatal(err)
		}
		s, err := k.query(t.Context(), k.servers[0])
		if err != nil {
			return
		}
		at := time.Now().Add(s.offset)
		if at.Before(k.cfg.NotBefore.Add(-queryTime)) || at.After(k.cfg.NotBefore.Add(latest+queryTime)) || s.distance > maxDistance || s.distance <= 0 || s.stratum == 0 || s.stratum > 15 {
			t.Fatalf("%x gives %+v, at %v", message, s, at)
		}
	})
}
