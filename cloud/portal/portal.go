// Package portal is the web portal of the cloud end: pages rendered on the
// server, readable without scripts. htmx (vendored, in static/) refreshes
// progress and filters where scripts run.
//
// New makes it; it serves every path but those of the API, EST and the broker.
// Users log in with name and password, or come by a one-time link that sets
// them. Standard users see everything but secrets, which no page ever shows;
// admins also change things. A strict Content-Security-Policy allows nothing
// inline and nothing from elsewhere; cross-origin requests that change
// something are refused.
package portal

import (
	"embed"
	"errors"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"

	"lwc/cloud/api"
	"lwc/cloud/api/issue"
	"lwc/cloud/edp"
	"lwc/cloud/fleet/keeper"
	"lwc/cloud/shelf"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed static
var staticFiles embed.FS

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

// Config configures a Portal. All fields but Logger must be set.
type Config struct {
	Store  *edp.Store
	Keeper *keeper.Keeper
	Issuer issue.Issuer
	Hub    Hub
	Shelf  *shelf.Shelf
	// Planner is told what may bring updates about.
	Planner api.Planner
	// Logger gets errors that are the server's own, and refused log-ins; nil
	// discards them.
	Logger *slog.Logger
}

// Portal serves the pages.
type Portal struct {
	cfg      Config
	log      *slog.Logger
	sessions *scs.SessionManager
	pages    map[string]*template.Template
	mux      *http.ServeMux
	handler  http.Handler
	limit    limiter
}

// sessionLife is how long a log-in lasts: a working day.
const sessionLife = 12 * time.Hour

// New makes a Portal.
func New(cfg Config) (*Portal, error) {
	if cfg.Store == nil || cfg.Keeper == nil || cfg.Hub == nil || cfg.Shelf == nil || cfg.Planner == nil {
		return nil, errors.New("making the portal: a store, a keeper, a hub, a shelf and a planner are needed")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	p := &Portal{cfg: cfg, log: cfg.Logger, mux: http.NewServeMux(), sessions: newSessions(cfg)}
	var err error
	if p.pages, err = parsePages(); err != nil {
		return nil, err
	}
	p.routes()
	static, err := fs.Sub(staticFiles, "static")
	if err != nil {
		return nil, err
	}
	outer := http.NewServeMux()
	outer.Handle("GET /static/", http.StripPrefix("/static/", cached(http.FileServerFS(static))))
	outer.Handle("/", http.NewCrossOriginProtection().Handler(p.sessions.LoadAndSave(p.mux)))
	p.handler = headers(outer)
	return p, nil
}

func newSessions(cfg Config) *scs.SessionManager {
	s := scs.New()
	s.Store = cfg.Store.SessionStore()
	s.Lifetime = sessionLife
	s.Cookie.Name = api.SessionCookie
	s.Cookie.HttpOnly = true
	s.Cookie.Secure = true
	s.Cookie.SameSite = http.SameSiteStrictMode
	s.Cookie.Path = "/"
	s.ErrorFunc = func(w http.ResponseWriter, _ *http.Request, err error) {
		cfg.Logger.Error("keeping a session", "error", err)
		http.Error(w, "The server could not do this: its log says why.", http.StatusInternalServerError)
	}
	return s
}

// ServeHTTP implements http.Handler.
func (p *Portal) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.handler.ServeHTTP(w, r) }

// policy allows what the pages need: their own style sheet, script and icon.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Strict-Transport-Security", "max-age=31536000")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// cached lets browsers keep static files for a while: their names change with
// the release, or they are small.
func cached(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=3600")
		next.ServeHTTP(w, r)
	})
}

// routes lists every page. An admin's page answers 403 to others.
func (p *Portal) routes() {
	p.open("GET /login", p.showLogin)
	p.open("POST /login", p.login)
	p.open("GET "+issue.LinkPath+"{link}", p.showLink)
	p.open("POST "+issue.LinkPath+"{link}", p.useLink)
	p.user("POST /logout", p.logout)
	p.user("GET /{$}", p.overview)
	p.user("GET /inventory", p.inventory)
	p.user("GET /inventory.csv", p.inventoryCSV)
	p.user("GET /collectors", p.collectors)
	p.user("GET /collectors/{collector}", p.collector)
	p.user("GET /devices", p.devices)
	p.user("GET /collectors/{collector}/devices/{device}", p.device)
	p.user("GET /runs", p.runs)
	p.user("GET /runs/{id}", p.run)
	p.user("GET /jobs/{id}", p.job)
	p.user("GET /documents/{id}", p.document)
	p.user("GET /events", p.events)
	p.user("GET /approvals", p.approvals)
	p.user("GET /updates", p.updates)
	p.user("GET /releases/{version}", p.release)
	p.user("GET /catalogue", p.catalogue)
	p.user("GET /login-class", p.loginClass)
	p.user("/", func(*visit) error { return edp.ErrNotFound })
	p.adminRoutes()
}

// adminRoutes lists the pages of admins, and all that changes something.
func (p *Portal) adminRoutes() {
	p.admin("GET /enrol", p.showEnrol)
	p.admin("POST /enrol", p.enrol)
	p.admin("POST /enrol/lwc.toml", p.siteFile)
	p.admin("POST /enrol/revoke", p.revokeToken)
	p.admin("POST /collectors/{collector}/collect", p.collect)
	p.admin("GET /collectors/{collector}/add-device", p.showNewDevice)
	p.admin("POST /collectors/{collector}/add-device", p.newDevice)
	p.admin("GET /collectors/{collector}/import", p.showImport)
	p.admin("POST /collectors/{collector}/import", p.importDevices)
	p.admin("GET /collectors/{collector}/devices/{device}/edit", p.showEditDevice)
	p.admin("POST /collectors/{collector}/devices/{device}/edit", p.editDevice)
	p.admin("POST /collectors/{collector}/devices/{device}/pin", p.pinDevice)
	p.admin("POST /collectors/{collector}/devices/{device}/probe", p.probe)
	p.admin("GET /collectors/{collector}/devices/{device}/delete", p.showDelete)
	p.admin("POST /collectors/{collector}/devices/{device}/delete", p.deleteDevice)
	p.admin("GET /collectors/{collector}/revoke", p.showRevoke)
	p.admin("POST /collectors/{collector}/revoke", p.revoke)
	p.admin("GET /collectors/{collector}/access", p.showLogins)
	p.admin("POST /collectors/{collector}/credentials", p.putCredential)
	p.admin("POST /collectors/{collector}/credentials/delete", p.deleteCredential)
	p.admin("POST /collectors/{collector}/bastions", p.putBastion)
	p.admin("POST /collectors/{collector}/bastions/delete", p.deleteBastion)
	p.admin("POST /collectors/{collector}/schedule", p.putSchedule)
	p.admin("POST /collectors/{collector}/schedules/delete", p.deleteSchedule)
	p.admin("POST /collectors/{collector}/egress", p.putEgress)
	p.admin("POST /collectors/{collector}/limits", p.putLimits)
	p.admin("POST /collectors/{collector}/masking", p.putMasking)
	p.admin("POST /collectors/{collector}/masking/rotate", p.rotateMasking)
	p.admin("POST /approvals", p.decide)
	p.admin("GET /collectors/{collector}/machine", p.showMachine)
	p.admin("POST /collectors/{collector}/machine", p.machine)
	p.admin("POST /collectors/{collector}/updates", p.putOwnPolicy)
	p.admin("POST /jobs/{id}/call-off", p.callOff)
	p.admin("GET /collectors/{collector}/reset", p.showReset)
	p.admin("POST /collectors/{collector}/reset", p.reset)
	p.admin("POST /updates", p.putPolicy)
	p.admin("POST /releases/{version}/approve", p.approveRelease)
	p.admin("POST /releases/{version}/unapprove", p.unapproveRelease)
	// Not below /releases/VERSION/, where boxes load the files of a release.
	p.admin("GET /updates/{version}/resume", p.showResume)
	p.admin("POST /updates/{version}/resume", p.resume)
	p.admin("GET /updates/{version}/withdraw", p.showWithdraw)
	p.admin("POST /updates/{version}/withdraw", p.withdraw)
	p.admin("GET /access", p.showAccess)
	p.admin("POST /access/link", p.makeLink)
	p.admin("POST /access/delete", p.deleteUser)
}
