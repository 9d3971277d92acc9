package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lwc/cmd/lwcd/report"
	"lwc/testdata/need"
)

// envAppliance makes lwcd begin with the rights that the unit of the appliance
// gives, and no more.
const envAppliance = "LWCD_TEST_APPLIANCE"

// applianceNeeds are those rights.
func applianceNeeds() (set uint64) {
	for _, n := range supervisorNeeds {
		if n.spared == "" {
			set |= 1 << n.capability
		}
	}
	return set
}

// asOnTheAppliance gives up what the unit does not give.
func asOnTheAppliance() error {
	if os.Getenv(envAppliance) == "" || len(os.Args) == 2 && (os.Args[1] == halfArgument || os.Args[1] == halfCommand || os.Args[1] == packetCommand) {
		return nil
	}
	unlimited := &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
	err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, unlimited) // LimitMEMLOCK
	if err != nil && !errors.Is(err, unix.EPERM) {        // a container may not have the right
		return err
	}
	return confine(applianceNeeds())
}

// needUnit skips what takes root: another user, and a mount namespace of its own.
func needUnit(t *testing.T) {
	t.Helper()
	if os.Getenv("LWC_NETGUARD_DIR") != "" {
		t.Skip("NOT RUN: in a user namespace there is no other user; root runs it")
	}
	need.Root(t)
}

// With the two capabilities of the appliance's unit a box enrols, its half being a
// unit of its own, and another one making its packet sockets; one that is killed and one that hangs are followed by another, and
// it tells how things stand.
func TestLwcdWithTheRightsOfTheAppliance(t *testing.T) {
	needUnit(t)
	t.Setenv(envAppliance, "1")
	e := newEnforced(t)
	u := e.withUnitAndPackets()
	playPacketUnit(t, filepath.Join(e.dir, "packet.sock"))
	told := filepath.Join(e.dir, "lwcd.json")
	e.args = []string{"--report", told}
	e.start()
	e.sd.await("READY=1", "waiting for an enrolment token")
	e.giveToken(e.cloud.token(nil))
	e.sd.await("welcomed by the cloud")
	until(t, "a report of the connection", 10*time.Second, func() bool {
		r, err := report.Read(told)
		return err == nil && r.Ports == report.Open && r.Connected && r.Collector == theCollector && r.Identity == "file" &&
			r.External.Address == "192.0.2.2/24" && r.Internal.Link == "lwcint0"
	})
	if got := capabilitiesOf(t, fmt.Sprintf("/proc/%d/status", e.cmd.Process.Pid), "CapPrm:"); got != applianceNeeds() {
		t.Errorf("the supervisor has %#x", got)
	}
	first := u.half(1)
	checkDropped(t, first)
	const resource = uint64(1) << unix.CAP_SYS_RESOURCE
	if capabilitiesOf(t, "/proc/self/status", "CapEff:")&resource != 0 && strings.Contains(e.log.String()+u.log.String(), "memory is not locked") {
		t.Error("memory is not locked")
	}
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	e.sd.await("the collector half ended (" + errSilent.Error() + ") and is started again")
	second := u.half(2)
	e.sd.await("welcomed by the cloud")
	if err := syscall.Kill(second, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	third := u.half(3)
	e.sd.await("welcomed by the cloud")
	if code := e.stop(syscall.SIGTERM); code != exitStopped || !gone(second) || !gone(third) {
		t.Errorf("exit code %d, the half that hung is gone: %v, the last one: %v", code, gone(second), gone(third))
	}
	if a, b := e.portsUp(); a+b > 0 {
		t.Errorf("ports up after the end: internal %d, external %d", a, b)
	}
}

// checkDropped makes sure that no thread of a half has kept the right to enter namespaces.
func checkDropped(t *testing.T, half int) {
	t.Helper()
	tasks := must[[]string](t)(filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", half)))
	for _, task := range tasks {
		if _, err := os.Stat(task); err != nil {
			continue // the thread has ended
		}
		for _, set := range []string{"CapPrm:", "CapEff:", "CapInh:", "CapAmb:"} {
			if got := capabilitiesOf(t, task, set); got != 0 {
				t.Errorf("the half has %s %#x", set, got)
			}
		}
	}
	status := string(must[[]byte](t)(os.ReadFile(fmt.Sprintf("/proc/%d/status", half))))
	if !strings.Contains(status, "NoNewPrivs:\t1") || !strings.Contains(status, fmt.Sprintf("Uid:\t%d\t%d\t%d\t%d", nobody, nobody, nobody, nobody)) {
		t.Errorf("the half is\n%s", status)
	}
}

func oomScore(t *testing.T, pid int) string {
	t.Helper()
	b := must[[]byte](t)(os.ReadFile("/proc/" + strconv.Itoa(pid) + "/oom_score_adj"))
	return strings.TrimSpace(string(b))
}
