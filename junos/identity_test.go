package junos

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

const (
	versionItem   = "show-version"
	inventoryItem = "show-chassis-hardware-extensive"
)

func TestParseIdentity(t *testing.T) {
	software := func(host, model, version string) string {
		return "<software-information>" + host + "<product-model>" + model + "</product-model>" + version + "</software-information>"
	}
	host := func(h string) string { return "<host-name>" + h + "</host-name>" }
	part := func(name, serial, inner string) string {
		return "<chassis-module><name>" + name + "</name><serial-number>" + serial + "</serial-number>" + inner + "</chassis-module>"
	}
	for _, c := range []struct {
		name, item, payload string
		want                Identity
	}{
		{"plain", versionItem, software(host("r1"), "mx960", "<junos-version>23.4R2-S7.4</junos-version>"),
			Identity{HostName: "r1", Model: "mx960", Version: "23.4R2-S7.4"}},
		{"two engines", versionItem, engines(software(host("r1-re0"), "mx480", "<junos-version>21.2R3.8</junos-version>"), software(host("r1-re1"), "mx480", "<junos-version>21.2R1.1</junos-version>")),
			Identity{HostName: "r1-re0", Model: "mx480", Version: "21.2R3.8"}},
		{"first engine dead", versionItem, engines("<output>error: no route</output>", software(host("r1-re1"), "mx480", "<junos-version>21.2R1.1</junos-version>")),
			Identity{HostName: "r1-re1", Model: "mx480", Version: "21.2R1.1"}},
		{"EVO without host name", versionItem, software("", "ptx10001-36mr", "<junos-version>23.2R1-S1.6-EVO</junos-version>"),
			Identity{Model: "ptx10001-36mr", Version: "23.2R1-S1.6-EVO"}},
		{"package junos", versionItem, software(host("s"), "srx3600", "<package-information><name>jais</name><comment>AI-Scripts [6.0R2-THIN.0]</comment></package-information><package-information><name>junos</name><comment>JUNOS Software Release [12.3X48-D40.5]</comment></package-information>"),
			Identity{HostName: "s", Model: "srx3600", Version: "12.3X48-D40.5"}},
		{"no release named", versionItem, software(host("s"), "srx3600", "<package-information><name>junos</name></package-information><package-information><name>jais</name><comment>AI-Scripts [6.0R2-THIN.0]</comment></package-information>"),
			Identity{HostName: "s", Model: "srx3600"}},
		{"entities and bad bytes", versionItem, software(host("r&amp;1\xff\x07"), "m", ""), Identity{HostName: "r&1\ufffd\ufffd", Model: "m"}},
		{"chassis", inventoryItem, "<chassis-inventory><chassis><name>Chassis</name><serial-number>JN1</serial-number>" +
			part("Midplane", "TR1", "") + part("FPC 0", "CA1", "<chassis-sub-module><serial-number>BUILTIN</serial-number></chassis-sub-module><chassis-sub-module><serial-number>CA2</serial-number></chassis-sub-module>") + "</chassis></chassis-inventory>",
			Identity{Serials: []string{"JN1", "TR1", "CA1", "CA2"}}},
		{"cluster", inventoryItem, engines("<chassis-inventory><chassis><serial-number>A</serial-number>"+part("RE", "A1", "")+"</chassis></chassis-inventory>", "<chassis-inventory><chassis><serial-number>B</serial-number>"+part("RE", "B1", "")+"</chassis></chassis-inventory>"),
			Identity{Serials: []string{"A", "B", "A1", "B1"}}},
		{"virtual chassis", inventoryItem, "<chassis-inventory><chassis><name>Chassis</name><serial-number>PE1</serial-number>" + part("FPC 0", "PE1", "") + part("FPC 1", "PE2", "") + "</chassis></chassis-inventory>",
			Identity{Serials: []string{"PE1", "PE2"}}},
		{"another item", "show-system-uptime", "<x/>", Identity{}},
	} {
		got, err := ParseIdentity(c.item, []byte(replyTo("1", c.payload)))
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, %v, want %+v", c.name, got, err, c.want)
		}
	}
}

func TestParseIdentityOfDamage(t *testing.T) {
	for _, doc := range []string{"", "error: no", "\xff\xff"} {
		if id, err := ParseIdentity(versionItem, []byte(doc)); err == nil || !reflect.DeepEqual(id, Identity{}) {
			t.Errorf("%q: %+v, %v", doc, id, err)
		}
	}
	cut := replyTo("1", "<software-information><host-name>r1</host-name><product-model>mx960</product-model>")[:200]
	if id, err := ParseIdentity(versionItem, []byte(cut)); err != nil || id.HostName != "r1" {
		t.Errorf("cut document: %+v, %v", id, err)
	}
}

// Of a huge inventory the beginning is read, where the chassis is.
func TestParseIdentityOfHugeDocument(t *testing.T) {
	var b strings.Builder
	b.WriteString("<chassis-inventory><chassis><serial-number>JN1</serial-number>")
	for i := range 40_000 {
		fmt.Fprintf(&b, "<chassis-module><name>Part</name><serial-number>S%d</serial-number></chassis-module>", i)
	}
	id, err := ParseIdentity(inventoryItem, []byte(replyTo("1", b.String()+"</chassis></chassis-inventory>")))
	if err != nil || len(id.Serials) != maxSerials || id.Serials[0] != "JN1" {
		t.Errorf("%d serials, %v", len(id.Serials), err)
	}
}

func TestMerge(t *testing.T) {
	a := Identity{HostName: "r1", Serials: []string{"A", "B"}}
	b := Identity{HostName: "r2", Model: "mx960", Serials: []string{"B", "C"}}
	want := Identity{HostName: "r1", Model: "mx960", Serials: []string{"A", "B", "C"}}
	if got := a.Merge(b); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	if len(a.Serials) != 2 {
		t.Errorf("Merge changed its receiver: %+v", a)
	}
}

func TestCorpusIdentity(t *testing.T) {
	for _, row := range corpusFiles(t) {
		doc := readCorpus(t, row["file"])
		switch row["rpc"] {
		case "get-software-information":
			id, err := ParseIdentity(versionItem, doc)
			if err != nil || id.HostName == "" || id.Model == "" {
				t.Errorf("%s: %+v, %v", row["file"], id, err)
			}
			bare := row["file"] == "pyez--get-software-information--SRX-srx3600--2.xml" // names no release
			if (id.Version == "") != bare || !strings.Contains(string(doc), id.Version) {
				t.Errorf("%s: version %q", row["file"], id.Version)
			}
			// The manifest names the release of the envelope or that of the software.
			if v := row["junos_version"]; !bare && len(v) > 7 && v != id.Version && !strings.Contains(v, "I") {
				t.Errorf("%s: version %q, the manifest says %q", row["file"], id.Version, v)
			}
		case "get-chassis-inventory":
			if id, err := ParseIdentity(inventoryItem, doc); err != nil || len(id.Serials) != 1 {
				t.Errorf("%s: %+v, %v", row["file"], id, err)
			}
		}
	}
}

func FuzzParseIdentity(f *testing.F) {
	f.Add(versionItem, []byte(replyTo("1", "<software-information><host-name>a</host-name><junos-version>1</junos-version></software-information>")))
	f.Add(inventoryItem, []byte("<chassis><serial-number>x</serial-number>"))
	f.Fuzz(func(t *testing.T, item string, doc []byte) {
		id, err := ParseIdentity(item, doc)
		if err != nil && !reflect.DeepEqual(id, Identity{}) {
			t.Errorf("an error and facts: %+v, %v", id, err)
		}
		for _, s := range append(id.Serials, id.HostName, id.Model, id.Version) {
			if len(s) > maxFact {
				t.Errorf("a fact of %d bytes", len(s))
			}
		}
	})
}
