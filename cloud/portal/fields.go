package portal

import (
	"regexp"
	"strings"

	"lwc/cloud/fleet"
)

// fieldPath finds the field in the path of a problem: the third of
// "devices[24].bastions[0]", "schedule.start" and "port".
var fieldPath = regexp.MustCompile(`^(?:(?:devices|bastions|credentials|schedules)\[\d+\]|egress|limits|updates(?:\.window)?)?\.?([a-z_]*)(?:\[\d+\])?$`)

// labels are the fields of forms as people see them.
var labels = map[string]string{
	"id": "Id", "address": "Address", "port": "Port", "credential": "Credential", "bastion": "Bastion", "bastions": "Bastions",
	"via": "Through", "profile": "Profile", "host_keys": "Host keys", "username": "User name", "password": "Password",
	"passphrase": "Passphrase", "private_key": "Private key", "start": "Start", "window": "Window", "timezone": "Time zone",
	"collector": "Collector id", "uses": "Uses", "certificate": "Certificate", "pipeline": "Requests at once", "max_sessions": "Sessions at once",
	"concurrency": "Devices at once", "per_bastion": "Devices through one bastion at once", "logins_per_second": "Log-ins a second",
	"max_cpu": "Highest load", "max_document_bytes": "Largest document",
	"budget_bytes": "Memory for documents", "name": "Name", "days": "Days", "collect": "Collect", "profiles": "Of devices with the profiles",
	"internal_mac": "Internal Port, hardware address", "internal_addresses": "Internal Port, addresses", "internal_gateway": "Internal Port, gateway",
	"internal_dns": "Internal Port, name servers", "internal_vlan": "Internal Port, VLAN", "internal_routes": "Internal Port, routes", "internal_ports": "TCP ports of devices",
	"external_mac": "External Port, hardware address", "external_addresses": "External Port, addresses", "external_gateway": "External Port, gateway",
	"external_dns": "External Port, name servers", "external_vlan": "External Port, VLAN", "external_routes": "External Port, routes", "external_ntp": "Time servers",
	"external_proxy": "Proxy", "external_proxy_user": "User at the proxy", "external_proxy_password": "Password at the proxy",
	"mode": "Mode", "hold": "Items that are held", "wait": "Wait", "groups": "Groups",
	"length": "Length", "defer_days": "Days to wait", "security": "What closes a hole", "reason": "Reason", "confirm": "Confirmation", "at": "Time",
}

// wordings say in the words of a form what the rules of a fleet say in those of
// a fleet file, and on which field it belongs. An empty text keeps the rule's.
var wordings = []struct{ begins, field, text string }{
	{"no host key:", "host_keys", "there is no host key: give one, or tick “Trust the first host key that is seen”"},
	{"the id is missing", "id", ""},
	{"the credential is missing", "credential", "choose the credential to log in with"},
	{"the private key has a passphrase", "passphrase", "the private key has one: give it here"},
	{"it has both a password and a private key", "password", "give a password or a private key, and not both"},
	{"a passphrase without a private key", "private_key", "a passphrase was given without its private key: give both"},
	{"the secret of", "password", ""},
	{"its secret is longer", "private_key", ""},
	{"a window or time zone without start", "start", "a window or time zone was given without it: give a time of day, as 02:00"},
	{"no start:", "start", "it is missing: give the time of day at which the window opens, as 02:00"},
	{"mode hold and no item", "hold", "name at least one item, as show-arp-no-resolve, or choose to send all"},
}

// inForm names each problem by the label of its field, and lists the texts of
// each field. Problems of a file keep their place in it.
func inForm(problems fleet.Problems) (fleet.Problems, map[string][]string) {
	fields := map[string][]string{}
	out := make(fleet.Problems, len(problems))
	for i, p := range problems {
		field := ""
		if m := fieldPath.FindStringSubmatch(p.Path); m != nil && p.Line == 0 {
			field = m[1]
		}
		for _, w := range wordings {
			if p.Line == 0 && strings.HasPrefix(p.Text, w.begins) {
				field = w.field
				if w.text != "" {
					p.Text = w.text
				}
			}
		}
		if label := labels[field]; label != "" {
			p.Path = label
			fields[field] = append(fields[field], p.Text)
		}
		out[i] = p
	}
	return out, fields
}
