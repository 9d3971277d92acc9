package junostest

import (
	"slices"
	"strings"
)

// platform is what the devices of a model have in common.
type platform struct {
	role      string   // part of the host name
	releases  []string // that run on it
	evolved   bool     // Junos OS Evolved
	rfc       bool     // rfc-compliant and base:1.1: the envelope has the prefix nc
	olderKeys bool     // host key from before ed25519
	mixed     []string // items that come as multi-routing-engine-results
	lacks     map[string]lack
	products  []product
}

// lack is how a device answers an item that its platform does not have or that
// its configuration does not need.
type lack int

const (
	hasIt      lack = iota
	saysNone        // an empty reply
	notValid        // rpc-error: command is not valid on the …
	syntax          // rpc-error: syntax error
	notEnabled      // xnm:error of the daemon inside a good reply
	notRunning      // xnm:warning that the daemon is not needed
	saysText        // a sentence inside output
)

// Items that only some platforms have.
const (
	clusterStatus = "show-chassis-cluster-status"
	clusterPorts  = "show-chassis-cluster-interfaces"
	showPoE       = "show-poe-interface"
	showIKE       = "show-security-ike-security-associations"
	showIPsec     = "show-security-ipsec-security-associations"
	showIDP       = "show-security-idp-security-package-version"
)

// lacks are the items that a platform does not have, by how it answers them.
type lacks map[lack][]string

func (l lacks) byItem() map[string]lack {
	m := map[string]lack{}
	for how, items := range l {
		for _, item := range items {
			m[item] = how
		}
	}
	return m
}

// product is one model number.
type product struct {
	name        string // product-model
	marketing   string // product-name and description of the chassis
	engine      string // model of the routing engine
	memory      int    // of a routing engine, MiB
	chassisPart string // model-number of the chassis
	cards       []card // in slot order; of an ex-vc, those of each member
	power, fans int
}

// card is a line card (FPC) with its PICs.
type card struct {
	slot        int
	description string // of the FPC
	part, model string // part number, model number
	pics        []pic
}

// pic is a group of equal ports.
type pic struct {
	slot, ports int
	description string
	media       string // of the port names: "ge", "xe", "et"
	speed       string
	optics      []optic // pluggables that fit; none: copper
}

// optic is a pluggable transceiver.
type optic struct{ description, part string }

// perNode lists the items that a cluster or virtual chassis answers per node.
func perNode(more ...string) []string {
	return append([]string{"show-version", "show-system-uptime", "show-system-core-dumps", "show-system-storage", "show-system-buffers",
		"show-system-users", "show-system-processes-extensive", "show-system-memory", "show-system-connections"}, more...)
}

// platforms is what each model shares, made once for all devices.
var platforms = map[Model]platform{MXDualRE: mxPlatform(), EXVC: exPlatform(), SRXCluster: srxPlatform(), QFX: qfxPlatform(),
	PTXEVO: ptxPlatform(), ACX: acxPlatform()}

func platformOf(m Model) platform { return platforms[m] }

func mxPlatform() platform {
	return platform{role: "mx", olderKeys: true,
		releases: []string{"20.4R3-S9.4", "21.4R3-S5.4", "22.2R3-S3.18", "23.4R2-S2.1"},
		mixed:    []string{"show-system-core-dumps"},
		lacks:    lacks{saysNone: {"show-virtual-chassis"}, syntax: {clusterStatus, clusterPorts, "show-vlans", showPoE, showIDP}}.byItem(),
		products: []product{
			{name: "mx240", marketing: "MX240", engine: "RE-S-1800x4", memory: 16384, chassisPart: "CHAS-BP-MX240-S",
				cards: []card{mpc7(1), mpc5(2)}, power: 4, fans: 1},
			{name: "mx480", marketing: "MX480", engine: "RE-S-1800x4", memory: 32768, chassisPart: "CHAS-BP-MX480-S",
				cards: []card{mpc7(0), mpc7(1), mpc5(3)}, power: 4, fans: 1},
			{name: "mx960", marketing: "MX960", engine: "RE-S-2X00x6", memory: 65536, chassisPart: "CHAS-BP-MX960-S",
				cards: []card{mpc7(0), mpc7(1), mpc5(2), mpc5(5), mpc7(7)}, power: 4, fans: 2},
		}}
}

func mpc7(slot int) card {
	return card{slot: slot, description: "MPC7E 3D MRATE-12xQSFPP-XGE-XLGE-CGE", part: "750-056519", model: "MPC7E-MRATE",
		pics: []pic{{slot: 0, ports: 6, description: "MRATE-6xQSFPP-XGE-XLGE-CGE", media: "et", speed: "100Gbps", optics: qsfp28()},
			{slot: 1, ports: 6, description: "MRATE-6xQSFPP-XGE-XLGE-CGE", media: "et", speed: "100Gbps", optics: qsfp28()}}}
}

func mpc5(slot int) card {
	return card{slot: slot, description: "MPC5E 3D Q 24XGE+6XLGE", part: "750-046005", model: "MPC5EQ-40G10G",
		pics: []pic{{slot: 0, ports: 12, description: "12X10GE SFPP OTN", media: "xe", speed: "10Gbps", optics: sfpPlus()},
			{slot: 1, ports: 12, description: "12X10GE SFPP OTN", media: "xe", speed: "10Gbps", optics: sfpPlus()}}}
}

func exPlatform() platform {
	access := func(model, part, what string) []card {
		return []card{{description: model, part: part, model: model,
			pics: []pic{{slot: 0, ports: 48, description: what, media: "ge", speed: "1000mbps"},
				{slot: 1, ports: 4, description: "4x 40G QSFP+", media: "et", speed: "40Gbps", optics: qsfpPlus()},
				{slot: 2, ports: 4, description: "4x 1G/10G SFP/SFP+", media: "xe", speed: "10Gbps", optics: sfpPlus()}}}}
	}
	return platform{role: "ex", olderKeys: true,
		releases: []string{"18.4R3-S11.3", "20.4R3-S8.4", "21.4R3-S7.6"},
		mixed:    perNode(),
		lacks:    lacks{notEnabled: {clusterStatus, clusterPorts}, notValid: {"show-chassis-power"}, syntax: {showIKE, showIPsec, showIDP}}.byItem(),
		products: []product{
			{name: "ex4300-48p", marketing: "ex4300-48p", engine: "EX4300-48P", memory: 2048, chassisPart: "EX4300-48P",
				cards: access("EX4300-48P", "650-044930", "48x 10/100/1000 Base-T"), power: 2, fans: 2},
			{name: "ex4300-48t", marketing: "ex4300-48t", engine: "EX4300-48T", memory: 2048, chassisPart: "EX4300-48T",
				cards: access("EX4300-48T", "650-044931", "48x 10/100/1000 Base-T"), power: 2, fans: 2},
			{name: "ex3400-48p", marketing: "ex3400-48p", engine: "EX3400-48P", memory: 2048, chassisPart: "EX3400-48P",
				cards: access("EX3400-48P", "650-059881", "48x10/100/1000 Base-T"), power: 2, fans: 2},
		}}
}

func srxPlatform() platform {
	firewall := func(model, part string, copper, fibre int) []card {
		return []card{{description: "FEB", part: part, model: model,
			pics: []pic{{slot: 0, ports: copper, description: "12x1G-T-4x1G-SFP-4x10G", media: "ge", speed: "1000mbps"},
				{slot: 1, ports: fibre, description: "4x10G-SFPP", media: "xe", speed: "10Gbps", optics: sfpPlus()}}}}
	}
	return platform{role: "fw",
		releases: []string{"21.4R3-S9.5", "22.4R3-S2.11", "23.4R2-S3.9"},
		mixed: perNode("show-system-commit", "show-system-license", "show-system-alarms", "show-chassis-alarms",
			"show-chassis-hardware-extensive", "show-chassis-hardware-detail", "show-chassis-routing-engine", "show-chassis-environment",
			"show-chassis-fpc", "show-chassis-fpc-pic-status", "show-chassis-firmware", "show-chassis-power", "show-chassis-fan",
			"show-chassis-temperature-thresholds", "show-pfe-statistics-traffic", showIKE, showIPsec, showIDP),
		lacks: lacks{notValid: {"show-virtual-chassis"}, syntax: {showPoE}}.byItem(),
		products: []product{
			{name: "srx1500", marketing: "srx1500", engine: "RE-SRX1500", memory: 16384, chassisPart: "SRX1500-SYS-JE-AC",
				cards: firewall("SRX1500", "750-055720", 16, 4), power: 2, fans: 2},
			{name: "srx4100", marketing: "srx4100", engine: "RE-SRX4100", memory: 32768, chassisPart: "SRX4100-SYS-JE-AC",
				cards: firewall("SRX4100", "750-068650", 4, 8), power: 2, fans: 4},
		}}
}

func qfxPlatform() platform {
	leaf := func(model, part string) []card {
		return []card{{description: model, part: part, model: model,
			pics: []pic{{slot: 0, ports: 48, description: "48x25G-8x100G", media: "xe", speed: "10Gbps", optics: sfpPlus()},
				{slot: 1, ports: 8, description: "8x100G-QSFP28", media: "et", speed: "100Gbps", optics: qsfp28()}}}}
	}
	return platform{role: "leaf",
		releases: []string{"21.4R3-S6.5", "22.2R3-S4.11", "23.4R2-S7.4"},
		mixed:    perNode(),
		lacks:    lacks{notEnabled: {clusterStatus, clusterPorts}, syntax: {showPoE, showIKE, showIPsec, showIDP}}.byItem(),
		products: []product{
			{name: "qfx5120-48y-8c", marketing: "qfx5120-48y-8c", engine: "RE-QFX5120-48Y-8C", memory: 16384, chassisPart: "QFX5120-48Y-AFO",
				cards: leaf("QFX5120-48Y-8C", "650-095901"), power: 2, fans: 5},
			{name: "qfx5110-48s-4c", marketing: "qfx5110-48s-4c", engine: "RE-QFX5110-48S-4C", memory: 16384, chassisPart: "QFX5110-48S-AFO",
				cards: leaf("QFX5110-48S-4C", "650-061152"), power: 2, fans: 5},
		}}
}

func ptxPlatform() platform {
	fixed := card{description: "PTX10001-36MR", part: "750-108203", model: "PTX10001-36MR",
		pics: []pic{{slot: 0, ports: 12, description: "PIC-0", media: "et", speed: "400Gbps", optics: qsfpDD()},
			{slot: 1, ports: 12, description: "PIC-1", media: "et", speed: "400Gbps", optics: qsfpDD()},
			{slot: 2, ports: 12, description: "PIC-2", media: "et", speed: "100Gbps", optics: qsfp28()}}}
	return platform{role: "pe", evolved: true, rfc: true,
		releases: []string{"22.4R3-S4.5-EVO", "23.4R2-S3.10-EVO", "24.4R1-S2.9-EVO"},
		mixed:    []string{"show-system-uptime", "show-system-core-dumps", "show-system-storage"},
		lacks:    lacks{syntax: {"show-virtual-chassis", clusterStatus, clusterPorts, "show-system-buffers", showPoE, showIKE, showIPsec, showIDP}}.byItem(),
		products: []product{
			{name: "ptx10001-36mr", marketing: "JNP10001-36MR [PTX10001-36MR]", engine: "RE-JNP10001-36MR", memory: 65536,
				chassisPart: "JNP10001-36MR-CHAS", cards: []card{fixed}, power: 2, fans: 6},
			{name: "ptx10001-20c", marketing: "JNP10001-20C [PTX10001-20C]", engine: "RE-JNP10001-20C", memory: 32768,
				chassisPart: "JNP10001-20C-CHAS", cards: []card{fixed}, power: 2, fans: 5},
		}}
}

func acxPlatform() platform {
	fixed := []card{{description: "ACX5448", part: "BUILTIN", model: "ACX5448",
		pics: []pic{{slot: 0, ports: 44, description: "44x10GE SFP+", media: "xe", speed: "10Gbps", optics: sfpPlus()},
			{slot: 1, ports: 6, description: "6x100GE QSFP28", media: "et", speed: "100Gbps", optics: qsfp28()}}}}
	return platform{role: "acc", rfc: true,
		releases: []string{"22.2R3-S1.9", "22.4R3-S5.11", "24.4R1-S1.6"},
		lacks:    lacks{syntax: {"show-virtual-chassis", showPoE, showIKE, showIPsec, showIDP}, notValid: {clusterStatus, clusterPorts}}.byItem(),
		products: []product{
			{name: "acx5448", marketing: "ACX5448", engine: "RE-ACX-5448", memory: 16384, chassisPart: "ACX5448-CHAS", cards: fixed, power: 2, fans: 4},
			{name: "acx5448-d", marketing: "ACX5448-D", engine: "RE-ACX-5448-D", memory: 32768, chassisPart: "ACX5448-D-CHAS", cards: fixed, power: 2, fans: 4},
		}}
}

func sfpPlus() []optic {
	return []optic{{"SFP+-10G-SR", "740-031980"}, {"SFP+-10G-LR", "740-031981"}, {"SFP-T", "740-013111"}}
}

func qsfpPlus() []optic {
	return []optic{{"QSFP+-40G-SR4", "740-046565"}, {"QSFP+-40G-LR4", "740-032986"}}
}

func qsfp28() []optic {
	return []optic{{"QSFP-100G-SR4-T2", "740-061405"}, {"QSFP-100GBASE-LR4-T2", "740-061409"}, {"QSFP-100G-DR", "740-085351"}}
}

func qsfpDD() []optic {
	return []optic{{"QSFP56-DD-400GBASE-DR4", "740-085349"}, {"QSFP56-DD-400GBASE-FR4", "740-085350"}}
}

// members is how many switches or nodes the device is made of.
func (d *Device) members() int {
	switch d.Model {
	case EXVC:
		return 2 + d.draw("members", 0).IntN(3)
	case SRXCluster:
		return 2
	default:
		return 1
	}
}

// nodes are the names under which multi-routing-engine-results come; master is
// the one that answers the session.
func (d *Device) nodes() (names []string, master int) {
	switch d.Model {
	case MXDualRE:
		return []string{"re0", "re1"}, 0
	case EXVC:
		for i := range d.members() {
			names = append(names, "fpc"+string(rune('0'+i)))
		}
		return names, 0
	case SRXCluster:
		return []string{"node0", "node1"}, 0
	case QFX:
		return []string{"localre"}, 0
	default:
		return []string{"re0"}, 0
	}
}

// banner is the prompt's role, as the CLI puts it after each reply.
func (d *Device) banner() string {
	switch d.Model {
	case MXDualRE:
		return "{master}"
	case EXVC, QFX:
		return "{master:0}"
	case SRXCluster:
		return "{primary:node0}"
	default:
		return ""
	}
}

// mixes tells whether the reply to the item comes per node.
func (d *Device) mixes(item string) bool { return slices.Contains(d.plat.mixed, item) }

// lacking tells how the device answers a command that it has no data for.
func (d *Device) lacking(c command) lack {
	if l := d.plat.lacks[c.item]; l != hasIt {
		return l
	}
	protocol, needed := protocolOf[c.item]
	switch {
	case !needed || d.runs(protocol):
		return hasIt
	case protocol == strings.ToLower(protocol): // a daemon of its own
		return notRunning
	}
	return saysText
}

// body writes what a reply holds: data, or why there are none.
func (d *Device) body(w *writer, c command, everywhere bool) {
	protocol := protocolOf[c.item]
	switch d.lacking(c) {
	case hasIt:
		d.payload(w, c, everywhere)
	case notEnabled:
		notEnabledElement(w)
	case notRunning:
		notRunningElement(w, protocol)
	case saysText:
		w.block("output", notRunningText(protocol))
	}
}

// notRunningText is what the routing daemon says of a protocol that it does not run.
func notRunningText(protocol string) string {
	switch protocol {
	case bgp:
		return "BGP is not running"
	case stp:
		return "Spanning-tree is not enabled at global level."
	}
	return protocol + " instance is not running"
}
