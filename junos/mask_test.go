package junos

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
)

var maskKey = []byte("0123456789abcdef0123456789abcdef")

func newTestMask(t testing.TB, c MaskConfig) *Mask {
	t.Helper()
	c.Key = maskKey
	m, err := NewMask(c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// everyClass is all that can be masked.
var everyClass = []MaskClass{MaskUserNames, MaskCommunities, MaskSecrets, MaskMACs, MaskIPs, MaskDescriptions}

// named is the pseudonym of a value.
func named(class MaskClass, value string) string {
	n := namer{key: maskKey}
	return string(n.of(nil, class, []byte(value)))
}

// expand puts pseudonyms where "{class:value}" stands.
func expand(s string) string {
	words := map[string]MaskClass{"u": MaskUserNames, "c": MaskCommunities, "s": MaskSecrets, "d": MaskDescriptions, "x": "custom"}
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(s, "{{")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		value, after, _ := strings.Cut(rest, "}}")
		word, value, _ := strings.Cut(value, ":")
		b.WriteString(named(words[word], value))
		s = after
	}
}

const (
	crypt9  = "$9$abcDEF.12/x-y"
	crypt8  = "$8$aes256-gcm$hmac-sha2-256$100$nTO8LZYe+Mk=$UAUS8T3c1ZWNRZWC=="
	crypt6  = "$6$rounds=5000$salt$Bz/1kCYM.7T"
	sshKey  = "AAAAC3NzaC1lZDI1NTE5AAAAIBwGqZ0E5kz"
	pemBody = "MIIEpAIBAAKCAQEA7\nqzL+/w==\n"
	pem     = "-----BEGIN RSA PRIVATE KEY-----\n" + pemBody + "-----END RSA PRIVATE KEY-----"
)

var maskCases = []struct{ name, in, want string }{
	{"commit", "<commit-history><user>bob</user><client>cli</client></commit-history>", "<commit-history><user>{{u:bob}}</user><client>cli</client></commit-history>"},
	{"space around", "<user>\n bob\t</user>", "<user>\n {{u:bob}}\t</user>"},
	{"empty", "<user> </user><user/><user></user>", "<user> </user><user/><user></user>"},
	{"reference", "<user>a&amp;b</user><user>a&#38;b</user><user>a&#x26;b</user><user>&#32;a<![CDATA[&]]>b&#10;</user>",
		"<user>{{u:a&b}}</user><user>{{u:a&b}}</user><user>{{u:a&b}}</user><user>&#32;<![CDATA[]]>{{u:a&b}}&#10;</user>"},
	{"CDATA", "<user><![CDATA[ bob ]]></user>", "<user><![CDATA[ ]]>{{u:bob}} </user>"},
	{"comment in a value", "<user>b<!-- x -->ob</user>", "<user><!-- x -->{{u:bob}}</user>"},
	{"prefix", "<a:user xmlns:a='x'>bob</a:user>", "<a:user xmlns:a='x'>{{u:bob}}</a:user>"},
	{"around a child", "<user>a<x>keep</x>b</user>", "<user>{{u:a}}<x>keep</x>{{u:b}}</user>"},
	{"login", "<login><user><name>bob</name><uid>7</uid></user></login><x><name>x</name></x>", "<login><user><name>{{u:bob}}</name><uid>7</uid></user></login><x><name>x</name></x>"},
	{"secret, deep", "<authentication-key><x>abc</x> d </authentication-key><a>abc</a>", "<authentication-key><x>{{s:abc}}</x> {{s:d}} </authentication-key><a>abc</a>"},
	{"secret by suffix", "<tunnel-password>abc</tunnel-password><radius-secret>abc</radius-secret>", "<tunnel-password>{{s:abc}}</tunnel-password><radius-secret>{{s:abc}}</radius-secret>"},
	{"attribute", "<a junos:commit-user=\" bob\" b='user bob'/>", "<a junos:commit-user=\" {{u:bob}}\" b='user bob'/>"},
	{"secret in an attribute", `<a k="x ` + crypt9 + `&amp;"/>`, `<a k="x {{s:` + crypt9 + `}}&amp;"/>`},
	{"hashes", "<a>" + crypt9 + "</a><b>x " + crypt8 + ", " + crypt6 + ";</b>", "<a>{{s:" + crypt9 + "}}</a><b>x {{s:" + crypt8 + "}}, {{s:" + crypt6 + "}};</b>"},
	{"hash with references", "<a>&#36;9&#36;ab&#x63;!</a>", "<a>{{s:$9$abc}}!</a>"},
	{"hash over CDATA", "<a>$9<![CDATA[$ab]]>c d</a>", "<a>{{s:$9$abc}}<![CDATA[]]> d</a>"},
	{"no hash", "<a>$12.50 $x$y $ $9$</a>", "<a>$12.50 $x$y $ $9$</a>"},
	{"private key", "<a>x\n" + pem + "\ny</a>", "<a>x\n{{s:" + pem + "}}\ny</a>"},
	{"private key, cut", "<a>x\n-----BEGIN PRIVATE KEY-----\n" + pemBody + "</a><b>x</b>", "<a>x\n{{s:-----BEGIN PRIVATE KEY-----\n" + pemBody + "}}</a><b>x</b>"},
	{"private key in CDATA", "<a><![CDATA[" + pem + "]]></a>", "<a><![CDATA[{{s:" + pem + "}}]]></a>"},
	{"certificate", "<a>-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----</a>", "<a>-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----</a>"},
	{"SSH key", "<a>ssh-ed25519 " + sshKey + " bob@example;</a>", "<a>ssh-ed25519 {{s:" + sshKey + " bob@example}};</a>"},
	{"configuration", "<a>\nsecret \"a b\"; ## SECRET-DATA\nset system radius-server 192.0.2.1 secret abc\n</a>", "<a>\nsecret \"{{s:a b}}\"; ## SECRET-DATA\nset system radius-server 192.0.2.1 secret {{s:abc}}\n</a>"},
	{"password", "<a>password=abc, passphrase: \"d e\"</a>", "<a>password={{s:abc}}, passphrase: \"{{s:d e}}\"</a>"},
	{"prose", "<a>The password was changed, key exchange failed</a>", "<a>The password was changed, key exchange failed</a>"},
	{"community", "<a>set snmp community public authorization read-only</a><b>snmp community 'x y'</b><c>community: 65000:100</c>", "<a>set snmp community {{c:public}} authorization read-only</a><b>snmp community '{{c:x y}}'</b><c>community: 65000:100</c>"},
	{"community, path", "<snmp><community><name>public</name></community></snmp><rt><community>65000:1</community></rt>", "<snmp><community><name>{{c:public}}</name></community></snmp><rt><community>65000:1</community></rt>"},
	{"hello comment", "<!-- user lwc, class super-user -->\n<a>x</a>", "<!-- user {{u:lwc}}, class super-user -->\n<a>x</a>"},
	{"logs", "<log>commit by bob via netconf</log><log>User 'bob' logged in</log><m>configured by junos_config</m>", "<log>commit by {{u:bob}} via netconf</log><log>User '{{u:bob}}' logged in</log><m>configured by {{u:junos_config}}</m>"},
	{"not by a user", "<m>vrrp not running - not needed by configuration.</m>", "<m>vrrp not running - not needed by configuration.</m>"},
	{"table of users", "<output>\nUSER     TTY      FROM     LOGIN@  IDLE WHAT\nbob      p0       192.0.2.1 1:00AM  - -cli (cli)\nalice    p1  x\n\nbob x</output>", "<output>\nUSER     TTY      FROM     LOGIN@  IDLE WHAT\n{{u:bob}}      p0       192.0.2.1 1:00AM  - -cli (cli)\n{{u:alice}}    p1  x\n\nbob x</output>"},
	{"table of processes", "<output>\n  PID USERNAME THR PRI\n   10 root       1  20\n12345 bob        1  20</output>", "<output>\n  PID USERNAME THR PRI\n   10 {{u:root}}       1  20\n12345 {{u:bob}}        1  20</output>"},
	{"JSON", "<r>\n\"user\" : [\n{\n\"data\" : \"bob\"\n}\n],\n\"tty\" : [\n{\n\"data\" : \"p0\"\n}\n]</r>", "<r>\n\"user\" : [\n{\n\"data\" : \"{{u:bob}}\"\n}\n],\n\"tty\" : [\n{\n\"data\" : \"p0\"\n}\n]</r>"},
	{"home", "<d name=\"/var/home/bob/\">/cf/var/home/bob</d>", "<d name=\"/var/home/{{u:bob}}/\">/cf/var/home/{{u:bob}}</d>"},
	{"sshd", "<a>sshd: bob@pts/0 (sshd)</a><a>Accepted password for bob from 192.0.2.1 port 22</a>", "<a>sshd: {{u:bob}}@pts/0 (sshd)</a><a>Accepted password for {{u:bob}} from 192.0.2.1 port 22</a>"},
	{"locked", "<m>configuration database locked by:\n  bob terminal pts/0 (pid 2345) on since now</m>", "<m>configuration database locked by:\n  {{u:bob}} terminal pts/0 (pid 2345) on since now</m>"},
	{"unclosed", "<user>bob", "<user>{{u:bob}}"},
	{"bare markup in a value", "<user>a<3&b</user>", "<user>{{u:a<3&b}}</user>"},
	{"unfinished tag", "<a b='" + crypt9, "<a b='{{s:" + crypt9 + "}}"},
	{"end tag", "<a>x</a " + crypt9 + ">", "<a>x</a {{s:" + crypt9 + "}}>"},
	{"unfinished comment", "<a>x</a><!-- " + crypt9 + " -", "<a>x</a><!-- {{s:" + crypt9 + "}} -"},
	{"comment's end", "<!--" + crypt9 + "--><a/>", "<!--{{s:" + crypt9 + "--}}><a/>"},
	{"instruction", "<?x user bob, class y?><a/>", "<?x user {{u:bob}}, class y?><a/>"},
	{"no XML", "user=bob password=abc", "user={{u:bob}} password={{s:abc}}"},
}

func TestMask(t *testing.T) {
	mask := newTestMask(t, MaskConfig{})
	for _, c := range slices.Concat(maskCases, placeCases) {
		if c.name == "comment's end" {
			c.want = strings.Replace(c.want, "--}}>", "}}-->", 1)
		}
		want := expand(c.want)
		for n := 1; n <= len(c.in); n++ {
			out, r := inPieces([]byte(c.in), n, mask)
			if string(out) != want {
				t.Errorf("%s in pieces of %d:\n%s\nwant\n%s", c.name, n, out, want)
				break
			}
			if masked := want != c.in; masked != (len(r.Masked) > 0) || !hashed([]byte(c.in), r.RawSHA256, r.RawSize) || !hashed(out, r.SHA256, r.Size) {
				t.Errorf("%s: %+v", c.name, r)
			}
		}
	}
}

// Two pieces, cut at every offset.
func TestMaskSplits(t *testing.T) {
	mask := newTestMask(t, MaskConfig{Classes: everyClass})
	for _, c := range slices.Concat(maskCases, placeCases) {
		doc := []byte("<x>" + c.in + " 192.0.2.1</x>")
		want, wantResult := inPieces(doc, len(doc), mask)
		for cut := range doc {
			s := newScan("", mask)
			got := bytes.Clone(s.write(doc[:cut]))
			got = append(got, s.write(doc[cut:])...)
			got = append(got, s.end()...)
			if r := s.result(false); !bytes.Equal(got, want) || !reflect.DeepEqual(r, wantResult) {
				t.Fatalf("%s cut at %d:\n%s\nwant\n%s", c.name, cut, got, want)
			}
		}
	}
}

func TestMaskRules(t *testing.T) {
	mask := newTestMask(t, MaskConfig{Classes: []MaskClass{}, Rules: []MaskRule{
		{Class: "custom", Item: "show-version", Path: "software-information/host-name"},
		{Class: "custom", Path: "asset", Pattern: `SN[0-9]+`},
		{Class: "custom", Pattern: `ticket #([0-9]+)`},
		{Class: "custom", Path: "site/@name"},
	}})
	const doc = "<software-information><host-name>r1</host-name></software-information><host-name>r1</host-name>" +
		"<asset>SN1 SN&#50; x</asset><a>SN1 ticket #7</a><user>bob</user><site name='R&amp;D' b='SN1'/>"
	const common = "<asset>{{x:SN1}} {{x:SN2}} x</asset><a>SN1 ticket #{{x:7}}</a><user>bob</user><site name='{{x:R&D}}' b='SN1'/>"
	for item, want := range map[string]string{
		"show-version": "<software-information><host-name>{{x:r1}}</host-name></software-information><host-name>r1</host-name>" + common,
		"show-users":   "<software-information><host-name>r1</host-name></software-information><host-name>r1</host-name>" + common,
	} {
		s := newScan(item, mask)
		out := append(bytes.Clone(s.write([]byte(doc))), s.end()...)
		if want = expand(want); string(out) != want {
			t.Errorf("%s:\n%s\nwant\n%s", item, out, want)
		}
		if n := s.result(false).Masked["custom"]; n < 4 {
			t.Errorf("%d counted", n)
		}
	}
}

func TestNewMaskRefuses(t *testing.T) {
	for name, c := range map[string]MaskConfig{
		"short key": {Key: []byte("x")},
		"class":     {Key: maskKey, Classes: []MaskClass{"nonsense"}},
		"name":      {Key: maskKey, Rules: []MaskRule{{Class: "A b", Path: "x"}}},
		"pattern":   {Key: maskKey, Rules: []MaskRule{{Class: "a", Pattern: "("}}},
		"path":      {Key: maskKey, Rules: []MaskRule{{Class: "a", Path: "x//y"}}},
		"nothing":   {Key: maskKey, Rules: []MaskRule{{Class: "a"}}},
		"item":      {Key: maskKey, Rules: []MaskRule{{Class: "a", Item: "x", Path: "b c"}}},
	} {
		if m, err := NewMask(c); !errors.Is(err, errMask) || m != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMaskAddresses(t *testing.T) {
	mask := newTestMask(t, MaskConfig{Classes: []MaskClass{MaskMACs, MaskIPs}})
	for in, masked := range map[string]int{
		"192.0.2.1": 1, "192.0.2.1/24": 1, "192.0.2.1.22": 1, "192.0.2.1+179": 1, "192.0.2.1-192.0.2.9": 2, "192.0.2.1, 192.0.2.1.": 2,
		"2001:db8::1": 1, "2001:DB8:0:0::1/64": 1, "fe80::1%ge-0/0/0.0": 1, "[2001:db8::1]:22": 1, "2001:db8::1.22": 1,
		"00:11:22:aa:BB:cc": 1, "00-11-22-aa-bb-cc": 1, "MAC 00:11:22:aa:bb:cc, x": 1,
		"0.0.0.0": 0, "255.255.255.0": 0, "127.0.0.1": 0, "::1": 0, "::": 0, "224.0.0.5": 0,
		"11:17:32": 0, "23.4R2-S7.4": 0, "ge-0/0/0.0": 0, "49.0001.0100.0000.0001.00": 0, "x192.0.2.1": 0, "1.2.3": 0, "face": 0, "256.1.1.1": 0, "dead:beef": 0,
	} {
		doc := "<a b='" + in + "'>" + in + "</a>"
		out, r := inPieces([]byte(doc), 1, mask)
		if got := r.Masked[string(MaskMACs)] + r.Masked[string(MaskIPs)]; got != 2*masked || (got == 0) != (string(out) == doc) {
			t.Errorf("%s: %d masked: %s", doc, got, out)
		}
	}
	same := func(a, b string) {
		x, _ := inPieces([]byte("<a>"+a+"</a>"), 9, mask)
		y, _ := inPieces([]byte("<a>"+b+"</a>"), 9, mask)
		if !bytes.Equal(x, y) {
			t.Errorf("%s and %s differ: %s, %s", a, b, x, y)
		}
	}
	same("2001:db8::1", "2001:DB8:0:0::0001")
	same("00:aa:bb:cc:dd:ee", "00:AA:BB:cc:dd:ee")
}

// A device's word about an error does not tell more than the document does.
func TestMaskedErrors(t *testing.T) {
	doc := "<rpc-reply><a>x</a>" + rpcErr("error", "password=abc of User 'bob'") + "</rpc-reply>"
	for n := 1; n < len(doc); n += 7 {
		_, r := inPieces([]byte(doc), n, newTestMask(t, MaskConfig{}))
		if want := expand("password={{s:abc}} of User '{{u:bob}}'"); len(r.Errors) != 1 || r.Errors[0].Message != want {
			t.Fatalf("%+v, want %q", r.Errors, want)
		}
	}
}

// Values and texts of any length, in memory that does not grow.
func TestMaskLongValues(t *testing.T) {
	mask := newTestMask(t, MaskConfig{})
	long := strings.Repeat("x9", 100<<10)
	for _, c := range []struct{ name, in, want string }{
		{"value", "<user> " + long + " </user>", "<user> {{u:" + long + "}} </user>"},
		{"hash", "<a>b $9$" + long + " c</a>", "<a>b {{s:$9$" + long + "}} c</a>"},
		{"quoted", "<a>secret \"" + long + " " + long + "\" c</a>", "<a>secret \"{{s:" + long + " " + long + "}}\" c</a>"},
		{"attribute", "<a b='$9$" + long[:50<<10] + "'/>", "<a b='{{s:$9$" + long[:50<<10] + "}}'/>"},
		{"private key", "<a>" + strings.Replace(pem, "MII", long, 1) + "</a>", "<a>{{s:" + strings.Replace(pem, "MII", long, 1) + "}}</a>"},
		{"long tag", "<a b='" + long + "' c='" + crypt9 + "'>" + crypt9 + "</a>", "<a b='" + long + "' c='{{s:" + crypt9 + "}}'>{{s:" + crypt9 + "}}</a>"},
		{"deep", strings.Repeat("<a>", 2000) + "<user>bob</user>" + crypt9, strings.Repeat("<a>", 2000) + "<user>{{u:bob}}</user>{{s:" + crypt9 + "}}"},
		{"far behind", "<a>" + long + " user=bob, " + long + "</a>", "<a>" + long + " user={{u:bob}}, " + long + "</a>"},
	} {
		for _, n := range []int{100, 4096, 1 << 20} {
			out, r := inPieces([]byte(c.in), n, mask)
			if string(out) != expand(c.want) {
				t.Errorf("%s in pieces of %d: %d bytes, %v", c.name, n, len(out), r.Masked)
			}
		}
	}
}

// At each offset from the end of a window a value is found.
func TestMaskWindows(t *testing.T) {
	mask := newTestMask(t, MaskConfig{})
	for _, value := range []string{crypt9, "user=bob,", "-----BEGIN PRIVATE KEY-----", "ssh-rsa " + sshKey} {
		for offset := 0; offset < 2*maskOverlap; offset += 1 + offset/4 {
			doc := "<a>" + strings.Repeat("z ", (maskWindow-offset)/2) + strings.Repeat(" ", offset%2) + value + " " + strings.Repeat("z ", maskWindow) + "</a>"
			out, r := inPieces([]byte(doc), 5000, mask)
			if len(r.Masked) != 1 || bytes.Contains(out, []byte(value)) {
				t.Fatalf("%s at %d of a window: %v", value, maskWindow-offset, r.Masked)
			}
		}
	}
}

// Every document of the corpus, masked, is as well-formed as it was, and the same
// whichever way it came.
func TestMaskCorpus(t *testing.T) {
	mask, all := newTestMask(t, MaskConfig{}), newTestMask(t, MaskConfig{Classes: everyClass})
	for _, row := range corpusFiles(t) {
		doc := skipLeading(readCorpus(t, row["file"]))
		plain := scanned(doc)
		for _, m := range []*Mask{mask, all} {
			out, r := inPieces(doc, len(doc), m)
			if r.Outcome != plain.Outcome || (len(r.Masked) == 0) != bytes.Equal(out, doc) || len(r.Masked) == 0 && r.SHA256 != r.RawSHA256 {
				t.Errorf("%s: %+v, unmasked %+v", row["file"], r, plain)
			}
			if wellFormed(doc) && !wellFormed(out) {
				t.Errorf("%s: no longer well-formed", row["file"])
			}
			for _, n := range []int{1, 3, 1000} {
				if got, gotResult := inPieces(doc, n, m); !bytes.Equal(got, out) || !reflect.DeepEqual(gotResult, r) {
					t.Errorf("%s in pieces of %d: %+v, want %+v", row["file"], n, gotResult, r)
				}
			}
		}
	}
}

func FuzzMask(f *testing.F) {
	const canary = "c4narY"
	for _, c := range slices.Concat(maskCases, placeCases) {
		f.Add([]byte(c.in), 3, 0)
	}
	f.Add([]byte("<a b='x'>y<![CDATA[z]]>&lt;</a>"), 7, 12)
	f.Fuzz(func(t *testing.T, doc []byte, n, at int) {
		mask := newTestMask(t, MaskConfig{Classes: everyClass})
		out, r := inPieces(doc, len(doc), mask)
		pieces, r2 := inPieces(doc, n%64, mask)
		if !bytes.Equal(out, pieces) || !reflect.DeepEqual(r, r2) {
			t.Fatalf("at once %q, %+v\nin pieces %q, %+v", out, r, pieces, r2)
		}
		doc = skipLeading(doc)
		if len(r.Masked) == 0 && len(r.Flags) == 0 && !bytes.Equal(out, doc) {
			t.Errorf("%q became %q", doc, out)
		}
		if wellFormed(doc) && !slices.Contains(r.Flags, FlagMalformed) && !wellFormed(out) {
			t.Errorf("%q became %q", doc, out)
		}
		leaks(t, mask, doc, at, canary)
	})
}

// leaks puts a secret at a place in a document, whatever it is there.
func leaks(t *testing.T, mask *Mask, doc []byte, at int, canary string) {
	at = max(0, at) % (len(doc) + 1)
	with := string(doc[:at]) + " $9$" + canary + " " + string(doc[at:])
	if out, _ := inPieces([]byte(with), 5, mask); strings.Contains(string(out), canary) {
		t.Errorf("%q became %q", with, out)
	}
}

// Long texts and many lines take no more memory than short ones.
func TestScanMemoryIsFlat(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a second")
	}
	mask := newTestMask(t, MaskConfig{})
	for name, piece := range map[string]string{
		"one text":  strings.Repeat("x", 32<<10),
		"one value": "<user>" + strings.Repeat("y", 32<<10),
		"lines":     strings.Repeat("<a>1 2</a>\n<b>user bob has "+crypt9+"</b>\n", 700),
	} {
		s := newScan("", mask)
		s.write([]byte("<r><o>"))
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for range 16 << 20 / len(piece) {
			s.write([]byte(piece))
			if name == "one value" {
				piece = piece[len(piece)-32<<10:]
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 {
			t.Errorf("%s: %d bytes more in use", name, grown)
		}
		runtime.KeepAlive(s)
	}
}

// A pseudonym is the first 64 bits of the HMAC of class and value: what others
// computed with the key, they find again.
func TestPseudonym(t *testing.T) {
	mac := hmac.New(sha256.New, maskKey)
	mac.Write([]byte("user-names\x00J. R. bob"))
	want := fmt.Sprintf("<user>user-%x</user>", mac.Sum(nil)[:8])
	if out, _ := inPieces([]byte("<user>J.  R.\n bob</user>"), 2, newTestMask(t, MaskConfig{})); string(out) != want {
		t.Errorf("%s, want %s", out, want)
	}
}
