package portal

import (
	"fmt"
	"slices"
	"strings"

	"lwc/cloud/api/apitype"
	"lwc/cloud/api/view"
	"lwc/cloud/fleet"
	"lwc/transport/secret"
	"lwc/transport/wire"
)

// loginsData is the data of the page "logins".
type loginsData struct {
	Collector   string
	Credentials []apitype.Credential
	Bastions    []apitype.Bastion
	Schedules   []wire.Schedule
	Schedule    wire.Schedule // in the form
	Days        []dayBox
	Egress      egressForm
	ProfileList []string
	Limits      limitsForm
	AllowCLI    bool
	Masking     apitype.Masking
	Classes     []maskClass
	Credential  apitype.Credential // in the form; its secret is never shown
	Bastion     apitype.Bastion    // in the form
	// The forms change an entry that is there.
	EditCredential, EditBastion, EditSchedule bool
}

// inForms fills the forms. What is stored tells whether they change an entry.
func (d *loginsData) inForms(c apitype.Credential, b apitype.Bastion) {
	d.Credential, d.Bastion = c, b
	d.EditCredential = slices.ContainsFunc(d.Credentials, func(o apitype.Credential) bool { return o.ID == c.ID })
	d.EditBastion = slices.ContainsFunc(d.Bastions, func(o apitype.Bastion) bool { return o.ID == b.ID })
}

func (v *visit) loginsData() (loginsData, error) {
	d := loginsData{Collector: v.r.PathValue("collector")}
	f, err := v.cfg.Store.GetFleet(v.r.Context(), d.Collector)
	if err != nil {
		return d, err
	}
	shown := view.Fleet(f)
	d.Credentials, d.Bastions, d.Schedules = shown.Credentials, shown.Bastions, shown.Schedules
	d.ProfileList, d.Egress = fleet.ProfileNames(f.Profiles), egressOf(shown.Egress)
	d.Limits, d.AllowCLI, d.Masking, d.Classes = limitsOf(shown.Limits), shown.AllowCLI, shown.Masking, maskClasses(shown.Masking)
	return d, nil
}

// showLogins fills the forms with the entries that the query names, if any.
func (p *Portal) showLogins(v *visit) error {
	d, err := v.loginsData()
	if err != nil {
		return err
	}
	var c apitype.Credential
	var b apitype.Bastion
	q := v.r.URL.Query()
	if at := slices.IndexFunc(d.Credentials, func(o apitype.Credential) bool { return o.ID == q.Get("credential") }); at >= 0 {
		c = d.Credentials[at]
	}
	if at := slices.IndexFunc(d.Bastions, func(o apitype.Bastion) bool { return o.ID == q.Get("bastion") }); at >= 0 {
		b = d.Bastions[at]
	}
	d.inForms(c, b)
	d.inSchedule(d.scheduleNamed(q.Get("schedule")))
	return v.render("logins", "collectors", d)
}

// revise changes the fleet, or shows the page with what is wrong and with what
// stands in its forms.
func (v *visit) revise(notice string, c apitype.Credential, b apitype.Bastion, change func(*fleet.Spec) error) error {
	return v.reviseForm(notice, func(d *loginsData) { d.inForms(c, b) }, change)
}

// reviseForm is revise for any form of the page: after an error, typed fills it
// with what was typed.
func (v *visit) reviseForm(notice string, typed func(*loginsData), change func(*fleet.Spec) error) error {
	d, err := v.loginsData()
	if err != nil {
		return err
	}
	d.inSchedule(wire.Schedule{})
	typed(&d)
	if _, err := v.cfg.Keeper.Revise(v.r.Context(), d.Collector, v.user.Name, change); err != nil {
		return v.wrong("logins", "collectors", d, err)
	}
	return v.done("/collectors/"+d.Collector+"/access", notice)
}

func (v *visit) form(name string) string { return strings.TrimSpace(v.r.PostFormValue(name)) }

func (p *Portal) putCredential(v *visit) error {
	c := fleet.Credential{
		ID: v.form("id"), Username: v.form("username"),
		Password:    secret.FromString(v.r.PostFormValue("password")),
		PrivateKey:  secret.FromString(strings.ReplaceAll(v.r.PostFormValue("private_key"), "\r\n", "\n")),
		Passphrase:  secret.FromString(v.r.PostFormValue("passphrase")),
		Certificate: secret.FromString(v.form("certificate")),
	}
	defer c.Secret().Wipe()
	shown := apitype.Credential{ID: c.ID, Username: c.Username}
	return v.revise("The credential "+c.ID+" was saved, encrypted.", shown, apitype.Bastion{}, func(s *fleet.Spec) error {
		at := slices.IndexFunc(s.Credentials, func(o fleet.Credential) bool { return o.ID == c.ID })
		if at < 0 {
			s.Credentials = append(s.Credentials, c)
		} else {
			s.Credentials[at] = c
		}
		return nil
	})
}

func (p *Portal) deleteCredential(v *visit) error {
	id := v.form("id")
	return v.revise("The credential "+id+" was deleted.", apitype.Credential{}, apitype.Bastion{}, func(s *fleet.Spec) error {
		s.Credentials = slices.DeleteFunc(s.Credentials, func(c fleet.Credential) bool { return c.ID == id })
		return inUse("credential", id, s, func(ref string, _ []string) bool { return ref == id })
	})
}

func (p *Portal) putBastion(v *visit) error {
	port, err := readPort(v.form("port"))
	b := fleet.Bastion{ID: v.form("id"), Bastion: wire.Bastion{
		Address: v.form("address"), Port: port, Credential: v.form("credential"), Via: strings.Fields(v.form("via")),
		HostKeys: lines(v.form("host_keys")), TrustFirst: v.form("trust_first") == "true",
		Legacy: v.form("legacy_algorithms") == "true",
	}}
	if err == nil {
		b.MaxSessions, err = readNumber("max_sessions", v.form("max_sessions"))
	}
	return v.revise("The bastion "+b.ID+" was saved.", apitype.Credential{}, apitype.Bastion(b), func(s *fleet.Spec) error {
		if err != nil {
			return err
		}
		at := slices.IndexFunc(s.Bastions, func(o fleet.Bastion) bool { return o.ID == b.ID })
		if at < 0 {
			s.Bastions = append(s.Bastions, b)
		} else {
			s.Bastions[at] = b
		}
		return nil
	})
}

func (p *Portal) deleteBastion(v *visit) error {
	id := v.form("id")
	return v.revise("The bastion "+id+" was deleted.", apitype.Credential{}, apitype.Bastion{}, func(s *fleet.Spec) error {
		s.Bastions = slices.DeleteFunc(s.Bastions, func(b fleet.Bastion) bool { return b.ID == id })
		return inUse("bastion", id, s, func(_ string, hops []string) bool { return slices.Contains(hops, id) })
	})
}

// inUse returns a problem that names what still refers to a deleted entry.
func inUse(kind, id string, s *fleet.Spec, refers func(credential string, hops []string) bool) error {
	var users []string
	for _, b := range s.Bastions {
		if refers(b.Credential, b.Via) {
			users = append(users, "bastion "+b.ID)
		}
	}
	for _, d := range s.Devices {
		if refers(d.Credential, d.Bastions) {
			users = append(users, "device "+d.ID)
		}
	}
	if len(users) == 0 {
		return nil
	}
	const shown = 5
	more := ""
	if len(users) > shown {
		more = fmt.Sprintf(" and %d more", len(users)-shown)
		users = users[:shown]
	}
	return fleet.Problems{{Path: kind, Text: fmt.Sprintf("%s is used by %s%s: change those first", id, strings.Join(users, ", "), more)}}
}
