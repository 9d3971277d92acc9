package netguard

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// The configuration and an address for a child, as JSON and text.
const (
	envConfig = "LWC_NETGUARD_TEST_CONFIG"
	envTarget = "LWC_NETGUARD_TEST_TARGET"
)

func (s *site) env(t *testing.T, target string) []string {
	t.Helper()
	b, err := json.Marshal(s.config)
	must(t, err)
	return []string{envConfig + "=" + string(b), envTarget + "=" + target}
}

func childUp(ctx context.Context) (*Guard, error) {
	var c Config
	if err := json.Unmarshal([]byte(os.Getenv(envConfig)), &c); err != nil {
		return nil, err
	}
	return Up(ctx, c)
}

// playGuard holds the ports until it is killed.
func playGuard() error {
	g, err := childUp(context.Background())
	if err != nil {
		return err
	}
	defer g.Close()
	fmt.Println("up")
	_, err = bufio.NewReader(os.Stdin).ReadString('\n')
	return err
}

// A guard that is killed leaves its namespaces; the next one adopts them as they
// are and finds nothing to change.
func TestUpAdoptsAfterKill(t *testing.T) {
	s := newSite(t)
	address := serve(t, s.device, deviceAddr4+":830", "adopted")
	c := start(t, "guard", nil, s.env(t, "")...)
	c.expect(t, "up")
	before := s.kernelState(t)
	c.kill()
	if after := s.kernelState(t); after != before {
		t.Errorf("the ports changed with the death of the guard:\n%s\n%s", before, after)
	}
	g := s.up(t)
	if after := s.kernelState(t); after != before {
		t.Errorf("adoption changed the ports:\nbefore:\n%s\nafter:\n%s", before, after)
	}
	conn, err := g.Internal().DialContext(within(t, testTimeout), "tcp", address)
	must(t, err)
	if got := readAll(t, conn); got != "adopted" {
		t.Errorf("got %q", got)
	}
}

// dropTo is the user to become: in a user namespace there is root alone.
func dropTo() int {
	if insideUserns() {
		return 0
	}
	return 65534
}

// playUserns is an ordinary user's program in mode userns with a simulated site.
func playUserns() error {
	inside, code, err := Reexec()
	if err != nil {
		return err
	}
	if !inside {
		os.Exit(code)
	}
	if os.Getuid() != 0 || !strings.HasPrefix(filepath.Base(os.Getenv(envDir)), "lwc-netns-") {
		return fmt.Errorf("inside: uid %d, folder %q", os.Getuid(), os.Getenv(envDir))
	}
	if again, _, err := Reexec(); err != nil || !again {
		return fmt.Errorf("a second Reexec: inside %v, %w", again, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	return simulateSite(ctx)
}

// simulateSite makes two veth pairs; that Up opens the ports is enough here.
func simulateSite(ctx context.Context) error {
	for _, name := range []string{"lwcint0", "lwcext0"} {
		a := netlink.NewLinkAttrs()
		a.Name = name
		if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: a, PeerName: name + "p"}); err != nil {
			return err
		}
	}
	g, err := Up(ctx, Config{Mode: Userns,
		Internal: Port{Interface: "lwcint0", Addresses: prefixes("10.11.0.2/24")},
		External: Port{Interface: "lwcext0", Addresses: prefixes("192.0.2.2/24")}})
	if err != nil {
		return err
	}
	fmt.Println(g.State().Mode, g.State().Status)
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	fmt.Print("heard ", line)
	return errors.Join(err, g.Close())
}

// ordinary makes a child the process of a user without privileges. Where the
// tests are root of a user namespace there is no other user to become, but a
// namespace below in which it is not root.
func ordinary(t *testing.T) *syscall.SysProcAttr {
	newSite(t) // says so when it cannot run
	if !insideUserns() {
		return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	id := []syscall.SysProcIDMap{{ContainerID: 1000, HostID: 0, Size: 1}}
	return &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: id, GidMappings: id}
}

// As an ordinary user: re-executed in namespaces of its own, with standard input
// passed through and the exit code passed out.
func TestReexec(t *testing.T) {
	c := start(t, "userns", ordinary(t), envDir+"=")
	c.expect(t, "userns open")
	_, err := fmt.Fprintln(c.in, "you")
	must(t, err)
	c.expect(t, "heard you")
	must(t, c.cmd.Wait())
}

// A signal to the outer process reaches the inner one, whose death is the exit code.
func TestReexecPassesSignals(t *testing.T) {
	c := start(t, "userns", ordinary(t), envDir+"=")
	c.expect(t, "userns open")
	must(t, c.cmd.Process.Signal(syscall.SIGTERM))
	done := make(chan error, 1)
	go func() { done <- c.cmd.Wait() }()
	select {
	case <-done:
		if code := c.cmd.ProcessState.ExitCode(); code != 128+int(syscall.SIGTERM) {
			t.Errorf("exit code %d, want %d", code, 128+int(syscall.SIGTERM))
		}
	case <-time.After(testTimeout):
		t.Error("the signal was not passed on")
	}
}
