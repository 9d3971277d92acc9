package main

import (
	"bytes"
	"crypto/ecdsa"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"lwc/transport/boxkey/boxkeytest"
)

// tellTPM writes that device into the configuration.
func (p *process) tellTPM(device string) {
	p.t.Helper()
	b := must[[]byte](p.t)(os.ReadFile(p.conf))
	if err := os.WriteFile(p.conf, append([]byte("tpm = \""+device+"\"\n"), b...), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// A box enrols with a key in its TPM and is the same after a start. Without its
// TPM, or with another one, it says so and makes no other identity; with the TPM
// back it goes on by itself.
func TestIdentityInTPM(t *testing.T) {
	tpm := boxkeytest.Start(t)
	cl, s, p := startCloudEnd(t), listenAsSystemd(t, "2000000"), newProcess(t)
	p.tellTPM(tpm.Device)
	p.start()
	s.await("READY=1", "waiting for an enrolment token")
	p.giveToken(cl.token(nil))
	s.await("enrolled as "+theCollector, "no configuration yet")
	key := must[[]byte](t)(os.ReadFile(filepath.Join(p.state(), "key.pem")))
	if !bytes.Contains(key, []byte("TSS2 PRIVATE KEY")) {
		t.Errorf("the key lies in a file: %.30s", key)
	}
	p.stop(syscall.SIGTERM)
	if strings.Contains(p.log.String(), "lies in a file") {
		t.Error("the log says that the key lies in a file")
	}

	tpm.Off()
	p.start()
	s.await("the identity cannot be used", "there is no TPM that can be used", "switch the TPM on")
	tpm.On()
	s.await("enrolled as "+theCollector, "no configuration yet")
	p.stop(syscall.SIGTERM)

	cert := must[[]byte](t)(os.ReadFile(filepath.Join(p.state(), "cert.pem")))
	tpm.Clear()
	p.start()
	s.await("this TPM does not know the key", "revoke this collector in the cloud, wipe the box")
	p.stop(syscall.SIGTERM)
	for name, was := range map[string][]byte{"key.pem": key, "cert.pem": cert} {
		if now := must[[]byte](t)(os.ReadFile(filepath.Join(p.state(), name))); !bytes.Equal(now, was) {
			t.Errorf("%s was changed", name)
		}
	}
}

// A power cut between the making of the key and the answer of the cloud: the same
// key asks again.
func TestPendingKeyInTPM(t *testing.T) {
	tpm, dir := boxkeytest.Start(t), t.TempDir()
	first, why, err := pendingKey(dir, tpm.Device)
	if err != nil || why != nil {
		t.Fatal(err, why)
	}
	again, why, err := pendingKey(dir, tpm.Device)
	if err != nil || why != nil || !again.Public().(*ecdsa.PublicKey).Equal(first.Public()) {
		t.Errorf("another key: %v, %v", err, why)
	}
	tpm.Off()
	if key, _, err := pendingKey(dir, tpm.Device); !lacksTPM(err) || key != nil {
		t.Errorf("without the TPM: %v, %v", key, err)
	}
}
