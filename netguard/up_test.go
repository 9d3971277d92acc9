package netguard

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const testTimeout = 20 * time.Second

func command(name string, args ...string) ([]byte, error) {
	return exec.Command(name, args...).CombinedOutput()
}

func readAll(t *testing.T, c net.Conn) string {
	t.Helper()
	defer c.Close()
	must(t, c.SetDeadline(time.Now().Add(testTimeout)))
	b, err := io.ReadAll(c)
	must(t, err)
	return string(b)
}

// Each port reaches its own host by both families; a plain dial reaches none.
func TestUpDialsFromBothPorts(t *testing.T) {
	s := newDualSite(t)
	device4, device6 := serve(t, s.device, deviceAddr4+":830", "device"), serve(t, s.device, "["+deviceAddr6+"]:830", "device6")
	cloud4, cloud6 := serve(t, s.cloud, cloudAddr4+":443", "cloud"), serve(t, s.cloud, "["+cloudAddr6+"]:443", "cloud6")
	g := s.up(t)
	if state := g.State(); state.Mode != Enforce || state.Status != Open || state.Detail != "" || state.Internal != "lwcint0" || state.External != "lwcext0" {
		t.Errorf("state is %+v", state)
	}
	for address, want := range map[string]string{device4: "device", device6: "device6"} {
		c, err := g.Internal().DialContext(within(t, testTimeout), "tcp", address)
		must(t, err)
		if got := readAll(t, c); got != want {
			t.Errorf("%s said %q, want %q", address, got, want)
		}
	}
	for address, want := range map[string]string{cloud4: "cloud", cloud6: "cloud6"} {
		c, err := g.External().DialContext(within(t, testTimeout), "tcp", address)
		must(t, err)
		if got := readAll(t, c); got != want {
			t.Errorf("%s said %q, want %q", address, got, want)
		}
	}
	for _, address := range []string{device4, device6, cloud4, cloud6} {
		if c, err := (&net.Dialer{}).DialContext(within(t, testTimeout), "tcp", address); err == nil {
			c.Close()
			t.Errorf("a plain dial reached %s", address)
		}
	}
}

// The kernel's own tool is the judge of what Up leaves, twice.
func TestUpTwiceIsTheSame(t *testing.T) {
	s := newDualSite(t)
	first := s.up(t)
	before := s.kernelState(t)
	must(t, first.Close())
	second := s.up(t)
	if after := s.kernelState(t); after != before {
		t.Errorf("state differs after the second Up\nfirst:\n%s\nsecond:\n%s", before, after)
	}
	for _, want := range []string{`10.99.0.0/16 via 10.11.0.1 dev lwcint0 proto static`, `default via 192.0.2.1 dev lwcext0 proto static`,
		`default via fd00:22::1 dev lwcext0 proto static`, `inet 10.11.0.2/24`, `inet6 fd00:22::2/64`} {
		if !strings.Contains(before, want) {
			t.Errorf("state lacks %q:\n%s", want, before)
		}
	}
	for _, m := range second.sides { // applied to a running port it changes nothing either
		must(t, m.apply(t.Context()))
	}
	if after := s.kernelState(t); after != before {
		t.Errorf("state differs after applying again\nfirst:\n%s\nthen:\n%s", before, after)
	}
}

func (s *site) kernelState(t *testing.T) string {
	t.Helper()
	lifetime := regexp.MustCompile(`valid_lft \S+ preferred_lft \S+`)
	var all strings.Builder
	for _, path := range s.config.paths() {
		for _, args := range []string{"addr", "-4 route show table all", "-6 route show table all", "-4 rule", "-6 rule"} {
			lines := strings.Split(ip(t, path, strings.Fields(args)...), "\n")
			if strings.Contains(args, "route") {
				slices.Sort(lines) // the kernel lists routes in the order of their birth
			}
			all.WriteString(lifetime.ReplaceAllString(strings.Join(lines, "\n"), ""))
		}
	}
	return all.String()
}

// What an earlier configuration or somebody else left in the namespaces goes.
func TestUpRemovesWhatIsForeign(t *testing.T) {
	s := newDualSite(t)
	must(t, s.up(t).Close())
	inside := filepath.Join(s.dir, InternalNamespace)
	ip(t, inside, "link", "set", "lwcint0", "up")
	ip(t, inside, "addr", "add", "10.11.5.5/24", "dev", "lwcint0")
	ip(t, inside, "addr", "add", "10.7.7.7/32", "dev", "lo")
	ip(t, inside, "route", "add", "203.0.113.0/24", "via", "10.11.0.1", "metric", "7")
	ip(t, inside, "route", "add", "default", "via", "10.11.0.1", "table", "77")
	ip(t, inside, "route", "add", "2001:db8::/32", "dev", "lwcint0")
	ip(t, inside, "rule", "add", "from", "all", "lookup", "77", "priority", "5")
	report, err := s.up(t).Verify(t.Context())
	must(t, err)
	must(t, report.Err())
	state := s.kernelState(t)
	for _, gone := range []string{"10.11.5.5", "10.7.7.7", "203.0.113.0", "table 77", "2001:db8", "lookup 77"} {
		if strings.Contains(state, gone) {
			t.Errorf("%s is still there:\n%s", gone, state)
		}
	}
}

func TestUpRefusesBeforeItMoves(t *testing.T) {
	s := newSite(t)
	s.config.External.Addresses = prefixes("10.11.0.130/25")
	s.config.External.Gateway, s.config.External.Routes = netip.Addr{}, nil
	_, err := Up(t.Context(), s.config)
	var overlap *OverlapError
	if !errors.As(err, &overlap) {
		t.Fatalf("error is %v, want an OverlapError", err)
	}
	for _, name := range []string{"lwcint0", "lwcext0"} {
		if _, err := netlink.LinkByName(name); err != nil {
			t.Errorf("%s is not where it was: %v", name, err)
		}
	}
}

// A configuration that became wrong leaves the ports of an earlier process down.
func TestUpSilencesWhatIsLeftOver(t *testing.T) {
	s := newSite(t)
	must(t, s.up(t).Close())
	inside := filepath.Join(s.dir, ExternalNamespace)
	ip(t, inside, "link", "set", "lwcext0", "up")
	s.config.External.Addresses = nil
	if _, err := Up(t.Context(), s.config); err == nil {
		t.Fatal("Up took a port without addresses")
	}
	if out := ip(t, inside, "link", "show", "lwcext0"); !strings.Contains(out, "state DOWN") {
		t.Errorf("the external port is up:\n%s", out)
	}
}

// What a killed process left up goes down, also when Up fails before it comes to it,
// and in mode unprotected.
func TestUpSilencesWhenItFails(t *testing.T) {
	tests := map[string]func(t *testing.T, s *site){
		"the other namespace is unusable": func(t *testing.T, s *site) {
			internal := s.config.paths()[0]
			must(t, unix.Unmount(internal, unix.MNT_DETACH))
			must(t, os.Remove(internal))
			must(t, os.Mkdir(internal, 0o755))
		},
		"unprotected": func(_ *testing.T, s *site) { s.config.Mode = Unprotected },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			must(t, s.up(t).Close())
			inside := filepath.Join(s.dir, ExternalNamespace)
			ip(t, inside, "link", "set", "lwcext0", "up")
			change(t, s)
			g, err := Up(within(t, testTimeout), s.config)
			if err == nil {
				must(t, g.Close())
			}
			if (err == nil) != (s.config.Mode == Unprotected) {
				t.Errorf("Up: %v", err)
			}
			if out := ip(t, inside, "link", "show", "lwcext0"); !strings.Contains(out, "state DOWN") {
				t.Errorf("the external port is up:\n%s", out)
			}
		})
	}
}

func TestUpErrors(t *testing.T) {
	tests := []struct {
		name   string
		change func(t *testing.T, s *site)
		want   error
		words  string
	}{
		{"late interface", func(_ *testing.T, s *site) { s.config.External.Interface = "eth9" }, ErrNoInterface, "eth9"},
		{"unknown mac", func(_ *testing.T, s *site) { s.config.Internal.MAC = "02:00:00:00:00:99" }, ErrNoInterface, "internal port"},
		{"one by name, the same by mac", func(t *testing.T, s *site) {
			l, err := netlink.LinkByName("lwcint0")
			must(t, err)
			s.config.External.Interface, s.config.External.MAC = "", l.Attrs().HardwareAddr.String()
		}, ErrSameInterface, "two interfaces"},
		{"another on top", func(t *testing.T, _ *site) { addOnTop(t, "lwcext0") }, ErrInterfaceInUse, "on top"},
		{"in a bridge", func(t *testing.T, _ *site) { addBridge(t, "lwcint0") }, ErrInterfaceInUse, "bridge"},
		{"a bridge", func(t *testing.T, s *site) { addBridge(t, "lwcint0"); s.config.Internal.Interface = "br0" }, ErrInterfaceInUse, "name a card"},
		{"mtu of the link too small for ipv6", func(t *testing.T, s *site) {
			l, err := netlink.LinkByName("lwcint0")
			must(t, err)
			must(t, netlink.LinkSetMTU(l, 1200))
			s.config.Internal.Addresses = prefixes("10.11.0.2/24", "fd00:11::2/64")
		}, nil, "IPv6 needs 1280"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			tt.change(t, s)
			g, err := Up(within(t, testTimeout), s.config)
			if err == nil {
				g.Close()
				t.Fatal("no error")
			}
			if tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.words) {
				t.Errorf("error is %q, want %v with %q", err, tt.want, tt.words)
			}
			s.expectClosed(t)
		})
	}
}

// A name that stands for the namespace of the process must not make Up treat the
// machine's own interfaces as a port's.
func TestUpLeavesTheOwnNamespaceAlone(t *testing.T) {
	s := newSite(t)
	path := filepath.Join(s.dir, InternalNamespace)
	must(t, os.WriteFile(path, nil, 0o444))
	must(t, bind("/proc/self/ns/net", path))
	l, err := netlink.LinkByName("lwcext0")
	must(t, err)
	must(t, netlink.LinkSetUp(l))
	if _, err := Up(t.Context(), s.config); !errors.Is(err, ErrWrongNamespace) || !strings.Contains(err.Error(), "unmount") {
		t.Errorf("error is %v, want ErrWrongNamespace", err)
	}
	if l, err := netlink.LinkByName("lwcext0"); err != nil || l.Attrs().Flags&net.FlagUp == 0 {
		t.Errorf("lwcext0 is not up any more: %v, %v", l, err)
	}
}

// expectClosed: no port that is in a namespace of ours is up.
func (s *site) expectClosed(t *testing.T) {
	t.Helper()
	for _, path := range s.config.paths() {
		n, err := openNamespace(t.Context(), "", path, false)
		if n == nil {
			if !errors.Is(err, os.ErrNotExist) {
				t.Error(err)
			}
			continue
		}
		links, err := n.nl.LinkList()
		must(t, err)
		for _, l := range links {
			if !isLoopback(l) && l.Attrs().Flags&net.FlagUp != 0 {
				t.Errorf("%s is up in %s", l.Attrs().Name, path)
			}
		}
		must(t, n.close())
	}
}

func addOnTop(t *testing.T, parent string) {
	t.Helper()
	l, err := netlink.LinkByName(parent)
	must(t, err)
	a := netlink.NewLinkAttrs()
	a.Name, a.ParentIndex = "ontop0", l.Attrs().Index
	must(t, netlink.LinkAdd(&netlink.Macvlan{LinkAttrs: a, Mode: netlink.MACVLAN_MODE_BRIDGE}))
}

func addBridge(t *testing.T, member string) {
	t.Helper()
	l, err := netlink.LinkByName(member)
	must(t, err)
	a := netlink.NewLinkAttrs()
	a.Name = "br0"
	br := &netlink.Bridge{LinkAttrs: a}
	must(t, netlink.LinkAdd(br))
	t.Cleanup(func() { must(t, netlink.LinkDel(br)) })
	must(t, netlink.LinkSetMaster(l, br))
}

func TestUpAgainWhenTheInterfaceComes(t *testing.T) {
	s := newSite(t)
	l, err := netlink.LinkByName("lwcext0")
	must(t, err)
	must(t, netlink.LinkSetName(l, "other0"))
	if _, err := Up(t.Context(), s.config); !errors.Is(err, ErrNoInterface) {
		t.Fatalf("error is %v, want ErrNoInterface", err)
	}
	must(t, netlink.LinkSetName(l, "lwcext0"))
	s.up(t)
}

// Two guards cannot hold the same ports, and the second leaves the first alone.
func TestUpRefusesASecondGuard(t *testing.T) {
	s := newSite(t)
	g := s.up(t)
	if _, err := Up(t.Context(), s.config); !errors.Is(err, ErrInUse) {
		t.Errorf("error is %v, want ErrInUse", err)
	}
	broken := s.config
	broken.External.Addresses = nil
	if _, err := Up(t.Context(), broken); err == nil {
		t.Error("Up took a port without addresses")
	}
	report, err := g.Verify(t.Context())
	must(t, err)
	must(t, report.Err())
}

// Names exchanged in the configuration: each link changes its namespace.
func TestUpExchangesThePorts(t *testing.T) {
	s := newSite(t)
	must(t, s.up(t).Close())
	c := &s.config
	c.Internal.Interface, c.External.Interface = c.External.Interface, c.Internal.Interface
	c.Internal.Addresses, c.External.Addresses = prefixes("192.0.2.2/24"), prefixes("10.11.0.2/24")
	c.Internal.Routes, c.External.Routes, c.External.Gateway, c.Allow = nil, nil, netip.Addr{}, nil
	address := serve(t, s.cloud, cloudAddr4+":830", "now a device")
	conn, err := s.up(t).Internal().DialContext(within(t, testTimeout), "tcp", address)
	must(t, err)
	if got := readAll(t, conn); got != "now a device" {
		t.Errorf("got %q", got)
	}
}

func TestUnprotectedSaysSo(t *testing.T) {
	g, err := Up(t.Context(), Config{Mode: Unprotected})
	must(t, err)
	defer g.Close()
	if s := g.State(); s.Mode != Unprotected || s.Status != Open || !strings.Contains(s.Detail, "not separated") {
		t.Errorf("state is %+v", s)
	}
	if _, err := g.Verify(t.Context()); !errors.Is(err, ErrUnprotected) {
		t.Errorf("Verify returned %v, want ErrUnprotected", err)
	}
}

func bind(from, to string) error { return unix.Mount(from, to, "none", unix.MS_BIND, "") }
