package proxy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"lwc/testdata/outproxy"
	"lwc/transport/secret"
)

func TestTinyproxy(t *testing.T) {
	echo := echoServer(t)
	_, port, err := net.SplitHostPort(echo)
	if err != nil {
		t.Fatal(err)
	}
	at := outproxy.Tinyproxy(t, "site", "hunter2", "ConnectPort "+port)
	testProxy(t, URL{Host: at.Host, Port: at.Port}, echo, port)
}

func TestSquid(t *testing.T) {
	echo := echoServer(t)
	_, port, err := net.SplitHostPort(echo)
	if err != nil {
		t.Fatal(err)
	}
	at := outproxy.Squid(t, "site", "hunter2", port)
	testProxy(t, URL{Host: at.Host, Port: at.Port}, echo, port)
}

// testProxy goes through a proxy that lets the user site pass, with the password
// hunter2, and to one port alone.
func testProxy(t *testing.T, u URL, echo, port string) {
	good := Dialer{Dial: new(net.Dialer).DialContext, Proxy: u, User: "site", Password: secret.FromString("hunter2")}
	c, err := good.DialContext(within(t), "tcp", echo)
	if err != nil {
		t.Fatal(err)
	}
	checkEcho(t, c)

	wrong := good
	wrong.Password = secret.FromString("hunter3")
	for _, s := range []struct {
		what string
		d    Dialer
		addr string
		kind Kind
		says string
	}{
		{"no credentials", Dialer{Dial: new(net.Dialer).DialContext, Proxy: u}, echo, KindCredentials, "give both"},
		{"wrong credentials", wrong, echo, KindCredentials, "does not take"},
		{"port not allowed", good, "127.0.0.1:1", KindRefused, "allow CONNECT"},
		{"name that does not exist", good, "nowhere.invalid:" + port, KindDestination, "cannot reach"},
	} {
		_, err := s.d.DialContext(within(t), "tcp", s.addr)
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Kind != s.kind || !strings.Contains(err.Error(), s.says) {
			t.Errorf("%s: %v", s.what, err)
		}
	}
}

// A proxy that is itself reached by TLS is believed by an authority of its own, and
// by none of the system's.
func TestSquidBehindTLS(t *testing.T) {
	echo := echoServer(t)
	_, port, err := net.SplitHostPort(echo)
	if err != nil {
		t.Fatal(err)
	}
	certPEM, keyPEM, roots := proxyCertificate(t)
	at := outproxy.SecureSquid(t, certPEM, keyPEM, "site", "hunter2", port)
	d := Dialer{Dial: new(net.Dialer).DialContext, Proxy: URL{TLS: true, Host: at.Host, Port: at.Port}, User: "site", Password: secret.FromString("hunter2")}
	if _, err := d.DialContext(within(t), "tcp", echo); err == nil || !strings.Contains(err.Error(), "securing the connection to the proxy") {
		t.Errorf("a proxy of an unknown authority: %v", err)
	}
	d.TLS = &tls.Config{RootCAs: roots}
	c, err := d.DialContext(within(t), "tcp", echo)
	if err != nil {
		t.Fatal(err)
	}
	checkEcho(t, c)
}

// proxyCertificate makes a certificate of 127.0.0.1 that is its own authority.
func proxyCertificate(t *testing.T) (certPEM, keyPEM []byte, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "proxy"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(certPEM)
	return certPEM, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: plain}), roots
}
