package junostest

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

// UserCA returns the key (authorized_keys line) that signs the user
// certificates which all devices and bastions of the fleet take.
func (f *Fleet) UserCA() string { return authorizedLine(f.userCA.PublicKey()) }

// HostCA returns the key (authorized_keys line) that signs the host
// certificates which devices and bastions show with Config.HostCA.
func (f *Fleet) HostCA() string { return authorizedLine(f.hostCA.PublicKey()) }

// UserCertificate signs a certificate for a public key, valid at any time for
// the fleet's user, and returns it as an authorized_keys line. What edit
// functions do to it before it is signed makes certificates that are not good.
func (f *Fleet) UserCertificate(key ssh.PublicKey, edit ...func(*ssh.Certificate)) (string, error) {
	cert := &ssh.Certificate{Key: key, CertType: ssh.UserCert, KeyId: f.cfg.User, ValidPrincipals: []string{f.cfg.User},
		ValidBefore: ssh.CertTimeInfinity}
	for _, e := range edit {
		e(cert)
	}
	if err := cert.SignCert(rand.Reader, f.userCA); err != nil {
		return "", fmt.Errorf("signing a user certificate: %w", err)
	}
	return authorizedLine(cert), nil
}

// makeKeys makes the client key, its certificate and the two authorities.
func (f *Fleet) makeKeys() (err error) {
	if f.clientPub, f.clientPEM, err = clientKey(f.cfg.Seed); err != nil {
		return err
	}
	if f.userCA, err = authority(f.cfg.Seed, "user-ca"); err != nil {
		return err
	}
	if f.hostCA, err = authority(f.cfg.Seed, "host-ca"); err != nil {
		return err
	}
	if f.clientCert, err = f.UserCertificate(f.clientPub); err != nil {
		return err
	}
	f.authorized = map[string]bool{string(f.clientPub.Marshal()): true}
	for _, line := range f.cfg.AuthorizedKeys {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil {
			return fmt.Errorf("reading authorized key %.40q: %w", strings.TrimSpace(line), err)
		}
		f.authorized[string(key.Marshal())] = true
	}
	return nil
}

func authority(seed uint64, name string) (ssh.Signer, error) {
	h := digest(seed, name)
	signer, err := ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(h[:]))
	if err != nil {
		return nil, fmt.Errorf("making the %s: %w", name, err)
	}
	return signer, nil
}
