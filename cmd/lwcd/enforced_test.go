package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"lwc/netguard"
	"lwc/netguard/netguardtest"
	"lwc/transport/wire"
)

// enforced is lwcd with its two ports on cables: to nobody, and to a cloud end.
type enforced struct {
	*process
	t     *testing.T
	site  *netguardtest.Site
	cloud *cloudEnd
	sd    *systemd
}

// newEnforced lays the cables. lwcd is not started yet.
func newEnforced(t *testing.T) *enforced {
	t.Helper()
	return newEnforcedTo(t, "192.0.2.1")
}

// newEnforcedTo has the cloud end at another address of the host at the External
// Port.
func newEnforcedTo(t *testing.T, cloud string) *enforced {
	t.Helper()
	box := must[*netguardtest.Host](t)(netguardtest.OpenHost("/proc/self/ns/net"))
	t.Cleanup(box.Close)
	e := &enforced{t: t, site: must[*netguardtest.Site](t)(netguardtest.NewSite(box, "lwcint0", "lwcext0"))}
	t.Cleanup(e.clear)
	if far := e.site.External.Far; cloud != "192.0.2.1" {
		if err := far.Address("lo", netip.MustParsePrefix(cloud+"/32")); err != nil {
			t.Fatal(err)
		}
	}
	e.cloud = startCloudEndOn(t, must[net.Listener](t)(e.site.External.Far.Listen(cloud+":0")))
	e.sd = listenAsSystemd(t, "2000000")
	e.process = newProcess(t)
	e.configure(nil)
	return e
}

// clear takes the ports' namespaces away, so that the next test finds none.
func (e *enforced) clear() {
	e.site.Close()
	for _, name := range []string{netguard.InternalNamespace, netguard.ExternalNamespace} {
		path := filepath.Join(namesDir(), name)
		if err := syscall.Unmount(path, syscall.MNT_DETACH); err == nil {
			os.Remove(path)
		}
	}
}

// namesDir is where the namespaces have their names.
func namesDir() string { return named(os.Getenv("LWC_NETGUARD_DIR"), netguard.DefaultNamespaceDir) }

// configure writes the configuration, changed as a test wants it.
func (e *enforced) configure(change func(string) string) {
	e.t.Helper()
	text := fmt.Sprintf(`state_dir = %q
enrolment_token_file = %q
[guard]
%s
[internal]
interface = "lwcint0"
addresses = ["10.11.0.2/24"]
[external]
interface = "lwcext0"
addresses = ["192.0.2.2/24"]
`, e.state(), e.token(), `user = "nobody"`)
	if os.Getenv("LWC_NETGUARD_DIR") != "" {
		text = strings.Replace(text, `user = "nobody"`, `mode = "userns"`, 1)
	}
	if change != nil {
		text = change(text)
	}
	if err := errors.Join(os.WriteFile(e.conf+".new", []byte(text), 0o600), os.Rename(e.conf+".new", e.conf)); err != nil {
		e.t.Fatal(err)
	}
}

// enrol starts lwcd and brings it to work.
func (e *enforced) enrol() {
	e.t.Helper()
	e.start()
	e.sd.await("READY=1", "waiting for an enrolment token")
	e.giveToken(e.cloud.token(nil))
	e.sd.await("welcomed by the cloud")
}

// awaitEvent waits until the cloud has heard of that.
func (e *enforced) awaitEvent(kind, words string) {
	e.t.Helper()
	until(e.t, "the event "+kind, 20*time.Second, func() bool {
		list, err := e.cloud.store.Events(e.t.Context(), theCollector, 100)
		return err == nil && slices.ContainsFunc(list, func(v wire.Event) bool { return v.Kind == kind && strings.Contains(v.Text, words) })
	})
}

// half returns the process id of the collector half, 0 if there is none.
func (e *enforced) half() int {
	e.t.Helper()
	for _, pid := range children(e.t, e.cmd.Process.Pid) {
		if line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); strings.HasSuffix(string(line), "\x00"+halfArgument+"\x00") {
			return pid
		}
	}
	return 0
}

// children returns what a process has started and not yet buried.
func children(t *testing.T, pid int) (out []int) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // the thread has ended
		}
		for _, child := range strings.Fields(string(b)) {
			if n, err := strconv.Atoi(child); err == nil {
				out = append(out, n)
			}
		}
	}
	return out
}

func (e *enforced) awaitHalf(other int) int {
	e.t.Helper()
	pid := 0
	until(e.t, "a collector half", 20*time.Second, func() bool { pid = e.half(); return pid != 0 && pid != other })
	return pid
}

// up tells whether the port of that namespace is up.
func (e *enforced) up(namespace, port string) bool {
	e.t.Helper()
	h, err := netguardtest.OpenHost(filepath.Join(namesDir(), namespace))
	if err != nil {
		return false
	}
	defer h.Close()
	l, err := h.Link(port)
	return err == nil && l.Attrs().Flags&net.FlagUp != 0
}

func (e *enforced) portsUp() (int, int) {
	a, b := 0, 0
	if e.up(netguard.InternalNamespace, "lwcint0") {
		a = 1
	}
	if e.up(netguard.ExternalNamespace, "lwcext0") {
		b = 1
	}
	return a, b
}

// gone tells whether a process has ended.
func gone(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(b), ") Z ")
}

// The collector half has no privilege, is another user, and sits in a network
// namespace with nothing in it; it enrols and works all the same. It cannot read
// the token, and its memory cannot be read by that user.
func TestHalfHasNothing(t *testing.T) {
	e := newEnforced(t)
	e.enrol()
	pid := e.half()
	checkNoPrivileges(t, pid)
	if got := nices(t, pid); !slices.Equal(got, []int{halfNice}) {
		t.Errorf("nice values of the half's threads: %v", got)
	}
	if got := oomScore(t, pid); got != firstToGo {
		t.Errorf("the half goes with %s when memory is short", got)
	}
	// Only the machine's own root may raise it (sched(7)).
	if got := nices(t, e.cmd.Process.Pid); mapped("/proc/self/uid_map", 1<<32-2) && !slices.Equal(got, []int{supervisorNice}) {
		t.Errorf("nice values of the supervisor's threads: %v", got)
	}
	h, err := netguardtest.OpenHost(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	links, err := h.Netlink().LinkList()
	if err != nil || len(links) != 1 || links[0].Attrs().Flags&net.FlagUp != 0 {
		t.Errorf("links of the half: %v, %v", names(links), err)
	}
	for _, to := range []string{e.cloud.addr, "127.0.0.1:22", "10.11.0.1:830"} {
		err := h.Do(func() error {
			c, err := net.DialTimeout("tcp", to, time.Second)
			if err == nil {
				c.Close()
			}
			return err
		})
		if !errors.Is(err, syscall.ENETUNREACH) {
			t.Errorf("a plain dial of %s from there: %v", to, err)
		}
	}
	began := time.Now()
	if code := e.stop(syscall.SIGTERM); code != exitStopped || time.Since(began) > 10*time.Second {
		t.Errorf("exit code %d after %v", code, time.Since(began))
	}
	if a, b := e.portsUp(); a+b > 0 {
		t.Errorf("ports up after the end: internal %d, external %d", a, b)
	}
	if !gone(pid) {
		t.Error("the half outlived the daemon")
	}
	if strings.Contains(e.log.String(), "leave-taking did not reach") {
		t.Error("the ports were closed before what dials through them")
	}
}

// nices returns the different nice values (proc(5), stat, field 19) of a process's threads.
func nices(t *testing.T, pid int) []int {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(files) == 0 {
		t.Fatalf("threads of %d: %v", pid, err)
	}
	var all []int
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // the thread ended
		}
		_, rest, _ := strings.Cut(string(b), ") ") // past the name, which is field 2
		value, err := strconv.Atoi(strings.Fields(rest)[16])
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, value)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func names(links []netlink.Link) (out []string) {
	for _, l := range links {
		out = append(out, l.Attrs().Name+" "+l.Attrs().Flags.String())
	}
	return out
}

// checkNoPrivileges reads every thread of a process.
func checkNoPrivileges(t *testing.T, pid int) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(files) < 2 {
		t.Fatalf("%d threads, %v", len(files), err)
	}
	user := "65534"
	if os.Getenv("LWC_NETGUARD_DIR") != "" {
		user = "0" // the only one of the user namespace
	}
	want := map[string]string{"CapInh:": "0000000000000000", "CapPrm:": "0000000000000000", "CapEff:": "0000000000000000",
		"CapBnd:": "0000000000000000", "CapAmb:": "0000000000000000", "NoNewPrivs:": "1", "Uid:": user}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // the thread has ended
		}
		for line := range strings.Lines(string(b)) {
			fields := strings.Fields(line)
			if v, ok := want[fields[0]]; ok && fields[1] != v {
				t.Errorf("%s: %s", f, line)
			}
		}
	}
}

// A half that is killed is started again, the ports stay up meanwhile, and the
// cloud hears of it.
func TestHalfIsStartedAgain(t *testing.T) {
	e := newEnforced(t)
	e.enrol()
	first := e.half()
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	e.sd.await("the collector half ended (signal: killed) and is started again")
	if a, b := e.portsUp(); a+b != 2 {
		t.Errorf("ports up without a half: internal %d, external %d", a, b)
	}
	second := e.awaitHalf(first)
	e.sd.await("welcomed by the cloud")
	e.awaitEvent(wire.EventHalfRestarted, "signal: killed")
	if strings.Contains(e.log.String(), "panic") || second == first {
		t.Error("not another one")
	}
	checkNoPrivileges(t, second)
	if code := e.stop(syscall.SIGTERM); code != exitStopped {
		t.Errorf("exit code %d", code)
	}
}

// What a half has started ends with it, however it ends: nobody stays behind in the
// namespaces of the ports.
func TestWhatTheHalfStartedEndsWithIt(t *testing.T) {
	t.Setenv(envSleeper, "1")
	e := newEnforced(t)
	e.start()
	e.sd.await("READY=1", "waiting for an enrolment token")
	for i, end := range []func(half int) error{
		func(half int) error { return syscall.Kill(half, syscall.SIGKILL) },
		func(int) error { return e.cmd.Process.Kill() },
	} {
		half := e.awaitHalf(0)
		sleeper := 0
		until(t, "a sleeper", 10*time.Second, func() bool {
			list := children(t, half)
			if len(list) > 0 {
				sleeper = list[0]
			}
			return sleeper != 0
		})
		if i == 0 && gone(sleeper) {
			t.Fatal("it has ended by itself")
		}
		if err := end(half); err != nil {
			t.Fatal(err)
		}
		until(t, "the sleeper to end", 5*time.Second, func() bool { return gone(sleeper) })
		until(t, "the half to end", 5*time.Second, func() bool { return gone(half) })
	}
	e.cmd.Wait() //nolint:errcheck // killed
}

// When the supervisor is killed the half ends with it, and the next start takes
// the ports over.
func TestSupervisorKilled(t *testing.T) {
	e := newEnforced(t)
	e.enrol()
	pid := e.half()
	began := time.Now()
	e.stop(syscall.SIGKILL)
	until(t, "the half to end", 2*time.Second, func() bool { return gone(pid) })
	t.Logf("the half was gone %v after", time.Since(began))
	e.start()
	e.sd.await("READY=1", "welcomed by the cloud")
	if code := e.stop(syscall.SIGTERM); code != exitStopped {
		t.Errorf("exit code %d", code)
	}
}

// A half that does not stay alive ends the daemon, with the ports closed.
func TestHalfThatKeepsEnding(t *testing.T) {
	e := newEnforced(t)
	e.start()
	e.sd.await("READY=1")
	ended := make(chan struct{})
	go func() { e.cmd.Wait(); close(ended) }() //nolint:errcheck // the code is looked at
	limit := time.After(40 * time.Second)      // four pauses of 15 s in all, and five starts
	for last, over := 0, false; !over; {
		select {
		case <-limit:
			t.Fatal("the daemon goes on")
		case <-ended:
			over = true
		case <-time.After(20 * time.Millisecond):
			if pid := e.half(); pid != 0 && pid != last {
				last = pid
				syscall.Kill(pid, syscall.SIGKILL) //nolint:errcheck // it may have ended
			}
		}
	}
	if code := e.cmd.ProcessState.ExitCode(); code != exitFailed || !strings.Contains(e.log.String(), errHalf.Error()) {
		t.Errorf("exit code %d", code)
	}
	if a, b := e.portsUp(); a+b > 0 {
		t.Errorf("ports up after the end: internal %d, external %d", a, b)
	}
}
