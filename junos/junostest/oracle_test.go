package junostest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"lwc/junos"
	"lwc/testdata/need"
)

const python = "/usr/bin/python3"

// pyez prints, for each device, the facts that it gathers, the roots of some
// replies, and the rows of its tables; null stands for a table that the device
// refuses.
const pyez = `
import importlib, json, sys, warnings
warnings.simplefilter("ignore")
import yaml
load = yaml.load # newer releases want a loader, which PyEZ does not give
yaml.load = lambda stream, Loader=None: yaml.safe_load(stream) if Loader is None else load(stream, Loader)
from concurrent.futures import ThreadPoolExecutor
from jnpr.junos import Device
from jnpr.junos.exception import RpcError
def key(r):
    try:
        return r.name
    except ValueError: # where a path is a choice of two
        return None
def rows(dev, module, table, *fields):
    t = getattr(importlib.import_module("jnpr.junos.op." + module), table)(dev)
    try:
        t.get()
    except RpcError:
        return None
    return [{f: getattr(r, f) for f in fields} | {"key": key(r)} for r in t]
def collect(d):
    with Device(host=d["address"], port=d["port"], user=d["username"], passwd=d["password"], gather_facts=False,
                ssh_config=sys.argv[2], conn_open_timeout=30) as dev:
        f = dev.facts
        return json.dumps({
            "name": d["name"], "hostname": f["hostname"], "model": f["model"], "version": f["version"], "serial": f["serialnumber"],
            "vc": f["vc_capable"], "cluster": f["srx_cluster"], "two": f["2RE"],
            "terse": dev.rpc.get_interface_information(terse=True).tag,
            "cli": dev.cli("show system uptime", format="xml", warning=False).tag,
            "tables": {
                "ethport": rows(dev, "ethport", "EthPortTable", "oper", "admin", "description", "mtu", "macaddr", "rx_bytes", "running"),
                "phyport": rows(dev, "phyport", "PhyPortTable", "oper", "macaddr", "speed"),
                "errors": rows(dev, "phyport", "PhyPortErrorTable", "rx_bytes", "rx_err_input", "tx_err_drops"),
                "optics": rows(dev, "intopticdiag", "PhyPortDiagTable", "rx_optic_power", "tx_optic_power", "module_voltage"),
                "lldp": rows(dev, "lldp", "LLDPNeighborTable", "local_int", "local_parent", "remote_sysname", "remote_chassis_id"),
                "fpc": rows(dev, "fpc", "FpcInfoTable", "state", "memory", "cpu"),
                "fpchw": rows(dev, "fpc", "FpcHwTable", "sn", "pn", "model"),
                "xcvr": rows(dev, "xcvr", "XcvrTable", "sn", "type"),
                "modules": rows(dev, "inventory", "ModuleTable", "jname", "sn"),
                "arp": rows(dev, "arp", "ArpTable", "ip_address", "interface_name"),
                "bgp": rows(dev, "bgp", "bgpTable", "peer_as", "local_as", "peer_id"),
                "isis": rows(dev, "isis", "IsisAdjacencyTable", "interface_name", "system_name", "adjacency_state"),
                "ospf": rows(dev, "ospf", "OspfNeighborTable", "neighbor_address", "interface_name", "neighbor_id"),
                "ldp": rows(dev, "ldp", "LdpNeighborTable", "neighbor_address", "transport_address"),
                "bfd": rows(dev, "bfd", "BfdSessionTable", "neighbor", "interface", "remote_state"),
                "lacp": rows(dev, "lacp", "LacpPortTable"),
                "routes": rows(dev, "routes", "RouteSummaryTable", "dests", "active"),
            }}, default=str)
with ThreadPoolExecutor(4) as pool:
    for line in pool.map(collect, json.load(open(sys.argv[1]))["devices"]):
        print(line)
`

// row is a row of a table of PyEZ, by field; table holds the rows, nil where
// the device refused.
type (
	row   map[string]any
	table []row
)

func (r row) text(field string) string {
	switch v := r[field].(type) {
	case nil:
		return ""
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	default:
		return strings.TrimSpace(fmt.Sprint(v))
	}
}

// field returns the texts of a field, sorted.
func (t table) field(name string) []string {
	var all []string
	for _, r := range t {
		all = append(all, r.text(name))
	}
	slices.Sort(all)
	return all
}

// needPyEZ skips where PyEZ is not installed, and returns the files that the
// scripts read: the inventory and an empty configuration of ssh.
func needPyEZ(t *testing.T, f *Fleet) (inventory, config string) {
	t.Helper()
	if _, err := runClient(t, "", python, "-c", "import jnpr.junos, ncclient"); err != nil {
		need.Missing(t, "the Python modules jnpr.junos and ncclient (package python3-junos-eznc)")
	}
	dir := t.TempDir()
	inventory, config = filepath.Join(dir, "inventory.json"), filepath.Join(dir, "ssh")
	writeJSON(t, inventory, f.Inventory())
	if err := os.WriteFile(config, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return inventory, config
}

// TestPyEZ has Juniper's own client log in, gather its facts and read its tables.
func TestPyEZ(t *testing.T) {
	f := startFleet(t, Config{Devices: 6, Seed: 6})
	inventory, config := needPyEZ(t, f)
	out, err := runClient(t, "", python, "-c", pyez, inventory, config)
	if err != nil {
		t.Fatalf("PyEZ: %v after %s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	for i, d := range f.Devices() {
		checkFacts(t, d, lines[i])
		var got struct{ Tables map[string]table }
		if err := json.Unmarshal([]byte(lines[i]), &got); err != nil {
			t.Fatal(err)
		}
		checkPortTables(t, d, got.Tables)
		checkChassisTables(t, d, got.Tables)
		checkNeighbourTables(t, d, got.Tables)
	}
}

func checkFacts(t *testing.T, d *Device, line string) {
	t.Helper()
	got := readFacts(t, line)
	payload := "system-uptime-information"
	if d.mixes("show-system-uptime") {
		payload = "multi-routing-engine-results"
	}
	cluster := map[Model]any{SRXCluster: true, EXVC: false, QFX: false}[d.Model]
	for key, want := range map[string]any{"name": d.Name, "hostname": d.HostName, "model": strings.ToUpper(d.Product), "version": d.Release,
		"serial": d.chassisSerial(0), "vc": d.Model == EXVC || d.Model == QFX, "cluster": cluster,
		"two": d.Model == MXDualRE || d.Model == EXVC || d.Model == SRXCluster, "terse": "interface-information", "cli": payload} {
		if got[key] != want {
			t.Errorf("%s: PyEZ finds %s %v, want %v", d.Name, key, got[key], want)
		}
	}
}

// same compares a column with what the model has.
func same(t *testing.T, d *Device, what string, got, want []string) {
	t.Helper()
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s: PyEZ reads %s\n%.400q, want\n%.400q", d.Name, what, got, want)
	}
}

func checkPortTables(t *testing.T, d *Device, tables map[string]table) {
	t.Helper()
	var names, macs, oper, speeds, rx, peers, parents, sockets, light []string
	for _, p := range d.ports() {
		if p.peer != "" {
			parent := p.bundle
			if parent == "" {
				parent = "-"
			}
			peers, parents = append(peers, p.name+" "+p.peer), append(parents, parent)
		}
		if p.optic != (optic{}) {
			sockets = append(sockets, p.name)
			if p.optic.lanes() == 1 && p.optic.description != "SFP-T" {
				light = append(light, p.name+" "+centi(rxDBm(p)))
			}
		}
		names, macs, oper = append(names, p.name), append(macs, d.mac(p.number)), append(oper, upDown(p.up))
		speeds, rx = append(speeds, p.speed), append(rx, strconv.Itoa(d.traffic(p).inBytes))
	}
	eth := slices.DeleteFunc(slices.Clone(tables["ethport"]), func(r row) bool { return strings.HasPrefix(r.text("key"), "ae") })
	same(t, d, "the ports", eth.field("key"), slices.Clone(names))
	same(t, d, "their addresses", eth.field("macaddr"), slices.Clone(macs))
	same(t, d, "their states", eth.field("oper"), oper)
	same(t, d, "their counters", eth.field("rx_bytes"), slices.Clone(rx))
	same(t, d, "the ports", tables["phyport"].field("key"), slices.Clone(names))
	same(t, d, "their speeds", tables["phyport"].field("speed"), speeds)
	same(t, d, "the ports with errors", tables["errors"].field("key"), names)
	same(t, d, "their counters", tables["errors"].field("rx_bytes"), rx)
	same(t, d, "the ports with optics", tables["optics"].field("key"), sockets)
	var read, neighbours []string
	for _, r := range tables["optics"] {
		if r["rx_optic_power"] != nil {
			read = append(read, r.text("key")+" "+r.text("rx_optic_power"))
		}
	}
	slices.Sort(read)
	same(t, d, "the light", read, light)
	for _, r := range tables["lldp"] {
		neighbours = append(neighbours, r.text("local_int")+" "+r.text("remote_sysname"))
	}
	slices.Sort(neighbours)
	same(t, d, "the neighbours", neighbours, peers)
	same(t, d, "their bundles", tables["lldp"].field("local_parent"), parents)
}

func checkChassisTables(t *testing.T, d *Device, tables map[string]table) {
	t.Helper()
	var states, optics []string
	for node := range len(values(item(t, d, "show-chassis-fpc"), "re-name")) + 1 - b2i(d.mixes("show-chassis-fpc")) {
		d.bySlot(node, func(card, int) { states = append(states, "Online") }, func(int) { states = append(states, "Empty") })
	}
	same(t, d, "the states of cards", tables["fpc"].field("state"), states)
	for _, p := range d.ports() {
		if p.optic != (optic{}) {
			optics = append(optics, p.optic.description)
		}
	}
	same(t, d, "the transceivers", tables["xcvr"].field("type"), optics)
	serials := tables["modules"].field("sn")
	for _, s := range slices.Concat(tables["xcvr"].field("sn"), tables["fpchw"].field("sn")) {
		if !slices.Contains(serials, s) && s != "" && len(tables["modules"]) > 0 && !slices.Contains(deeper(t, d), s) {
			t.Errorf("%s: PyEZ finds no module with serial %q", d.Name, s)
		}
	}
}

// deeper are the serials of all parts, those below the depth of PyEZ's table too.
func deeper(t *testing.T, d *Device) []string {
	return values(item(t, d, "show-chassis-hardware-detail"), "serial-number")
}

func checkNeighbourTables(t *testing.T, d *Device, tables map[string]table) {
	t.Helper()
	var units, remotes, ids []string
	for _, l := range d.links() {
		units, remotes, ids = append(units, l.unit), append(remotes, l.remote), append(ids, l.loopback)
	}
	for name, column := range map[string]string{"isis": "interface_name", "ospf": "interface_name"} {
		if rows := tables[name]; rows != nil && d.runs(map[string]string{"isis": isis, "ospf": ospf}[name]) {
			same(t, d, name, rows.field(column), slices.Clone(units))
		} else if len(rows) > 0 {
			t.Errorf("%s: PyEZ reads %s, which does not run: %v", d.Name, name, rows)
		}
	}
	if d.runs(ospf) {
		same(t, d, "OSPF router ids", tables["ospf"].field("neighbor_id"), slices.Clone(ids))
	}
	if d.runs(ldp) {
		same(t, d, "LDP transport addresses", tables["ldp"].field("transport_address"), ids)
	}
	same(t, d, "BFD sessions", tables["bfd"].field("neighbor"), slices.Clone(remotes))
	arp := tables["arp"].field("ip_address")
	for _, r := range remotes {
		if !slices.Contains(arp, r) {
			t.Errorf("%s: PyEZ finds no ARP entry of %s", d.Name, r)
		}
	}
	if d.runs(bgp) {
		var systems []string
		for _, p := range d.bgpPeers() {
			systems = append(systems, strconv.Itoa(p.as))
		}
		same(t, d, "BGP systems", tables["bgp"].field("peer_as"), systems)
	}
	var bundles []string
	for _, a := range aggregates(d.ports()) {
		bundles = append(bundles, a.name)
	}
	same(t, d, "aggregates", tables["lacp"].field("key"), bundles)
	if len(tables["routes"]) < 2 {
		t.Errorf("%s: PyEZ reads route tables %v", d.Name, tables["routes"])
	}
}

// ncclient prints the SHA-256 of each reply as it came.
const ncclient = `
import hashlib, json, sys, warnings
warnings.simplefilter("ignore")
from concurrent.futures import ThreadPoolExecutor
from ncclient import manager
from ncclient.xml_ import to_ele
items = json.load(open(sys.argv[2]))
def collect(d):
    with manager.connect(host=d["address"], port=d["port"], username=d["username"], password=d["password"], hostkey_verify=False,
                         look_for_keys=False, allow_agent=False, timeout=60, device_params={"name": "default"}) as m:
        m.raise_mode = 0
        sums = {}
        for name, rpc in items.items():
            doc = m.dispatch(to_ele(rpc)).xml.strip() + "\n" # it cuts off what is around a document
            sums[name] = hashlib.sha256(doc.encode()).hexdigest()
        return json.dumps({"name": d["name"], "sums": sums})
with ThreadPoolExecutor(8) as pool: # it waits a tenth of a second for each reply
    for line in pool.map(collect, json.load(open(sys.argv[1]))["devices"]):
        print(line)
`

// TestNcclient has another client ask for every item, but for two whose
// megabytes it takes half a minute to read, and compares the bytes that it
// received with the log of what was sent.
func TestNcclient(t *testing.T) {
	f := startFleet(t, Config{Devices: 6, Seed: 6, Canary: "<é> & 東京"})
	inventory, _ := needPyEZ(t, f)
	rpcs := map[string]string{}
	for _, i := range junos.Catalogue() {
		rpcs[i.Name] = i.RPC()
	}
	delete(rpcs, "show-interfaces-extensive")
	delete(rpcs, "show-interfaces-media")
	list := filepath.Join(t.TempDir(), "items.json")
	writeJSON(t, list, rpcs)
	out, err := runClient(t, "", python, "-c", ncclient, inventory, list)
	if err != nil {
		t.Fatalf("ncclient: %v after %.2000s", err, out)
	}
	for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
		var got struct {
			Name string
			Sums map[string]string
		}
		if err := json.Unmarshal([]byte(line), &got); err != nil || len(got.Sums) != len(rpcs) {
			t.Fatalf("%v in %.300s", err, line)
		}
		for name, sum := range got.Sums {
			if sent := sentOf(f, got.Name, name); !slices.Contains(sent, sum) {
				t.Errorf("%s: %s: ncclient received %s, sent was %v", got.Name, name, sum, sent)
			}
		}
	}
}
