package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// asMain makes the test binary behave as lwc-cloud.
const asMain = "LWC_CLOUD_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asMain) != "" {
		main()
	}
	os.Exit(m.Run())
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// serving is a process that runs lwc-cloud serve.
type serving struct {
	t              *testing.T
	cmd            *exec.Cmd
	stdout, stderr bytes.Buffer // to be read once it is gone
	gone           chan struct{}
	ready          ready
}

// startServe returns once the process has written its ready file.
func startServe(t *testing.T, dir string, flags ...string) *serving {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ready.json")
	args := append([]string{"serve", "--data", dir, "--listen", "127.0.0.1:0", "--ready-file", file}, flags...)
	p := &serving{t: t, cmd: exec.Command(os.Args[0], args...), gone: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), asMain+"=1")
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.gone)
		_ = p.cmd.Wait() // its exit code is looked at by those who stop it
	}()
	t.Cleanup(p.kill)
	p.await(file)
	return p
}

func (p *serving) await(file string) {
	p.t.Helper()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.After(time.Minute); ; {
		if b, err := os.ReadFile(file); err == nil && json.Unmarshal(b, &p.ready) == nil {
			return
		}
		select {
		case <-poll.C:
		case <-p.gone:
			p.t.Fatalf("serve ended: %s", p.stderr.String())
		case <-deadline:
			p.t.Fatal("serve is not ready after a minute")
		}
	}
}

func (p *serving) kill() {
	_ = p.cmd.Process.Kill() // it may be gone already
	<-p.gone
}

// terminate ends it as systemd does, and returns its exit code.
func (p *serving) terminate() int {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	select {
	case <-p.gone:
	case <-time.After(30 * time.Second):
		p.t.Fatal("it does not stop")
	}
	return p.cmd.ProcessState.ExitCode()
}

// command runs lwc-cloud to its end.
func command(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	c := exec.CommandContext(t.Context(), os.Args[0], args...)
	c.Env = append(os.Environ(), asMain+"=1")
	c.Stdout, c.Stderr = &out, &errs
	_ = c.Run() // the exit code is returned
	return out.String(), errs.String(), c.ProcessState.ExitCode()
}
