package seal

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
)

// attributes of the three variables, UEFI 2.10, section 8.2: systemd-boot sets them
// with just these, and the signature covers them.
const attributes = "NON_VOLATILE,BOOTSERVICE_ACCESS,RUNTIME_ACCESS,TIME_BASED_AUTHENTICATED_WRITE_ACCESS"

// makeEnrolment makes the three variables as a firmware takes them, each signed by
// the key above it; PK signs itself.
func makeEnrolment(ctx context.Context, dir string) error {
	w, err := newWorkshop()
	if err != nil {
		return err
	}
	defer w.close()
	owner := newGUID()
	for _, v := range []struct{ name, signer string }{{"db", "KEK"}, {"KEK", "PK"}, {"PK", "PK"}} {
		if err := signVariable(ctx, w, dir, v.name, v.signer, owner); err != nil {
			return fmt.Errorf("making %s.auth: %w", v.name, err)
		}
	}
	return nil
}

func signVariable(ctx context.Context, w workshop, dir, name, signer, owner string) error {
	text, err := os.ReadFile(filepath.Join(dir, name+".crt.pem"))
	if err != nil {
		return err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return fmt.Errorf("%s.crt.pem holds no certificate", name)
	}
	der, list := w.path(name+".der"), w.path(name+".esl")
	if err := os.WriteFile(der, block.Bytes, 0o600); err != nil {
		return err
	}
	if _, err := tool(ctx, "sbsiglist", "--owner", owner, "--type", "x509", "--output", list, der); err != nil {
		return err
	}
	_, err = tool(ctx, "sbvarsign", "--attr", attributes,
		"--key", filepath.Join(dir, signer+".key.pem"), "--cert", filepath.Join(dir, signer+".crt.pem"),
		"--output", filepath.Join(dir, name+".auth"), name, list)
	return err
}

// newGUID says whose entries these are; nobody reads it.
func newGUID() string {
	b := sha256.Sum256([]byte(rand.Text()))
	return fmt.Sprintf("%x-%x-4%03x-8%03x-%x", b[:4], b[4:6], int(b[6])<<4|int(b[7]>>4), int(b[8])<<4|int(b[9]>>4), b[10:16])
}
