package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lwc/cmd/lwcd/packets"
	"lwc/cmd/lwcd/report"
	"lwc/image/sitefile"
	"lwc/netguard"
	"lwc/netguard/netguardtest"
)

// packetUnit does what systemd does for lwc-packet.socket and lwc-packet@.service.
type packetUnit struct {
	path    string
	log     *safeBuffer
	l       *net.UnixListener
	serving sync.WaitGroup
}

func playPacketUnit(t *testing.T, path string) *packetUnit {
	t.Helper()
	u := &packetUnit{path: path, log: &safeBuffer{}}
	u.l = must[*net.UnixListener](t)(net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"}))
	u.serving.Go(func() {
		for {
			conn, err := u.l.AcceptUnix()
			if err != nil {
				return
			}
			u.serving.Go(func() {
				if err := u.serve(conn); err != nil {
					fmt.Fprintln(u.log, "it ended:", err)
				}
			})
		}
	})
	t.Cleanup(func() {
		u.l.Close()
		u.serving.Wait()
		if t.Failed() {
			t.Logf("the log of the maker of packet sockets:\n%s", u.log)
		}
	})
	return u
}

// serve is Accept=yes, StandardInput=socket, CapabilityBoundingSet=, PrivateNetwork=.
func (u *packetUnit) serve(conn *net.UnixConn) error {
	defer conn.Close()
	in, err := conn.File()
	if err != nil {
		return err
	}
	defer in.Close()
	cmd := exec.Command(os.Args[0], packetCommand)
	cmd.Env, cmd.Stdin, cmd.Stderr = append(os.Environ(), envMain+"=1", envHidden+"=1"), in, u.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
	return cmd.Run()
}

// withPackets has the configuration name who makes packet sockets.
func (e *enforced) withPackets() string {
	e.t.Helper()
	path := filepath.Join(e.dir, "packet.sock")
	text := must[[]byte](e.t)(os.ReadFile(e.conf))
	e.configure(func(string) string { return fmt.Sprintf("packet_socket = %q\n", path) + string(text) })
	return path
}

// With the rights of the appliance, a port takes the address that a DHCP server lends.
// While nobody makes packet sockets lwcd keeps the ports down, says why, and works once
// somebody does; from then on it needs nobody for them.
func TestLeaseWithoutTheRightToPackets(t *testing.T) {
	needUnit(t)
	t.Setenv(envAppliance, "1")
	e := newEnforced(t)
	e.configure(func(text string) string {
		return strings.Replace(text, `addresses = ["192.0.2.2/24"]`, "dhcp = true", 1)
	})
	e.withUnitAndPackets()
	path := filepath.Join(e.dir, "packet.sock")
	told := filepath.Join(e.dir, "lwcd.json")
	e.args = []string{"--report", told}
	e.start()
	e.sd.await("ternal port: no packet socket is to be had: the process that makes packet sockets does not answer (lwc-packet.socket)")
	if a, b := e.portsUp(); a+b > 0 {
		t.Errorf("ports up before they were probed: internal %d, external %d", a, b)
	}
	u := playPacketUnit(t, path)
	e.sd.await("READY=1")
	u.l.Close()
	u.serving.Wait()
	until(t, "a word on why there is no lease", 30*time.Second, func() bool {
		return strings.Contains(e.log.String(), "external port: port has no address: no DHCP server answers")
	})
	serveLeases(t, e.site.External.Far, "192.0.2.50", "192.0.2.50")
	address := func() string {
		r, err := report.Read(told)
		if err != nil {
			return err.Error()
		}
		return r.External.Address
	}
	until(t, "the lease", 30*time.Second, func() bool { return address() == "192.0.2.50/24" })
	if got := capabilitiesOf(t, fmt.Sprintf("/proc/%d/status", e.cmd.Process.Pid), "CapPrm:"); got&(1<<unix.CAP_NET_RAW) != 0 {
		t.Errorf("the supervisor has %#x", got)
	}
	if code := e.stop(syscall.SIGTERM); code != exitStopped {
		t.Errorf("exit code %d", code)
	}
	if strings.Contains(e.log.String(), "violation") {
		t.Error("the ports were in trouble")
	}
	if u.log.String() != "" {
		t.Errorf("the maker of packet sockets says: %s", u.log)
	}
}

// withUnitAndPackets is the configuration of an appliance, with a state folder as
// tmpfiles.d makes it; nobody makes packet sockets yet.
func (e *enforced) withUnitAndPackets() *halfUnit {
	e.t.Helper()
	u := playHalfUnit(e.t, e.dir, nobody, 2*time.Second)
	text := must[[]byte](e.t)(os.ReadFile(e.conf))
	e.configure(func(string) string { return fmt.Sprintf("half_socket = %q\n", u.path) + string(text) })
	e.withPackets()
	if err := errors.Join(os.Mkdir(e.state(), 0o700), os.Chown(e.state(), 0, nobody), os.Chmod(e.state(), 0o770|os.ModeSticky)); err != nil {
		e.t.Fatal(err)
	}
	return u
}

// The process makes the two kinds of sockets in a namespace that it is given, and
// nothing in the one of who asks, which is the machine's, nor for what is no namespace.
func TestPacketsBehindASocket(t *testing.T) {
	needUnit(t)
	far := must[*netguardtest.Site](t)(netguardtest.NewSite(must[*netguardtest.Host](t)(netguardtest.OpenHost("/proc/self/ns/net")), "lwcint0", "lwcext0"))
	t.Cleanup(far.Close)
	r := packets.Remote{Path: filepath.Join(t.TempDir(), "packet.sock")}
	playPacketUnit(t, r.Path)
	var port *os.File
	if err := far.External.Far.Do(func() (err error) { port, err = os.Open("/proc/thread-self/ns/net"); return err }); err != nil {
		t.Fatal(err)
	}
	defer port.Close()
	for kind, want := range map[netguard.PacketKind]int{netguard.LeasePackets: unix.SOCK_DGRAM, netguard.ProbePackets: unix.SOCK_RAW} {
		file, err := r.Socket(t.Context(), port, kind)
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		fd := int(file.Fd())
		domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
		typ, terr := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
		there, cerr := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
		if err := errors.Join(err, terr, cerr, file.Close()); err != nil || domain != unix.AF_PACKET || typ != want {
			t.Errorf("%s: family %d, type %d, %v", kind, domain, typ, err)
		}
		if want := cookieOf(t, far.External.Far); there != want {
			t.Errorf("%s: it is in the namespace %d, want %d", kind, there, want)
		}
	}
	for name, c := range map[string]struct {
		path string
		kind netguard.PacketKind
		want string
	}{
		"the machine's":  {"/proc/self/ns/net", netguard.ProbePackets, "no namespace of a port"},
		"another kind":   {"/proc/self/ns/mnt", netguard.ProbePackets, "no network namespace"},
		"a file":         {"/proc/self/status", netguard.ProbePackets, "no network namespace"},
		"another socket": {"", "raw-ip", "unsupported"},
	} {
		space := port
		if c.path != "" {
			space = must[*os.File](t)(os.Open(c.path))
			defer space.Close()
		}
		if file, err := r.Socket(t.Context(), space, c.kind); err == nil || file != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func cookieOf(t *testing.T, h *netguardtest.Host) (cookie uint64) {
	t.Helper()
	err := h.Do(func() error {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		cookie, err = unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return cookie
}

// The unit has the rights that making a packet socket in another namespace takes.
func TestUnitOfThePackets(t *testing.T) {
	const folder = "../../image/mkosi/mkosi.extra/usr/lib/systemd/system/"
	text := func(name string) string { return string(must[[]byte](t)(os.ReadFile(folder + name))) }
	unit := text("lwc-packet@.service")
	for key, want := range map[string]string{
		"ExecStart": "/usr/bin/lwcd " + packetCommand, "StandardInput": "socket", "PrivateNetwork": "yes", "RestrictNamespaces": "net",
		"CapabilityBoundingSet": "CAP_SYS_ADMIN CAP_NET_RAW", "RestrictAddressFamilies": "AF_UNIX AF_PACKET", "TimeoutStopSec": "5s",
	} {
		if got := settingOf(t, unit, key); got != want {
			t.Errorf("%s is %s, want %s", key, got, want)
		}
	}
	if mode := settingOf(t, text("lwc-packet.socket"), "SocketMode"); mode != "0600" {
		t.Errorf("who may ask: %s", mode)
	}
	if path := settingOf(t, text("lwc-packet.socket"), "ListenStream"); path != sitefile.PacketSocketPath {
		t.Errorf("the socket is %s, and the configuration names %s", path, sitefile.PacketSocketPath)
	}
	if families := settingOf(t, text("lwcd.service"), "RestrictAddressFamilies"); strings.Contains(families, "AF_PACKET") {
		t.Errorf("lwcd may have %s", families)
	}
}
