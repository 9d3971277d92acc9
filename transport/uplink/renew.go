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

// Renew asks for a renewal of the certificate now, waits for its end, and returns
// when the new one runs out. The session goes on meanwhile.
func (u *Uplink) Renew(ctx context.Context) (notAfter time.Time, err error) {
	answer := make(chan error, 1)
	select {
	case u.renew <- answer:
	case <-ctx.Done():
		return time.Time{}, fmt.Errorf("waiting for the renewal of the certificate: %w", context.Cause(ctx))
	}
	select {
	case err = <-answer:
	case <-ctx.Done():
		err = fmt.Errorf("waiting for the renewal of the certificate: %w", context.Cause(ctx))
	}
	if err != nil {
		return time.Time{}, err
	}
	return u.identity().Certificate.Leaf.NotAfter, nil
}

// renewalTime is when a certificate is to be renewed: at two thirds of its life.
func renewalTime(c *x509.Certificate) time.Time {
	return c.NotBefore.Add(c.NotAfter.Sub(c.NotBefore) / 3 * 2)
}

// keepCertificate renews the certificate whenever it is time, or somebody asks,
// until ctx ends. The session goes on; the next connection shows the new certificate.
func (u *Uplink) keepCertificate(ctx context.Context) {
	wait, pause := backoff{least: renewRetry, most: renewRetryMax}, time.Duration(0)
	for {
		asked, ok := u.awaitRenewal(ctx, renewalTime(u.identity().Certificate.Leaf), pause)
		if !ok {
			return
		}
		err := u.renewOnce(ctx)
		if asked != nil {
			asked <- err // has room for one
		}
		if ctx.Err() != nil {
			return
		}
		if err == nil && renewalTime(u.identity().Certificate.Leaf).After(time.Now()) {
			wait.reset()
			pause = 0
			continue
		}
		pause = wait.next()
		u.log.Error("the certificate has to be renewed again", "error", err, "retry_in", pause.String())
	}
}

// awaitRenewal waits until due, not before pause has passed, or until somebody
// asks, who is to be told the result. It returns false once ctx ends.
func (u *Uplink) awaitRenewal(ctx context.Context, due time.Time, pause time.Duration) (asked chan<- error, ok bool) {
	for begin := time.Now(); ; {
		left := max(due.Round(0).Sub(time.Now().Round(0)), pause-time.Since(begin)) // the first by the wall clock
		if left <= 0 {
			return nil, ctx.Err() == nil
		}
		t := time.NewTimer(min(left, renewLook))
		select {
		case <-t.C:
		case asked := <-u.renew:
			t.Stop()
			return asked, true
		case <-ctx.Done():
			t.Stop()
			return nil, false
		}
	}
}

// renewOnce gets a new certificate for the same key (RFC 7030 §4.2.2) and saves
// it where the identity is saved. Then it asks for the ways to the broker.
func (u *Uplink) renewOnce(ctx context.Context) error {
	id := u.identity()
	c, err := id.client(u.cfg.Dial)
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
	u.id.Certificate = next.Certificate // the ways may have become others meanwhile
	u.mu.Unlock()
	if err := next.saveCertificate(); err != nil {
		return fmt.Errorf("renewing the certificate: %w", err)
	}
	u.log.Info("the certificate was renewed", "not_after", next.Certificate.Leaf.NotAfter)
	u.learnWays(ctx)
	return nil
}
