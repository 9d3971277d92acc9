package portal

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"lwc/cloud/api/issue"
	"lwc/cloud/fleet"
	"lwc/image/sitefile"
	"lwc/transport/secret"
)

// sidesOfABox are the ports of the form, by the beginning of their fields' names.
func sidesOfABox() []portForm {
	return []portForm{
		{Name: "internal", Title: "Internal Port", Hint: "towards the devices", How: "static", Address: "10.1.0.2/24", Gateway: "10.1.0.1", Route: "10.0.0.0/8 via 10.1.0.1"},
		{Name: "external", Title: "External Port", Hint: "towards the cloud", How: "dhcp", Address: "192.0.2.10/24", Gateway: "192.0.2.1", Route: "198.51.100.0/24 via 192.0.2.2"},
	}
}

// portForm is one port of the form, with examples, and with how it gets its address
// where nobody has said so yet: "static" or "dhcp".
type portForm struct{ Name, Title, Hint, How, Address, Gateway, Route string }

// siteForm reads lwc.toml from the form. What is empty is not known.
func siteForm(r *http.Request) (sitefile.File, error) {
	var problems fleet.Problems
	one := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	many := func(name string) []string { return strings.Fields(strings.ReplaceAll(one(name), ",", " ")) }
	port := func(side string) sitefile.Port {
		p := sitefile.Port{MAC: one(side + "_mac"), DHCP: one(side+"_how") == "dhcp", Addresses: many(side + "_addresses"),
			Gateway: one(side + "_gateway"), Routes: lines(one(side + "_routes")), DNS: many(side + "_dns")}
		vlan, err := strconv.Atoi(cmp.Or(one(side+"_vlan"), "0"))
		if err != nil || vlan < 0 {
			problems = append(problems, fleet.Problem{Path: side + "_vlan", Text: "give a number from 1 to 4094, or nothing"})
		}
		p.VLAN = vlan
		if p.DHCP {
			p.Addresses, p.Gateway = nil, "" // the page keeps them for who changes their mind
		}
		return p
	}
	f := sitefile.File{
		Internal: sitefile.Internal{Port: port("internal"), Ports: many("internal_ports")},
		External: sitefile.External{Port: port("external"), NTP: many("external_ntp"), Proxy: one("external_proxy"), ProxyUser: one("external_proxy_user"),
			ProxyPassword: secret.FromString(r.PostFormValue("external_proxy_password"))},
	}
	if len(problems) > 0 {
		return f, problems
	}
	return f, nil
}

// siteFile answers with lwc.toml, which a browser keeps under this name. A token is
// made only for a form without a fault.
func (p *Portal) siteFile(v *visit) error {
	d, err := p.enrolPage(v, v.r.PostFormValue("collector"))
	if err != nil {
		return err
	}
	d.Form = v.r.PostForm
	f, err := siteForm(v.r)
	if err == nil {
		err = inFormOfASite(issue.CheckSite(p.cfg.Issuer.URL, f))
	}
	if err != nil {
		return v.wrong("enrol", "collectors", d, err)
	}
	t, err := p.newToken(v, d.Collector, 1)
	if err != nil {
		return v.wrong("enrol", "collectors", d, err)
	}
	text, _, err := issue.SiteFile(t, f)
	if err != nil {
		return err
	}
	h := v.w.Header()
	h.Set("Content-Type", "application/toml; charset=utf-8")
	h.Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", sitefile.Name))
	_, _ = v.w.Write(text) // a visitor that went away needs no file
	return nil
}

// inFormOfASite puts the problems of a file to the fields of the form.
func inFormOfASite(err error) error {
	var of sitefile.Problems
	if !errors.As(err, &of) {
		return err
	}
	out := make(fleet.Problems, len(of))
	for i, p := range of {
		out[i] = fleet.Problem{Path: strings.ReplaceAll(p.Key, ".", "_"), Text: p.Text + ": " + p.Do}
	}
	return out
}
