package pki

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"slices"
	"time"

	"lwc/cloud/keyfile"
)

const (
	// CollectorLife is how long a collector's certificate lives; it is renewed
	// at two thirds of it.
	CollectorLife = 90 * 24 * time.Hour
	// serverLife keeps below the 398 days that browsers accept.
	serverLife = 397 * 24 * time.Hour
	// CloudName is the name that the cloud end has in certificates for foreign
	// brokers, whose access lists give it rights over all collectors.
	CloudName = "lwc-cloud"
)

// localHosts are in every server certificate.
func localHosts() []string { return []string{"localhost", "127.0.0.1", "::1"} }

// ServerCertificate returns the certificate of the listener, for the local names
// and hosts, with its authority behind it. It is kept in the folder, and made
// anew when the hosts change or a third of its life is left.
func (p *PKI) ServerCertificate(hosts []string) (*tls.Certificate, error) {
	want := canonical(append(localHosts(), hosts...))
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.server == nil {
		var err error
		if p.server, err = p.loadServer(); err != nil {
			return nil, err
		}
	}
	if p.server != nil && fresh(p.server.Leaf, time.Now()) && slices.Equal(hostsOf(p.server.Leaf), want) {
		return p.server, nil
	}
	cert, keyPEM, err := p.issueServer(want, pkix.Name{CommonName: CloudName + " server"})
	if err != nil {
		return nil, err
	}
	if err := keyfile.Write(p.path(serverFile), append(keyPEM, p.chainPEM(cert)...)); err != nil {
		return nil, fmt.Errorf("keeping the server certificate: %w", err)
	}
	p.server = cert
	return cert, nil
}

// loadServer returns nil when there is no certificate, or one of another
// authority.
func (p *PKI) loadServer() (*tls.Certificate, error) {
	b, err := os.ReadFile(p.path(serverFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("loading the server certificate: %w", err)
	}
	cert, err := tls.X509KeyPair(b, b)
	if err != nil || cert.Leaf.CheckSignatureFrom(p.ca) != nil {
		return nil, nil
	}
	return &cert, nil
}

// fresh tells whether more than a third of a certificate's life is left.
func fresh(c *x509.Certificate, now time.Time) bool {
	return c.NotAfter.Sub(now) > c.NotAfter.Sub(c.NotBefore)/3
}

func hostsOf(c *x509.Certificate) []string {
	hosts := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		hosts = append(hosts, ip.String())
	}
	return canonical(hosts)
}

// canonical sorts hosts, each once, with addresses in their shortest form.
func canonical(hosts []string) []string {
	out := make([]string, 0, len(hosts))
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			h = ip.String()
		}
		out = append(out, h)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (p *PKI) issueServer(hosts []string, name pkix.Name) (*tls.Certificate, []byte, error) {
	tmpl := leaf(name, serverLife, x509.ExtKeyUsageServerAuth)
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
		} else {
			tmpl.DNSNames = append(tmpl.DNSNames, h)
		}
	}
	return p.issueWithKey(tmpl)
}

// issueWithKey makes a key and signs tmpl for it.
func (p *PKI) issueWithKey(tmpl *x509.Certificate) (*tls.Certificate, []byte, error) {
	key, err := newP256()
	if err != nil {
		return nil, nil, fmt.Errorf("making a key: %w", err)
	}
	c, err := p.sign(tmpl, key.Public())
	if err != nil {
		return nil, nil, err
	}
	keyPEM, err := marshalKey(key)
	if err != nil {
		return nil, nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{c.Raw, p.ca.Raw}, PrivateKey: key, Leaf: c}, keyPEM, nil
}

func leaf(name pkix.Name, life time.Duration, usage x509.ExtKeyUsage) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: newSerial(), Subject: name,
		NotBefore: now.Add(-skew), NotAfter: now.Add(life),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{usage},
		BasicConstraintsValid: true,
	}
}

func (p *PKI) sign(tmpl *x509.Certificate, pub crypto.PublicKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, tmpl, p.ca, pub, p.caKey)
	if err != nil {
		return nil, fmt.Errorf("signing a certificate for %q: %w", tmpl.Subject.CommonName, err)
	}
	return x509.ParseCertificate(der)
}

func (p *PKI) chainPEM(c *tls.Certificate) []byte {
	var b bytes.Buffer
	for _, der := range c.Certificate {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: der}))
	}
	return b.Bytes()
}

// IssueCollector signs the certificate of a collector: client use, the id as
// common name and as urn:lwc:{id}.
func (p *PKI) IssueCollector(id string, pub crypto.PublicKey) (*x509.Certificate, error) {
	if err := CheckID(id); err != nil {
		return nil, fmt.Errorf("issuing a certificate: %w", err)
	}
	tmpl := leaf(pkix.Name{CommonName: id}, CollectorLife, x509.ExtKeyUsageClientAuth)
	tmpl.URIs = []*url.URL{{Scheme: "urn", Opaque: "lwc:" + id}}
	return p.sign(tmpl, pub)
}

// ClientCertificate returns the certificate that the cloud end shows to a
// foreign broker. Its key lives in RAM.
func (p *PKI) ClientCertificate() (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.client != nil && fresh(p.client.Leaf, time.Now()) {
		return p.client, nil
	}
	c, _, err := p.issueWithKey(leaf(pkix.Name{CommonName: CloudName}, CollectorLife, x509.ExtKeyUsageClientAuth))
	if err != nil {
		return nil, err
	}
	p.client = c
	return c, nil
}

// Pair is a certificate chain and its key in PEM form.
type Pair struct{ Certificate, Key []byte }

// IssueBroker makes what a foreign broker at hosts needs: its server
// certificate, and a client certificate of the cloud end for its own tests.
func (p *PKI) IssueBroker(hosts []string) (server, client Pair, err error) {
	if len(hosts) == 0 {
		return Pair{}, Pair{}, errors.New("issuing broker certificates: no host name or address given")
	}
	c, key, err := p.issueServer(hosts, pkix.Name{CommonName: hosts[0]})
	if err != nil {
		return Pair{}, Pair{}, err
	}
	server = Pair{p.chainPEM(c), key}
	c, key, err = p.issueWithKey(leaf(pkix.Name{CommonName: CloudName}, serverLife, x509.ExtKeyUsageClientAuth))
	if err != nil {
		return Pair{}, Pair{}, err
	}
	return server, Pair{p.chainPEM(c), key}, nil
}
