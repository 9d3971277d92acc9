package junostest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"lwc/junos"
	"lwc/testdata/need"
)

// runClient runs a foreign client with a deadline.
func runClient(t *testing.T, stdin, name string, args ...string) (stdout string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin, cmd.WaitDelay = strings.NewReader(stdin), 5*time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	if err != nil && errs.Len() > 0 {
		t.Logf("%s %.200q: %s", name, args, errs.String())
	}
	return out.String(), err
}

// TestOpenSSH runs show commands with OpenSSH's client, half of them through a
// bastion, and checks that what it prints is what was sent.
func TestOpenSSH(t *testing.T) {
	program := need.Program(t, "ssh")
	f := startFleet(t, Config{Devices: 6, Bastions: 1, Behind: 3})
	config := sshFiles(t, f)
	item, _ := junos.Lookup("show-version")
	for _, d := range f.Devices() {
		out, err := runClient(t, "", program, "-F", config, d.Name, item.CLI+" | display xml | no-more")
		sum := sha256.Sum256([]byte(out))
		if err != nil || !slices.Equal(sentOf(f, d.Name, item.Name), []string{hex.EncodeToString(sum[:])}) {
			t.Errorf("%s: %v, %.300s", d.Name, err, out)
		}
		names(t, out)
		if !strings.HasPrefix(out, `<rpc-reply xmlns:junos="`+d.envelopeNS()+"\">\n    <") || !strings.Contains(out, d.Release) {
			t.Errorf("%s: %.300s", d.Name, out)
		}
	}
	for command, want := range map[string]string{
		"show chassis cluster status | display xml": "error: syntax error: show chassis cluster status",
		"show sausages | display xml":               "error: syntax error, expecting <command>: show sausages",
		"request system reboot":                     "error: permission denied: request",
		"show version":                              "error: text output is not available here",
		"show version | save /tmp/x":                "error: syntax error: save /tmp/x",
		"":                                          "",
	} {
		if out, err := runClient(t, "", program, "-F", config, "mx-0001", command); err == nil || !strings.Contains(out, want) {
			t.Errorf("%q: %v, %q", command, err, out)
		}
	}
}

// TestOpenSSHNetconf runs NETCONF over OpenSSH's client, as a subsystem and as
// the command that works where the subsystem is not configured.
func TestOpenSSHNetconf(t *testing.T) {
	program := need.Program(t, "ssh")
	f := startFleet(t, Config{Devices: 2, Bastions: 1, Behind: 1})
	config := sshFiles(t, f)
	talk := `<hello xmlns="` + netconfNS + `"><capabilities><capability>urn:ietf:params:netconf:base:1.0</capability></capabilities></hello>]]>]]>` +
		`<rpc message-id="1"><get-alarm-information/></rpc>]]>]]><rpc message-id="2"><close-session/></rpc>]]>]]>`
	for _, d := range f.Devices() {
		for _, args := range [][]string{{"-s", d.Name, "netconf"}, {d.Name, "xml-mode netconf need-trailer"}} {
			out, err := runClient(t, talk, program, append([]string{"-F", config}, args...)...)
			parts := strings.Split(out, eom)
			if err != nil || len(parts) != 4 || !strings.Contains(parts[1], "alarm-summary") || !strings.Contains(parts[2], "<ok/>") {
				t.Errorf("%v: %v, %d parts, %.500s", args, err, len(parts), out)
			}
		}
	}
	if _, err := runClient(t, "", program, "-F", config, "-s", "mx-0001", "sftp"); err == nil {
		t.Error("there is an sftp subsystem")
	}
}
