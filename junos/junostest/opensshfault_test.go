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
	all := []struct {
		fault Fault
		want  string // or, after a bar
		good  bool
	}{
		{Throttle, "kex_exchange_identification", false},
		{"throttle:rst", "reset by", false},
		{Lockout, "too many authentication failures", false},
		{RefuseAuth, "Permission denied", false},
		{NewHostKey, "REMOTE HOST IDENTIFICATION HAS CHANGED", false},
		{OldAlgorithms, "no matching key exchange method found. Their offer: diffie-hellman-group1-sha1", false},
		{StallBanner, "timed out", false},
		{StallKex, "", false}, // which OpenSSH waits for until it is killed
		{StallAuth, "authorized access only", false},
		{EndlessPrompts, "Permission denied (keyboard-interactive)", false},
		{Disconnect, "reset by|Broken pipe", false}, // while it reads, or when it says good-bye
		{"banner-flood:64KB", strings.Repeat("*", 78), true},
		{Splits, "", true},
	}
	f := startFleet(t, Config{Devices: len(all)})
	config := sshFiles(t, f)
	t.Run("all", func(t *testing.T) {
		for i, tt := range all {
			t.Run(string(tt.fault), func(t *testing.T) {
				t.Parallel()
				d := f.Devices()[i]
				d.SetFault(tt.fault)
				limit := 20 * time.Second
				if tt.fault == StallKex || tt.fault == StallAuth {
					limit = 2 * time.Second
				}
				said, ok := complaint(t, limit, "-F", config, "-o", "LogLevel=INFO", "-o", "ConnectTimeout=2", d.Name, "show version | display xml")
				named := slices.ContainsFunc(strings.Split(tt.want, "|"), func(w string) bool { return strings.Contains(said, w) })
				if !named || ok != tt.good {
					t.Errorf("ended well: %v, says %.400q", ok, said)
				}
			})
		}
	})
}

// TestOpenSSHRefusedForwards has OpenSSH tell the reasons of a bastion apart.
func TestOpenSSHRefusedForwards(t *testing.T) {
	f := startFleet(t, Config{Devices: 1, Bastions: 1, Behind: 1})
	config, b := sshFiles(t, f), f.Bastions()[0]
	for fault, want := range map[Fault]string{NoForward: "administratively prohibited", "no-forward:shortage": "resource shortage",
		"no-forward:connect": "connect failed"} {
		b.SetFault(fault)
		said, ok := complaint(t, 20*time.Second, "-F", config, "-o", "LogLevel=INFO", "-W", f.Devices()[0].Addr.String(), b.Name)
		if ok || !strings.Contains(said, want) {
			t.Errorf("%s: %v, %.400q", fault, ok, said)
		}
	}
}

// TestOpenSSHCertificates has OpenSSH log in with a certificate, whose key
// nobody knows, to a host that it knows by its authority only.
func TestOpenSSHCertificates(t *testing.T) {
	f := startFleet(t, Config{Devices: 6, Bastions: 1, Behind: 2, HostCA: true})
	config := sshFiles(t, f)
	pub, text, err := clientKey(99)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := f.UserCertificate(pub)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"known": "@cert-authority * " + f.HostCA() + "\n", "key": text, "key-cert.pub": cert + "\n"} {
		if err := os.WriteFile(filepath.Join(filepath.Dir(config), name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range f.Devices() {
		if out, err := runClient(t, "", need.Program(t, "ssh"), "-F", config, d.Name, "show version | display xml"); err != nil || !strings.Contains(out, d.HostName) {
			t.Errorf("%s: %v, %.200q", d.Name, err, out)
		}
	}
}
