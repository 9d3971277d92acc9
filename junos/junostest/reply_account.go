package junostest

import (
	"strings"

	"lwc/junos"
)

// permission is a right of a login class, with the words that Junos has for it.
type permission struct{ name, help string }

// viewClass is the login class of the account on a device that is set up well.
const viewClass = "lwc-view"

// superPermissions are the rights of the class super-user, in the order of Junos.
var superPermissions = []permission{
	{"access", "Can view access configuration"},
	{"access-control", "Can modify access configuration"},
	{"admin", "Can view user accounts"},
	{"admin-control", "Can modify user accounts"},
	{"all-control", "Can modify any configuration"},
	{"clear", "Can clear learned network info"},
	{"configure", "Can enter configuration mode"},
	{"control", "Can modify any config"},
	{"edit", "Can edit full files"},
	{"field", "Can use field debug commands"},
	{"firewall", "Can view firewall configuration"},
	{"firewall-control", "Can modify firewall configuration"},
	{"floppy", "Can read and write the floppy"},
	{"interface", "Can view interface configuration"},
	{"interface-control", "Can modify interface configuration"},
	{"maintenance", "Can become the super-user"},
	{"network", "Can access the network"},
	{"reset", "Can reset/restart interfaces and daemons"},
	{"rollback", "Can rollback to previous configurations"},
	{"routing", "Can view routing configuration"},
	{"routing-control", "Can modify routing configuration"},
	{"secret", "Can view secret statements"},
	{"secret-control", "Can modify secret statements"},
	{"security", "Can view security configuration"},
	{"security-control", "Can modify security configuration"},
	{"shell", "Can start a local shell"},
	{"snmp", "Can view SNMP configuration"},
	{"snmp-control", "Can modify SNMP configuration"},
	{"system", "Can view system configuration"},
	{"system-control", "Can modify system configuration"},
	{"trace", "Can view trace file settings"},
	{"trace-control", "Can modify trace file settings"},
	{"view", "Can view current values and statistics"},
	{"view-configuration", "Can view all configuration (not including secrets)"},
}

var viewPermissions = []permission{{"view", "Can view current values and statistics"}}

// authorization is the reply to show cli authorization: what the account that
// asks may do on this device.
func (d *Device) authorization(w *writer, _ int) {
	class, rights := viewClass, viewPermissions
	if d.Superuser {
		class, rights = "super-user", superPermissions
	}
	w.in("authorization-information", func() {
		w.in("user-information", func() {
			w.leaf("user", d.User)
			w.leaf("login-name", d.User)
			w.leaf("user-class", class)
		})
		w.in("user-permission-list", func() {
			for _, p := range rights {
				w.in("user-permission-entry", func() {
					w.leaf("permission-type", p.name)
					w.leaf("permission-type-help", p.help)
				})
			}
		})
		if d.Superuser {
			return
		}
		w.in("command-authorization", func() {
			text := junos.LoginClass(viewClass, junos.Catalogue())
			w.leaves("allow-command", classStatement(text, "allow-commands"), "deny-command", classStatement(text, "deny-commands"),
				"deny-config", classStatement(text, "deny-configuration"))
		})
	})
}

// classStatement takes the quoted value of a statement out of the set commands
// that the login class is configured with.
func classStatement(commands, statement string) string {
	_, rest, _ := strings.Cut(commands, " "+statement+" \"")
	value, _, _ := strings.Cut(rest, "\"\n")
	return value
}
