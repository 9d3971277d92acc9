package uplink

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"lwc/transport/wire"
)

// ErrWrongCA says that the cloud showed a certificate of an authority other
// than the one that the token pins: another cloud, or something in between.
var ErrWrongCA = errors.New("the cloud's certification authority is not the one of the token")

// ErrClock says that a certificate cannot be judged because the clock of this
// box is wrong, or that the certificate has run out.
var ErrClock = errors.New("a certificate does not fit the clock of this box")

// verifyPinned returns a check of a server's chain against the one authority in
// it whose public key hashes to pin (RFC 7469 §2.4). Nothing else is believed:
// not the system's authorities, not another one in the chain. host is the name or
// address that the server must have a certificate for; the connection's own
// record of it is empty for an address.
func verifyPinned(pin [32]byte, host string) func(tls.ConnectionState) error {
	return func(cs tls.ConnectionState) error {
		ca := findPinned(cs.PeerCertificates, pin)
		if ca == nil {
			return wrongCA(cs.PeerCertificates, pin)
		}
		roots := x509.NewCertPool()
		roots.AddCert(ca)
		return judge(cs.PeerCertificates, host, roots, time.Now())
	}
}

// judge verifies a server's chain. A start that is still to come does not count: the
// authority signs nothing ahead of time, so that it shows a clock that is behind, as
// that of a box without a battery is at boot. The cloud's time, which corrects it, only
// comes by this connection.
func judge(chain []*x509.Certificate, host string, roots *x509.CertPool, now time.Time) error {
	between, at := x509.NewCertPool(), now
	for _, c := range chain {
		between.AddCert(c)
		if c.NotBefore.After(at) {
			at = c.NotBefore
		}
	}
	_, err := chain[0].Verify(x509.VerifyOptions{DNSName: host, Roots: roots, Intermediates: between, CurrentTime: at})
	return explainCert(err, now)
}

func findPinned(chain []*x509.Certificate, pin [32]byte) *x509.Certificate {
	for _, c := range chain {
		if c.IsCA && c.BasicConstraintsValid && wire.SPKIHash(c) == pin {
			return c
		}
	}
	return nil
}

func wrongCA(chain []*x509.Certificate, pin [32]byte) error {
	var seen []string
	for _, c := range chain {
		if c.IsCA {
			seen = append(seen, fmt.Sprintf("%x", wire.SPKIHash(c)))
		}
	}
	if len(seen) == 0 {
		seen = []string{"none"}
	}
	return fmt.Errorf("the token pins the authority %x, the server at the token's address shows %s: "+
		"ask for a new token if the cloud was set up anew, and look for a proxy that opens TLS otherwise: %w",
		pin, strings.Join(seen, ", "), ErrWrongCA)
}

// explainCert adds to a verification error what an operator has to know: that
// the clock is off, or that another cloud answers, and what to do.
func explainCert(err error, now time.Time) error {
	var inv x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &inv) && inv.Reason == x509.Expired && inv.Cert != nil:
		return clockError(inv.Cert, now)
	case errors.As(err, &unknown):
		return fmt.Errorf("the server's certificate is not of the cloud's authority (%v): look for a proxy that opens TLS, "+
			"or for another server at this address; if the cloud was set up anew, empty the state folder and enrol with a new token", unknown)
	}
	return err
}

func clockError(c *x509.Certificate, now time.Time) error {
	const layout = "2006-01-02 15:04 MST"
	name := c.Subject.CommonName
	if now.Before(c.NotBefore) {
		return fmt.Errorf("the certificate of %q is valid only from %s and the clock of this box says %s: set the clock (NTP): %w",
			name, c.NotBefore.UTC().Format(layout), now.UTC().Format(layout), ErrClock)
	}
	return fmt.Errorf("the certificate of %q ended on %s and the clock of this box says %s: renew the certificate, or set the clock if it is wrong: %w",
		name, c.NotAfter.UTC().Format(layout), now.UTC().Format(layout), ErrClock)
}

// doubt adds to the failure of a connection that this box's own certificate is
// not valid at this time, which the other side says in TLS's own words if at all.
func (id *Identity) doubt(err error, now time.Time) error {
	leaf := id.Certificate.Leaf
	if err == nil || leaf == nil || !now.Before(leaf.NotBefore) && !now.After(leaf.NotAfter) {
		return err
	}
	return fmt.Errorf("%w (%w)", err, clockError(leaf, now))
}
