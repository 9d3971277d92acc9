package main

import (
	"bytes"
	"encoding/json"
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

	"lwc/cloud/edp"
	"lwc/junos/junostest"
	"lwc/transport/wire"
)

// process is lwcd as a process of its own.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	dir  string
	conf string
	log  *safeBuffer
	as   *syscall.Credential // nil: the user of the test
	args []string            // after --config
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func newProcess(t *testing.T) *process {
	t.Helper()
	dir := t.TempDir()
	for up := dir; up != os.TempDir(); up = filepath.Dir(up) {
		if err := os.Chmod(up, 0o711); err != nil { // the collector half is another user
			t.Fatal(err)
		}
	}
	p := &process{t: t, dir: dir, conf: filepath.Join(dir, "lwcd.toml"), log: &safeBuffer{}}
	text := fmt.Sprintf("state_dir = %q\nenrolment_token_file = %q\n[guard]\nmode = \"unprotected\"\n", p.state(), p.token())
	if err := os.WriteFile(p.conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *process) state() string { return filepath.Join(p.dir, "state") }
func (p *process) token() string { return filepath.Join(p.dir, "token") }

func (p *process) start() {
	p.t.Helper()
	p.cmd = exec.Command(os.Args[0], append([]string{"--config", p.conf}, p.args...)...)
	p.cmd.Env = append(os.Environ(), "LWCD_TEST_MAIN=1")
	p.cmd.Stderr, p.cmd.Stdout = p.log, p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.as}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			p.cmd.Process.Kill()
			p.cmd.Wait() //nolint:errcheck // killed
		}
		if p.t.Failed() {
			p.t.Logf("the log of lwcd:\n%s", p.log)
		}
	})
}

// stop signals and returns the exit code.
func (p *process) stop(s syscall.Signal) int {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := p.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) giveToken(b []byte) {
	p.t.Helper()
	if err := os.WriteFile(p.token()+".new", b, 0o600); err != nil {
		p.t.Fatal(err)
	}
	if err := os.Rename(p.token()+".new", p.token()); err != nil {
		p.t.Fatal(err)
	}
}

// From a box without identity to a stored run: bad tokens are told and survived,
// a good one enrols and is erased, a run is stored byte for byte, a power cut in
// the middle of the next one loses and doubles nothing, and SIGTERM ends it all.
func TestLwcd(t *testing.T) {
	cl := startCloudEnd(t)
	fleet := startFleet(t, junostest.Config{Devices: 6, Bastions: 1, Behind: 2, Seed: 9, Latency: 20 * time.Millisecond}, nil)
	s := listenAsSystemd(t, "2000000")
	p := newProcess(t)
	p.start()
	s.await("READY=1", "waiting for an enrolment token")
	enrolBadly(t, cl, s, p)
	p.giveToken(cl.token(nil))
	s.await("enrolled as "+theCollector, "no configuration yet")
	checkEnrolled(t, p)
	checkHardened(t, p)

	cl.putFleet(fleet, p.dir)
	s.await("configuration 1 with 6 devices")
	job := cl.collect()
	awaitRun(t, cl, job)
	checkStored(t, cl, fleet, job.Run)

	job = cl.collect()
	until(t, "the second run to begin", 20*time.Second, func() bool {
		docs, err := cl.store.Documents(t.Context(), edp.DocumentFilter{Collector: theCollector, Run: job.Run})
		return err == nil && len(docs) >= 20
	})
	p.stop(syscall.SIGKILL)
	p.start()
	s.await("READY=1")
	awaitRun(t, cl, job)
	checkStored(t, cl, fleet, job.Run)

	began := time.Now()
	if code := p.stop(syscall.SIGTERM); code != exitStopped {
		t.Errorf("exit code %d", code)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("stopping took %v", took)
	}
	s.await("STOPPING=1")
	checkLog(t, p, fleet)
}

func enrolBadly(t *testing.T, cl *cloudEnd, s *systemd, p *process) {
	t.Helper()
	p.giveToken([]byte("lwce1_nonsense"))
	s.await("the token is damaged or incomplete")
	p.giveToken(cl.token(func(tok *wire.Token) { tok.ID = "unknown" }))
	s.await("the enrolment token is not known here")
	p.giveToken(cl.token(func(tok *wire.Token) { tok.CAPin[0]++ }))
	s.await("authority is not the one of the token")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	p.giveToken(cl.token(func(tok *wire.Token) { tok.URL = "https://" + l.Addr().String() }))
	s.await("trying again") // nobody is there: that may pass
}

func checkEnrolled(t *testing.T, p *process) {
	t.Helper()
	until(t, "the token to be erased", 10*time.Second, func() bool { _, err := os.Stat(p.token()); return os.IsNotExist(err) })
	files, err := os.ReadDir(p.state())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		info, err := f.Info()
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v %v", f.Name(), info.Mode(), err)
		}
		names = append(names, f.Name())
	}
	if got := strings.Join(names, " "); got != "allowed.json bootstrap.json ca.pem cert.pem key.pem" {
		t.Errorf("state folder: %s", got)
	}
}

func checkHardened(t *testing.T, p *process) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); strings.HasPrefix(line, "Max core file size") && f[4] != "0" {
			t.Errorf("%s", line)
		}
	}
	// An undumpable process belongs to root in /proc (proc(5)), and its memory
	// cannot be read by another process of the same user.
	if os.Geteuid() != 0 {
		if _, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.cmd.Process.Pid)); err == nil {
			t.Error("the process can be inspected")
		}
	}
}

func awaitRun(t *testing.T, cl *cloudEnd, job edp.Job) {
	t.Helper()
	until(t, "the run to be complete", time.Minute, func() bool {
		r, err := cl.store.Run(t.Context(), job.Run)
		return err == nil && r.State == edp.RunComplete
	})
	until(t, "the job to be done", 20*time.Second, func() bool {
		j, err := cl.store.Job(t.Context(), job.ID)
		return err == nil && j.State == wire.JobDone
	})
}

// checkStored compares what is stored of a run with what the devices sent.
func checkStored(t *testing.T, cl *cloudEnd, fleet *junostest.Fleet, run string) {
	t.Helper()
	docs, err := cl.store.Documents(t.Context(), edp.DocumentFilter{Collector: theCollector, Run: run, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	sent := map[string]bool{}
	for _, s := range fleet.Sent() {
		sent[s.Device+" "+s.Item+" "+s.SHA256] = true
	}
	seen := map[string]bool{}
	for _, d := range docs {
		k := d.Device + " " + d.Item
		if seen[k] {
			t.Errorf("%s is stored twice", k)
		}
		seen[k] = true
		if !sent[k+" "+d.SHA256] && !sent[k+" "+d.RawSHA256] {
			t.Errorf("%s is not what the device sent", k)
		}
	}
	if len(seen) != 6*daily(t) {
		t.Errorf("%d documents", len(seen))
	}
}

func checkLog(t *testing.T, p *process, fleet *junostest.Fleet) {
	t.Helper()
	for line := range strings.Lines(p.log.String()) {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Errorf("not a line of JSON: %q", line)
		}
	}
	for _, d := range fleet.Devices() {
		if strings.Contains(p.log.String(), d.Password) || strings.Contains(p.log.String(), d.HostName) {
			t.Errorf("the log holds the password or the host name of %s", d.Name)
		}
	}
}
