package junostest

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"lwc/testdata/need"
)

// complaint runs OpenSSH's client with a deadline and returns what it says to
// standard error, and whether it ended well.
func complaint(t *testing.T, limit time.Duration, args ...string) (string, bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, need.Program(t, "ssh"), args...)
	cmd.WaitDelay = 5 * time.Second
	var errs bytes.Buffer
	cmd.Stderr = &errs
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatalf("%v (%v)", err, exit)
	}
	return errs.String(), err == nil
}

// TestOpenSSHFaults has OpenSSH's client name what is wrong.
func TestOpenSSHFaults(t *testing.T) {
	f := startFleet(t, Config{Devices: 1, Bastions: 1})
	config, d := sshFiles(t, f), f.Devices()[0]
	for fault, want := range map[Fault]string{
		Throttle:            "kex_exchange_identification",
		"throttle:rst":      "reset by",
		Lockout:             "too many authentication failures",
		RefuseAuth:          "Permission denied",
		NewHostKey:          "REMOTE HOST IDENTIFICATION HAS CHANGED",
		OldAlgorithms:       "no matching key exchange method found. Their offer: diffie-hellman-group1-sha1",
		StallBanner:         "timed out",
		StallKex:            "", // which OpenSSH waits for until it is killed
		StallAuth:           "authorized access only",
		EndlessPrompts:      "Permission denied (keyboard-interactive)",
		Disconnect:          "reset by|Broken pipe", // while it reads, or when it says good-bye
		"banner-flood:64KB": strings.Repeat("*", 78),
		Splits:              "",
	} {
		t.Run(string(fault), func(t *testing.T) {
			d.SetFault(fault)
			// Quiet on success, so that what is said is said of the fault.
			said, ok := complaint(t, 3*time.Second, "-F", config, "-o", "LogLevel=INFO", "-o", "ConnectTimeout=1", d.Name, "show version | display xml")
			named := slices.ContainsFunc(strings.Split(want, "|"), func(w string) bool { return strings.Contains(said, w) })
			if !named || ok != (fault == Splits || strings.HasPrefix(string(fault), "banner-flood")) {
				t.Errorf("ended well: %v, says %.400q", ok, said)
			}
		})
	}
	d.SetFault(NoFault)
	b := f.Bastions()[0]
	for fault, want := range map[Fault]string{NoForward: "administratively prohibited", "no-forward:shortage": "resource shortage",
		"no-forward:connect": "connect failed"} {
		b.SetFault(fault)
		if said, ok := complaint(t, 20*time.Second, "-F", config, "-o", "LogLevel=INFO", "-W", d.Addr.String(), b.Name); ok || !strings.Contains(said, want) {
			t.Errorf("%s: %v, %.400q", fault, ok, said)
		}
	}
}

// TestOpenSSHCertificates has OpenSSH log in with a certificate, to a host that
// it knows by its authority only.
func TestOpenSSHCertificates(t *testing.T) {
	f := startFleet(t, Config{Devices: 6, Bastions: 1, Behind: 2, HostCA: true})
	config := sshFiles(t, f)
	dir := filepath.Dir(config)
	for name, text := range map[string]string{"known": "@cert-authority * " + f.HostCA() + "\n", "key-cert.pub": f.Devices()[0].ClientCert + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f.authorized = nil // so that only the certificate logs in; nothing is connected yet
	for _, d := range f.Devices() {
		if out, err := runClient(t, "", need.Program(t, "ssh"), "-F", config, d.Name, "show version | display xml"); err != nil || !strings.Contains(out, d.HostName) {
			t.Errorf("%s: %v, %.200q", d.Name, err, out)
		}
	}
}
