package sitefile

import (
	"maps"
	"slices"
	"strings"

	"lwc/transport/secret"
)

// known is a key of the file.
type known struct {
	kind kind
	set  func(*File, value)
}

// fits tells whether the value is of the right sort; lists hold texts.
func (k known) fits(v value) bool {
	return v.kind == k.kind && !slices.ContainsFunc(v.list, func(i value) bool { return i.kind != textValue })
}

// schema is all keys, by section.
var schema = map[string]map[string]known{
	"": {
		"token":        {textValue, func(f *File, v value) { f.Token = secret.FromString(strings.TrimSpace(v.text)) }},
		"endpoint":     {textValue, func(f *File, v value) { f.Endpoint = v.text }},
		"ca_pin":       {textValue, func(f *File, v value) { f.CAPin = v.text }},
		"collector_id": {textValue, func(f *File, v value) { f.CollectorID = v.text }},
	},
	"internal": portKeys(func(f *File) *Port { return &f.Internal.Port }, map[string]known{
		"ports": {listValue, func(f *File, v value) { f.Internal.Ports = v.texts() }},
	}),
	"external": portKeys(func(f *File) *Port { return &f.External.Port }, map[string]known{
		"allow":          {listValue, func(f *File, v value) { f.External.Allow = v.texts() }},
		"ntp":            {listValue, func(f *File, v value) { f.External.NTP = v.texts() }},
		"proxy":          {textValue, func(f *File, v value) { f.External.Proxy = v.text }},
		"proxy_user":     {textValue, func(f *File, v value) { f.External.ProxyUser = v.text }},
		"proxy_password": {textValue, func(f *File, v value) { f.External.ProxyPassword = secret.FromString(v.text) }},
		"proxy_ca":       {textValue, func(f *File, v value) { f.External.ProxyCA = v.text }},
		"cloud_clock":    {boolValue, func(f *File, v value) { f.External.NoCloudClock = !v.truth }},
	}),
}

// portKeys adds the keys that both ports have.
func portKeys(of func(*File) *Port, own map[string]known) map[string]known {
	maps.Copy(own, map[string]known{
		"mac":       {textValue, func(f *File, v value) { of(f).MAC = strings.TrimSpace(v.text) }},
		"vlan":      {numberValue, func(f *File, v value) { of(f).VLAN = v.small() }},
		"dhcp":      {boolValue, func(f *File, v value) { of(f).DHCP = v.truth }},
		"addresses": {listValue, func(f *File, v value) { of(f).Addresses = v.texts() }},
		"gateway":   {textValue, func(f *File, v value) { of(f).Gateway = v.text }},
		"routes":    {listValue, func(f *File, v value) { of(f).Routes = v.texts() }},
		"dns":       {listValue, func(f *File, v value) { of(f).DNS = v.texts() }},
		"mtu":       {numberValue, func(f *File, v value) { of(f).MTU = v.small() }},
	})
	return own
}

// elsewhere are keys that people know from lwcd.toml or from other systems, with
// what to do here.
var elsewhere = map[string]string{
	"interface":            "a box knows its sockets by their hardware address: write mac instead",
	"name":                 "a box knows its sockets by their hardware address: write mac instead",
	"state_dir":            "remove the line: the box knows where it keeps its state",
	"enrolment_token_file": `write the token itself, as token = "lwce1_..."`,
	"proxy_password_file":  `write the password itself, as proxy_password = "..."`,
	"proxy_ca_file":        `write the certificates themselves, as proxy_ca = """..."""`,
	"address":              `write addresses = ["10.1.0.2/24"], a list`,
	"ip":                   `write addresses = ["10.1.0.2/24"], with the length of the subnet`,
	"netmask":              `remove the line, and write the length of the subnet behind the address: addresses = ["10.1.0.2/24"]`,
	"nameserver":           `write dns = ["192.0.2.53"]`,
	"nameservers":          `write dns = ["192.0.2.53"]`,
	"password":             "remove the line: credentials of devices come from the cloud",
	"devices":              "remove the line: the devices come from the cloud",
}

func (v value) texts() []string {
	out := make([]string, len(v.list))
	for i, item := range v.list {
		out[i] = strings.TrimSpace(item.text)
	}
	return out
}

// small is the number, or -1 where it cannot be right for any key.
func (v value) small() int {
	if v.number < 0 || v.number > 1<<20 {
		return -1
	}
	return int(v.number)
}

// words says what sort of value stands there.
func (k kind) words() string {
	return map[kind]string{textValue: "a text in quotes", numberValue: "a number without quotes", boolValue: "true or false", listValue: "a list"}[k]
}

// example says what should stand there instead.
func (k kind) example() string {
	return map[kind]string{
		textValue:   `a text in quotes, "like this"`,
		numberValue: "a number without quotes",
		boolValue:   "true or false, without quotes",
		listValue:   `a list of texts, ["like this", "and this"]`,
	}[k]
}

func sortedKeys(m map[string]known) []string { return slices.Sorted(maps.Keys(m)) }

// near tells a slip of the hand: other case, - for _, one letter more, less or
// wrong, or two neighbours exchanged.
func near(want, got string) bool {
	got = strings.ReplaceAll(strings.ToLower(got), "-", "_")
	if want == got {
		return true
	}
	if len(want) < 3 || len(got) > len(want)+1 || len(want) > len(got)+1 {
		return false
	}
	i := 0
	for i < len(want) && i < len(got) && want[i] == got[i] {
		i++
	}
	a, b := want[i:], got[i:]
	switch {
	case len(a) == len(b) && len(a) > 1 && a[0] == b[1] && a[1] == b[0] && a[2:] == b[2:]:
		return true
	case len(a) == len(b):
		return a[1:] == b[1:]
	case len(a) > len(b):
		return a[1:] == b
	}
	return a == b[1:]
}
