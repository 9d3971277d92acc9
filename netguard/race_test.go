package netguard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func addrPorts(list ...string) []netip.AddrPort {
	var all []netip.AddrPort
	for _, s := range list {
		all = append(all, netip.MustParseAddrPort(s))
	}
	return all
}

// scriptedDial answers for each address after a time, with a connection or an
// error, and notes when it was asked and what became of the connections.
type scriptedDial struct {
	mu     sync.Mutex
	began  time.Time
	script map[netip.AddrPort]scriptedEnd
	asked  []string
	closed []string
}

type scriptedEnd struct {
	after time.Duration
	err   error
}

type notedConn struct {
	net.Conn
	to   string
	dial *scriptedDial
}

func (c notedConn) Close() error {
	c.dial.mu.Lock()
	defer c.dial.mu.Unlock()
	c.dial.closed = append(c.dial.closed, c.to)
	return nil
}

func (d *scriptedDial) dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	d.mu.Lock()
	d.asked = append(d.asked, fmt.Sprintf("%s@%d", to.Addr(), time.Since(d.began).Milliseconds()))
	end := d.script[to]
	d.mu.Unlock()
	timer := time.NewTimer(end.after)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		if end.err == errStubborn { // connected all the same
			return notedConn{to: to.Addr().String(), dial: d}, nil
		}
		return nil, ctx.Err()
	}
	if end.err != nil {
		return nil, end.err
	}
	return notedConn{to: to.Addr().String(), dial: d}, nil
}

var (
	errRefused  = errors.New("connection refused")
	errStubborn = errors.New("does not hear the cancel")
)

func TestRace(t *testing.T) {
	const hangs = time.Hour
	three := addrPorts("[2001:db8::1]:443", "192.0.2.1:443", "192.0.2.9:443")
	a, b, c := three[0], three[1], three[2]
	for name, tt := range map[string]struct {
		script map[netip.AddrPort]scriptedEnd
		won    string
		asked  string
		closed string
		took   time.Duration
	}{
		"the first answers": {map[netip.AddrPort]scriptedEnd{a: {100 * time.Millisecond, nil}}, "2001:db8::1", "2001:db8::1@0", "", 100 * time.Millisecond},
		"the first is silent": {map[netip.AddrPort]scriptedEnd{a: {hangs, nil}, b: {30 * time.Millisecond, nil}},
			"192.0.2.1", "2001:db8::1@0 192.0.2.1@250", "", 280 * time.Millisecond},
		"the first is slow but wins": {map[netip.AddrPort]scriptedEnd{a: {300 * time.Millisecond, nil}, b: {hangs, nil}},
			"2001:db8::1", "2001:db8::1@0 192.0.2.1@250", "", 300 * time.Millisecond},
		"a failure starts the next at once": {map[netip.AddrPort]scriptedEnd{a: {10 * time.Millisecond, errRefused}, b: {20 * time.Millisecond, errRefused}, c: {time.Millisecond, nil}},
			"192.0.2.9", "2001:db8::1@0 192.0.2.1@10 192.0.2.9@30", "", 31 * time.Millisecond},
		"a loser that connects is closed": {map[netip.AddrPort]scriptedEnd{a: {hangs, errStubborn}, b: {10 * time.Millisecond, nil}},
			"192.0.2.1", "2001:db8::1@0 192.0.2.1@250", "2001:db8::1", 260 * time.Millisecond},
		"nobody": {map[netip.AddrPort]scriptedEnd{a: {0, errRefused}, b: {0, errRefused}, c: {0, net.ErrClosed}}, "", "2001:db8::1@0 192.0.2.1@0 192.0.2.9@0", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &scriptedDial{script: tt.script, began: time.Now()}
				conn, err := race(t.Context(), three, d.dial)
				won := ""
				if err == nil {
					won = conn.(notedConn).to
				} else if !errors.Is(err, errRefused) || !errors.Is(err, net.ErrClosed) || strings.Contains(err.Error(), "\n") {
					t.Errorf("error is %v", err)
				}
				if took := time.Since(d.began); won != tt.won || took != tt.took {
					t.Errorf("%q won after %v, want %q after %v", won, took, tt.won, tt.took)
				}
				if got := strings.Join(d.asked, " "); got != tt.asked {
					t.Errorf("asked %s, want %s", got, tt.asked)
				}
				if got := strings.Join(d.closed, " "); got != tt.closed {
					t.Errorf("closed %q, want %q", got, tt.closed)
				}
			})
		})
	}
}

// A cancel ends the race at once, also with addresses that were not tried yet.
func TestRaceCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &scriptedDial{began: time.Now()}
		three := addrPorts("192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:1")
		d.script = map[netip.AddrPort]scriptedEnd{three[0]: {time.Hour, nil}, three[1]: {time.Hour, nil}}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		_, err := race(ctx, three, d.dial)
		if took := time.Since(d.began); !errors.Is(err, context.DeadlineExceeded) || took != 300*time.Millisecond || len(d.asked) != 2 {
			t.Errorf("%v after %v, asked %v", err, took, d.asked)
		}
	})
}

func TestInterleave(t *testing.T) {
	addrs := addrPorts("192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:1", "[2001:db8::1]:1", "[2001:db8::2]:1")
	both := outlet{subnets: prefixes("192.0.2.9/24", "2001:db8::9/64")}
	want := addrPorts("[2001:db8::1]:1", "192.0.2.1:1", "[2001:db8::2]:1", "192.0.2.2:1", "192.0.2.3:1")
	if got := both.interleave(addrs); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	only4 := outlet{subnets: prefixes("192.0.2.9/24")}
	if got := only4.interleave(addrs); !slices.Equal(got, addrs) {
		t.Errorf("without IPv6: got %v, want %v", got, addrs)
	}
}
