package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lwc/netguard"
)

// The supervisor keeps what its table says, on every thread, and cannot gain more.
func TestSupervisorKeepsOnlyWhatItNeeds(t *testing.T) {
	e := newEnforced(t)
	e.start()
	e.sd.await("READY=1")
	e.awaitHalf(0)
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", e.cmd.Process.Pid))
	if err != nil || len(files) < 2 {
		t.Fatalf("%d threads, %v", len(files), err)
	}
	have := uint64(1)<<unix.CAP_LAST_CAP<<1 - 1 // all of them, inside a user namespace
	if os.Getenv("LWC_NETGUARD_DIR") == "" {
		have = capabilitiesOf(t, "/proc/self/status", "CapBnd:")
	}
	keep := fmt.Sprintf("%016x", have&needed()&^outsideOnly&^(1<<unix.CAP_SYS_TIME)) // the tests have no clock
	want := map[string]string{"CapInh:": fmt.Sprintf("%016x", 0), "CapPrm:": keep, "CapEff:": keep, "CapBnd:": keep,
		"CapAmb:": fmt.Sprintf("%016x", 0), "NoNewPrivs:": "1"}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // the thread has ended
		}
		for line := range strings.Lines(string(b)) {
			fields := strings.Fields(line)
			if v, ok := want[fields[0]]; ok && fields[1] != v {
				t.Errorf("%s: %s, want %s", f, line, v)
			}
		}
	}
	e.stop(syscall.SIGTERM)
}

func capabilitiesOf(t *testing.T, file, field string) uint64 {
	t.Helper()
	for line := range strings.Lines(string(must[[]byte](t)(os.ReadFile(file)))) {
		if value, ok := strings.CutPrefix(line, field); ok {
			return must[uint64](t)(strconv.ParseUint(strings.TrimSpace(value), 16, 64))
		}
	}
	t.Fatalf("%s has no %s", file, field)
	return 0
}

// Each unit gives what the table has for it, and no more.
func TestUnitsGiveWhatIsNeeded(t *testing.T) {
	var server, appliance []string
	for _, n := range supervisorNeeds {
		if outsideOnly>>n.capability&1 == 0 {
			server = append(server, "CAP_"+n.name)
		}
		if n.spared == "" {
			appliance = append(appliance, "CAP_"+n.name)
		}
	}
	for path, want := range map[string][]string{"../../docs/examples/lwcd.service": server,
		"../../image/mkosi/mkosi.extra/usr/lib/systemd/system/lwcd.service": appliance} {
		var got []string
		for line := range strings.Lines(string(must[[]byte](t)(os.ReadFile(path)))) {
			if list, ok := strings.CutPrefix(line, "CapabilityBoundingSet="); ok {
				got = strings.Fields(list)
			}
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s has %v, want %v", path, got, want)
		}
	}
}

// upstream tells views in turn.
type upstream struct{ views chan netguard.View }

func (u upstream) View(ctx context.Context, _ uint64) (netguard.View, error) {
	select {
	case v := <-u.views:
		return v, nil
	case <-ctx.Done():
		return netguard.View{}, ctx.Err()
	}
}

func (u upstream) Permit(context.Context, netguard.Endpoint) ([]netip.AddrPort, error) {
	return nil, netguard.ErrNotAllowed
}

// Each time that the ports become open the uplink is told, and only then.
func TestOpenPortsAreTold(t *testing.T) {
	view := func(serial uint64, s netguard.Status) netguard.View {
		return netguard.View{Serial: serial, Config: netguard.Config{Mode: netguard.Unprotected}, State: netguard.State{Mode: netguard.Unprotected, Status: s}}
	}
	up := upstream{make(chan netguard.View)}
	half, err := netguard.Join(t.Context(), view(1, netguard.Open), up)
	if err != nil {
		t.Fatal(err)
	}
	defer half.Close() //nolint:errcheck // it is closed by then
	p := newPorts(half, desk{nil, newNotices()}, nil, slog.New(slog.DiscardHandler))
	opened := make(chan struct{}, 10)
	p.listen(nil, func() { opened <- struct{}{} })
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	awaitOpen := func() {
		t.Helper()
		select {
		case <-opened:
		case <-time.After(10 * time.Second):
			t.Fatal("nobody was told")
		}
	}
	awaitOpen()
	up.views <- view(2, netguard.Blocked)
	until(t, "the ports to be blocked", 10*time.Second, func() bool { return half.State().Status == netguard.Blocked })
	if len(opened) > 0 {
		t.Error("told while blocked")
	}
	up.views <- view(3, netguard.Open)
	awaitOpen()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A state folder that was another user's is taken over. A half that hangs is ended
// by force when lwcd is stopped, with the ports down and within the time
// that systemd gives.
func TestPowerOverOthers(t *testing.T) {
	e := newEnforced(t)
	if os.Getenv("LWC_NETGUARD_DIR") == "" { // a user namespace has one user only
		if err := errors.Join(os.Mkdir(e.state(), 0o700), os.Chown(e.state(), 1234, 1234)); err != nil {
			t.Fatal(err)
		}
	}
	e.start()
	e.sd.await("READY=1", "waiting for an enrolment token")
	e.giveToken(e.cloud.token(nil))
	e.sd.await("welcomed by the cloud")
	half, began := e.half(), time.Now()
	if err := syscall.Kill(half, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if code := e.stop(syscall.SIGTERM); code != exitFailed || time.Since(began) > 12*time.Second {
		t.Errorf("exit code %d after %v", code, time.Since(began))
	}
	if a, b := e.portsUp(); a+b > 0 || !gone(half) {
		t.Errorf("after the end: ports up: internal %d, external %d, half gone %v", a, b, gone(half))
	}
	if !strings.Contains(e.log.String(), "took longer than") {
		t.Error("the log does not say why")
	}
}
