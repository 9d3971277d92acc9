package portal

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"lwc/cloud/api"
	"lwc/cloud/edp"
	"lwc/cloud/fleet"
	"lwc/transport/secret"
)

// The keys of a session: the name of the user, and its stamp at the log-in.
const (
	keyUser  = "user"
	keyStamp = "stamp"
)

// loggedIn returns the user of a session; an empty name means nobody. The user
// is read anew each time, so that one that was deleted, or has a new password
// or role, is out at once.
func (p *Portal) loggedIn(ctx context.Context) (edp.User, error) {
	u, err := p.userOf(ctx)
	if errors.Is(err, errOver) {
		return edp.User{}, p.sessions.Destroy(ctx)
	}
	return u, err
}

// errOver says that a session is not good any more.
var errOver = errors.New("the session is over")

func (p *Portal) userOf(ctx context.Context) (edp.User, error) {
	name := p.sessions.GetString(ctx, keyUser)
	if name == "" {
		return edp.User{}, nil
	}
	u, err := p.cfg.Store.User(ctx, name)
	switch {
	case errors.Is(err, edp.ErrNotFound):
		return edp.User{}, errOver
	case err != nil:
		return edp.User{}, err
	case u.Stamp != p.sessions.GetString(ctx, keyStamp):
		return edp.User{}, errOver
	}
	return u, nil
}

// Session returns who is logged in, by the cookie of a request. It is what the
// API accepts for reading.
func (p *Portal) Session(r *http.Request) (edp.Principal, bool) {
	cookie, err := r.Cookie(api.SessionCookie)
	if err != nil {
		return edp.Principal{}, false
	}
	ctx, err := p.sessions.Load(r.Context(), cookie.Value)
	if err != nil {
		p.log.Error("loading a session", "error", err)
		return edp.Principal{}, false
	}
	u, err := p.userOf(ctx)
	if err != nil && !errors.Is(err, errOver) {
		p.log.Error("loading a session", "error", err)
	}
	return edp.Principal{Name: u.Name, Role: u.Role}, err == nil && u.Name != ""
}

// loginForm is the data of the page "login".
type loginForm struct{ Name, Next string }

func (p *Portal) showLogin(v *visit) error {
	return v.render("login", "", loginForm{Next: localPath(v.r.FormValue("next"))})
}

func (p *Portal) login(v *visit) error {
	form := loginForm{Name: v.r.PostFormValue("name"), Next: localPath(v.r.PostFormValue("next"))}
	attempt, ok := p.limit.take(form.Name, v.r.RemoteAddr)
	if !ok {
		p.log.Warn("too many log-ins are refused", "address", v.r.RemoteAddr)
		v.w.Header().Set("Retry-After", "60")
		return v.show(http.StatusTooManyRequests, "login", page{Error: "Too many attempts. Wait a minute, then try again.", Data: form})
	}
	u, err := p.cfg.Store.Authenticate(v.r.Context(), form.Name, secret.FromString(v.r.PostFormValue("password")))
	if errors.Is(err, edp.ErrDenied) {
		p.log.Warn("a log-in is refused", "address", v.r.RemoteAddr)
		return v.show(http.StatusUnauthorized, "login", page{Error: "The name or the password is wrong.", Data: form})
	}
	if err != nil {
		return err
	}
	attempt.refund()
	return v.enter(u, form.Next)
}

// enter begins a session. Its token is new, so that one which was planted
// before the log-in is worth nothing.
func (v *visit) enter(u edp.User, next string) error {
	ctx := v.r.Context()
	if err := v.sessions.RenewToken(ctx); err != nil {
		return err
	}
	v.sessions.Put(ctx, keyUser, u.Name)
	v.sessions.Put(ctx, keyStamp, u.Stamp)
	return v.done(next, "")
}

func (p *Portal) logout(v *visit) error {
	if err := p.sessions.Destroy(v.r.Context()); err != nil {
		return err
	}
	http.Redirect(v.w, v.r, "/login", http.StatusSeeOther)
	return nil
}

// localPath keeps a redirect inside the portal.
func localPath(next string) string {
	if !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return "/"
	}
	return next
}

// linkForm is the data of the page "link".
type linkForm struct {
	Name        string
	MinPassword int
}

// minPassword is the store's least length, for the form.
const minPassword = 10

// showLink does not use the link up: programs that look at links in mail and
// chat would.
func (p *Portal) showLink(v *visit) error {
	if err := p.cfg.Store.CheckLink(v.r.Context(), v.link()); err != nil {
		return v.deadLink(err)
	}
	return v.show(http.StatusOK, "link", page{Data: linkForm{MinPassword: minPassword}})
}

func (v *visit) link() secret.Text { return secret.FromString(v.r.PathValue("link")) }

func (v *visit) deadLink(err error) error {
	if !errors.Is(err, edp.ErrLink) {
		return err
	}
	return v.show(http.StatusGone, "message", page{Data: message{"This link does not work", "It is wrong, expired or already used. An admin makes a new one under Access, or on the server: lwc-cloud admin-link --data DIR.", "/login", "To the log-in"}})
}

func (p *Portal) useLink(v *visit) error {
	form := linkForm{Name: v.r.PostFormValue("name"), MinPassword: minPassword}
	if _, ok := p.limit.take("", v.r.RemoteAddr); !ok {
		return v.show(http.StatusTooManyRequests, "link", page{Error: "Too many attempts. Wait a minute, then try again.", Data: form})
	}
	if v.r.PostFormValue("password") != v.r.PostFormValue("again") {
		return v.wrong("link", "", form, fleet.Problems{{Text: "the two passwords differ"}})
	}
	u, err := p.cfg.Store.UseLink(v.r.Context(), v.link(), form.Name, secret.FromString(v.r.PostFormValue("password")))
	switch {
	case errors.Is(err, edp.ErrLink):
		return v.deadLink(err)
	case err != nil:
		return v.wrong("link", "", form, err)
	}
	p.log.Info("a one-time link was used", "user", u.Name, "role", u.Role)
	return v.enter(u, "/")
}

// linkLife is how long a one-time link works that was made in the portal.
const linkLife = 24 * time.Hour
