package wire

import (
	"encoding/json"
	"fmt"

	"lwc/transport/secret"
)

// CredentialSecret is the plain text of a sealed credential.
type CredentialSecret struct {
	Password   secret.Text // kind password
	PrivateKey secret.Text // kind private-key: PEM or OpenSSH form
	Passphrase secret.Text // of the private key; empty when it has none
	// Certificate is the SSH certificate of the private key, an authorized_keys
	// line ("ssh-ed25519-cert-v01@openssh.com AAAA…"); empty when it has none.
	Certificate secret.Text
}

type credentialJSON struct {
	Password    []byte `json:"password,omitempty"`
	PrivateKey  []byte `json:"private_key,omitempty"`
	Passphrase  []byte `json:"passphrase,omitempty"`
	Certificate []byte `json:"certificate,omitempty"`
}

// Marshal returns the secret in clear, to be sealed at once. The caller wipes
// the result.
func (c CredentialSecret) Marshal() ([]byte, error) {
	return json.Marshal(credentialJSON{c.Password.Reveal(), c.PrivateKey.Reveal(), c.Passphrase.Reveal(), c.Certificate.Reveal()})
}

// ParseCredential reads what Marshal wrote. Errors do not repeat the input.
func ParseCredential(b []byte) (CredentialSecret, error) {
	var j credentialJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return CredentialSecret{}, fmt.Errorf("reading a credential: %w", ErrSealed)
	}
	return CredentialSecret{secret.New(j.Password), secret.New(j.PrivateKey), secret.New(j.Passphrase), secret.New(j.Certificate)}, nil
}

// Wipe forgets the secret.
func (c CredentialSecret) Wipe() {
	c.Password.Wipe()
	c.PrivateKey.Wipe()
	c.Passphrase.Wipe()
	c.Certificate.Wipe()
}
