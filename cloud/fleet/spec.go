package fleet

import (
	"lwc/cloud/rollout"
	"lwc/junos"
	"lwc/transport/secret"
	"lwc/transport/wire"
)

// Spec is the whole desired configuration of one collector, secrets included.
type Spec struct {
	Schedules   []wire.Schedule     `json:"schedules,omitempty" doc:"When the collector collects by itself, each with a name. Left out: only on demand."`
	Egress      wire.Egress         `json:"egress,omitzero" doc:"What may leave the site: send (all), dry-run (nothing; manifests tell what would have left) or hold (the items of hold wait for an approval)."`
	Limits      wire.CollectLimits  `json:"limits,omitzero" doc:"What the collector may ask of the network."`
	Masking     Masking             `json:"masking,omitzero" doc:"What is replaced in documents before they leave the site."`
	AllowCLI    bool                `json:"allow_cli_fallback,omitempty" doc:"Ask devices that refuse NETCONF by CLI commands, which cost them about ten times as much."`
	Updates     rollout.Policy      `json:"updates,omitzero" doc:"When the box of the collector may change its release. Left out: as the cloud's default says."`
	Profiles    map[string][]string `json:"profiles,omitempty" doc:"Profiles of one's own: name to catalogue items. minimal, optics, security, daily and full are built in."`
	Credentials []Credential        `json:"credentials,omitempty" doc:"Log-ins for devices and bastions."`
	Bastions    []Bastion           `json:"bastions,omitempty" doc:"Hosts that devices are reached through."`
	Devices     []Device            `json:"devices,omitempty" doc:"The devices to collect from."`
}

// Masking is what is replaced by pseudonyms. The key of the pseudonyms is the
// cloud's own secret and in no fleet file.
type Masking struct {
	Classes map[string]bool `json:"classes,omitempty" doc:"Switched on (true) or off (false) by name. user-names, snmp-communities and secrets are on unless switched off; mac-addresses, ip-addresses and descriptions are off unless switched on."`
	Rules   []wire.MaskRule `json:"rules,omitempty" doc:"What is masked besides: the text of elements, or what a pattern finds in it."`
}

// Credential is a log-in with its secret: a password, or a private key and its
// passphrase. Without any of them it means the secret that the cloud holds.
type Credential struct {
	ID         string      `json:"id" doc:"Name that devices and bastions refer to."`
	Username   string      `json:"username" doc:"Log-in name on the device or bastion."`
	Password   secret.Text `json:"password,omitzero" writeOnly:"true" doc:"Password. Never returned."`
	PrivateKey secret.Text `json:"private_key,omitzero" writeOnly:"true" doc:"Private key, PEM or OpenSSH form. Never returned."`
	Passphrase secret.Text `json:"passphrase,omitzero" writeOnly:"true" doc:"Passphrase of the private key. Never returned."`
	// Certificate is the SSH certificate of the private key, as ssh-keygen -s
	// writes it into a file that ends with -cert.pub.
	Certificate secret.Text `json:"certificate,omitzero" writeOnly:"true" doc:"SSH certificate of the private key: the line of its -cert.pub file. Never returned."`
}

// Bastion is a host that devices are reached through, with its name.
type Bastion struct {
	ID string `json:"id" doc:"Name that devices refer to."`
	wire.Bastion
}

// Device is a device with the groups that it is in.
type Device struct {
	wire.Device
	Groups []string `json:"groups,omitempty" doc:"Names of groups: a collection or a test can be asked for of a whole group."`
}

// Kind returns the wire's name of the credential's kind, or "" for one that
// carries no secret.
func (c Credential) Kind() string {
	switch {
	case !c.Password.Empty():
		return wire.KindPassword
	case !c.PrivateKey.Empty():
		return wire.KindPrivateKey
	}
	return ""
}

// Secret returns the part that is encrypted at rest.
func (c Credential) Secret() wire.CredentialSecret {
	return wire.CredentialSecret{Password: c.Password, PrivateKey: c.PrivateKey, Passphrase: c.Passphrase, Certificate: c.Certificate}
}

// Wipe forgets all secrets of the Spec.
func (s Spec) Wipe() {
	for _, c := range s.Credentials {
		c.Secret().Wipe()
	}
}

// itemNames lists the catalogue.
func itemNames() []string {
	items := junos.Catalogue()
	names := make([]string, len(items))
	for i, it := range items {
		names[i] = it.Name
	}
	return names
}
