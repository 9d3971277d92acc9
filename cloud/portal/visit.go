package portal

import (
	"bytes"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"strings"

	"lwc/cloud/edp"
	"lwc/cloud/fleet"
)

// visit is one request to a page.
type visit struct {
	*Portal
	w    http.ResponseWriter
	r    *http.Request
	user edp.User // zero on pages before the log-in
}

// page is what a template gets.
type page struct {
	Section, User, Role string
	Admin               bool
	Error, Notice       string
	Problems            fleet.Problems
	Fields              map[string][]string // what is wrong, by field of the form
	Data                any
}

// maxForm bounds the body of a form; an import may be larger.
const (
	maxForm   = 1 << 20
	maxImport = 9 << 20
)

// open serves a page that needs no log-in.
func (p *Portal) open(pattern string, h func(*visit) error) {
	p.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		v := &visit{Portal: p, w: w, r: r}
		v.fail(h(v))
	})
}

// user serves a page to every user.
func (p *Portal) user(pattern string, h func(*visit) error) { p.guarded(pattern, false, h) }

// admin serves a page to admins.
func (p *Portal) admin(pattern string, h func(*visit) error) { p.guarded(pattern, true, h) }

func (p *Portal) guarded(pattern string, admin bool, h func(*visit) error) {
	limit := int64(maxForm)
	if strings.HasSuffix(pattern, "/import") {
		limit = maxImport
	}
	p.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, limit)
		v := &visit{Portal: p, w: w, r: r}
		u, err := p.loggedIn(r.Context())
		v.user = u
		switch {
		case err != nil:
			v.fail(err)
		case u.Name == "":
			v.toLogin()
		case admin && u.Role != edp.RoleAdmin:
			v.fail(errNotAdmin)
		default:
			v.fail(h(v))
		}
	})
}

// errNotAdmin says that a page is for admins.
var errNotAdmin = errors.New("this page is for admins")

// toLogin sends a visitor to the log-in, and back here after it.
func (v *visit) toLogin() {
	target := "/login"
	if v.r.Method == http.MethodGet && v.r.URL.Path != "/" {
		target += "?next=" + url.QueryEscape(v.r.URL.RequestURI())
	}
	if v.r.Header.Get("HX-Request") != "" {
		v.w.Header().Set("HX-Redirect", target) // htmx would swap the log-in into the page
		v.w.WriteHeader(http.StatusOK)
		return
	}
	http.Redirect(v.w, v.r, target, http.StatusSeeOther)
}

// message is the data of the page "message".
type message struct{ Title, Text, Href, Link string }

// fail shows an error page. What a visitor can mend is told, the rest is logged.
func (v *visit) fail(err error) {
	var tooLarge *http.MaxBytesError
	m := message{Title: "Something went wrong", Text: "The server could not do this. Its log says why.", Href: "/", Link: "Back to the overview"}
	status := http.StatusInternalServerError
	switch {
	case err == nil:
		return
	case errors.Is(err, edp.ErrNotFound):
		status, m.Title, m.Text = http.StatusNotFound, "Not found", "There is nothing at this address."
	case errors.Is(err, errNotAdmin):
		status, m.Title, m.Text = http.StatusForbidden, "For admins only", "Your role is standard: you can see devices and facts, and an admin changes them."
	case errors.Is(err, edp.ErrConflict), errors.Is(err, edp.ErrInvalid):
		status, m.Title, m.Text = http.StatusConflict, "That is not possible", sentence(err)
	case errors.As(err, &tooLarge):
		status, m.Title, m.Text = http.StatusRequestEntityTooLarge, "Too large", fmt.Sprintf("This form takes at most %d MiB.", tooLarge.Limit>>20)
	case v.r.Context().Err() != nil:
		return
	default:
		v.log.Error("showing a page", "page", v.r.Pattern, "error", err)
	}
	frame := page{Data: m}
	if v.user.Name == "" && status != http.StatusInternalServerError {
		frame.Data = message{m.Title, m.Text, "/login", "To the log-in"}
	}
	if err := v.show(status, "message", frame); err != nil {
		http.Error(v.w, m.Text, status)
	}
}

// render shows a page with status 200 and the notice of the request before.
func (v *visit) render(name, section string, data any) error {
	return v.show(http.StatusOK, name, page{Section: section, Data: data, Notice: v.sessions.PopString(v.r.Context(), keyNotice)})
}

// wrong shows a form again, with what is wrong in it.
func (v *visit) wrong(name, section string, data any, err error) error {
	pg := page{Section: section, Data: data}
	switch {
	case errors.As(err, &pg.Problems):
		pg.Problems, pg.Fields = inForm(pg.Problems)
	case errors.Is(err, edp.ErrInvalid), errors.Is(err, edp.ErrConflict), errors.Is(err, edp.ErrLink):
		pg.Error = sentence(err)
	default:
		return err
	}
	return v.show(http.StatusUnprocessableEntity, name, pg)
}

// sentence is an error's own words, without those that only programs need.
func sentence(err error) string {
	s := err.Error()
	for _, tail := range []error{edp.ErrInvalid, edp.ErrConflict} {
		s = strings.TrimSuffix(s, ": "+tail.Error())
	}
	return strings.ToUpper(s[:1]) + s[1:] + "."
}

func (v *visit) show(status int, name string, pg page) error {
	pg.User, pg.Role, pg.Admin = v.user.Name, string(v.user.Role), v.user.Role == edp.RoleAdmin
	frame := "page"
	if v.user.Name == "" {
		frame = "gate"
	}
	var b bytes.Buffer
	if err := v.pages[name].ExecuteTemplate(&b, frame, pg); err != nil {
		return fmt.Errorf("rendering page %s: %w", name, err)
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.WriteHeader(status)
	_, _ = b.WriteTo(v.w) // a visitor that went away needs no page
	return nil
}

// keyNotice finds the notice for the next page in a session.
const keyNotice = "notice"

// done redirects after a change, with a notice for the next page.
func (v *visit) done(target, notice string) error {
	if notice != "" {
		v.sessions.Put(v.r.Context(), keyNotice, notice)
	}
	http.Redirect(v.w, v.r, target, http.StatusSeeOther)
	return nil
}

// parsePages parses each page together with the layout and the tables.
func parsePages() (map[string]*template.Template, error) {
	base, err := template.New("").Funcs(funcs()).ParseFS(templateFiles, "templates/layout.html", "templates/tables.html")
	if err != nil {
		return nil, fmt.Errorf("parsing the layout: %w", err)
	}
	files, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil {
		return nil, err
	}
	pages := map[string]*template.Template{}
	for _, f := range files {
		name := strings.TrimSuffix(strings.TrimPrefix(f, "templates/"), ".html")
		if name == "layout" || name == "tables" {
			continue
		}
		t, err := template.Must(base.Clone()).ParseFS(templateFiles, f)
		if err != nil {
			return nil, fmt.Errorf("parsing page %s: %w", name, err)
		}
		pages[name] = t
	}
	return pages, nil
}
