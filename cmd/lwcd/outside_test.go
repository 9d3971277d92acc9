package main

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"lwc/netguard/netguardtest"
	"lwc/testdata/need"
)

// run starts a server inside a host, until the test ends.
func runIn(t *testing.T, h *netguardtest.Host, out *safeBuffer, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(need.Program(t, name), args...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := h.Do(cmd.Start); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s:\n%s", name, out)
		}
	})
	return cmd
}

// toPort tells a frame that carries IPv4 to that port, of TCP or UDP.
func toPort(frame []byte, to netip.AddrPort) bool {
	const ethernet = 14
	if netguardtest.Destination(frame) != to.Addr() || len(frame) < ethernet+1 {
		return false
	}
	at := ethernet + 4*int(frame[ethernet]&15)
	return len(frame) >= at+4 && binary.BigEndian.Uint16(frame[at+2:]) == to.Port()
}

func isIPv4(frame []byte) bool { return len(frame) > 34 && frame[12] == 8 && frame[13] == 0 }

// Through a proxy everything goes, the enrolment and the session, and nothing
// else is ever sent: the cloud is at an address that only the proxy reaches. The
// password stands nowhere but in its file.
func TestEverythingGoesThroughTheProxy(t *testing.T) {
	e := newEnforcedTo(t, "198.51.100.1")
	far, proxy := e.site.External.Far, netip.MustParseAddrPort("192.0.2.1:3128")
	_, port, _ := strings.Cut(e.cloud.addr, ":")
	conf := filepath.Join(t.TempDir(), "tinyproxy.conf")
	text := fmt.Sprintf("Port 3128\nListen 192.0.2.1\nTimeout 60\nMaxClients 20\nBasicAuth site hunter2\nConnectPort %s\n", port)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	runIn(t, far, &safeBuffer{}, "tinyproxy", "-d", "-c", conf)
	password := filepath.Join(e.dir, "password")
	if err := os.WriteFile(password, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	e.configure(func(s string) string {
		return s + fmt.Sprintf("proxy = \"http://%s\"\nproxy_user = \"site\"\nproxy_password_file = %q\n", proxy, password)
	})
	through := must[*netguardtest.Sniffer](t)(netguardtest.Sniff(far, netguardtest.FarLink, func(f []byte) bool { return isIPv4(f) && toPort(f, proxy) }))
	beside := must[*netguardtest.Sniffer](t)(netguardtest.Sniff(far, netguardtest.FarLink, func(f []byte) bool { return isIPv4(f) && !toPort(f, proxy) }))
	e.enrol()
	for what, file := range map[string]string{"arguments of the half": fmt.Sprintf("/proc/%d/cmdline", e.half()),
		"arguments of the supervisor": fmt.Sprintf("/proc/%d/cmdline", e.cmd.Process.Pid)} {
		if b, err := os.ReadFile(file); err != nil || strings.Contains(string(b), "hunter2") {
			t.Errorf("%s: %q, %v", what, b, err)
		}
	}
	if code := e.stop(syscall.SIGTERM); code != exitStopped {
		t.Errorf("exit code %d", code)
	}
	if n, err := through.Stop(); n < 20 || err != nil {
		t.Errorf("%d frames to the proxy, %v", n, err)
	}
	if n, err := beside.Stop(); n > 0 || err != nil {
		t.Errorf("%d frames to somewhere else, %v", n, err)
		for _, f := range beside.Frames() {
			t.Log(netguardtest.Describe(f))
		}
	}
	if strings.Contains(e.log.String(), "hunter2") || strings.Contains(e.log.String(), "a destination was refused") {
		t.Error("the log holds the password, or a refusal")
	}
}

// answerTime is a time server whose clock is ahead.
func answerTime(t *testing.T, h *netguardtest.Host, address string, ahead time.Duration) {
	t.Helper()
	conn, err := h.ListenPacket(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		for b := make([]byte, 512); ; {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			if n >= 48 {
				conn.WriteTo(timeAnswer(b[:48], time.Now().Add(ahead)), from) //nolint:errcheck // it asks again
			}
		}
	}()
}

// timeAnswer is what RFC 5905 section 7.3 draws.
func timeAnswer(request []byte, now time.Time) []byte {
	const era = 2208988800 // seconds from 1900 to 1970
	stamp := uint64(now.Unix()+era)<<32 | uint64(now.Nanosecond())<<32/1e9
	b := make([]byte, 48)
	b[0], b[1], b[2], b[3] = 4<<3|4, 1, request[2], 0xec // version 4, server; stratum 1; 2^-20 s
	copy(b[12:], "LOCL")
	binary.BigEndian.PutUint64(b[16:], stamp)
	copy(b[24:32], request[40:48])
	binary.BigEndian.PutUint64(b[32:], stamp)
	binary.BigEndian.PutUint64(b[40:], stamp)
	return b
}

// The time servers are asked through the External Port. The tests' lwcd may not
// set the clock (see TestMain): it tells what it found, and works.
func TestTimeIsAskedForOutside(t *testing.T) {
	e := newEnforced(t)
	answerTime(t, e.site.External.Far, "192.0.2.1:1123", 150*time.Millisecond)
	e.configure(func(s string) string { return s + "ntp = [\"192.0.2.1:1123\"]\n" })
	e.start()
	e.sd.await("READY=1")
	until(t, "the offset to be told", 30*time.Second, func() bool {
		return strings.Contains(e.log.String(), `"action":"told"`) && strings.Contains(e.log.String(), `"offset":"1`)
	})
	if code := e.stop(syscall.SIGTERM); code != exitStopped {
		t.Errorf("exit code %d", code)
	}
}

// serveLeases runs a real dnsmasq at the External Port.
func serveLeases(t *testing.T, h *netguardtest.Host, first, last string) *exec.Cmd {
	t.Helper()
	out := &safeBuffer{}
	cmd := runIn(t, h, out, "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--interface="+netguardtest.FarLink,
		"--bind-interfaces", "--port=0", "--user=root", "--group=root", "--no-ping", "--dhcp-authoritative", "--log-dhcp",
		"--log-facility=-", "--pid-file=", "--dhcp-leasefile="+filepath.Join(t.TempDir(), "leases"),
		"--dhcp-range="+first+","+last+",255.255.255.0,2m")
	until(t, "dnsmasq to listen", 10*time.Second, func() bool { return strings.Contains(out.String(), "DHCP, IP range") })
	return cmd
}

// A lease that overlaps with the Internal Port keeps the ports down, and a good
// one opens them: the cloud is reached with what DHCP gave.
func TestLeases(t *testing.T) {
	e := newEnforced(t)
	far := e.site.External.Far
	if err := far.Address(netguardtest.FarLink, netip.MustParsePrefix("10.11.0.77/24")); err != nil {
		t.Fatal(err)
	}
	bad := serveLeases(t, far, "10.11.0.100", "10.11.0.120")
	e.configure(func(s string) string {
		return strings.Replace(s, `addresses = ["192.0.2.2/24"]`, "dhcp = true", 1)
	})
	e.start()
	// Before any lease the port is open and has no address.
	if s := e.sd.await("overlap"); strings.Contains(s, "ports open") {
		t.Errorf("with a lease that overlaps: %s", s)
	}
	if gone(e.cmd.Process.Pid) {
		t.Fatal("lwcd has ended")
	}
	_ = bad.Process.Kill()
	serveLeases(t, far, "192.0.2.50", "192.0.2.60")
	e.sd.await("ports open")
	e.giveToken(e.cloud.token(nil))
	e.sd.await("welcomed by the cloud")
	if code := e.stop(syscall.SIGTERM); code != exitStopped {
		t.Errorf("exit code %d", code)
	}
}
