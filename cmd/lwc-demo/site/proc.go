package site

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// stopTime is how long a program may take to end when asked to.
const stopTime = 15 * time.Second

// proc is one running program of the site. Its standard error goes to a log
// file in the site's folder.
type proc struct {
	name string
	cmd  *exec.Cmd
	log  *os.File
	done chan struct{}
	err  error // of Wait; read it after done
}

// start runs a binary inside a space. Standard output goes to stdout.
func (s *Site) start(in *space, stdout io.Writer, name string, args ...string) (*proc, error) {
	log, err := os.OpenFile(s.Log(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening a log: %w", err)
	}
	p := &proc{name: name, log: log, done: make(chan struct{})}
	p.cmd = newCommand(s.binary(name), args, append(os.Environ(), s.cfg.Env[name]...))
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Dir = stdout, log, s.cfg.Dir
	if err := in.do(p.cmd.Start); err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", name, err), log.Close())
	}
	go func() {
		defer close(p.done)
		p.err = errors.Join(p.cmd.Wait(), log.Close())
	}()
	if s.started != nil {
		s.started(p)
	}
	return p, nil
}

// newCommand makes a command that ends with us and does not hear the terminal:
// the site stops its programs in order.
func newCommand(path string, args, env []string) *exec.Cmd {
	c := exec.Command(path, args...)
	c.Env = env
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	return c
}

// binary finds one of our programs, or one of the machine's.
func (s *Site) binary(name string) string {
	if strings.HasPrefix(name, "/") {
		return name
	}
	return cmp.Or(s.cfg.Programs[name], filepath.Join(s.cfg.Bin, name))
}

// Log is the path of a program's log.
func (s *Site) Log(name string) string {
	return filepath.Join(s.cfg.Dir, "log", filepath.Base(name)+".log")
}

// stop ends a program politely, and by force when it does not listen.
func (p *proc) stop() error {
	if p == nil {
		return nil
	}
	// One that has ended by itself is told apart by its exit below.
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(stopTime):
		p.kill()
		return fmt.Errorf("%s did not end within %s of being asked to", p.name, stopTime)
	}
	var exit *exec.ExitError
	if errors.As(p.err, &exit) && exit.ExitCode() != 0 {
		return fmt.Errorf("stopping %s: %w%s", p.name, p.err, tail(p.log.Name()))
	}
	return nil
}

// kill is what a power cut does to a program.
func (p *proc) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// waitFor polls until ok, the program's end, or the context's.
func (p *proc) waitFor(ctx context.Context, what string, ok func() bool) error {
	for {
		if ok() {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("waiting for %s: %s ended: %w%s", what, p.name, p.err, tail(p.log.Name()))
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w%s", what, ctx.Err(), tail(p.log.Name()))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// tail returns the last lines of a log, for an error.
func tail(path string) string {
	b, err := os.ReadFile(path)
	if err != nil || len(b) == 0 {
		return ""
	}
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	return "\nlast lines of " + path + ":\n" + string(bytes.Join(lines[max(0, len(lines)-15):], []byte("\n")))
}

// firstWrite closes ready when something is written to it.
type firstWrite struct {
	once  sync.Once
	ready chan struct{}
}

// Write implements io.Writer.
func (f *firstWrite) Write(b []byte) (int, error) {
	f.once.Do(func() { close(f.ready) })
	return len(b), nil
}
