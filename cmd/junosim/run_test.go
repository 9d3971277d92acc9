package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"lwc/junos/junostest"
)

// TestMain runs the program itself where a test started it anew.
func TestMain(m *testing.M) {
	if os.Getenv("JUNOSIM_TEST_MAIN") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// start runs junosim as a process and waits for its ready line.
func start(t *testing.T, args ...string) (*exec.Cmd, ready) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), "JUNOSIM_TEST_MAIN=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	line, err := bufio.NewReader(out).ReadBytes('\n')
	var r ready
	if err != nil || json.Unmarshal(line, &r) != nil || !r.Ready {
		t.Fatalf("ready line %q: %v", line, err)
	}
	return cmd, r
}

func TestProcess(t *testing.T) {
	dir := t.TempDir()
	inventory, log := filepath.Join(dir, "fleet.json"), filepath.Join(dir, "sent.jsonl")
	cmd, r := start(t, "--devices", "7", "--bastions", "1", "--behind", "2", "--base-port", "0", "--inventory-file", inventory,
		"--log", log, "--canary", "CANARY<&>", "--fault", "mx-0001=refuse-auth")
	if r.Devices != 7 || r.Bastions != 1 || r.PID != cmd.Process.Pid {
		t.Errorf("ready line %+v", r)
	}
	inv := readInventory(t, inventory)
	if len(inv.Devices) != 7 || inv.Devices[6].Bastion != "bastion-1" || inv.Devices[0].Fault != junostest.RefuseAuth {
		t.Errorf("inventory %+v", inv)
	}
	if info, err := os.Stat(inventory); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the inventory holds passwords and has mode %v, %v", info.Mode(), err)
	}
	out := show(t, inv.Devices[1], "show interfaces descriptions | display xml")
	if !strings.Contains(out, "<description>CANARY&lt;&amp;&gt;</description>") {
		t.Errorf("no canary in %.300s", out)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
	var sent junostest.SentDocument
	if text, err := os.ReadFile(log); err != nil || json.Unmarshal(text, &sent) != nil || sent.Item != "show-interfaces-descriptions" || sent.Bytes != int64(len(out)) {
		t.Errorf("log %s: %v", text, err)
	}
}

func readInventory(t *testing.T, path string) (inv junostest.Inventory) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &inv)
	}
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

// show runs one command with what the inventory says.
func show(t *testing.T, h junostest.InventoryHost, command string) string {
	t.Helper()
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(h.HostKey))
	if err != nil {
		t.Fatal(err)
	}
	client, err := ssh.Dial("tcp", net.JoinHostPort(h.Address, fmt.Sprint(h.Port)), &ssh.ClientConfig{User: h.Username,
		Auth: []ssh.AuthMethod{ssh.Password(h.Password)}, HostKeyCallback: ssh.FixedHostKey(key), HostKeyAlgorithms: []string{key.Type()}, Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	out, err := session.Output(command)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestInventoryStartsNothing(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), []string{"--inventory", "--devices", "3", "--bastions", "1", "--listen", "127.9.0.1"}, &out); err != nil {
		t.Fatal(err)
	}
	var inv junostest.Inventory
	if err := json.Unmarshal(out.Bytes(), &inv); err != nil {
		t.Fatal(err)
	}
	if d, b := inv.Devices[2], inv.Bastions[0]; d.Address != "127.9.0.3" || d.Port != 830 || b.Address != "127.9.0.4" || b.Port != 22 || d.HostKey == "" || inv.ClientKey == "" {
		t.Errorf("%+v", inv)
	}
}

func TestMistakes(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	port := fmt.Sprint(busy.Addr().(*net.TCPAddr).Port)
	for _, tt := range []struct {
		args  []string
		usage bool
		want  string
	}{
		{[]string{"--sausages"}, true, "not defined"},
		{[]string{"more"}, true, `unexpected argument "more"`},
		{[]string{"--models", "vax"}, true, `"vax" is unknown`},
		{[]string{"--fault", "mx-0001"}, true, "want NAME=KIND"},
		{[]string{"--fault", "mx-0001=tired"}, true, `fault "tired" is unknown`},
		{[]string{"--fault", "mx-0001=drip:0"}, true, "a number from 1 on"},
		{[]string{"--faulty", "2"}, true, "a number from 0 to 1"},
		{[]string{"--faulty", "0.7", "--faulty", "0.7"}, false, "add up to 1.4"},
		{[]string{"--superuser", "vax-0001"}, false, "there is no such device"},
		{[]string{"--authorized-keys", "/nowhere/at/all"}, true, "no such file"},
		{[]string{"--base-port", "99999"}, true, "a port is a number"},
		{[]string{"--bind", "10.0.0.0"}, true, "10.0.0.0"},
		{[]string{"--fault", "vax-0001=stall"}, false, "there is no such device"},
		{[]string{"--behind", "3"}, false, "there is no bastion"},
		{[]string{"--inventory", "--base-port", "0"}, false, "use --inventory-file"},
		{[]string{"--base-port", port}, false, "another process listens there"},
		{[]string{"--listen", "192.0.2.1", "--base-port", "20830"}, false, "ip route add local"},
		{[]string{"--log", "/nowhere/at/all"}, false, "opening the log"},
		{[]string{"--base-port", "0", "--inventory-file", "/nowhere/at/all"}, false, "creating the inventory file"},
	} {
		err := run(t.Context(), tt.args, &bytes.Buffer{})
		if err == nil || errors.Is(err, errUsage) != tt.usage || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: %v, want %q", tt.args, err, tt.want)
		}
	}
}

func TestOpenFiles(t *testing.T) {
	for ports, want := range map[int]bool{-1: true, 0: true, 744: true, 745: false, 60000: false} {
		if err := filesWithin(ports, 1000); (err == nil) != want {
			t.Errorf("%d ports: %v", ports, err)
		}
	}
}

func TestHelp(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), []string{"--help"}, &out); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("--help: %v", err)
	}
	for _, word := range []string{"--devices N", "--inventory-file FILE", "ptx-evo", "(default 127.0.0.1)"} {
		if !strings.Contains(out.String(), word) {
			t.Errorf("no %q in\n%s", word, out.String())
		}
	}
	for _, k := range junostest.FaultKinds() {
		if !strings.Contains(out.String(), " "+string(k.Name)+k.Arg+" ") {
			t.Errorf("no fault %s in\n%s", k.Name, out.String())
		}
	}
}

// TestFaultFlags reads back from the inventory what the flags say.
func TestFaultFlags(t *testing.T) {
	keys := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(keys, []byte("# mine\n\nssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJHRiwfG7J8QD2aZAKF9fxdCYrPQOCYnPxeT3NpAGT5G me\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(t.Context(), []string{"--inventory", "--devices", "20", "--bastions", "2", "--fault", "mx-*=huge:1GB:*", "--fault", "mx-0007=stall",
		"--fault", "bastion-2=no-forward:shortage", "--faulty", "0.5=drip:9", "--superuser", "ex-0002", "--authorized-keys", keys, "--host-ca"}, &out); err != nil {
		t.Fatal(err)
	}
	var inv junostest.Inventory
	if err := json.Unmarshal(out.Bytes(), &inv); err != nil {
		t.Fatal(err)
	}
	count := map[junostest.Fault]int{}
	for _, d := range append(inv.Devices, inv.Bastions...) {
		count[d.Fault]++
		if d.Superuser != (d.Name == "ex-0002") {
			t.Errorf("%s: superuser %v", d.Name, d.Superuser)
		}
	}
	if want := (map[junostest.Fault]int{"huge:1GB:*": 3, "stall": 1, "drip:9": 10, "no-forward:shortage": 1, "": 7}); !maps.Equal(count, want) {
		t.Errorf("faults %v, want %v", count, want)
	}
	if inv.UserCA == "" || inv.HostCA == "" || inv.ClientCert == "" {
		t.Error("the inventory lacks a certificate or who signs them")
	}
}
