// Package boxkeytest gives tests a TPM of their own: swtpm, the emulator that
// virtual machines have theirs from.
package boxkeytest

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"lwc/testdata/need"
)

// TPM is a TPM in software, behind a Unix socket.
type TPM struct {
	// Device is the path of the socket, to be used like a device of the kernel.
	Device string

	t     testing.TB
	state string
	proc  *exec.Cmd
	said  bytes.Buffer
}

// Start makes a new TPM and switches it on. It is switched off when the test ends.
func Start(t testing.TB) *TPM {
	t.Helper()
	need.Program(t, "swtpm")
	dir, err := os.MkdirTemp("", "tpm") // a short path: that of a socket has 107 bytes (unix(7))
	if err != nil {
		t.Fatal(err)
	}
	m := &TPM{t: t, Device: filepath.Join(dir, "s"), state: filepath.Join(dir, "state")}
	t.Cleanup(func() { m.Off(); os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(m.state, 0o700); err != nil {
		t.Fatal(err)
	}
	m.On()
	return m
}

// On switches the TPM on, as the machine does with its power.
func (m *TPM) On() {
	m.t.Helper()
	m.said.Reset()
	m.proc = exec.Command(need.Program(m.t, "swtpm"), "socket", "--tpm2", "--tpmstate", "dir="+m.state,
		"--server", "type=unixio,path="+m.Device+",mode=0666", "--flags", "not-need-init,startup-clear")
	m.proc.Stdout, m.proc.Stderr = &m.said, &m.said
	if err := m.proc.Start(); err != nil {
		m.t.Fatal(err)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(10 * time.Second); ; {
		if c, err := net.Dial("unix", m.Device); err == nil {
			c.Close()
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			m.Off()
			m.t.Fatalf("swtpm does not come up: %s", &m.said)
		}
	}
}

// Off switches it off and takes the socket away.
func (m *TPM) Off() {
	if m.proc != nil {
		m.proc.Process.Kill() //nolint:errcheck // it may have ended
		m.proc.Wait()         //nolint:errcheck // killed
		m.proc = nil
	}
	os.Remove(m.Device)
}

// Clear makes another TPM of it, as one that was cleared is.
func (m *TPM) Clear() {
	m.t.Helper()
	m.Off()
	if err := os.RemoveAll(m.state); err != nil {
		m.t.Fatal(err)
	}
	if err := os.Mkdir(m.state, 0o700); err != nil {
		m.t.Fatal(err)
	}
	m.On()
}
