package fleet

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"sync"

	"golang.org/x/crypto/ssh"
)

// certified is a private key and what an authority signed of it.
type certified struct{ key, user, host, old, other, root, jump string }

var signed = sync.OnceValue(func() certified {
	_, raw, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	block, err := ssh.MarshalPrivateKey(raw, "")
	if err != nil {
		panic(err)
	}
	key, authority, another := signer(raw), newSigner(), newSigner()
	forever := uint64(ssh.CertTimeInfinity)
	return certified{
		key:   string(pem.EncodeToMemory(block)),
		user:  sign(authority, key, ssh.UserCert, forever, "lwc"),
		host:  sign(authority, key, ssh.HostCert, forever, "lwc"),
		old:   sign(authority, key, ssh.UserCert, 1_000_000_000, "lwc"),
		other: sign(authority, another, ssh.UserCert, forever, "lwc"),
		root:  sign(authority, key, ssh.UserCert, forever, "root"),
		jump:  sign(authority, key, ssh.UserCert, forever, "collector"),
	}
})

func signer(k ed25519.PrivateKey) ssh.Signer {
	s, err := ssh.NewSignerFromKey(k)
	if err != nil {
		panic(err)
	}
	return s
}

func newSigner() ssh.Signer {
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return signer(k)
}

func sign(authority, key ssh.Signer, kind uint32, until uint64, principal string) string {
	c := &ssh.Certificate{Key: key.PublicKey(), CertType: kind, KeyId: "test", ValidPrincipals: []string{principal}, ValidBefore: until}
	if err := c.SignCert(rand.Reader, authority); err != nil {
		panic(err)
	}
	return string(ssh.MarshalAuthorizedKey(c))
}
