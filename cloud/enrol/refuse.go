package enrol

import (
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"strconv"
	"time"

	"lwc/cloud/edp"
	"lwc/cloud/pki"
)

// What a client can do wrong here.
var (
	errNoToken       = errors.New("an enrolment token is needed, as HTTP Basic token-id:secret")
	errNoCertificate = errors.New("the certificate of an enrolled collector is needed: enrol first")
	errOtherSubject  = errors.New("the request is for another id or key than the certificate: to change either, enrol with a new token")
	errBody          = errors.New("the request cannot be read")
)

// Active returns an error unless a collector may connect with a certificate: it
// is active, and the certificate has the key of its entry.
func Active(c edp.Collector, cert *x509.Certificate) error {
	if c.State != edp.CollectorActive {
		return fmt.Errorf("collector %s: %w", c.ID, edp.ErrRevoked)
	}
	if pki.SPKI(cert.RawSubjectPublicKeyInfo) != c.SPKI {
		return fmt.Errorf("collector %s: its certificate was replaced: %w", c.ID, edp.ErrIDTaken)
	}
	return nil
}

// limited is the refusal of a client that failed too often.
type limited time.Duration

func tooMany(wait time.Duration) error { return limited(wait) }

// Error implements error.
func (l limited) Error() string {
	return fmt.Sprintf("too many wrong tokens from this address: wait %d seconds", l.seconds())
}

func (l limited) seconds() int { return int(math.Ceil(time.Duration(l).Seconds())) }

// refusal is how an error is told.
type refusal struct {
	is     error
	status int
}

// statusOf maps what can go wrong to a status, in one place.
func statusOf(err error) int {
	for _, r := range []refusal{
		{edp.ErrTokenUnknown, http.StatusUnauthorized},
		{errNoToken, http.StatusUnauthorized},
		{edp.ErrTokenExpired, http.StatusForbidden},
		{edp.ErrTokenUsed, http.StatusForbidden},
		{edp.ErrTokenBound, http.StatusForbidden},
		{edp.ErrRevoked, http.StatusForbidden},
		{edp.ErrNotFound, http.StatusForbidden},
		{errNoCertificate, http.StatusForbidden},
		{edp.ErrIDTaken, http.StatusConflict},
		{errOtherSubject, http.StatusForbidden},
		{pki.ErrRequest, http.StatusBadRequest},
		{edp.ErrInvalid, http.StatusBadRequest},
		{errBody, http.StatusBadRequest},
	} {
		if errors.Is(err, r.is) {
			return r.status
		}
	}
	return http.StatusInternalServerError
}

// refuse answers with one line of text. What is our own fault is logged and not
// told.
func (s *server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var lim limited
	var tooLarge *http.MaxBytesError
	status, text := statusOf(err), err.Error()
	switch {
	case errors.As(err, &lim):
		status = http.StatusTooManyRequests
		w.Header().Set("Retry-After", strconv.Itoa(lim.seconds()))
	case errors.As(err, &tooLarge):
		status = http.StatusRequestEntityTooLarge
	case status == http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Basic realm="lwc enrolment"`)
	case status == http.StatusInternalServerError:
		s.Logger.Error("enrolment request failed", "path", r.URL.Path, "error", err)
		text = "an error inside the cloud end: its log says more; try again later"
	}
	if status != http.StatusInternalServerError {
		s.Logger.Warn("enrolment request refused", "path", r.URL.Path, "from", peer(r), "status", status, "reason", text)
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if _, err := fmt.Fprintln(w, text); err != nil {
		s.Logger.Debug("refusal not sent", "error", err)
	}
}

// peer is the address that a request came from, without the port.
func peer(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
