package main

import (
	"bytes"
	"crypto/ecdsa"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"lwc/transport/boxkey"
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

	// What a power cut right after the enrolment leaves.
	left := filepath.Join(p.state(), pendingFile)
	if err := os.WriteFile(left, key, 0o600); err != nil {
		t.Fatal(err)
	}
	tpm.Off()
	p.start()
	s.await("the identity cannot be used", "there is no TPM that can be used", "switch the TPM on")
	tpm.On()
	s.await("enrolled as "+theCollector, "no configuration yet")
	p.stop(syscall.SIGTERM)
	if _, err := os.Lstat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the key of the enrolment that is over is still there: %v", err)
	}

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
	first, err := pendingKey(dir, tpm.Device)
	if err != nil || first.whyFile != nil {
		t.Fatalf("%+v, %v", first, err)
	}
	again, err := pendingKey(dir, tpm.Device)
	if err != nil || again.whyFile != nil || again.lost != nil || !again.Public().(*ecdsa.PublicKey).Equal(first.Public()) {
		t.Errorf("another key: %+v, %v", again, err)
	}
	tpm.Off()
	if key, err := pendingKey(dir, tpm.Device); !lacksTPM(err) || key.Signer != nil {
		t.Errorf("without the TPM: %+v, %v", key, err)
	}
	tpm.On()
	if key, err := pendingKey(dir, tpm.Device); err != nil || !key.Public().(*ecdsa.PublicKey).Equal(first.Public()) {
		t.Errorf("with the TPM back: %+v, %v", key, err)
	}
	// The disk was moved before it enrolled: the key is gone for good.
	tpm.Clear()
	if key, err := pendingKey(dir, tpm.Device); err != nil || !errors.Is(key.lost, boxkey.ErrForeign) {
		t.Errorf("with another TPM: %+v, %v", key, err)
	}
}

// Regression: a TPM that fails at that moment is no reason for another key.
func TestPendingKeyInTPMThatFails(t *testing.T) {
	tpm, dir := boxkeytest.Start(t), t.TempDir()
	first, err := pendingKey(dir, tpm.Device)
	if err != nil {
		t.Fatal(err)
	}
	text := must[[]byte](t)(os.ReadFile(filepath.Join(dir, pendingFile)))
	failing := filepath.Join(t.TempDir(), "tpm")
	answering(t, failing, 0x101) // TPM_RC_FAILURE (TPM 2.0 Library, part 2, section 6.6.3)
	if key, err := pendingKey(dir, failing); !errors.Is(err, boxkey.ErrNoTPM) || key.Signer != nil {
		t.Errorf("%+v, %v", key, err)
	}
	if now := must[[]byte](t)(os.ReadFile(filepath.Join(dir, pendingFile))); !bytes.Equal(now, text) {
		t.Error("the key was replaced")
	}
	if key, err := pendingKey(dir, tpm.Device); err != nil || !key.Public().(*ecdsa.PublicKey).Equal(first.Public()) {
		t.Errorf("when the TPM is well again: %+v, %v", key, err)
	}
}

// answering is a TPM that has but one answer, until the test ends.
func answering(t *testing.T, path string, code uint32) {
	t.Helper()
	l := must[net.Listener](t)(net.Listen("unix", path))
	var serving sync.WaitGroup
	t.Cleanup(func() { l.Close(); serving.Wait() })
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			header := make([]byte, 10) // tag, size and code (part 1, section 18.2)
			_, _ = io.ReadFull(c, header)
			_, _ = io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint32(header[2:]))-int64(len(header)))
			binary.BigEndian.PutUint16(header, 0x8001) // TPM_ST_NO_SESSIONS
			binary.BigEndian.PutUint32(header[2:], uint32(len(header)))
			binary.BigEndian.PutUint32(header[6:], code)
			_, _ = c.Write(header) // who has gone wants no answer
			c.Close()
		}
	})
}
