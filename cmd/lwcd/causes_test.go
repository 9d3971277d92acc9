package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"lwc/cmd/lwcd/halves"
	"lwc/netguard"
	"lwc/netguard/netguardtest"
	"lwc/transport/wire"
)

// Whatever is wrong with the configuration or the machine, lwcd says it with its
// cause, keeps both ports down, lives, and goes on as soon as it is put right.
func TestEveryCauseIsWaitedOut(t *testing.T) {
	e := newEnforced(t)
	put := func(old, instead string) func(string) string {
		return func(s string) string {
			if !strings.Contains(s, old) {
				t.Fatalf("no %q in the configuration", old)
			}
			return strings.Replace(s, old, instead, 1)
		}
	}
	if err := os.Remove(e.conf); err != nil {
		t.Fatal(err)
	}
	e.start()
	e.sd.await("STATUS=ports down: configuration: ", "no such file")
	for _, c := range []struct {
		name, status string
		change       func(string) string
	}{
		{"damaged file", "configuration: ", put("[internal]", "[internal")},
		{"overlap", "overlap: ", put("192.0.2.2/24", "10.11.0.9/16")},
		{"nested and mapped", "overlap: ", put("192.0.2.2/24", "::ffff:10.11.0.9/120")},
		{"same NIC twice", "same-interface: ", put(`"lwcext0"`, `"lwcint0"`)},
		{"missing NIC", "missing-interface: ", put(`"lwcext0"`, `"lwcext9"`)},
		{"MTU too small", "external.mtu", put(`"lwcext0"`, "\"lwcext0\"\nmtu = 100")},
		{"lease of a port with an address", "configuration: ", put(`"lwcext0"`, "\"lwcext0\"\ndhcp = true")},
		{"VLAN", "unsupported: ", put(`"lwcext0"`, "\"lwcext0\"\nvlan = 20")},
		{"state folder that is a file", "state: ", put(e.state(), e.conf)},
		{"token in the state folder", "lies in the state folder", put(e.token(), e.state()+"/token")},
		{"no such user", "user: ", put(`"nobody"`, `"nobody-of-that-name"`)},
		{"no password", "reading the password of the proxy", put(`"lwcext0"`, "\"lwcext0\"\nproxy = \"http://192.0.2.1:3128\"\nproxy_user = \"u\"\nproxy_password_file = \"/nowhere\"")},
	} {
		if os.Getenv("LWC_NETGUARD_DIR") != "" && c.name == "no such user" {
			continue // a user namespace has one user only
		}
		if c.name == "VLAN" && hasVLAN(t) {
			continue // the kernel has what is said to be missing
		}
		e.configure(c.change)
		e.sd.await(c.status)
		if a, b := e.portsUp(); a+b > 0 {
			t.Errorf("%s: ports up: internal %d, external %d", c.name, a, b)
		}
		if gone(e.cmd.Process.Pid) || e.half() != 0 {
			t.Fatalf("%s: the daemon has ended, or has a half", c.name)
		}
	}
	e.configure(nil)
	e.sd.await("READY=1", "ports open")
	e.configure(put("192.0.2.2/24", "10.11.0.9/16")) // not used while the ports are open, but told
	until(t, "the changed file to be called wrong", 20*time.Second, func() bool {
		return strings.Contains(e.log.String(), "is wrong: the next start would leave the ports down")
	})
	if code := e.stop(syscall.SIGTERM); code != exitStopped {
		t.Errorf("exit code %d", code)
	}
}

// hasVLAN asks the kernel whether it makes 802.1Q links.
func hasVLAN(t *testing.T) bool {
	t.Helper()
	h := must[*netguardtest.Host](t)(netguardtest.NewHost())
	defer h.Close()
	lo := must[netlink.Link](t)(h.Link("lo"))
	err := h.Netlink().LinkAdd(&netlink.Vlan{LinkAttrs: netlink.LinkAttrs{Name: "tagged", ParentIndex: lo.Attrs().Index}, VlanId: 9})
	return !errors.Is(err, unix.EOPNOTSUPP)
}

// A card that comes late is taken as soon as it is there.
func TestLateCard(t *testing.T) {
	e := newEnforced(t)
	link, err := e.site.Box.Link("lwcext0")
	if err != nil {
		t.Fatal(err)
	}
	if err := e.site.Box.Netlink().LinkSetName(link, "later0"); err != nil {
		t.Fatal(err)
	}
	e.start()
	e.sd.await("missing-interface")
	if err := e.site.Box.Netlink().LinkSetName(link, "lwcext0"); err != nil {
		t.Fatal(err)
	}
	e.sd.await("READY=1")
	e.stop(syscall.SIGTERM)
}

// Ports that a killed daemon left up are set down by the next one, when there is
// no valid configuration any more.
func TestNoValidConfigurationSilences(t *testing.T) {
	e := newEnforced(t)
	e.start()
	e.sd.await("READY=1")
	e.stop(syscall.SIGKILL)
	if a, b := e.portsUp(); a+b != 2 {
		t.Fatalf("a killed daemon leaves its ports up: internal %d, external %d", a, b)
	}
	e.configure(func(string) string { return "[" })
	e.start()
	e.sd.await("ports down: configuration")
	until(t, "the ports to be down", 5*time.Second, func() bool { a, b := e.portsUp(); return a+b == 0 })
	e.stop(syscall.SIGTERM)
}

// With external.allow nothing else can be dialled, the cloud of the token not
// either; it is told once, and the cloud hears of it when there is a way to it.
func TestAllowListIsTheSupervisors(t *testing.T) {
	e := newEnforced(t)
	e.configure(func(s string) string { return s + fmt.Sprintf("allow = [%q]\n", e.cloud.addr) })
	e.start()
	e.sd.await("READY=1")
	e.giveToken(e.cloud.token(func(tok *wire.Token) { tok.URL = "https://192.0.2.7" }))
	e.sd.await("not enrolled yet", "is not on the list")
	until(t, "two attempts", 20*time.Second, func() bool { return strings.Count(e.log.String(), "enrolling failed") >= 2 })
	if n := strings.Count(e.log.String(), "a destination was refused"); n != 1 {
		t.Errorf("told %d times", n)
	}
	e.giveToken(e.cloud.token(nil))
	e.sd.await("welcomed by the cloud")
	e.awaitEvent(wire.EventDialRefused, "192.0.2.7:443")
	e.stop(syscall.SIGTERM)
}

// Without privileges lwcd says so and lives.
func TestWithoutPrivileges(t *testing.T) {
	if os.Geteuid() != 0 || os.Getenv("LWC_NETGUARD_DIR") != "" {
		t.Skip("NOT RUN: an ordinary user has no other one to become; root runs it")
	}
	e := newEnforced(t)
	if err := os.Chmod(e.conf, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{os.Getenv("NOTIFY_SOCKET"), filepath.Dir(os.Getenv("NOTIFY_SOCKET")), filepath.Dir(filepath.Dir(os.Getenv("NOTIFY_SOCKET")))} {
		if err := os.Chmod(f, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	e.as = &syscall.Credential{Uid: 65534, Gid: 65534}
	e.start()
	e.sd.await("ports down: privilege: ")
	if code := e.stop(syscall.SIGTERM); code != exitStopped {
		t.Errorf("exit code %d", code)
	}
}

// The pause grows from 2 s to 30 s, and starts anew with another cause.
func TestRetryPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &retry{path: filepath.Join(t.TempDir(), "missing")}
		for _, want := range []time.Duration{2, 4, 8, 16, 30, 30} {
			began := time.Now()
			if !r.wait(t.Context(), "", "a") || time.Since(began) != want*time.Second {
				t.Errorf("waited %v, want %v s", time.Since(began), want)
			}
		}
		began := time.Now()
		if !r.wait(t.Context(), "", "b") || time.Since(began) != firstRetry {
			t.Errorf("another cause: waited %v", time.Since(began))
		}
		began = time.Now()
		if !r.wait(t.Context(), "an older version", "b") || time.Since(began) > 2*lookEvery {
			t.Errorf("another file: waited %v", time.Since(began))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if r.wait(ctx, "", "b") {
			t.Error("waits on although it is asked to stop")
		}
	})
}

// What may be dialled follows from the configuration and the token.
func TestAllowed(t *testing.T) {
	parse := func(text string) *allowed {
		conf, err := parseConfig("f", twoPorts+text)
		if err != nil {
			t.Fatal(err)
		}
		return &allowed{conf: conf, kept: tokenList{Endpoints: []string{"token:443", "broker:8883"}}}
	}
	for text, want := range map[string]string{
		"":                                 "[tcp token:443 tcp broker:8883]",
		`allow = ["a:1"]`:                  "[tcp a:1]",
		`proxy = "http://p:3128"`:          "[tcp p:3128]",
		`ntp = ["n"]`:                      "[tcp token:443 tcp broker:8883 udp n:123]",
		"allow = [\"a:1\"]\nntp = [\"n\"]": "[tcp a:1 udp n:123]",
	} {
		var got []string
		list, err := parse(text).list()
		if err != nil {
			t.Error(err)
		}
		for _, e := range list {
			got = append(got, fmt.Sprintf("%s %s:%d", e.Network, e.Host, e.Port))
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%q: %v, want %s", text, got, want)
		}
	}
}

// Notices wait for a half, in order and bounded, and are forgotten once it has
// them.
func TestNotices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNotices()
		for i := range noticesKept + 3 {
			n.add(halves.Notice{Text: fmt.Sprint(i)})
		}
		list, err := n.Notices(t.Context(), 0)
		if err != nil || len(list) != noticesKept || list[0].Text != "3" || list[0].Number != 4 {
			t.Errorf("%d notices, %v", len(list), err)
		}
		got := make(chan []halves.Notice)
		go func() {
			list, _ := n.Notices(t.Context(), list[len(list)-1].Number)
			got <- list
		}()
		synctest.Wait()
		n.add(halves.Notice{Text: "new"})
		if list := <-got; len(list) != 1 || list[0].Text != "new" {
			t.Errorf("%+v", list)
		}
	})
}

// The console line is written to a terminal that is there, and never waited for.
func TestConsole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeLine(path, "nobody reads"); err == nil {
		t.Error("a pipe without a reader took the line")
	}
	r, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := writeLine(path, "lwcd: ports open"); err != nil {
		t.Error(err)
	}
	b := make([]byte, 100)
	if n, err := r.Read(b); err != nil || string(b[:n]) != "lwcd: ports open\n" {
		t.Errorf("%q, %v", b[:n], err)
	}
	full := strings.Repeat("x", 4000)
	for err = nil; err == nil; {
		err = writeLine(path, full) // until the pipe is full: that must not wait
	}
	if got := printable("a\x1b[2Jb\nc é"); got != "a?[2Jb; c ?" {
		t.Errorf("%q", got)
	}
}

var _ netguard.Upstream = (*site)(nil)
