// Package issue makes the tokens and links that the cloud hands out. Each is
// shown once; the store keeps only a hash.
package issue

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"lwc/cloud/api/apitype"
	"lwc/cloud/edp"
	"lwc/transport/secret"
	"lwc/transport/wire"
)

// LinkPath is the path of one-time links; the secret follows it.
const LinkPath = "/link/"

// Issuer makes tokens for one cloud.
type Issuer struct {
	Store *edp.Store
	URL   string   // https://host[:port], as collectors and clients reach it
	CAPin [32]byte // SPKI hash of the cloud's CA
	// Endpoints are what collectors have to reach besides the URL, as host:port:
	// the broker, where it is not there.
	Endpoints []string
}

// Defaults and bounds of lifetimes.
const (
	enrolTTL = 24 * time.Hour
	apiTTL   = 90 * 24 * time.Hour
)

// EnrolToken makes a token that enrols collectors; by is who asks for it.
func (i Issuer) EnrolToken(ctx context.Context, by string, r apitype.EnrolTokenRequest) (apitype.EnrolToken, error) {
	if r.Collector != "" {
		if err := wire.CheckCollectorID(r.Collector); err != nil {
			return apitype.EnrolToken{}, fmt.Errorf("%w: %w", err, edp.ErrInvalid)
		}
	}
	uses, ttl := max(r.Uses, 1), lifetime(r.TTLSeconds, enrolTTL)
	id, sec, err := i.Store.NewEnrolToken(ctx, edp.EnrolTokenSpec{Collector: r.Collector, Uses: uses, TTL: ttl, By: by, Label: strings.TrimSpace(r.Label)})
	if err != nil {
		return apitype.EnrolToken{}, err
	}
	return apitype.EnrolToken{
		ID: id, Token: i.encode(wire.EnrolToken, id, sec), Collector: r.Collector, Uses: uses,
		Expires: time.Now().Add(ttl).UTC().Truncate(time.Second),
	}, nil
}

// APIToken makes a token for programs.
func (i Issuer) APIToken(ctx context.Context, r apitype.APITokenRequest) (apitype.APIToken, error) {
	ttl := lifetime(r.TTLSeconds, apiTTL)
	id, sec, err := i.Store.NewAPIToken(ctx, r.Name, edp.Role(r.Role), ttl)
	if err != nil {
		return apitype.APIToken{}, err
	}
	return apitype.APIToken{
		ID: id, Name: r.Name, Role: r.Role, Token: i.encode(wire.APIToken, id, sec),
		Expires: time.Now().Add(ttl).UTC().Truncate(time.Second),
	}, nil
}

// Link makes a one-time link that creates a user, or resets one.
func (i Issuer) Link(ctx context.Context, role edp.Role, ttl time.Duration) (string, error) {
	sec, err := i.Store.NewLink(ctx, role, ttl)
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(i.URL, "/") + LinkPath + string(sec.Reveal()), nil
}

func (i Issuer) encode(sort wire.TokenSort, id string, sec secret.Text) string {
	t := wire.Token{Sort: sort, URL: i.URL, CAPin: i.CAPin, ID: id, Secret: sec}
	if sort == wire.EnrolToken {
		t.Endpoints = i.elsewhere()
	}
	return string(t.Encode().Reveal())
}

// elsewhere is the Endpoints without what the URL says already: a token is copied
// by people.
func (i Issuer) elsewhere() []string {
	own, err := wire.URLHostPort(i.URL)
	if err != nil {
		return i.Endpoints
	}
	return slices.DeleteFunc(slices.Clone(i.Endpoints), func(e string) bool { return e == own })
}

func lifetime(seconds int64, otherwise time.Duration) time.Duration {
	if seconds == 0 {
		return otherwise
	}
	return time.Duration(seconds) * time.Second
}
