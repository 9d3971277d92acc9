// Package api is the HTTP API of the cloud end, under /api. It speaks JSON,
// describes itself as OpenAPI 3.1 (/api/openapi.json and .yaml, readable at
// /api/docs), and answers errors as RFC 9457 problems.
//
// Programs authenticate with "Authorization: Bearer ID.SECRET", the id and the
// base64url secret of an API token; the portal's session cookie is accepted for
// reading. Standard users read; only admins change anything. No answer holds a
// device's password or key, whoever asks.
package api

import (
	"log/slog"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"lwc/cloud/api/apitype"
	"lwc/cloud/api/issue"
	"lwc/cloud/edp"
	"lwc/cloud/fleet"
	"lwc/cloud/fleet/keeper"
	"lwc/cloud/shelf"
)

// Hub is told what collectors have to know.
type Hub interface {
	// JobCreated is called when a collector has a new job. It does not block.
	JobCreated(collector string)
	// Revoked is called when a collector was revoked: its session ends.
	Revoked(collector string)
	// HeldDecided is called when held documents of a collector were approved or
	// declined. It does not block.
	HeldDecided(collector string)
}

// Config configures an API. All fields but Session and Logger must be set.
type Config struct {
	Store  *edp.Store
	Keeper *keeper.Keeper
	Issuer issue.Issuer
	Hub    Hub
	Shelf  *shelf.Shelf
	// Planner is told what may bring updates about.
	Planner Planner
	// Session returns who is logged in to the portal, by the cookies of a
	// request; nil: nobody.
	Session func(*http.Request) (edp.Principal, bool)
	// Logger gets errors that are the server's own; nil discards them.
	Logger *slog.Logger
}

// API serves the paths under /api.
type API struct {
	cfg  Config
	mux  *http.ServeMux
	huma huma.API
	// exports holds a token for each ledger that is being exported.
	exports chan struct{}
}

// New makes an API.
func New(cfg Config) *API {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Session == nil {
		cfg.Session = func(*http.Request) (edp.Principal, bool) { return edp.Principal{}, false }
	}
	a := &API{cfg: cfg, mux: http.NewServeMux(), exports: make(chan struct{}, exportsAtOnce)}
	a.huma = humago.New(a.mux, configuration())
	a.huma.UseMiddleware(a.authorise)
	a.registerCollectors()
	a.registerFleets()
	a.registerRuns()
	a.registerJobs()
	a.registerHeld()
	a.registerLedger()
	a.registerReleases()
	a.registerAccess()
	a.mux.HandleFunc("GET /api/docs", a.docs)
	a.mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		writeProblem(w, http.StatusNotFound, "there is nothing at this path: see /api/docs")
	})
	return a
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
	h.Set("Referrer-Policy", "no-referrer")
	a.mux.ServeHTTP(w, r)
}

// configuration describes the API. Nothing of it is fetched from elsewhere.
func configuration() huma.Config {
	c := huma.DefaultConfig("lwc cloud", "1")
	c.Info.Description = "Collectors, fleets, runs and facts. Every change needs an admin's token."
	c.Info.License = &huma.License{Name: "Apache-2.0"}
	c.OpenAPIPath, c.DocsPath, c.SchemasPath = "/api/openapi", "", ""
	c.CreateHooks = nil // no $schema links in answers
	c.RejectUnknownQueryParameters = true
	c.Transformers = []huma.Transformer{hideValues}
	c.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", schemaName)
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token":   {Type: "http", Scheme: "bearer", Description: "ID.SECRET, as lwc-cloud api-token --bearer prints it."},
		"session": {Type: "apiKey", In: "cookie", Name: SessionCookie, Description: "Log-in to the portal; for reading only."},
	}
	return c
}

// schemaName names a type in the description. What a caller gives and what the
// cloud shows of it are different types of one name in Go.
func schemaName(t reflect.Type, hint string) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	name := huma.DefaultSchemaNamer(t, hint)
	switch t {
	case reflect.TypeFor[fleet.Spec]():
		return "FleetSpec"
	case reflect.TypeFor[fleet.Credential](), reflect.TypeFor[fleet.Bastion](), reflect.TypeFor[fleet.Masking](), reflect.TypeFor[fleet.Device]():
		return name + "Spec"
	}
	return name
}

// SessionCookie is the name of the portal's cookie. The prefix makes browsers
// refuse it over plain HTTP and from other hosts (RFC 6265bis §4.1.3.2).
const SessionCookie = "__Host-lwc"

// hideValues keeps what a caller sent out of answers: huma would repeat the
// value of a field that does not validate, and it may be a password.
func hideValues(_ huma.Context, _ string, v any) (any, error) {
	if m, ok := v.(*huma.ErrorModel); ok {
		for _, e := range m.Errors {
			e.Value = nil
		}
	}
	return v, nil
}

// read describes an operation that every user may call.
func read(id, path, summary string, tags ...string) huma.Operation {
	return huma.Operation{
		OperationID: id, Method: http.MethodGet, Path: apitype.Prefix + path, Summary: summary, Tags: tags,
		Security: []map[string][]string{{"token": {}}, {"session": {}}},
		Errors:   []int{http.StatusUnauthorized, http.StatusNotFound},
	}
}

// write describes an operation that only admins may call.
func write(method, id, path, summary string, tags ...string) huma.Operation {
	op := read(id, path, summary, tags...)
	op.Method = method
	op.Security = []map[string][]string{{"token": {}}}
	op.Errors = append(op.Errors, http.StatusForbidden, http.StatusConflict, http.StatusUnprocessableEntity)
	op.Metadata = map[string]any{needsAdmin: true}
	return op
}

// needsAdmin is a key of huma.Operation.Metadata.
const needsAdmin = "admin"
