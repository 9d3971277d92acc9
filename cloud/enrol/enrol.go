package enrol

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/smallstep/pkcs7"

	"lwc/cloud/edp"
	"lwc/cloud/pki"
	"lwc/transport/wire"
)

// maxBody bounds the body of a request: a PKCS #10 request of at most 8 KiB in
// base64, with its line breaks.
const maxBody = 16 << 10

// Registry is the list of collectors; edp.Store is one.
type Registry interface {
	// Admit checks an enrolment token, calls Issue and enters the collector.
	Admit(ctx context.Context, a edp.Admission) error
	// Enrolled enters a renewed certificate of an active collector.
	Enrolled(ctx context.Context, e edp.Enrolment) error
	// Collector returns an entry; edp.ErrNotFound when there is none.
	Collector(ctx context.Context, id string) (edp.Collector, error)
}

// Config configures the handler of New. All fields are required but Logger and
// Prefix.
type Config struct {
	PKI      *pki.PKI
	Registry Registry
	// Endpoints are the ways to the broker, in the order to try.
	Endpoints []wire.Endpoint
	// Prefix of the topics; empty means wire.DefaultPrefix.
	Prefix string
	// Logger gets who enrolled and who was refused; nil discards it.
	Logger *slog.Logger
}

type server struct {
	Config
	configKey []byte // PKIX
	failures  *limiter
}

// New returns the handler of the enrolment paths.
func New(c Config) (http.Handler, error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Prefix == "" {
		c.Prefix = wire.DefaultPrefix
	}
	key, err := c.PKI.ConfigKeyDER()
	if err != nil {
		return nil, fmt.Errorf("preparing enrolment: %w", err)
	}
	s := &server{Config: c, configKey: key, failures: newLimiter()}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+wire.PathCACerts, s.cacerts)
	mux.HandleFunc("POST "+wire.PathEnroll, s.enrol)
	mux.HandleFunc("POST "+wire.PathReenroll, s.reenrol)
	mux.HandleFunc("GET "+wire.PathBootstrap, s.bootstrap)
	return mux, nil
}

// cacerts is RFC 7030 §4.1.
func (s *server) cacerts(w http.ResponseWriter, r *http.Request) {
	s.sendCertificate(w, r, s.PKI.CA().Raw, "application/pkcs7-mime")
}

// enrol is RFC 7030 §4.2.1, authenticated by an enrolment token (§3.2.3).
func (s *server) enrol(w http.ResponseWriter, r *http.Request) {
	from := peer(r)
	if wait := s.failures.wait(from); wait > 0 {
		s.refuse(w, r, tooMany(wait))
		return
	}
	id, sec, err := basicToken(r.Header.Get("Authorization"))
	if err != nil {
		s.failures.failed(from)
		s.refuse(w, r, err)
		return
	}
	defer sec.Wipe()
	req, err := readRequest(w, r)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	var der []byte
	var name string
	err = s.Registry.Admit(r.Context(), edp.Admission{Token: id, Secret: sec, Proposed: req.ID, Default: nameOf(req), SPKI: req.SPKI,
		Issue: func(collector string) (e edp.Enrolment, err error) {
			name = collector
			e, der, err = s.issue(collector, req)
			return e, err
		}})
	if err != nil {
		if errors.Is(err, edp.ErrTokenUnknown) {
			s.failures.failed(from)
		}
		s.refuse(w, r, err)
		return
	}
	s.Logger.Info("collector enrolled", "collector", name, "token", id, "from", from)
	s.sendCertificate(w, r, der, "application/pkcs7-mime; smime-type=certs-only")
}

// reenrol is RFC 7030 §4.2.2: the same collector, the same key, a new
// certificate.
func (s *server) reenrol(w http.ResponseWriter, r *http.Request) {
	c, err := s.client(r)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	req, err := readRequest(w, r)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	if req.ID != c.ID || req.SPKI != c.SPKI {
		s.refuse(w, r, errOtherSubject)
		return
	}
	e, der, err := s.issue(c.ID, req)
	if err == nil {
		err = s.Registry.Enrolled(r.Context(), e)
	}
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	s.Logger.Info("certificate renewed", "collector", c.ID, "until", e.NotAfter)
	s.sendCertificate(w, r, der, "application/pkcs7-mime; smime-type=certs-only")
}

// bootstrap tells a collector where to connect and whom to believe.
func (s *server) bootstrap(w http.ResponseWriter, r *http.Request) {
	c, err := s.client(r)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	err = json.NewEncoder(w).Encode(wire.Bootstrap{V: wire.Version, Collector: c.ID, Prefix: s.Prefix,
		ConfigKey: s.configKey, Endpoints: s.Endpoints})
	if err != nil {
		s.Logger.Debug("bootstrap answer not sent", "collector", c.ID, "error", err)
	}
}

func (s *server) issue(id string, req pki.Request) (edp.Enrolment, []byte, error) {
	cert, err := s.PKI.IssueCollector(id, req.Key)
	if err != nil {
		return edp.Enrolment{}, nil, err
	}
	return edp.Enrolment{Collector: id, SPKI: req.SPKI, Serial: cert.SerialNumber.Text(16), NotAfter: cert.NotAfter}, cert.Raw, nil
}

// client returns the active collector behind a request.
func (s *server) client(r *http.Request) (edp.Collector, error) {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return edp.Collector{}, errNoCertificate
	}
	id, err := pki.CollectorOf(r.TLS.VerifiedChains[0][0])
	if err != nil {
		return edp.Collector{}, errNoCertificate
	}
	c, err := s.Registry.Collector(r.Context(), id)
	if err != nil {
		return edp.Collector{}, err
	}
	return c, Active(c, r.TLS.VerifiedChains[0][0])
}

// readRequest reads the base64 of a PKCS #10 request (RFC 8951 §3.1: no
// Content-Transfer-Encoding header is needed, and white space is ignored).
func readRequest(w http.ResponseWriter, r *http.Request) (pki.Request, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return pki.Request{}, fmt.Errorf("%w: %w", errBody, err)
	}
	return parseBody(body)
}

// parseBody reads what a client posts.
func parseBody(body []byte) (pki.Request, error) {
	der := make([]byte, base64.StdEncoding.DecodedLen(len(body)))
	n, err := base64.StdEncoding.Decode(der, stripSpace(body))
	if err != nil {
		return pki.Request{}, fmt.Errorf("%w: its body is not base64", errBody)
	}
	return pki.ParseRequest(der[:n])
}

// sendCertificate answers with a certs-only PKCS #7 in base64 (RFC 7030 §4.1.3).
func (s *server) sendCertificate(w http.ResponseWriter, r *http.Request, der []byte, contentType string) {
	p7, err := pkcs7.DegenerateCertificate(der)
	if err != nil {
		s.refuse(w, r, fmt.Errorf("packing a certificate: %w", err))
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Transfer-Encoding", "base64")
	text := make([]byte, base64.StdEncoding.EncodedLen(len(p7)))
	base64.StdEncoding.Encode(text, p7)
	if _, err := w.Write(append(text, '\n')); err != nil {
		s.Logger.Debug("certificate not sent", "error", err)
	}
}
