package portal

import (
	"lwc/cloud/api/apitype"
	"lwc/cloud/api/view"
	"lwc/cloud/edp"
)

// accessData is the data of the page "access".
type accessData struct {
	Users     []apitype.User
	Link      string
	LinkHours int
}

func (v *visit) accessData() (accessData, error) {
	users, err := v.cfg.Store.Users(v.r.Context())
	return accessData{Users: view.Each(users, view.User), LinkHours: int(linkLife.Hours())}, err
}

func (p *Portal) showAccess(v *visit) error {
	d, err := v.accessData()
	if err != nil {
		return err
	}
	return v.render("access", "access", d)
}

func (p *Portal) makeLink(v *visit) error {
	d, err := v.accessData()
	if err != nil {
		return err
	}
	d.Link, err = p.cfg.Issuer.Link(v.r.Context(), edp.Role(v.form("role")), linkLife)
	if err != nil {
		return v.wrong("access", "access", d, err)
	}
	return v.render("access", "access", d)
}

func (p *Portal) deleteUser(v *visit) error {
	name := v.form("name")
	if name == v.user.Name {
		return v.done("/access", "You cannot delete yourself.")
	}
	if err := p.cfg.Store.DeleteUser(v.r.Context(), name); err != nil {
		return err
	}
	return v.done("/access", "The user "+name+" was deleted.")
}
