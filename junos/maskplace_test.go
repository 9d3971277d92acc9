package junos

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// placeCases are values that are known by where they stand.
var placeCases = []struct{ name, in, want string }{
	{"prompt", "<banner>bob@r1&gt; show</banner><a>bob@r1-re0# set</a><a>root@r1:RE:0% ls</a><a>bob@r1:~ #</a>",
		"<banner>{{u:bob}}@r1&gt; show</banner><a>{{u:bob}}@r1-re0# set</a><a>{{u:root}}@r1:RE:0% ls</a><a>{{u:bob}}@r1:~ #</a>"},
	{"copy", "<a>scp bob@r1:/var/x .</a>", "<a>scp {{u:bob}}@r1:/var/x .</a>"},
	{"URL", "<a href='ftp://bob:pw@h/x'>scp://bob@h/x https://:p%40w@h ssh://bob:p/w@[2001:db8::1]:22</a>",
		"<a href='ftp://{{u:bob}}:{{s:pw}}@h/x'>scp://{{u:bob}}@h/x https://:{{s:p%40w}}@h ssh://{{u:bob}}:{{s:p/w}}@[2001:db8::1]:22</a>"},
	{"files", "<output>\n-rw-r-----  1 bob  wheel  9 Sep 17 11:17 x\ndrwxr-xr-x+ 2 eve  wheel  9 Sep 17 11:17 y\n</output>",
		"<output>\n-rw-r-----  1 {{u:bob}}  wheel  9 Sep 17 11:17 x\ndrwxr-xr-x+ 2 {{u:eve}}  wheel  9 Sep 17 11:17 y\n</output>"},
	{"su", "<m>su: bob to root on /dev/pts/0</m><m>BAD SU bob to root</m>", "<m>su: {{u:bob}} to root on /dev/pts/0</m><m>BAD SU {{u:bob}} to root</m>"},
	{"editing without a terminal", "<o>  bob (pid 24) on since\n  eve terminal (pid 24) on since\n  ann terminal p0 (pid 3) on since</o>",
		"<o>  {{u:bob}} (pid 24) on since\n  {{u:eve}} terminal (pid 24) on since\n  {{u:ann}} terminal p0 (pid 3) on since</o>"},
	{"session", "<m>session closed for user bob</m><m>permission denied for user bob</m><m>user bob does not have access privileges</m>",
		"<m>session closed for user {{u:bob}}</m><m>permission denied for user {{u:bob}}</m><m>user {{u:bob}} does not have access privileges</m>"},
	{"current user", "<o>Current user: 'bob   ' login: 'bob' class ''</o>", "<o>Current user: '{{u:bob   }}' login: '{{u:bob}}' class ''</o>"},
	{"names of elements", "<last-changed-by>bob</last-changed-by><x-username>bob</x-username><USER>bob</USER><a:b:user>bob</a:b:user>",
		"<last-changed-by>{{u:bob}}</last-changed-by><x-username>{{u:bob}}</x-username><USER>{{u:bob}}</USER><a:b:user>{{u:bob}}</a:b:user>"},
	{"names of attributes", "<a j:changed-by='bob' pre-shared-key=\"k\" chap-secret='k' Password='k'/>",
		"<a j:changed-by='{{u:bob}}' pre-shared-key=\"{{s:k}}\" chap-secret='{{s:k}}' Password='{{s:k}}'/>"},
	{"secret in a line", "<a>tacplus-server 192.0.2.1 secret k timeout 3;\nset system tacplus-server 192.0.2.1 secret k single-connection\nset security ike pre-shared-key ascii-text k</a>",
		"<a>tacplus-server 192.0.2.1 secret {{s:k}} timeout 3;\nset system tacplus-server 192.0.2.1 secret {{s:k}} single-connection\nset security ike pre-shared-key ascii-text {{s:k}}</a>"},
	{"key", "<a>set protocols ospf area 0 authentication md5 1 key k</a><a>md5 1 key k;</a><a>cak k;</a>",
		"<a>set protocols ospf area 0 authentication md5 1 key {{s:k}}</a><a>md5 1 key {{s:k}};</a><a>cak {{s:k}};</a>"},
	{"argon2", "<a>$argon2id$v=19$m=65536,t=3,p=4$abc$def, x</a>", "<a>{{s:$argon2id$v=19$m=65536,t=3,p=4$abc$def}}, x</a>"},
	{"hash with broken bytes", "<a>$9$ab\xffcd e</a>", "<a>{{s:$9$ab\uFFFDcd}} e</a>"},
	{"SSH2 key", "<a>---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\nMII\n---- END SSH2 ENCRYPTED PRIVATE KEY ----</a>",
		"<a>{{s:---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\nMII\n---- END SSH2 ENCRYPTED PRIVATE KEY ----}}</a>"},
	{"refused community", "<m>nsa_log_community: unauthorized SNMP community from 192.0.2.1 to 192.0.2.2 (pub)</m><m>unknown community name (pub)</m>",
		"<m>nsa_log_community: unauthorized SNMP community from 192.0.2.1 to 192.0.2.2 ({{c:pub}})</m><m>unknown community name ({{c:pub}})</m>"},
	{"community by name", "<a>set snmp v3 x community-name pub</a><a>trap-group pub {</a><a>set snmp trap-group pub targets 192.0.2.1</a>",
		"<a>set snmp v3 x community-name {{c:pub}}</a><a>trap-group {{c:pub}} {</a><a>set snmp trap-group {{c:pub}} targets 192.0.2.1</a>"},
	{"deep by the end of a name", "<x-password><y>k</y></x-password>", "<x-password><y>{{s:k}}</y></x-password>"},
	{"secret in JSON", "<r>\n\"encrypted-password\" : [\n{\n\"data\" : \"k\"\n}\n],\n\"a\" : [\n{\n\"data\" : \"k\"\n}]</r>",
		"<r>\n\"encrypted-password\" : [\n{\n\"data\" : \"{{s:k}}\"\n}\n],\n\"a\" : [\n{\n\"data\" : \"k\"\n}]</r>"},
}

// What only looks like a value is a fact, and stays.
func TestMaskKeepsFacts(t *testing.T) {
	mask := newTestMask(t, MaskConfig{})
	for _, text := range []string{
		"chacha20-poly1305@openssh.com,hmac-sha2-256-etm@openssh.com", "noc@example.com", "10G@1310nm%", "a@b",
		"http://host/a@b", "http://host:8080/x@y", "http://[2001:db8::1]/x@y", "http://xml.juniper.net/netconf/junos/1.0",
		"Users currently logged in: 3", "CPU utilization: User: 5 percent", "user 5% system 3%", "the user interface does not",
		"created by default", "changed by interface down", "requested by peer at", "rebooted by watchdog", "reset by 12:13:14 by reference",
		"waiting for reply from 192.0.2.1", "routes for inet from peer", "no-resolve", "-r--", "x -rw-r----- 1 bob", "-rw-r----- x bob",
		"set system login password minimum-length 10", "password format sha512;", "key exchange", "authentication-key-chain foo;",
		"community 65000:100", "set policy-options community FOO members 65000:1", "unauthorized community (65000:1)", "trap-group", "trap-group x", "the community-name x",
		"Last login: Thu Sep 17", "su: bob", "x (pid 24) exited", "$Id: hosts.junos,v 1.7 x Exp $", "licence for 5 users", "a key to b",
	} {
		doc := "<description>" + text + "</description>"
		if out, r := inPieces([]byte(doc), 3, mask); string(out) != doc || r.Masked != nil {
			t.Errorf("%s became %s", doc, out)
		}
	}
	for _, doc := range []string{"<cpu-user>12</cpu-user>", "<user-class-name>super-user</user-class-name>", "<user-count>3</user-count>", "<a:-username>x</a:-username>",
		"<password-type>x</password-type>", "<user><name-x>keep</name-x></user>", "<a username-x='b' xuser='b'/>", "<uid>0</uid>", "<serial-number>JN1</serial-number>"} {
		if out, _ := inPieces([]byte(doc), 3, mask); string(out) != doc {
			t.Errorf("%s became %s", doc, out)
		}
	}
}

// Pseudonyms of addresses are in the ranges that are documented for them.
func TestMaskedAddressRanges(t *testing.T) {
	v4, v6 := netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("2001:db8::/32")
	n := namer{key: maskKey}
	for i := range 256 {
		four, six := netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), netip.MustParseAddr(fmt.Sprintf("fe80::%x", i))
		if a, err := netip.ParseAddr(string(n.ofIP(nil, four))); err != nil || !v4.Contains(a) || special(a) {
			t.Fatalf("%s became %s", four, a)
		}
		if a, err := netip.ParseAddr(string(n.ofIP(nil, six))); err != nil || !v6.Contains(a) {
			t.Fatalf("%s became %s", six, a)
		}
	}
}

// A secret with more elements in it than a scan follows is masked all the same.
func TestMaskDeepInSecret(t *testing.T) {
	doc := "<secret>" + strings.Repeat("<a>", 2*maxDepth) + "Z7"
	if out, r := inPieces([]byte(doc), 100, newTestMask(t, MaskConfig{})); strings.Contains(string(out), "Z7") || r.Masked["secrets"] != 1 {
		t.Errorf("%v: %s", r.Masked, out[len(out)-30:])
	}
}
