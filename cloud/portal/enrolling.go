package portal

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	"lwc/cloud/api/apitype"
	"lwc/cloud/api/view"
	"lwc/cloud/fleet"
	"lwc/image/sitefile"
)

// enrolData is the data of the page "enrol".
type enrolData struct {
	Collector string
	Token     *apitype.EnrolToken
	Open      []apitype.OpenEnrolToken // tokens that still enrol somebody
	Here      string                   // host:port of a cloud that is this computer, which no box reaches
	Sides     []portForm
	Form      url.Values // of the file for an appliance, when it is shown again
}

// enrolPage is the page for a collector, if any is named.
func (p *Portal) enrolPage(v *visit, collector string) (enrolData, error) {
	open, err := p.cfg.Store.OpenEnrolTokens(v.r.Context())
	named := sitefile.File{Endpoint: p.cfg.Issuer.URL}
	return enrolData{Collector: strings.TrimSpace(collector), Open: view.Each(open, view.OpenEnrolToken), Here: named.Loopback(), Sides: sidesOfABox()}, err
}

// showEnrol fills in the collector that the query names, if any.
func (p *Portal) showEnrol(v *visit) error {
	d, err := p.enrolPage(v, v.r.URL.Query().Get("collector"))
	if err != nil {
		return err
	}
	return v.render("enrol", "collectors", d)
}

func (p *Portal) enrol(v *visit) error {
	d, err := p.enrolPage(v, v.r.PostFormValue("collector"))
	if err != nil {
		return err
	}
	uses, err := strconv.Atoi(v.r.PostFormValue("uses"))
	if err != nil || uses < 1 || uses > 1000 {
		return v.wrong("enrol", "collectors", d, fleet.Problems{{Path: "uses", Text: "give a number from 1 to 1000"}})
	}
	t, err := p.newToken(v, d.Collector, uses)
	if err != nil {
		return v.wrong("enrol", "collectors", d, err)
	}
	if d, err = p.enrolPage(v, ""); err != nil {
		return err
	}
	d.Token = &t
	return v.render("enrol", "collectors", d)
}

// newToken makes what the form asks for.
func (p *Portal) newToken(v *visit, collector string, uses int) (apitype.EnrolToken, error) {
	ttl, err := time.ParseDuration(v.r.PostFormValue("ttl"))
	if err != nil || ttl <= 0 {
		ttl = 24 * time.Hour
	}
	return p.cfg.Issuer.EnrolToken(v.r.Context(), v.user.Name, apitype.EnrolTokenRequest{Collector: collector, Uses: uses,
		TTLSeconds: int64(ttl.Seconds()), Label: v.r.PostFormValue("label")})
}

// revokeToken makes an open token worthless.
func (p *Portal) revokeToken(v *visit) error {
	id := v.r.PostFormValue("id")
	if err := p.cfg.Store.RevokeEnrolToken(v.r.Context(), id, v.user.Name); err != nil {
		return err
	}
	return v.done("/enrol", "The token "+id+" was revoked: nobody enrols with it any more.")
}
