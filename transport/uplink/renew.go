package uplink

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"lwc/transport/wire"
)

const (
	renewRetry    = time.Minute
	renewRetryMax = time.Hour
	// renewLook bounds one wait for the renewal: a clock that is set in the
	// meantime is noticed.
	renewLook = time.Hour
)

// RenewCertificate asks for a renewal of the certificate now. It does not block.
func (u *Uplink) RenewCertificate() {
	select {
	case u.renew <- struct{}{}:
	default:
	}
}

// renewalTime is when a certificate is to be renewed: at two thirds of its life.
func renewalTime(c *x509.Certificate) time.Time {
	return c.NotBefore.Add(c.NotAfter.Sub(c.NotBefore) / 3 * 2)
}

// keepCertificate renews the certificate whenever it is time, until ctx ends. The
// session goes on; the next connection shows the new certificate.
func (u *Uplink) keepCertificate(ctx context.Context) {
	wait := backoff{least: renewRetry, most: renewRetryMax}
	for {
		due := renewalTime(u.identity().Certificate.Leaf)
		if !u.awaitRenewal(ctx, due) {
			return
		}
		err := u.renewOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil && renewalTime(u.identity().Certificate.Leaf).After(time.Now()) {
			wait.reset()
			continue
		}
		pause := wait.next()
		u.log.Error("the certificate has to be renewed again", "error", err, "retry_in", pause.String())
		if sleep(ctx, pause) != nil {
			return
		}
	}
}

// awaitRenewal waits until due or until somebody asks. It returns false once ctx
// ends.
func (u *Uplink) awaitRenewal(ctx context.Context, due time.Time) bool {
	for {
		left := due.Round(0).Sub(time.Now().Round(0)) // by the wall clock
		if left <= 0 {
			return ctx.Err() == nil
		}
		t := time.NewTimer(min(left, renewLook))
		select {
		case <-t.C:
		case <-u.renew:
			t.Stop()
			return true
		case <-ctx.Done():
			t.Stop()
			return false
		}
	}
}

// renewOnce gets a new certificate for the same key (RFC 7030 §4.2.2) and saves
// it where the identity is saved.
func (u *Uplink) renewOnce(ctx context.Context) error {
	id := u.identity()
	c, err := newClient(id.URL, u.cfg.Dial, id.tlsConfig())
	if err != nil {
		return fmt.Errorf("renewing the certificate: %w", err)
	}
	defer c.close()
	csr, err := request(id.Collector, id.Key)
	if err != nil {
		return err
	}
	certs, err := c.enroll(ctx, "renewing the certificate", wire.PathReenroll, csr, nil, func(why error) {
		u.log.Info("waiting", "reason", why)
	})
	if err != nil {
		return err
	}
	next := id
	if err := next.adopt(certs); err != nil {
		return fmt.Errorf("renewing the certificate: %w", err)
	}
	if next.Collector != id.Collector {
		return fmt.Errorf("renewing the certificate: it is for %q, this is %q", next.Collector, id.Collector)
	}
	if !next.Certificate.Leaf.NotAfter.After(time.Now()) {
		return errors.New("renewing the certificate: the new one has run out already")
	}
	u.mu.Lock()
	u.id = next
	u.mu.Unlock()
	if err := next.saveCertificate(); err != nil {
		return fmt.Errorf("renewing the certificate: %w", err)
	}
	u.log.Info("the certificate was renewed", "not_after", next.Certificate.Leaf.NotAfter)
	return nil
}
