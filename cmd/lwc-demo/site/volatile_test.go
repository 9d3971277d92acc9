package site

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"lwc/testdata/need"
	"lwc/transport/wire"
)

// volatile is for the tests that what lwcd knows of a customer is gone when it is no
// longer needed. They take some minutes and a debugger: make test-volatile runs them.
func volatile(t *testing.T) {
	t.Helper()
	if os.Getenv("LWC_VOLATILE") == "" {
		t.Skip("make test-volatile runs this")
	}
	need.Root(t)
	need.Program(t, "gcore")
}

// traces of a secret: the text itself, in base64, and each piece of 12 bytes of it, so
// that a copy that was overwritten in part counts too.
func traces(text string) []string {
	out := encoded(text)
	const piece = 12
	for i := range max(len(text)-piece, 0) {
		out = append(out, text[i:i+piece])
	}
	return out
}

// image takes an image of a process's whole memory with gdb, its registers included,
// and says which of the texts are in it.
func image(ctx context.Context, t *testing.T, pid int, texts []string) []string {
	t.Helper()
	prefix := filepath.Join(t.TempDir(), "image")
	// -a: what the process asked to be left out of core files too.
	out, err := exec.CommandContext(ctx, need.Program(t, "gcore"), "-a", "-o", prefix, strconv.Itoa(pid)).CombinedOutput()
	path := prefix + "." + strconv.Itoa(pid)
	info, missing := os.Stat(path)
	if err != nil || missing != nil {
		t.Fatalf("taking an image of process %d: %v, %v: %s", pid, err, missing, out)
	}
	defer os.Remove(path) // the search of the disk would find it
	found := contained(t, path, texts)
	t.Logf("an image of %d MiB holds %d of %d texts", info.Size()>>20, len(found), len(texts))
	return found
}

// changeFleet changes the fleet file, and waits until the collector uses it.
func (s *Site) changeFleet(ctx context.Context, t *testing.T, change func([]byte) []byte) {
	t.Helper()
	file := s.path("fleet.yaml")
	b, err := os.ReadFile(file)
	must(t, err)
	changed := change(b)
	if bytes.Equal(b, changed) {
		t.Fatal("the fleet file does not hold what is to be replaced")
	}
	must(t, os.WriteFile(file, changed, 0o600))
	_, err = s.Cloud(ctx, "apply", "-f", file)
	must(t, err)
	must(t, s.WaitApplied(ctx))
}

// A password is replaced while sessions use it: they go on, and when the last has
// ended an image of the collector half holds no trace of the old one. The control:
// it held it while it was in use, and holds the one that is in use now.
func TestReplacedCredentialLeavesNoTrace(t *testing.T) {
	volatile(t)
	old, next := rand.Text(), rand.Text() // no two pieces of them are the same
	ctx, s := running(t, Config{Devices: 12, Behind: 4, Latency: "300ms", SimArgs: passwords(old)})
	half := s.knows(ctx, t, old, "collect", "--collector", Collector)
	s.replacePasswords(ctx, t, old, next)
	if state := runs(ctx, t, s)[0].State; state == "complete" {
		t.Fatal("the run had ended before the password was replaced: the test shows less than it should")
	}
	must(t, s.lwcd.waitFor(ctx, "the run to be complete", func() bool { return runs(ctx, t, s)[0].State == "complete" }))
	if len(stored(ctx, t, s)) == 0 { // a device whose turn came later was refused with the new password
		t.Error("no session went on to its end")
	}
	s.awaitGone(ctx, t, half, traces(old), next)
}

// The same when nothing happens any more after the run, whose traces no other work
// overwrites. Without a sweep some of these log-ins are found minutes later.
func TestReplacedCredentialLeavesNoTraceAtRest(t *testing.T) {
	volatile(t)
	old, next := rand.Text(), rand.Text()
	ctx, s := running(t, Config{Devices: 60, Behind: 20, SimArgs: passwords(old)})
	half := s.knows(ctx, t, old, "collect", "--collector", Collector, "--wait")
	s.replacePasswords(ctx, t, old, next)
	s.awaitGone(ctx, t, half, traces(old), next)
}

func passwords(p string) []string {
	return []string{"--password", p, "--bastion-password", "B" + p}
}

// knows has the collector use a password, and proves that an image of its half
// holds it.
func (s *Site) knows(ctx context.Context, t *testing.T, password string, args ...string) (half int) {
	t.Helper()
	_, err := s.Cloud(ctx, args...)
	must(t, err)
	_, p, err := s.Halves()
	must(t, err)
	if got := image(ctx, t, p.PID, encoded(password)); !slices.Contains(got, password) {
		t.Fatal("the password in use is not found: the search shows nothing")
	}
	return p.PID
}

// replacePasswords gives devices and bastions another password, one after the other.
func (s *Site) replacePasswords(ctx context.Context, t *testing.T, old, next string) {
	t.Helper()
	for _, before := range []string{"", "B"} {
		s.changeFleet(ctx, t, func(b []byte) []byte {
			return bytes.ReplaceAll(b, []byte(strconv.Quote(before+old)), []byte(strconv.Quote(before+next)))
		})
	}
}

// sweepLimit is longer than lwcd waits until it sweeps up for the last time.
const sweepLimit = 75 * time.Second

// awaitGone waits until no image of the half holds a trace of an old credential; it
// must hold the next one then.
func (s *Site) awaitGone(ctx context.Context, t *testing.T, pid int, old []string, next string) {
	t.Helper()
	for since := time.Now(); ; {
		found := image(ctx, t, pid, old)
		if len(found) == 0 {
			t.Logf("gone %v after its last use", time.Since(since).Round(time.Second))
			break
		}
		if time.Since(since) > sweepLimit {
			t.Fatalf("%v after its last use there is still %q", time.Since(since), found)
		}
		select {
		case <-ctx.Done():
			t.Fatal(ctx.Err())
		case <-time.After(5 * time.Second):
		}
	}
	if got := image(ctx, t, pid, encoded(next)); !slices.Contains(got, next) {
		t.Error("the credential in use now is not found")
	}
}

// Nothing of the customer's is outside the memory of the collector half: in no file,
// no environment, no command line, no open file, not in swap, not in a core file, not
// in the log of a crash, not in the supervisor; neither while lwcd works nor after it
// crashed, was killed and was started again.
func TestNothingIsKept(t *testing.T) {
	volatile(t)
	canary, began := "Kanarienvogel-"+wire.NewID(), time.Now()
	ctx, s := running(t, Config{Devices: 8, Behind: 2, Canary: canary})
	inv, err := s.Inventory()
	must(t, err)
	texts := append(encoded(canary), inv.Devices[0].Password)
	look := func(when string) {
		t.Helper()
		read := s.searchDisk(t, began, texts, inv.Devices[0])
		if processes := s.searchProcesses(t, texts); read == 0 || processes < 3 {
			t.Fatalf("%s: %d files and %d processes were looked at: this shows nothing", when, read, processes)
		}
	}
	collect(ctx, t, s)
	supervisor, half, err := s.Halves()
	must(t, err)
	for _, p := range []Process{supervisor, half} {
		checkKeptIn(t, s, p)
	}
	look("at work")
	if found := image(ctx, t, supervisor.PID, texts); len(found) > 0 {
		t.Errorf("the supervisor knows %q", found)
	}
	if found := image(ctx, t, half.PID, texts); len(found) == 0 {
		t.Error("the collector half does not know the canary: the search shows nothing")
	}
	s.crash(ctx, t, half.PID)
	look("after the half has crashed")
	collect(ctx, t, s)
	must(t, syscall.Kill(supervisor.PID, syscall.SIGABRT))
	<-s.lwcd.done
	look("after the supervisor has crashed")
	must(t, s.StartCollector(ctx))
	must(t, s.WaitApplied(ctx))
	collect(ctx, t, s)
	s.KillCollector()
	look("after a power cut")
	must(t, s.StartCollector(ctx))
	must(t, s.WaitApplied(ctx))
	look("after the start")
	s.checkNoCore(t, began)
}

// crash ends the half as a fault of its own would, and waits for the next one.
func (s *Site) crash(ctx context.Context, t *testing.T, pid int) {
	t.Helper()
	must(t, syscall.Kill(pid, syscall.SIGABRT))
	must(t, s.lwcd.waitFor(ctx, "another collector half", func() bool {
		_, half, err := s.Halves()
		return err == nil && half.PID != pid
	}))
	before, err := s.collector(ctx)
	must(t, err)
	must(t, s.waitCollector(ctx, "another boot", func(c collectorState) bool { return c.Online && c.Boot != before.Boot || c.Applied == c.Wanted }))
	must(t, s.WaitApplied(ctx))
}

// checkNoCore looks for core files where a process of the site would leave them.
func (s *Site) checkNoCore(t *testing.T, began time.Time) {
	t.Helper()
	for _, dir := range []string{s.cfg.Dir, s.StateDir(), "/", "/var/lib/systemd/coredump", "/var/crash"} {
		files, err := filepath.Glob(filepath.Join(dir, "*core*"))
		must(t, err)
		for _, f := range files {
			if info, err := os.Stat(f); err == nil && info.Mode().IsRegular() && info.ModTime().After(began) {
				t.Errorf("a core file: %s", f)
			}
		}
	}
}

// searchProcesses looks into the environment and the command line of every process
// but the simulator's, which is told the canary by its own, and returns how many it
// looked at.
func (s *Site) searchProcesses(t *testing.T, texts []string) (looked int) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*")
	must(t, err)
	sim := fmt.Sprintf("/proc/%d", s.sim.cmd.Process.Pid)
	for _, dir := range all {
		if dir == sim {
			if len(contained(t, dir+"/cmdline", texts)) == 0 {
				t.Error("the simulator's command line does not hold the canary: the search shows nothing")
			}
			continue
		}
		looked++
		for _, file := range []string{"environ", "cmdline"} {
			for _, text := range contained(t, filepath.Join(dir, file), texts) {
				t.Errorf("%s/%s holds %q", dir, file, text)
			}
		}
	}
	return looked
}

// checkKeptIn proves by the kernel's own words that the memory of a process of lwcd
// cannot come to a disk: no core, nothing swapped, no file open to be written but
// its log.
func checkKeptIn(t *testing.T, s *Site, p Process) {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/", p.PID)
	limits, err := os.ReadFile(dir + "limits")
	must(t, err)
	if f := fieldsAfter(string(limits), "Max core file size"); len(f) < 2 || f[0] != "0" || f[1] != "0" {
		t.Errorf("%s: core files of %v", p.Name, f)
	}
	status, err := readStatus(dir + "status")
	must(t, err)
	if status["VmSwap"] != "0 kB" {
		t.Errorf("%s: swapped %s", p.Name, status["VmSwap"])
	}
	// A process that is not dumpable has a /proc of root's (proc(5)).
	info, err := os.Stat(dir + "environ")
	must(t, err)
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || st.Uid != 0 {
		t.Errorf("%s: it can be dumped by user %d", p.Name, st.Uid)
	}
	fds, err := filepath.Glob(dir + "fd/*")
	must(t, err)
	for _, fd := range fds {
		to, err := os.Readlink(fd)
		info, gone := os.Stat(fd)
		mode, _ := os.Lstat(fd)
		if err != nil || gone != nil || mode == nil || !info.Mode().IsRegular() || to == s.Log("lwcd") ||
			strings.HasPrefix(to, "/proc/sys/") || strings.HasPrefix(to, "anon_inode:") { // settings and events, no files
			continue
		}
		if mode.Mode().Perm()&0o200 != 0 {
			t.Errorf("%s has %s open to be written", p.Name, to)
		}
	}
}

// fieldsAfter splits what stands after a name at the beginning of a line.
func fieldsAfter(text, name string) []string {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			return strings.Fields(rest)
		}
	}
	return nil
}
