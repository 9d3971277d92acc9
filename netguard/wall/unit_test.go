package wall

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestIntervals compares the set of random spans with asking each span.
func TestIntervals(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var spans []span
		for range r.IntN(6) {
			a, b := byte(r.IntN(256)), byte(r.IntN(256))
			if r.IntN(8) == 0 {
				b = 255
			}
			spans = append(spans, span{[]byte{min(a, b)}, []byte{max(a, b)}})
		}
		s := intervals("x", 0, 1, spans)
		for k := range 256 {
			key := []byte{byte(k)}
			want := slices.ContainsFunc(spans, func(s span) bool {
				return bytes.Compare(s.first, key) <= 0 && bytes.Compare(key, s.last) <= 0
			})
			if got := holds(s, key); got != want {
				t.Fatalf("spans %v: %d in %v is %t, want %t", spans, k, s.elements, got, want)
			}
		}
	}
}

// holds looks the key up as the kernel does: the last element not behind it.
func holds(s set, key []byte) bool {
	in := false
	for _, e := range s.elements {
		if bytes.Compare(e.key, key) <= 0 {
			in = !e.end
		}
	}
	return in
}

func TestPrefixSpans(t *testing.T) {
	got := prefixSpans([]netip.Prefix{netip.MustParsePrefix("10.1.2.3/20"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("0.0.0.0/0")}, false)
	want := []span{{[]byte{10, 1, 0, 0}, []byte{10, 1, 15, 255}}, {[]byte{0, 0, 0, 0}, []byte{255, 255, 255, 255}}}
	if !slices.EqualFunc(got, want, func(a, b span) bool { return bytes.Equal(a.first, b.first) && bytes.Equal(a.last, b.last) }) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestLargePort has more destinations than go into one request, and the limits.
func TestLargePort(t *testing.T) {
	port, peer := wire(t)
	peer.echo("65535", "192.0.2.2")
	w, p := port.open(), internal(port.link("p0"), true)
	p.Ports = []Range{{1, 65535}}
	for i := range 3000 {
		p.Destinations = append(p.Destinations, netip.PrefixFrom(netip.AddrFrom4([4]byte{100, byte(i >> 8), byte(i), 1}), 32))
	}
	must(t, w.Apply(p))
	wantProblems(t, w, p)
	must(t, port.reaches("tcp", "192.0.2.2:65535", 5*time.Second))
	p.Destinations = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0"), netip.MustParsePrefix("255.255.255.255/32")}
	must(t, w.Apply(p))
	wantProblems(t, w, p)
	must(t, port.reaches("tcp", "192.0.2.2:65535", 5*time.Second))
}

func TestBadPorts(t *testing.T) {
	good := internal(Port{Link: "p0", Index: 10, MAC: []byte{2, 0, 0, 0, 0, 1}}, false)
	must(t, good.check())
	for name, spoil := range map[string]func(*Port){
		"link without index": func(p *Port) { p.Index = 0 },
		"index without link": func(p *Port) { p.Link = "" },
		"long name":          func(p *Port) { p.Link = "0123456789abcdef" },
		"no mac":             func(p *Port) { p.MAC = nil },
		"mapped prefix":      func(p *Port) { p.Destinations = []netip.Prefix{netip.MustParsePrefix("::ffff:10.0.0.0/104")} },
		"no prefix":          func(p *Port) { p.Destinations = make([]netip.Prefix, 1) },
		"dns without port":   func(p *Port) { p.DNS = addrPorts("192.0.2.1:0") },
		"ports reversed":     func(p *Port) { p.Ports = []Range{{23, 22}} },
		"port zero":          func(p *Port) { p.Ports = []Range{{0, 22}} },
	} {
		p := good.clone()
		spoil(&p)
		if err := p.check(); !errors.Is(err, ErrBadPort) {
			t.Errorf("%s: %v, want %v", name, err, ErrBadPort)
		}
	}
}

func TestExplain(t *testing.T) {
	for _, x := range []struct {
		errno syscall.Errno
		needs string
		want  error
		text  string
	}{
		{unix.EPERM, needsFib, ErrPrivilege, "x: missing privilege: operation not permitted"},
		{unix.ENOENT, needsFib, ErrUnsupported, "x: unsupported by this kernel: no such file or directory: needs " + needsFib},
		{unix.EOPNOTSUPP, needsTables, ErrUnsupported, "x: unsupported by this kernel: operation not supported: needs " + needsTables},
		{unix.EOPNOTSUPP, "", unix.EOPNOTSUPP, "x: operation not supported"},
		{unix.ENOMEM, needsFib, unix.ENOMEM, "x: cannot allocate memory"},
	} {
		err := explain(operation{doing: "x", needs: x.needs}, &refusal{errno: x.errno})
		if !errors.Is(err, x.want) || !errors.Is(err, x.errno) || err.Error() != x.text {
			t.Errorf("%v with %q: %v, want %q", x.errno, x.needs, err, x.text)
		}
	}
}

// TestPrivilege takes CAP_NET_ADMIN from the thread that applies.
func TestPrivilege(t *testing.T) {
	port := newHost(t)
	w := port.open()
	err := port.do(func() error {
		none := [2]unix.CapUserData{}
		if err := unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0]); err != nil {
			return err
		}
		return w.Apply(Port{})
	})
	if !errors.Is(err, ErrPrivilege) {
		t.Errorf("Apply without capabilities: %v, want %v", err, ErrPrivilege)
	}
}

// TestTimeout waits for an answer to a message that has none.
func TestTimeout(t *testing.T) {
	w := newHost(t).open()
	w.nl.timeout = 20 * time.Millisecond
	must(t, w.nl.send(request{}.encode(nil, unix.NLMSG_NOOP, 1)))
	if err := w.nl.receive(func(message) error { return nil }); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("receive: %v, want %v", err, os.ErrDeadlineExceeded)
	}
	w.nl.timeout = exchangeTimeout
	must(t, w.Apply(Port{}))
}

func TestClosed(t *testing.T) {
	w, err := Open(newHost(t).ns)
	must(t, err)
	must(t, w.Close())
	if err := w.Apply(Port{}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Apply after Close: %v, want %v", err, os.ErrClosed)
	}
	file, err := os.Open(os.DevNull)
	must(t, err)
	defer file.Close()
	if _, err := Open(file); err == nil {
		t.Error("Open takes what is no namespace")
	}
}

// FuzzMessages feeds bytes to all that reads what the kernel says.
func FuzzMessages(f *testing.F) {
	p := external(Port{Link: "p0", Index: 10, MAC: []byte{2, 0, 0, 0, 0, 1}}, true)
	w := &Wall{nl: &conn{}}
	ops, err := w.operations(p, &snapshot{})
	must(f, err)
	for i, op := range ops {
		f.Add(op.append(nil, uint32(i)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &snapshot{}
		_ = splitMessages(b, func(m message) error {
			_ = m.errno()
			_ = s.addTable(m)
			_ = s.addChain(m)
			_ = s.addSet(m)
			_ = s.addRule(m, map[string]int{})
			_ = s.addElements(m, tableID{m.family, tableName}, set{flags: uint32(m.flags)})
			return nil
		})
		if d := differences(s.objects, s.objects); len(d) > 0 {
			t.Errorf("differs from itself: %q", d)
		}
		for i := range s.tables {
			_ = s.tables[i].describe()
		}
		for _, e := range s.timed {
			_, _, _ = endpointOf(e.key)
		}
	})
}
