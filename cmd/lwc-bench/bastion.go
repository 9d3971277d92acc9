package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"lwc/junos/junostest"
)

// bastionHost is a bastion that takes a key, not a password.
type bastionHost struct {
	junostest.InventoryHost
	PrivateKey string
}

// sshdPaths are where OpenSSH's server is; it wants to be started by its path.
var sshdPaths = []string{"/usr/sbin/sshd", "/usr/bin/sshd"}

// bastionPort is below the ports of devices and those the kernel gives out.
const bastionPort = 19999

// startBastion runs OpenSSH's sshd as the bastion, on the simulator's core. The
// credential of the hop that it returns is a private key.
func startBastion(ctx context.Context, stderr io.Writer) (hop bastionHost, stop func(), err error) {
	dir, err := os.MkdirTemp("", "lwc-bench-sshd-")
	if err != nil {
		return hop, nil, err
	}
	hop, config, err := bastionConfig(dir)
	if err != nil {
		os.RemoveAll(dir)
		return hop, nil, err
	}
	if os.Geteuid() == 0 { // sshd asks for it; its package makes it at boot
		err = os.MkdirAll("/run/sshd", 0o755)
	}
	cmd := exec.CommandContext(ctx, sshdPath(), "-D", "-e", "-f", config)
	cmd.Stderr, cmd.WaitDelay = stderr, stopTime
	if err = errors.Join(err, startOn(simCore, cmd)); err != nil {
		os.RemoveAll(dir)
		return hop, nil, fmt.Errorf("starting sshd (is openssh-server installed?): %w", err)
	}
	stop = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		os.RemoveAll(dir)
	}
	if err := answers(ctx, fmt.Sprintf("127.0.0.1:%d", bastionPort)); err != nil {
		stop()
		return hop, nil, err
	}
	return hop, stop, nil
}

func sshdPath() string {
	for _, p := range sshdPaths {
		if _, err := os.Stat(p); err == nil {
			return p
		}
	}
	return sshdPaths[0]
}

// bastionConfig writes the keys and the configuration of an sshd that lets one
// key in and forwards.
func bastionConfig(dir string) (hop bastionHost, config string, err error) {
	me, err := user.Current()
	if err != nil {
		return hop, "", err
	}
	host, hostLine, err := newKey()
	if err != nil {
		return hop, "", err
	}
	client, clientLine, err := newKey()
	if err != nil {
		return hop, "", err
	}
	path := func(name string) string { return filepath.Join(dir, name) }
	lines := []string{"ListenAddress 127.0.0.1", fmt.Sprintf("Port %d", bastionPort), "UsePAM no", "StrictModes no", "PidFile none",
		"PermitRootLogin yes", "PasswordAuthentication no", "KbdInteractiveAuthentication no", "UseDNS no", "LogLevel ERROR",
		"HostKey " + path("host"), "AuthorizedKeysFile " + path("authorized")}
	err = errors.Join(os.WriteFile(path("host"), host, 0o600), os.WriteFile(path("authorized"), []byte(clientLine), 0o600),
		os.WriteFile(path("config"), []byte(strings.Join(lines, "\n")+"\n"), 0o600))
	hop.InventoryHost = junostest.InventoryHost{Name: "bastion", Address: "127.0.0.1", Port: bastionPort, Username: me.Username, HostKey: hostLine}
	hop.PrivateKey = string(client)
	return hop, path("config"), err
}

func newKey() (private []byte, public string, err error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, "", err
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		return nil, "", err
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		return nil, "", err
	}
	return pem.EncodeToMemory(block), strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey()))), nil
}

// answers waits until something listens.
func answers(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", addr, err)
		}
	}
}
