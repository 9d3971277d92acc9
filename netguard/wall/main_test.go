package wall

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"lwc/testdata/need"
)

// The test binary plays several parts, told by this variable.
const envRole = "LWC_WALL_TEST_ROLE"

// TestMain runs the tests in a network namespace of their own, so that they touch
// nothing of the machine: as root, or as root of a new user namespace.
func TestMain(m *testing.M) {
	switch role := os.Getenv(envRole); role {
	case "":
		os.Exit(outside(m))
	case "tests":
		os.Exit(m.Run())
	default:
		if err := play(role); err != nil {
			fmt.Fprintln(os.Stderr, role+":", err)
			os.Exit(1)
		}
	}
}

func outside(m *testing.M) int {
	if strings.Contains(strings.Join(os.Args, " "), "-test.fuzz") {
		return m.Run() // parsers need no namespace
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), envRole+"=tests")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	// The signal at the parent's death follows the thread that starts the child.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := cmd.Start()
	if err != nil {
		if need.Strict() {
			fmt.Fprintln(os.Stderr, "starting in new namespaces:", err)
			return 1
		}
		fmt.Println("NOT RUN: tests of the walls need root or user namespaces:", err)
		return 0
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return max(exit.ExitCode(), 1)
	}
	return 0
}

// host is a network namespace with a thread of its own.
type host struct {
	t     testing.TB
	ns    *os.File
	calls chan func()
}

// newHost makes an empty namespace.
func newHost(t testing.TB) *host {
	t.Helper()
	h := &host{t: t, calls: make(chan func())}
	ready, done := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			h.ns, err = os.Open("/proc/thread-self/ns/net")
		}
		if err == nil { // link-local addresses are usable at once
			err = os.WriteFile("/proc/sys/net/ipv6/conf/default/accept_dad", []byte("0"), 0)
		}
		ready <- err
		for call := range h.calls {
			call()
		}
	}()
	must(t, <-ready)
	t.Cleanup(func() { close(h.calls); <-done; h.ns.Close() })
	return h
}

// do runs f on the namespace's thread.
func (h *host) do(f func() error) error {
	result := make(chan error, 1)
	h.calls <- func() { result <- f() }
	return <-result
}

// run runs a program in the namespace and returns what it says.
func (h *host) run(name string, args ...string) (string, error) {
	path := need.Program(h.t, name)
	var out bytes.Buffer
	err := h.do(func() error {
		cmd := exec.Command(path, args...)
		cmd.Stdout, cmd.Stderr = &out, &out
		return cmd.Run()
	})
	return out.String(), err
}

// must runs a program that has to succeed.
func (h *host) must(line string) string {
	h.t.Helper()
	words := strings.Fields(line)
	out, err := h.run(words[0], words[1:]...)
	if err != nil {
		h.t.Fatalf("%s: %v: %s", line, err, out)
	}
	return out
}

// nft feeds a script to nft.
func (h *host) nft(script string) (string, error) {
	path := need.Program(h.t, "nft")
	var out bytes.Buffer
	err := h.do(func() error {
		cmd := exec.Command(path, "-f", "-")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(script), &out, &out
		return cmd.Run()
	})
	return out.String(), err
}

// open opens the walls of the namespace.
func (h *host) open() *Wall {
	h.t.Helper()
	w, err := Open(h.ns)
	must(h.t, err)
	h.t.Cleanup(func() { w.Close() })
	return w
}

// link returns name, index and hardware address of a link.
func (h *host) link(name string) Port {
	h.t.Helper()
	var p Port
	must(h.t, h.do(func() error {
		l, err := net.InterfaceByName(name)
		if err == nil {
			p = Port{Link: l.Name, Index: l.Index, MAC: l.HardwareAddr}
		}
		return err
	}))
	return p
}

// The hardware addresses of both ends of the wire, and of nobody.
const (
	portMAC     = "02:00:00:00:00:01"
	peerMAC     = "02:00:00:00:00:02"
	strangerMAC = "02:00:00:00:00:99"
)

// wire makes a port namespace and the namespace of what is behind its link.
func wire(t testing.TB) (port, peer *host) {
	t.Helper()
	port, peer = newHost(t), newHost(t)
	port.must("ip link set lo up")
	peer.must("ip link set lo up")
	port.join(peer, "ip link add p0 index 10 address "+portMAC+" type veth peer name p1 index 11 address "+peerMAC)
	for _, line := range []string{"ip link set p0 up", "ip address add 192.0.2.1/24 dev p0", "ip address add 2001:db8::1/64 dev p0 nodad", "ip route add default via 192.0.2.2"} {
		port.must(line)
	}
	for _, line := range []string{"ip link set p1 up", "ip address add 192.0.2.2/24 dev p1", "ip address add 192.0.2.3/24 dev p1", "ip address add 2001:db8::2/64 dev p1 nodad", "ip route add default via 192.0.2.1"} {
		peer.must(line)
	}
	return port, peer
}

// join makes a link whose peer lies in another namespace.
func (h *host) join(peer *host, line string) {
	h.t.Helper()
	args := append(strings.Fields(line)[1:], "netns", "/proc/self/fd/3")
	path := need.Program(h.t, "ip")
	var out bytes.Buffer
	if err := h.do(func() error {
		cmd := exec.Command(path, args...)
		cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = &out, &out, []*os.File{peer.ns}
		return cmd.Run()
	}); err != nil {
		h.t.Fatalf("%s: %v: %s", line, err, out.String())
	}
}

// internal and external are ports as the product has them.
func internal(p Port, v6 bool) Port {
	p.IPv6 = v6
	p.DNS = addrPorts("192.0.2.3:53")
	p.Destinations = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("10.1.2.0/24")}
	p.Ports = []Range{{22, 22}, {830, 830}, {2200, 2299}}
	if v6 {
		p.Destinations = append(p.Destinations, netip.MustParsePrefix("2001:db8::/64"))
	}
	return p
}

func external(p Port, v6 bool) Port {
	p.IPv6 = v6
	p.Dynamic = true
	p.DNS = addrPorts("192.0.2.3:53", "192.0.2.2:5353")
	if v6 {
		p.DNS = append(p.DNS, addrPorts("[2001:db8::2]:53")...)
	}
	return p
}

func addrPorts(list ...string) []netip.AddrPort {
	var out []netip.AddrPort
	for _, s := range list {
		out = append(out, netip.MustParseAddrPort(s))
	}
	return out
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// peerAddrs are the addresses behind the link.
var peerAddrs = []string{"192.0.2.2", "192.0.2.3", "2001:db8::2"}
