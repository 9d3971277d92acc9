package junostest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"
)

// licence is a licensed feature in use.
type licence struct{ name, description string }

func (d *Device) features() []licence {
	switch d.Model {
	case SRXCluster:
		return []licence{{"idp-sig", "IDP Signature"}, {"appid-sig", "APPID Signature"}, {"anti_virus_key_sophos_engine", "Anti Virus with Sophos Engine"},
			{"Virtual Appliance", "Virtual Appliance"}, {"remote-access-ipsec-vpn-client", "remote-access-ipsec-vpn-client"}}
	case MXDualRE, PTXEVO, ACX:
		return []licence{{"scale-subscriber", "Subscriber Accounting"}, {"bgp", "BGP Routing Protocol"},
			{"l3vpn", "L3VPN & L2VPN services"}, {"bandwidth", "Port bandwidth <per 100G>"}}
	default:
		return []licence{{"bgp", "BGP Routing Protocol"}, {"vxlan", "VxLAN"}, {"esi-lag", "ESI-LAG"},
			{"evpn-vxlan", "EVPN feature with VXLAN encapsulation"}, {"ospf2-ospf3", "OSPFv2 & OSPFv3"}}
	}
}

// licences is the reply to show system license.
func (d *Device) licences(w *writer, node int) {
	r := d.draw("licences", node)
	installed := r.IntN(3) > 0
	w.in("license-summary-information", func() {
		w.in("license-usage-summary", func() {
			w.empty("features-used")
			for _, f := range d.features() {
				w.in("feature-summary", func() { d.feature(w, r, f, installed) })
			}
		})
		w.in("license-information", func() {
			if !installed {
				w.empty("no-licenses-installed")
				return
			}
			w.in("license", func() { d.licence(w, r) })
		})
	}, "xmlns", d.junosNS("junos-license"))
}

func (d *Device) feature(w *writer, r *rand.Rand, f licence, installed bool) {
	licensed := 0
	if installed && r.IntN(2) == 0 {
		licensed = 1 + r.IntN(4)
	}
	used := r.IntN(2)
	w.leaf("name", f.name)
	w.leaf("description", f.description)
	w.leaf("licensed", strconv.Itoa(licensed))
	w.leaf("used-licensed", strconv.Itoa(used))
	w.leaf("needed", strconv.Itoa(max(0, used-licensed)))
	if licensed == 0 {
		w.leaf("validity-type", "invalid")
		return
	}
	d.expiry(w, r)
}

// expiry is permanent or a date within two years of the epoch, before or after.
func (d *Device) expiry(w *writer, r *rand.Rand) {
	if r.IntN(2) == 0 {
		w.leaf("validity-type", "permanent")
		return
	}
	end := epoch().AddDate(0, 0, r.IntN(1400)-700).Truncate(24 * time.Hour)
	w.leaf("end-date", end.Format("2006-01-02 15:04:05 MST"), "junos:seconds", unix(end))
}

func (d *Device) licence(w *writer, r *rand.Rand) {
	w.leaf("name", code(r, "JUNOS999999999"))
	w.leaf("license-version", "4")
	w.leaf("validity-information", d.chassisSerial(0))
	w.in("feature-block", func() {
		f := pick(r, d.features()...)
		w.in("feature", func() {
			w.leaf("name", f.name)
			w.leaf("description", f.description)
			d.expiry(w, r)
		})
	})
}

// alarm of the system or the chassis.
type alarm struct {
	class, text, short string
	at                 time.Time
}

// systemAlarms is the reply to show system alarms.
func (d *Device) systemAlarms(w *writer, node int) {
	all := []alarm{
		{class: "Minor", text: "Rescue configuration is not set", short: "no-rescue"},
		{class: "Minor", text: "BGP Routing Protocol(47) usage requires a license", short: "bgp"},
		{class: "Major", text: "/var partition usage crossed critical threshold (> 90%)", short: "var-partition"},
		{class: "Minor", text: "NSD: PKI certificate <local> & its CA expire soon", short: "pki-expiry"},
	}
	d.alarms(w, "System", d.raised(all, "system-alarms/"+strconv.Itoa(node)))
}

// chassisAlarms is the reply to show chassis alarms.
func (d *Device) chassisAlarms(w *writer, node int) {
	all := []alarm{
		{class: "Minor", text: "Backup RE Active", short: "Backup RE Active"},
		{class: "Major", text: "FPC 0 Hard errors", short: "FPC 0 Hard errors"},
		{class: "Minor", text: "Fan Tray 0 Failure", short: "Fan Tray Failure"},
		{class: "Major", text: "Management Ethernet Link Down", short: "Mgmt Link Down"},
	}
	raised := d.raised(all, "chassis-alarms/"+strconv.Itoa(node))
	for i, on := range d.supplyStates(node) {
		if text := d.supplyName(i) + " Not Powered"; !on {
			at, _ := d.since(time.Duration(1+i) * 86400 * time.Second)
			raised = append(raised, alarm{class: "Major", text: text, short: text, at: at})
		}
	}
	d.alarms(w, "Chassis", raised)
}

// raised keeps the alarms that this device has: none on every other device.
func (d *Device) raised(all []alarm, label string) []alarm {
	r := d.draw(label, 0)
	all = slices.DeleteFunc(all, func(alarm) bool { return r.IntN(3) > 0 })
	for i := range all {
		all[i].at, _ = d.since(time.Duration(r.IntN(90*86400)) * time.Second)
	}
	return all
}

func (d *Device) alarms(w *writer, kind string, all []alarm) {
	w.in("alarm-information", func() {
		w.in("alarm-summary", func() {
			if len(all) == 0 {
				w.empty("no-active-alarms")
				return
			}
			w.leaf("active-alarm-count", strconv.Itoa(len(all)))
		})
		for _, a := range all {
			w.in("alarm-detail", func() {
				w.block("alarm-time", a.at.Format(dateTime), "junos:seconds", unix(a.at))
				w.leaf("alarm-class", a.class)
				w.leaf("alarm-description", a.text)
				w.leaf("alarm-short-description", a.short)
				w.leaf("alarm-type", kind)
			})
		}
	}, "xmlns", d.junosNS("junos-alarm"))
}

// environment is the reply to show chassis environment.
func (d *Device) environment(w *writer, node int) {
	r := d.draw("environment", node)
	w.in("environment-information", func() {
		for m := range d.vcMembers() {
			prefix := ""
			if d.Model == EXVC {
				node, prefix = m, fmt.Sprintf("FPC %d ", m)
			}
			for i, on := range d.supplyStates(node) {
				d.sensor(w, prefix+d.supplyName(i), "Power", map[bool]string{true: "OK", false: "Check"}[on], 0, "")
			}
			d.temperatures(w, r, node, prefix)
			for i := range d.prod.fans {
				d.sensor(w, fmt.Sprintf("%sFan Tray %d Fan 0", prefix, i), "Fans", "OK", 0, pick(r, "Spinning at normal speed", "Spinning at high speed"))
			}
		}
	}, "xmlns", d.junosNS("junos-chassis"))
}

// temperatures writes the sensors of the engines and the cards; those of a
// member of a virtual chassis go by its number.
func (d *Device) temperatures(w *writer, r *rand.Rand, node int, prefix string) {
	if prefix != "" {
		for _, name := range []string{"Sensor CPU", "Sensor PHY", "Sensor PFE", "Sensor Intake"} {
			d.sensor(w, prefix+name, "Temp", "OK", 28+r.IntN(40), "")
		}
		return
	}
	for i := range d.engines() {
		d.sensor(w, fmt.Sprintf("Routing Engine %d", i), "Temp", "OK", 28+r.IntN(20), "")
		d.sensor(w, fmt.Sprintf("Routing Engine %d CPU", i), "Temp", "OK", 30+r.IntN(40), "")
	}
	_, slots := d.nodeCards(node)
	for _, slot := range slots {
		for _, place := range []string{"Intake", "Exhaust A", "Exhaust B", "PFE", "LMEM"} {
			d.sensor(w, fmt.Sprintf("FPC %d %s", slot, place), "Temp", "OK", 28+r.IntN(40), "")
		}
	}
}

func (d *Device) sensor(w *writer, name, class, status string, celsius int, comment string) {
	w.in("environment-item", func() {
		w.leaf("name", name)
		w.leaf("class", class)
		w.leaf("status", status)
		if celsius > 0 {
			temperature(w, "temperature", celsius)
		}
		w.some("comment", comment)
	})
}

func temperature(w *writer, name string, celsius int) {
	w.leaf(name, fmt.Sprintf("%d degrees C / %d degrees F", celsius, celsius*9/5+32), "junos:celsius", strconv.Itoa(celsius))
}

// routeEngine is the reply to show chassis routing-engine. A virtual chassis
// lists two members, master and backup; a cluster each engine under its node.
func (d *Device) routeEngine(w *writer, node int) {
	engines := d.engines()
	if d.Model == EXVC {
		engines = 2
	}
	w.in("route-engine-information", func() {
		for i := range engines {
			w.in("route-engine", func() { d.engine(w, i, node*engines+i) })
		}
	}, "xmlns", d.junosNS("junos-chassis"))
}

func (d *Device) engine(w *writer, slot, number int) {
	r := d.draw("engine", number)
	if d.Model != SRXCluster {
		w.leaf("slot", strconv.Itoa(slot))
		state := []string{"master", "backup"}[slot]
		w.leaf("mastership-state", state)
		if d.Model == MXDualRE {
			w.leaf("mastership-priority", state+" (default)")
		}
	}
	w.leaf("status", "OK")
	temperature(w, "temperature", 25+r.IntN(20))
	temperature(w, "cpu-temperature", 28+r.IntN(30))
	w.leaf("memory-dram-size", strconv.Itoa(d.prod.memory)+" MB")
	w.leaf("memory-installed-size", fmt.Sprintf("(%d MB installed)", d.prod.memory))
	w.leaf("memory-buffer-utilization", strconv.Itoa(10+r.IntN(60)))
	user, system := r.IntN(30), r.IntN(20)
	for i, suffix := range []string{"", "1", "2", "3"} { // 5 seconds, 1, 5 and 15 minutes
		w.leaf("cpu-user"+suffix, strconv.Itoa(user))
		w.leaf("cpu-background"+suffix, "0")
		w.leaf("cpu-system"+suffix, strconv.Itoa(system))
		w.leaf("cpu-interrupt"+suffix, strconv.Itoa(i&1))
		w.leaf("cpu-idle"+suffix, strconv.Itoa(100-user-system-i&1))
	}
	w.leaf("model", d.prod.engine)
	w.leaf("serial-number", d.engineSerial(number))
	at, length := d.since(d.life(number).booted)
	w.leaf("start-time", at.Format(dateTime), "junos:seconds", unix(at))
	w.leaf("up-time", long(length), "junos:seconds", seconds(length))
	w.leaf("last-reboot-reason", pick(r, "Router rebooted after a normal shutdown.", "0x200:normal shutdown ", "0x1:power cycle/failure "))
	for _, n := range []string{"one", "five", "fifteen"} {
		w.leaf("load-average-"+n, fmt.Sprintf("%.2f", r.Float64()*2))
	}
}
