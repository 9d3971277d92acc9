package uplink

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"lwc/transport/wire"
)

// EnrolConfig says how to enrol.
type EnrolConfig struct {
	// Token is the enrolment token. Its secret is not wiped.
	Token wire.Token
	// CollectorID is proposed as the collector's id. It may be empty if the
	// token is bound to one; the id that counts is that of the certificate.
	CollectorID string
	// Key becomes the identity key; nil makes a new one.
	Key crypto.Signer
	// Dial makes the connections. Without it none is made.
	Dial DialFunc
	// Logger is told of waits; nil means silence.
	Logger *slog.Logger
}

func (c *EnrolConfig) fill() (err error) {
	if c.Key == nil {
		if c.Key, err = NewKey(); err != nil {
			return err
		}
	}
	if c.Dial == nil {
		c.Dial = noDial
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Enrol gets a certificate for the box and what it has to know of its cloud. It
// believes only the authority that the token pins (ErrWrongCA). If the cloud
// wants an administrator's approval, it asks again until that is given or ctx
// ends. A *RefusedError is final: the token is wrong, expired or used. A token is
// used up once the certificate is issued, so the bootstrap answer after it is
// asked for until it comes or ctx ends.
func Enrol(ctx context.Context, c EnrolConfig) (Identity, error) {
	if err := c.fill(); err != nil {
		return Identity{}, err
	}
	id, err := c.certify(ctx)
	if err != nil {
		return Identity{}, err
	}
	for b := (backoff{least: time.Second, most: 30 * time.Second}); ; {
		id.Bootstrap, err = id.fetchBootstrap(ctx, c.Dial)
		var refused *RefusedError
		if err == nil || errors.As(err, &refused) || ctx.Err() != nil {
			return id, err
		}
		c.Logger.Warn("fetching the bootstrap answer again", "error", err)
		if sleep(ctx, b.next()) != nil {
			return Identity{}, err
		}
	}
}

// certify makes an identity without its bootstrap answer.
func (c *EnrolConfig) certify(ctx context.Context) (Identity, error) {
	at, err := url.Parse(c.Token.URL)
	if err != nil {
		return Identity{}, fmt.Errorf("enrolling: the token's address: %w", err)
	}
	est, err := newClient(c.Token.URL, c.Dial, &tls.Config{
		MinVersion: tls.VersionTLS13,
		// VerifyConnection does all of the verification, against the pin.
		InsecureSkipVerify: true,
		VerifyConnection:   verifyPinned(c.Token.CAPin, at.Hostname()),
	})
	if err != nil {
		return Identity{}, fmt.Errorf("enrolling: %w", err)
	}
	defer est.close()
	csr, err := request(c.CollectorID, c.Key)
	if err != nil {
		return Identity{}, err
	}
	id := Identity{Key: c.Key, URL: c.Token.URL}
	if id.CA, err = est.caCerts(ctx); err != nil {
		return Identity{}, err
	}
	if findPinned(id.CA, c.Token.CAPin) == nil {
		return Identity{}, fmt.Errorf("fetching the cloud's certification authorities: %w", wrongCA(id.CA, c.Token.CAPin))
	}
	certs, err := est.enroll(ctx, "enrolling", wire.PathEnroll, csr, c.authorize, func(why error) {
		c.Logger.Info("waiting; an administrator may have to approve this collector", "reason", why)
	})
	if err != nil {
		return Identity{}, err
	}
	if err := id.adopt(certs); err != nil {
		return Identity{}, fmt.Errorf("enrolling: %w", err)
	}
	return id, nil
}

func (c *EnrolConfig) authorize(r *http.Request) {
	r.SetBasicAuth(c.Token.ID, base64.RawURLEncoding.EncodeToString(c.Token.Secret.Reveal()))
}

// adopt takes the certificate of id.Key out of an answer, checks it, and reads
// the collector's id from it.
func (id *Identity) adopt(certs []*x509.Certificate) error {
	leaf, chain := pick(certs, id.Key.Public())
	if leaf == nil {
		return errors.New("no certificate is of this box's key")
	}
	between := x509.NewCertPool()
	for _, c := range certs {
		between.AddCert(c)
	}
	// An expired certificate is still an identity: what is judged here is who
	// issued it. Those who talk to it judge its time.
	_, err := leaf.Verify(x509.VerifyOptions{Roots: id.roots(), Intermediates: between,
		CurrentTime: within(time.Now(), leaf), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil {
		return fmt.Errorf("the certificate is not of the cloud's authority: %w", err)
	}
	if err := wire.CheckCollectorID(leaf.Subject.CommonName); err != nil {
		return fmt.Errorf("the certificate's name: %w", err)
	}
	id.Collector = leaf.Subject.CommonName
	id.Certificate = tls.Certificate{Certificate: chain, PrivateKey: id.Key, Leaf: leaf}
	return nil
}

// within returns the moment of a certificate's life that is nearest to now.
func within(now time.Time, c *x509.Certificate) time.Time {
	switch {
	case now.Before(c.NotBefore):
		return c.NotBefore
	case now.After(c.NotAfter):
		return c.NotAfter
	}
	return now
}

// pick returns the certificate of pub and the chain to show: it and the
// intermediates, without self-issued roots.
func pick(certs []*x509.Certificate, pub crypto.PublicKey) (leaf *x509.Certificate, chain [][]byte) {
	for _, c := range certs {
		if k, ok := c.PublicKey.(*ecdsa.PublicKey); ok && k.Equal(pub) {
			leaf = c
		}
	}
	if leaf == nil {
		return nil, nil
	}
	chain = [][]byte{leaf.Raw}
	for _, c := range certs {
		if c != leaf && c.IsCA && string(c.RawSubject) != string(c.RawIssuer) {
			chain = append(chain, c.Raw)
		}
	}
	return leaf, chain
}

// tlsConfig is the mutual TLS of this identity with a host. Server certificates are
// judged by the cloud's authorities alone.
func (id *Identity) tlsConfig(host string) *tls.Config {
	cert, roots := id.Certificate, id.roots()
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		ServerName: host,
		// VerifyConnection does all of the verification.
		InsecureSkipVerify: true,
		VerifyConnection: func(cs tls.ConnectionState) error {
			return judge(cs.PeerCertificates, host, roots, time.Now())
		},
		// Always shown, also to a server whose hint names no authority of ours.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil },
	}
}

// client speaks to the cloud as this identity.
func (id *Identity) client(dial DialFunc) (*client, error) {
	at, err := url.Parse(id.URL)
	if err != nil {
		return nil, fmt.Errorf("the address of the cloud: %w", err)
	}
	return newClient(id.URL, dial, id.tlsConfig(at.Hostname()))
}

// fetchBootstrap asks the cloud where its broker is and which key signs.
func (id *Identity) fetchBootstrap(ctx context.Context, dial DialFunc) (wire.Bootstrap, error) {
	const what = "fetching the bootstrap answer"
	c, err := id.client(dial)
	if err != nil {
		return wire.Bootstrap{}, fmt.Errorf("%s: %w", what, err)
	}
	defer c.close()
	body, err := c.do(ctx, what, http.MethodGet, wire.PathBootstrap, nil, nil)
	if err != nil {
		return wire.Bootstrap{}, err
	}
	var b wire.Bootstrap
	if err := json.Unmarshal(body, &b); err != nil {
		return wire.Bootstrap{}, fmt.Errorf("%s: %w", what, err)
	}
	if err := checkBootstrap(b, id.Collector); err != nil {
		return wire.Bootstrap{}, fmt.Errorf("%s: %w", what, err)
	}
	return b, nil
}

// checkBootstrap refuses an answer that no session can be made with.
func checkBootstrap(b wire.Bootstrap, collector string) error {
	if b.V != wire.Version {
		return fmt.Errorf("protocol version %d, this side speaks %d: update the older side", b.V, wire.Version)
	}
	if b.Collector != collector {
		return fmt.Errorf("it is for collector %.80q, this is %q", b.Collector, collector)
	}
	if _, err := configKey(b); err != nil {
		return err
	}
	if strings.ContainsAny(b.Prefix, "+#$\x00") || strings.HasSuffix(b.Prefix, "/") {
		return fmt.Errorf("the topic prefix %.80q cannot be used", b.Prefix)
	}
	if len(b.Endpoints) == 0 {
		return errors.New("it names no endpoint")
	}
	for _, e := range b.Endpoints {
		if _, _, err := net.SplitHostPort(e.Host); err != nil {
			return fmt.Errorf("endpoint %.200q: %w", e.Host, err)
		}
	}
	return nil
}

func configKey(b wire.Bootstrap) (ed25519.PublicKey, error) {
	k, err := wire.ParsePublicKey(b.ConfigKey)
	if err != nil {
		return nil, fmt.Errorf("the config-signing key: %w", err)
	}
	pub, ok := k.(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("the config-signing key is a %T, not Ed25519", k)
	}
	return pub, nil
}
