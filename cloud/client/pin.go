package client

import (
	"crypto/tls"
	"crypto/x509"
	"errors"

	"lwc/transport/wire"
)

// errAuthority says that the server is not the cloud of the token.
var errAuthority = errors.New("its certificate is not of the authority that the API token names: this is another server, or the token is of another cloud")

// pinned believes one authority: the one whose key has this hash. The server
// sends that authority's certificate in its chain.
func pinned(pin [32]byte, host string) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, // VerifyConnection below does what it skips, with the pin as root
		VerifyConnection: func(s tls.ConnectionState) error {
			return verify(s.PeerCertificates, pin, host)
		},
	}
}

func verify(chain []*x509.Certificate, pin [32]byte, host string) error {
	if len(chain) == 0 {
		return errAuthority
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	found := false
	for _, c := range chain[1:] {
		if c.IsCA && c.BasicConstraintsValid && wire.SPKIHash(c) == pin {
			roots.AddCert(c)
			found = true
		} else {
			between.AddCert(c)
		}
	}
	if !found {
		return errAuthority
	}
	_, err := chain[0].Verify(x509.VerifyOptions{DNSName: host, Roots: roots, Intermediates: between})
	return err
}
