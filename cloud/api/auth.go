package api

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"lwc/cloud/edp"
	"lwc/transport/secret"
)

// callerKey finds the edp.Principal in the context of an operation.
type callerKey struct{}

// caller returns who calls; authorise has put it there.
func caller(ctx context.Context) edp.Principal {
	p, _ := ctx.Value(callerKey{}).(edp.Principal)
	return p
}

// authorise lets an operation through when its caller is known, and an admin
// where one is needed.
func (a *API) authorise(ctx huma.Context, next func(huma.Context)) {
	r, _ := humago.Unwrap(ctx)
	p, err := a.identify(r)
	admin, _ := ctx.Operation().Metadata[needsAdmin].(bool)
	switch {
	case len(ctx.Operation().Security) == 0:
		next(ctx)
		return
	case err != nil:
		a.cfg.Logger.Error("checking an API token", "error", err)
		a.refuse(ctx, http.StatusInternalServerError, "the token could not be checked: try again")
		return
	case p.Name == "":
		ctx.SetHeader("WWW-Authenticate", `Bearer realm="lwc"`)
		a.refuse(ctx, http.StatusUnauthorized, "no valid API token: give one as Authorization: Bearer ID.SECRET (make one with lwc-cloud api-token)")
		return
	case admin && p.Role != edp.RoleAdmin:
		a.refuse(ctx, http.StatusForbidden, "this needs the role admin; "+p.Name+" has the role "+string(p.Role))
		return
	}
	next(huma.WithValue(ctx, callerKey{}, p))
}

// identify returns who sent a request; an empty name means nobody that is
// known. The error is the server's.
func (a *API) identify(r *http.Request) (edp.Principal, error) {
	header := r.Header.Get("Authorization")
	if header == "" {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			return edp.Principal{}, nil // cookies are for reading
		}
		p, _ := a.cfg.Session(r)
		return p, nil
	}
	scheme, value, _ := strings.Cut(header, " ")
	id, encoded, ok := strings.Cut(strings.TrimSpace(value), ".")
	raw, err := base64.RawURLEncoding.DecodeString(encoded)
	if !strings.EqualFold(scheme, "Bearer") || !ok || err != nil || len(id) > 64 || len(raw) == 0 || len(raw) > 64 {
		return edp.Principal{}, nil
	}
	p, err := a.cfg.Store.CheckAPIToken(r.Context(), id, secret.New(raw))
	if errors.Is(err, edp.ErrDenied) || errors.Is(err, edp.ErrNotFound) {
		return edp.Principal{}, nil
	}
	return p, err
}

func (a *API) refuse(ctx huma.Context, status int, text string) {
	if err := huma.WriteErr(a.huma, ctx, status, text); err != nil {
		a.cfg.Logger.Debug("writing an answer", "error", err)
	}
}
