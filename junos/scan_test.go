package junos

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

const xnmNS = `xmlns="http://xml.juniper.net/xnm/1.1/xnm" xmlns:xnm="http://xml.juniper.net/xnm/1.1/xnm"`

func rpcErr(severity, message string) string {
	return "<rpc-error><error-type>protocol</error-type><error-tag>operation-failed</error-tag><error-severity>" +
		severity + "</error-severity><error-message>\n" + message + "\n</error-message><error-info><bad-element>el</bad-element></error-info></rpc-error>"
}

func engines(payloads ...string) string {
	var b strings.Builder
	b.WriteString("<multi-routing-engine-results>")
	for _, p := range payloads {
		b.WriteString("<multi-routing-engine-item><re-name>re0</re-name>" + p + "</multi-routing-engine-item>")
	}
	return b.String() + "</multi-routing-engine-results>"
}

func TestOutcome(t *testing.T) {
	const data = "<alarm-information><alarm>x</alarm></alarm-information>"
	const banner = "<cli><banner>{master}</banner></cli>"
	xnm := func(message string) string {
		return "<xnm:error " + xnmNS + "><source-daemon>mgd</source-daemon><message>" + message + "</message></xnm:error>"
	}
	for _, c := range []struct {
		name, payload string
		want          Outcome
		flags         []string
		errors        int
	}{
		{"data", data + banner, OK, nil, 0},
		{"data of two engines", engines(data, data), OK, nil, 0},
		{"no alarms", "<alarm-information><alarm-summary><no-active-alarms/></alarm-summary></alarm-information>", OK, nil, 0},
		{"nothing", "", Empty, nil, 0},
		{"banner only", banner, Empty, nil, 0},
		{"empty payload", `<interface-information xmlns="x" junos:style="description">` + "\n</interface-information>" + banner, Empty, nil, 0},
		{"empty payload of two engines", engines("<a/>", "<a> </a>"), Empty, nil, 0},
		{"text for people", "<output>LDP instance is up</output>", OK, nil, 0},
		{"CDATA", "<configuration-text><![CDATA[set system]]></configuration-text>", OK, nil, 0},
		{"denied", rpcErr("error", "permission denied"), Denied, nil, 1},
		{"denied by tag", "<rpc-error><error-tag>access-denied</error-tag></rpc-error>", Denied, nil, 1},
		{"syntax error", rpcErr("error", "syntax error, expecting &lt;x/&gt;"), Unsupported, nil, 1},
		{"syntax error, prefix", strings.NewReplacer("</", "</nc:", "<", "<nc:").Replace(rpcErr("error", "syntax error")), Unsupported, nil, 1},
		{"unrecognized", xnm("Unrecognized command (chassis-control)"), Unsupported, nil, 1},
		{"not valid on", xnm("command is not valid on the ex4300-48t"), Unsupported, nil, 1},
		{"cluster off", xnm("error: Chassis cluster is not enabled"), Unsupported, nil, 1},
		{"dead backup engine", engines("<output>could not connect to re1 : No route to host</output>", data), Partial, nil, 1},
		{"error of one engine, text", engines("<output>error: disk on fire</output>", data), Partial, nil, 1},
		{"error of one engine", engines(data, rpcErr("error", "disk on fire")), Partial, nil, 1},
		{"ok", "<ok/>", OK, nil, 0},
		{"ok beside an error", "<load-configuration-results>" + rpcErr("error", "syntax error") + "<ok/></load-configuration-results>", Unsupported, nil, 1},
		{"feature off, text", "<output>\nLDP instance is not running</output>" + banner, Unsupported, []string{FlagWarnings}, 1},
		{"text about a feature", "<output>BGP is up\nLDP instance is not running</output>", OK, nil, 0},
		{"backup engine", "<output>Aborted! This command can only be used on the master routing engine.</output>", Unsupported, nil, 1},
		{"retry in bare text", "<output>the chassis-control subsystem is not running</output>", RetryLater, nil, 1},
		{"daemon busy in bare text", "\nthe routing subsystem is not responding to management requests\n", RetryLater, nil, 1},
		{"retry within a text", "<output>log: abnormal communication termination with chassis-control</output>", OK, nil, 0},
		{"communication in bare text", "<output>Abnormal communication termination with chassis-control</output>", RetryLater, nil, 1},
		{"deadlock in bare text", "<output>Resource deadlock avoided</output>", RetryLater, nil, 1},
		{"timeout in bare text", "<output>timeout communicating with rpd</output>", RetryLater, nil, 1},
		{"no connection in bare text", "<output>Couldn't initiate connection</output>", Unsupported, nil, 1},
		{"feature off in bare text", "<output>lldp subsystem not running - not needed by configuration.</output>", Unsupported, []string{FlagWarnings}, 1},
		{"off on two engines", engines("<output>LDP instance is not running</output>", "<output>LDP instance is not running</output>"), Unsupported, []string{FlagWarnings}, 1},
		{"off on one engine", engines("<output>LDP instance is not running</output>", "<output>LDP is fine</output>"), OK, nil, 0},
		{"errors of two engines", engines("<output>error: permission denied</output>", "<output>error: permission denied</output>"), Denied, nil, 2},
		{"in use", "<rpc-error><error-tag>in-use</error-tag></rpc-error>", RetryLater, nil, 1},
		{"broken, data and an error", "<a>1" + rpcErr("error", "disk on fire"), Malformed, []string{FlagMalformed}, 1},
		{"no privileges", "<output>error: user 'x' does not have access privileges.</output>", Denied, nil, 1},
		{"data of the CLI", "<cli><working-directory>/var</working-directory></cli>" + banner, OK, nil, 0},
		{"dead backup engine, error", engines(xnm("could not connect to re1 : No route to host"), data), Partial, nil, 1},
		{"only dead engine", engines(xnm("could not connect to re1 : No route to host")), Unsupported, nil, 1},
		{"daemon down", xnm("the chassis-control subsystem is not responding to management requests"), RetryLater, nil, 1},
		{"daemon down, text", "<output>error: the chassis-control subsystem is not running</output>", RetryLater, nil, 1},
		{"communication", xnm("abnormal communication termination with chassis-control"), RetryLater, nil, 1},
		{"deadlock", rpcErr("error", "Resource deadlock avoided"), RetryLater, nil, 1},
		{"timeout", "\nerror: timeout communicating with routing daemon\n", RetryLater, nil, 1},
		{"other error", rpcErr("error", "disk on fire"), DeviceError, nil, 1},
		{"error without text", "<rpc-error>\n</rpc-error>", DeviceError, nil, 1},
		{"bare error element", "<error>\n Some error message.</error>", DeviceError, nil, 1},
		{"bare text", "\nprotocol: operation-failed\nerror: device asdf not found\n", DeviceError, nil, 1},
		{"text syntax error", "<output>\nsyntax error, expecting &lt;command&gt;.\n</output>", Unsupported, nil, 1},
		{"error beside data", data + rpcErr("error", "disk on fire"), Partial, nil, 1},
		{"error inside data", "<alarm-information><alarm>x</alarm>" + xnm("broken") + "</alarm-information>", Partial, nil, 1},
		{"counter called error", "<statistics><error>5</error><warning>1</warning></statistics>", OK, nil, 0},
		{"warning beside data", rpcErr("warning", "statement not found") + data, OK, []string{FlagWarnings}, 1},
		{"feature off", "<xnm:warning " + xnmNS + "><message>vrrp subsystem not running - not needed by configuration.</message></xnm:warning>", Unsupported, []string{FlagWarnings}, 1},
		{"warning alone", rpcErr("warning", "careful"), Empty, []string{FlagWarnings}, 1},
		{"warning in text, data", "<output>warning: odd\nand more</output>", OK, []string{FlagWarnings}, 1},
		{"invalid UTF-8", "<description>caf\xe9</description>", OK, []string{FlagRepaired}, 0},
		{"control character", "<description>a\x07b</description>", Malformed, []string{FlagMalformed}, 0},
		{"bare ampersand", "<description>a & b</description>", Malformed, []string{FlagMalformed}, 0},
		{"bare less-than", "<description>a < b</description>", Malformed, []string{FlagMalformed}, 0},
		{"unclosed", "<routing-engine><name>re0</name>", Malformed, []string{FlagMalformed}, 0},
		{"crossed", "<a><b>x</a></b>", Malformed, []string{FlagMalformed}, 0},
		{"unclosed, denied", "<x>" + rpcErr("error", "permission denied"), Denied, []string{FlagMalformed}, 1},
		{"unclosed quote", `<a b="c><d/></a>`, Malformed, []string{FlagMalformed}, 0},
		{"greater-than in quotes", `<a b="1>2" c='">'>x</a>`, OK, nil, 0},
		{"comment", "<!-- a -- <b> & --><a>x</a>", OK, nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := scanned([]byte(replyTo("1", c.payload)))
			if r.Outcome != c.want || !slices.Equal(r.Flags, c.flags) || len(r.Errors) != c.errors {
				t.Errorf("%s\ngot %+v, want %s %v and %d errors", c.payload, r, c.want, c.flags, c.errors)
			}
		})
	}
}

func TestRPCErrorFields(t *testing.T) {
	r := scanned([]byte(replyTo("1", rpcErr("error", "disk  on\nfire"))))
	want := RPCError{Severity: "error", Type: "protocol", Tag: "operation-failed", Element: "el", Message: "disk on fire"}
	if len(r.Errors) != 1 || r.Errors[0] != want {
		t.Errorf("got %+v", r.Errors)
	}
}

func TestWhole(t *testing.T) {
	for _, c := range []struct {
		name, doc string
		want      Outcome
	}{
		{"two roots", "<a>1</a><a>2</a>", Malformed},
		{"delimiter behind", "<a>1</a>]]>]]>", Malformed},
		{"text only", "hello", Malformed},
		{"text error only", "error: permission denied", Denied},
		{"nothing", "", Empty},
		{"rpc-error as root", rpcErr("error", "permission denied"), Denied},
		{"end tag only", "</a>", Malformed},
		{"declaration", "<?xml version='1.0'?><!DOCTYPE a><a>1</a>\n", OK},
		{"deep", strings.Repeat("<a>", 2000) + strings.Repeat("</a>", 2000), Malformed},
		{"long tag", "<a b='" + strings.Repeat("x", 1<<17) + "'>1</a>", Malformed},
		{"cut UTF-8", "<a>1</a>\n\xe2\x82", Malformed},
	} {
		r := scanned([]byte(c.doc))
		if r.Outcome != c.want {
			t.Errorf("%s: got %+v, want %s", c.name, r, c.want)
		}
		if !hashed([]byte(c.doc), r.RawSHA256, r.RawSize) {
			t.Errorf("%s: hash or size: %+v", c.name, r)
		}
	}
}

// Bounds hold whatever a device sends.
func TestScanIsBounded(t *testing.T) {
	many := strings.Repeat(rpcErr("error", strings.Repeat("x", 1<<15)), 100)
	s := newScan("", nil)
	s.write([]byte("<rpc-reply><output>" + strings.Repeat("error: y\n", 1<<16) + "</output>" + many + "</rpc-reply>"))
	r := s.result(false)
	if len(r.Errors) > maxErrors || len(s.reply.plain) > maxText || cap(s.reply.capture) > 2*maxCapture {
		t.Errorf("%d errors, %d bytes of text", len(r.Errors), len(s.reply.plain))
	}
	for _, e := range r.Errors {
		if len(e.Message) > 4*maxFact {
			t.Errorf("message of %d bytes", len(e.Message))
		}
	}
}

func TestScanDoesNotDependOnPieces(t *testing.T) {
	for _, row := range corpusFiles(t) {
		doc := skipLeading(readCorpus(t, row["file"]))
		want := scanned(doc)
		for _, n := range []int{1, 2, 7, 4096} {
			if _, got := inPieces(doc, n, nil); !reflect.DeepEqual(got, want) {
				t.Errorf("%s in pieces of %d: %+v, at once %+v", row["file"], n, got, want)
			}
		}
	}
}

// testdata/corpus.tsv is what an engineer who knows Junos calls each document of
// the corpus.
func TestCorpusOutcomes(t *testing.T) {
	table, err := os.ReadFile("testdata/corpus.tsv")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(string(table)), "\n")[1:] {
		file, rest, _ := strings.Cut(line, "\t")
		want[file] = rest
	}
	rows := corpusFiles(t)
	for _, row := range rows {
		r := scanned(readCorpus(t, row["file"]))
		got := strings.TrimSuffix(string(r.Outcome)+"\t"+strings.Join(r.Flags, ","), "\t")
		if got != want[row["file"]] {
			t.Errorf("%s is %q, want %q; errors %+v", row["file"], got, want[row["file"]], r.Errors)
		}
		if v := row["junos_version"]; r.Release != "" && !strings.Contains(string(readCorpus(t, row["file"])), r.Release+"/") {
			t.Errorf("%s: release %q, the manifest says %q", row["file"], r.Release, v)
		}
	}
	if len(rows) != len(want) {
		t.Errorf("%d documents, %d in the table", len(rows), len(want))
	}
}

func FuzzScan(f *testing.F) {
	for _, seed := range []string{replyTo("1", engines("<a b='c'>&amp;<![CDATA[x]]></a>", rpcErr("error", "no"))),
		"<!-- x --><?xml?><a>\xe2\x82\xac</a>", "<xnm:warning><message>x</message></xnm:warning>", "error: x", "<a", "</a>", "<!D <", "&#x1;"} {
		f.Add([]byte(seed), 3)
	}
	f.Fuzz(func(t *testing.T, doc []byte, n int) {
		out1, whole := inPieces(doc, len(doc), nil)
		out2, pieces := inPieces(doc, n%64, nil)
		if !reflect.DeepEqual(whole, pieces) || !bytes.Equal(out1, out2) {
			t.Errorf("at once %+v\nin pieces %+v", whole, pieces)
		}
		doc = skipLeading(doc)
		if !hashed(doc, whole.RawSHA256, whole.RawSize) || !hashed(out1, whole.SHA256, whole.Size) {
			t.Errorf("hash or size: %+v", whole)
		}
		if utf8.Valid(doc) != bytes.Equal(out1, doc) || !utf8.Valid(out1) || slices.Contains(whole.Flags, FlagRepaired) == utf8.Valid(doc) {
			t.Errorf("%q was handed on as %q", doc, out1)
		}
	})
}

func hashed(doc []byte, sum string, size int64) bool {
	want := sha256.Sum256(doc)
	return sum == hex.EncodeToString(want[:]) && size == int64(len(doc))
}

func TestResultAdvice(t *testing.T) {
	for doc, want := range map[string]string{
		"<a>1</a>":                            "",
		"<a/>":                                "without data",
		"<a>1":                                "not well-formed",
		rpcErr("error", "permission denied."): `it says "permission denied". Its login class`,
		rpcErr("error", "syntax error"):       `it says "syntax error"`,
		rpcErr("error", "disk on fire"):       `it says "disk on fire"`,
		"<rpc-error/>":                        "answered with an error. Run",
		"error: timeout communicating with routing daemon":                   "asked again",
		replyTo("1", rpcErr("warning", "x")+rpcErr("error", "y")+"<a>1</a>"): `it says "y"`,
	} {
		if got := scanned([]byte(doc)).Advice(); !strings.Contains(got, want) || (got == "") != (want == "") {
			t.Errorf("%s: %q, want %q in it", doc, got, want)
		}
	}
	s := newScan("", nil)
	s.write([]byte("<a>1"))
	if got := s.result(true).Advice(); !strings.Contains(got, "ended early") {
		t.Errorf("cut: %q", got)
	}
}
