package junostest

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lwc/junos"
)

func newFleet(t testing.TB, c Config) *Fleet {
	t.Helper()
	f, err := NewFleet(c)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// ask returns the reply to an rpc that holds operation.
func ask(t testing.TB, d *Device, operation string) string {
	t.Helper()
	req, err := parseRequest([]byte(`<rpc message-id="7">` + operation + `</rpc>`))
	if err != nil {
		t.Fatalf("%s: %v", operation, err)
	}
	doc, _, err := d.answer(req)
	if err != nil {
		t.Fatalf("%s: %v", operation, err)
	}
	return string(doc)
}

// names checks that a document is well formed and returns its elements in order.
func names(t testing.TB, doc string) []xml.Name {
	t.Helper()
	dec := xml.NewDecoder(strings.NewReader(doc))
	var all []xml.Name
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("not well formed: %v in\n%.2000s", err, doc)
		}
		if e, ok := tok.(xml.StartElement); ok {
			all = append(all, e.Name)
		}
	}
}

// wantRoot is the first element inside the reply to an item.
func wantRoot(d *Device, c command) string {
	switch d.lacking(c) {
	case saysNone:
		return ""
	case notEnabled:
		return "error"
	case notRunning:
		return "warning"
	case saysText:
		return "output"
	case notValid, syntax:
		return "rpc-error"
	}
	switch {
	case d.mixes(c.item):
		return "multi-routing-engine-results"
	}
	return c.root
}

func TestEveryItemOfEveryModel(t *testing.T) {
	for seed := range uint64(2) {
		f := newFleet(t, Config{Devices: 12, Seed: seed, Canary: "<canary> & \"co\""})
		for _, d := range f.Devices() {
			for _, item := range junos.Catalogue() {
				t.Run(fmt.Sprintf("%d/%s/%s", seed, d.Name, item.Name), func(t *testing.T) { checkItem(t, d, item) })
			}
		}
	}
}

func checkItem(t *testing.T, d *Device, item junos.Item) {
	c, _, ok := d.byCLI(item.CLI)
	if !ok || c.logged() != item.Name {
		t.Fatalf("%q is known as %q", item.CLI, c.logged())
	}
	overRPC, overCommand := ask(t, d, item.RPC()), ask(t, d, `<command format="xml">`+item.CLI+`</command>`)
	if bad := "<" + d.nc() + "bad-element>"; overRPC != overCommand && !strings.Contains(overRPC, bad) {
		t.Errorf("%s and its command differ:\n%.600s\n%.600s", item.RPC(), overRPC, overCommand)
	}
	all := names(t, overRPC)
	if all[0] != (xml.Name{Space: netconfNS, Local: "rpc-reply"}) {
		t.Errorf("the envelope is %v", all[0])
	}
	all = append(all, xml.Name{}, xml.Name{})
	if want := wantRoot(d, c); all[1].Local != want && (want != "" || all[1].Local != "") {
		t.Errorf("the payload is %q, want %q", all[1].Local, want)
	}
	if d.lacking(c) != hasIt {
		return
	}
	if roots := slices.DeleteFunc(all, func(n xml.Name) bool { return n.Local != c.root }); len(roots) == 0 {
		t.Errorf("no %s in\n%.600s", c.root, overRPC)
	}
	cli, err := d.cliDocument(c, false)
	if err != nil {
		t.Fatal(err)
	}
	if n := names(t, string(cli)); n[len(n)-1].Local != "banner" {
		t.Errorf("the CLI reply ends with %v", n[len(n)-1])
	}
}

// TestShape holds the details that parsers trip over.
func TestShape(t *testing.T) {
	f := newFleet(t, Config{Devices: 6, Seed: 3, Canary: "a <b> & \"c\""})
	for _, tt := range []struct{ device, operation, pattern string }{
		{"mx-0001", "<get-system-core-dumps/>", `<multi-routing-engine-item>\s+<re-name>re0</re-name>[\s\S]+<re-name>re1</re-name>`},
		{"mx-0001", "<command>show version invoke-on all-routing-engines</command>", `<re-name>re1</re-name>`},
		{"mx-0001", "<get-virtual-chassis-information/>", `^<rpc-reply [^>]+>\n</rpc-reply>\n$`},
		{"mx-0001", "<get-chassis-cluster-status/>", `<error-message>syntax error</error-message>\n<error-info>\n<bad-element>get-chassis-cluster-status<`},
		{"mx-0001", "<get-alarm-information/>", `<cli>\n<banner>\{master\}</banner>\n</cli>`},
		{"mx-0001", "<get-interface-information><descriptions/></get-interface-information>", `<description>a &lt;b&gt; &amp; "c"</description>`},
		{"ex-0002", "<get-software-information/>", `<re-name>fpc0</re-name>[\s\S]+<re-name>fpc1</re-name>`},
		{"ex-0002", "<get-chassis-cluster-status/>", `<xnm:error xmlns="http://xml.juniper.net/xnm/1.1/xnm"`},
		{"srx-0003", "<get-software-information/>", `<re-name>node0</re-name>[\s\S]+<re-name>node1</re-name>`},
		{"srx-0003", "<get-virtual-chassis-information/>", `<error-message>command is not valid on the srx\d+<`},
		{"srx-0003", "<get-chassis-cluster-status/>", `<banner>\{primary:node0\}</banner>`},
		{"qfx-0004", "<get-software-information/>", `<re-name>localre</re-name>`},
		{"ptx-0005", "<get-software-information/>", `^<nc:rpc-reply xmlns:nc="[^"]+" xmlns:junos="http://xml.juniper.net/junos/[^"]+-EVO/junos" message-id="7">`},
		{"ptx-0005", "<get-virtual-chassis-information/>", `<nc:rpc-error>\n<nc:error-type>protocol<`},
		{"acx-0006", "<get-alarm-information/>", `<alarm-information xmlns="http://xml.juniper.net/junos/\d\d\.\dR0/junos-alarm">`},
		{"acx-0006", "<get-chassis-inventory><detail/></get-chassis-inventory>", `<chassis junos:style="inventory">`},
	} {
		if doc := ask(t, f.Device(tt.device), tt.operation); !regexp.MustCompile(tt.pattern).MatchString(doc) {
			t.Errorf("%s %s: no %s in\n%.1500s", tt.device, tt.operation, tt.pattern, doc)
		}
	}
}

// TestRefusals holds that nothing but show gets past, and what the device says.
func TestRefusals(t *testing.T) {
	f := newFleet(t, Config{Devices: 6})
	for operation, message := range map[string]string{
		"<get-configuration/>":                                                       "permission denied",
		"<get-config><source><running/></source></get-config>":                       "permission denied",
		"<edit-config><target><candidate/></target></edit-config>":                   "permission denied",
		"<lock><target><candidate/></target></lock>":                                 "permission denied",
		"<request-reboot/>":                                                          "permission denied",
		"<clear-interfaces-statistics-all/>":                                         "permission denied",
		"<file-show><filename>/etc/passwd</filename></file-show>":                    "permission denied",
		"<command>request system reboot</command>":                                   "permission denied",
		"<command>show configuration | display xml</command>":                        "permission denied",
		"<command>show sausages</command>":                                           "syntax error",
		"<get-sausages/>":                                                            "syntax error",
		"<sausages/>":                                                                "syntax error",
		"<get-chassis-inventory><sausages/></get-chassis-inventory>":                 "syntax error",
		`<get-software-information format="text"/>`:                                  "output format text is not available",
		"<get-chassis-inventory><extensive/><detail/></get-chassis-inventory>":       "syntax error",
		`<command format="json">show version</command>`:                              "output format json is not available",
		"<command>show version | save /tmp/x</command><!-- the pipe is let pass -->": "",
	} {
		for _, d := range f.Devices() {
			doc := ask(t, d, operation)
			names(t, doc)
			if got := strings.Contains(doc, "error-message>"+message); message != "" && !got {
				t.Errorf("%s on %s: want %q in\n%.800s", operation, d.Name, message, doc)
			}
		}
	}
}

func TestAttributesComeBack(t *testing.T) {
	d := newFleet(t, Config{Devices: 1}).Device("mx-0001")
	req, err := parseRequest([]byte(`<nc:rpc xmlns:nc="urn:ietf:params:xml:ns:netconf:base:1.0" xmlns:x="urn:x" x:a="1 &lt; 2 &quot;" message-id="a&amp;b" b="&#10;" b="twice"><nc:get-alarm-information/></nc:rpc>`))
	if err != nil {
		t.Fatal(err)
	}
	doc, item, err := d.answer(req)
	if err != nil || item != "show-chassis-alarms" {
		t.Fatal(item, err)
	}
	names(t, string(doc))
	for _, want := range []string{`x:a="1 &lt; 2 &quot;"`, `message-id="a&amp;b"`, `b="&#10;"`, `xmlns:x="urn:x"`} {
		if !bytes.Contains(doc[:bytes.IndexByte(doc, '>')], []byte(want)) {
			t.Errorf("no %s in %.400s", want, doc)
		}
	}
}

// everything is all that a device says, as one text.
func everything(t testing.TB, d *Device) string {
	var b strings.Builder
	for _, item := range junos.Catalogue() {
		b.WriteString(ask(t, d, item.RPC()))
	}
	return b.String()
}

func TestSeedDecides(t *testing.T) {
	one, same, other := newFleet(t, Config{Devices: 6, Seed: 9}), newFleet(t, Config{Devices: 12, Seed: 9}), newFleet(t, Config{Devices: 6, Seed: 10})
	for i, d := range one.Devices() {
		s, o := same.Devices()[i], other.Devices()[i]
		if everything(t, d) != everything(t, s) || d.HostKey != s.HostKey || d.Password != s.Password {
			t.Errorf("%s: the same seed gives another device", d.Name)
		}
		if everything(t, d) == everything(t, o) || d.HostKey == o.HostKey || d.Password == o.Password {
			t.Errorf("%s: another seed gives the same device", d.Name)
		}
	}
}

var serialElement = regexp.MustCompile(`<serial-number>([^<]+)</serial-number>`)

// TestDevicesDiffer holds that no serial, host name or key is given twice.
func TestDevicesDiffer(t *testing.T) {
	f := newFleet(t, Config{Devices: 240})
	owner := map[string]string{}
	claim := func(kind, value, device string) {
		if was := owner[kind+value]; was != "" && was != device {
			t.Errorf("%s %q belongs to %s and %s", kind, value, was, device)
		}
		owner[kind+value] = device
	}
	for _, d := range f.Devices() {
		claim("host name", d.HostName, d.Name)
		claim("host key", d.HostKey, d.Name)
		claim("reply", ask(t, d, "<get-interface-information><terse/></get-interface-information>"), d.Name)
		found := serialElement.FindAllStringSubmatch(ask(t, d, "<get-chassis-inventory><extensive/></get-chassis-inventory>"), -1)
		for _, m := range slices.Compact(slices.Sorted(maps.Keys(texts(found)))) {
			if m != "BUILTIN" {
				claim("serial", m, d.Name)
			}
		}
	}
	if len(owner) < 240*10 {
		t.Errorf("only %d names, keys and serials seen", len(owner))
	}
}

func texts(matches [][]string) map[string]bool {
	all := map[string]bool{}
	for _, m := range matches {
		all[m[1]] = true
	}
	return all
}

// TestSerialsAgree holds that replies of one device do not contradict each other.
func TestSerialsAgree(t *testing.T) {
	for _, d := range newFleet(t, Config{Devices: 24, Seed: 4}).Devices() {
		parts := texts(serialElement.FindAllStringSubmatch(ask(t, d, "<get-chassis-inventory><extensive/></get-chassis-inventory>"), -1))
		for s := range texts(serialElement.FindAllStringSubmatch(ask(t, d, "<get-route-engine-information/>"), -1)) {
			if !parts[s] {
				t.Errorf("%s: routing engine %s is not in the inventory", d.Name, s)
			}
		}
		member := regexp.MustCompile(`<member-serial-number>([^<]+)<`)
		for s := range texts(member.FindAllStringSubmatch(ask(t, d, "<get-virtual-chassis-information/>"), -1)) {
			if !parts[s] {
				t.Errorf("%s: member %s is not in the inventory", d.Name, s)
			}
		}
	}
}

// TestIdentity reads the facts with the reader that the product uses.
func TestIdentity(t *testing.T) {
	for _, d := range newFleet(t, Config{Devices: 24, Seed: 2}).Devices() {
		id, err := junos.ParseIdentity("show-version", []byte(ask(t, d, "<get-software-information/>")))
		if err != nil || id.Model != d.Product || id.Version != d.Release || id.HostName != d.HostName && !d.plat.evolved {
			t.Errorf("%s: %+v, %v; want %s %s %s", d.Name, id, err, d.HostName, d.Product, d.Release)
		}
		id, err = junos.ParseIdentity("show-chassis-hardware-extensive", []byte(ask(t, d, "<get-chassis-inventory><extensive/></get-chassis-inventory>")))
		if err != nil || len(id.Serials) == 0 || id.Serials[0] != d.chassisSerial(0) {
			t.Errorf("%s: serials %v, %v; want %s first", d.Name, id.Serials, err, d.chassisSerial(0))
		}
	}
}

// TestSerialsAreUnique counts the serials of the largest numbers that occur.
func TestSerialsAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for index := 0; index < 65000; index += 1300 {
		for part := 0; part < 1<<16; part += 7 {
			seen[serial(1, "C", index, part)] = true
		}
	}
	if want := 50 * (1<<16/7 + 1); len(seen) != want {
		t.Errorf("%d serials, want %d", len(seen), want)
	}
}

func TestLiveClock(t *testing.T) {
	now := epoch()
	f := newFleet(t, Config{Devices: 6, Clock: func() time.Time { return now }})
	for _, d := range f.Devices() {
		before := ask(t, d, "<get-system-uptime-information/>")
		now = now.Add(time.Hour)
		if after := ask(t, d, "<get-system-uptime-information/>"); after == before || names(t, after)[1] != names(t, before)[1] {
			t.Errorf("%s: an hour changes nothing", d.Name)
		}
	}
}

func TestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newFleet(t, Config{Devices: 1, Latency: time.Minute}).Devices()[0]
		began := time.Now()
		if err := d.wait(t.Context()); err != nil || time.Since(began) != time.Minute {
			t.Errorf("waited %v: %v", time.Since(began), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := d.wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a wait that is cancelled: %v", err)
		}
	})
}
