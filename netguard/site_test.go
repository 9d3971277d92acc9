package netguard

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"lwc/testdata/need"
)

// site is a simulated customer site: a device and a cloud, each a host in a
// namespace of its own, on veth pairs whose other ends are the two ports.
type site struct {
	dir           string
	device, cloud *namespace
	config        Config
}

const (
	deviceAddr4 = "10.11.0.1"
	deviceAddr6 = "fd00:11::1"
	cloudAddr4  = "192.0.2.1"
	cloudAddr6  = "fd00:22::1"
)

func newSite(t testing.TB) *site {
	t.Helper()
	if os.Getenv(envRole) == "" {
		need.Missing(t, "namespaces of its own, which TestMain makes (not while fuzzing)")
	}
	if caps, err := effective(); err != nil || caps&needed != needed {
		need.Missing(t, "root or user namespaces")
	}
	s := &site{dir: t.TempDir()}
	t.Cleanup(func() { unmountAll(t, s.dir) })
	s.device = s.host(t, "device", "lwcint0", deviceAddr4+"/24", deviceAddr6+"/64")
	s.cloud = s.host(t, "cloud", "lwcext0", cloudAddr4+"/24", cloudAddr6+"/64")
	s.config = Config{NamespaceDir: s.dir,
		Internal: Port{Interface: "lwcint0", Addresses: prefixes("10.11.0.2/24"),
			Routes: []Route{route("10.99.0.0/16 via 10.11.0.1")}},
		External: Port{Interface: "lwcext0", Addresses: prefixes("192.0.2.2/24"),
			Gateway: netip.MustParseAddr(cloudAddr4)},
		Allow: []Endpoint{{Host: cloudAddr4, Port: 443}, {Host: cloudAddr6, Port: 443}},
	}
	return s
}

// newDualSite has IPv6 too; duplicate address detection takes its time there.
func newDualSite(t testing.TB) *site {
	t.Helper()
	s := newSite(t)
	in, ext := &s.config.Internal, &s.config.External
	in.Addresses = append(in.Addresses, netip.MustParsePrefix("fd00:11::2/64"))
	ext.Addresses = append(ext.Addresses, netip.MustParsePrefix("fd00:22::2/64"))
	ext.Routes = []Route{route("default via fd00:22::1")}
	return s
}

// unmountAll lets the folder of the namespaces' names be removed.
func unmountAll(t testing.TB, dir string) {
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	must(t, err)
	for _, name := range names {
		for unix.Unmount(name, unix.MNT_DETACH) == nil {
		}
	}
}

// host makes a namespace whose link eth0 is the far end of the veth named port.
func (s *site) host(t testing.TB, name, port string, addresses ...string) *namespace {
	t.Helper()
	n, err := openNamespace(t.Context(), "", filepath.Join(s.dir, name), true)
	must(t, err)
	t.Cleanup(func() { _ = n.close() })
	addVeth(t, port, n)
	l, err := n.nl.LinkByName("eth0")
	must(t, err)
	for _, a := range prefixes(addresses...) {
		// No duplicate detection on the simulated hosts: they answer at once.
		must(t, n.nl.AddrAdd(l, &netlink.Addr{IPNet: ipNet(a), Flags: unix.IFA_F_NODAD}))
	}
	must(t, n.nl.LinkSetUp(l))
	lo, err := n.nl.LinkByName("lo")
	must(t, err)
	must(t, n.nl.LinkSetUp(lo))
	return n
}

// addVeth makes the link port in the home namespace, its peer eth0 in n.
func addVeth(t testing.TB, port string, n *namespace) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = port
	must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(int(n.file.Fd()))}))
	t.Cleanup(func() {
		if l, err := netlink.LinkByName(port); err == nil {
			_ = netlink.LinkDel(l)
		}
	})
}

func (s *site) up(t testing.TB) *Guard {
	t.Helper()
	g, err := Up(within(t, testTimeout), s.config)
	must(t, err)
	t.Cleanup(func() { must(t, g.Close()) })
	return g
}

// serve answers every connection to address in n with a greeting, until the
// test ends, and returns the address.
func serve(t testing.TB, n *namespace, address, greeting string) string {
	t.Helper()
	l := listen(t, n, address)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, greeting)
			_ = c.Close()
		}
	}()
	return l.Addr().String()
}

func listen(t testing.TB, n *namespace, address string) net.Listener {
	t.Helper()
	var l net.Listener
	must(t, n.do(t.Context(), func() (err error) {
		l, err = (&net.ListenConfig{}).Listen(context.Background(), "tcp", address)
		return err
	}))
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// ip asks the kernel's own tool about the namespace of that name, or has it
// change something there.
func ip(t testing.TB, namespace string, args ...string) string {
	t.Helper()
	tool := need.Program(t, "ip")
	n, err := os.Open(namespace)
	must(t, err)
	defer n.Close()
	var out []byte
	done := make(chan error, 1)
	onOwnThread(func() {
		if err := unix.Setns(int(n.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		var runErr error
		out, runErr = command(tool, args...)
		done <- runErr
	})
	if err := <-done; err != nil {
		t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func prefixes(list ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, s := range list {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

func route(s string) Route {
	r, err := ParseRoute(s)
	if err != nil {
		panic(fmt.Sprint("test data: ", err))
	}
	return r
}
