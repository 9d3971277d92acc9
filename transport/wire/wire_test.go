package wire

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"lwc/transport/secret"
)

const testCollector = "lwc-test-0001"

func p256(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func ed(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestCollectorID(t *testing.T) {
	for id, ok := range map[string]bool{
		"lwc-0001": true, "0abcdefgh": true, strings.Repeat("a", 63): true,
		"": false, "short": false, strings.Repeat("a", 64): false, "-starts-so": false,
		"Upper-case": false, "with+plus1": false, "with/slash": false, "with#hash1": false,
		"with$dollar": false, "ends-in-nl\n": false, "ünïcödé-id": false,
	} {
		if err := CheckCollectorID(id); (err == nil) != ok {
			t.Errorf("CheckCollectorID(%q) = %v", id, err)
		}
	}
}

func TestTopics(t *testing.T) {
	for _, prefix := range []string{"", "acme/eu/lwc"} {
		tp := Topics{prefix}
		for d, kinds := range kindsOf {
			for _, k := range kinds {
				id, gotD, gotK, err := tp.Parse(tp.Name(testCollector, d, k))
				if id != testCollector || gotD != d || gotK != k || err != nil {
					t.Errorf("%s %s: %q %q %q %v", d, k, id, gotD, gotK, err)
				}
			}
		}
	}
	for _, bad := range []string{
		"", "lwc/v1", "lwc/v1/" + testCollector, "lwc/v1/" + testCollector + "/up",
		"lwc/v1/" + testCollector + "/up/welcome", "lwc/v1/" + testCollector + "/down/hello",
		"lwc/v1/" + testCollector + "/up/fact/more", "lwc/v1/+/up/fact", "lwc/v2/" + testCollector + "/up/fact",
		"xlwc/v1/" + testCollector + "/up/fact", "lwc/v1/" + testCollector + "/sideways/fact",
	} {
		if id, _, _, err := (Topics{}).Parse(bad); err == nil || id != "" {
			t.Errorf("Parse(%q) = %q, %v", bad, id, err)
		}
	}
}

func TestSignAndVerify(t *testing.T) {
	in := Hello{V: Version, Collector: testCollector, Boot: NewID(), Nonce: []byte("0123456789abcdef")}
	for name, key := range map[string]crypto.Signer{"ecdsa": p256(t), "ed25519": ed(t)} {
		t.Run(name, func(t *testing.T) {
			msg, err := Sign(KindHello, in, key)
			if err != nil {
				t.Fatal(err)
			}
			var out Hello
			if err := Verify(KindHello, msg, key.Public(), &out); err != nil || out.Boot != in.Boot {
				t.Fatalf("%+v, %v", out, err)
			}
			for what, try := range map[string]func() error{
				"another kind":     func() error { return Verify(KindRun, msg, key.Public(), &out) },
				"another key":      func() error { return Verify(KindHello, msg, p256(t).Public(), &out) },
				"another ed key":   func() error { return Verify(KindHello, msg, ed(t).Public(), &out) },
				"no key":           func() error { return Verify(KindHello, msg, nil, &out) },
				"a changed byte":   func() error { return Verify(KindHello, tamper(t, msg), key.Public(), &out) },
				"a short ed25519":  func() error { return Verify(KindHello, msg, ed25519.PublicKey{1}, &out) },
				"without envelope": func() error { return Verify(KindHello, []byte(`{"v":1}`), key.Public(), &out) },
			} {
				out = Hello{}
				if err := try(); !errors.Is(err, ErrSignature) || out.Boot != "" {
					t.Errorf("%s: %v, decoded %+v", what, err, out)
				}
			}
		})
	}
}

// tamper changes the payload of an envelope and keeps the JSON valid.
func tamper(t *testing.T, msg []byte) []byte {
	t.Helper()
	var e Envelope
	if err := json.Unmarshal(msg, &e); err != nil {
		t.Fatal(err)
	}
	e.Payload = bytes.Replace(e.Payload, []byte(testCollector), []byte("lwc-test-0002"), 1)
	out, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestVersionAndUnknownFields(t *testing.T) {
	key := ed(t)
	sign := func(v any) []byte {
		msg, err := Sign(KindJob, v, key)
		if err != nil {
			t.Fatal(err)
		}
		return msg
	}
	var j Job
	if err := Verify(KindJob, sign(map[string]any{"v": 1, "id": "x", "newer": []int{1}}), key.Public(), &j); err != nil || j.ID != "x" {
		t.Errorf("an unknown field: %+v %v", j, err)
	}
	err := Verify(KindJob, sign(map[string]any{"v": 2, "id": "y"}), key.Public(), &j)
	if err == nil || !strings.Contains(err.Error(), "protocol version 2") || j.ID != "x" {
		t.Errorf("another version: %+v %v", j, err)
	}
	if err := Verify(KindJob, bytes.Repeat([]byte("x"), maxSigned+1), key.Public(), &j); err == nil {
		t.Error("an oversized message passes")
	}
	var h Health
	if err := Decode(KindHealth, []byte(`{"v":1,"rss":7}`), &h); err != nil || h.RSS != 7 {
		t.Errorf("Decode: %+v %v", h, err)
	}
}

// The example of the DSSE specification (protocol.md, test vectors).
func TestPAEVector(t *testing.T) {
	got := string(pae("http://example.com/HelloWorld", []byte("hello world")))
	if want := "DSSEv1 29 http://example.com/HelloWorld 11 hello world"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSealing(t *testing.T) {
	key, err := NewBootKey()
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewBootKey()
	if err != nil {
		t.Fatal(err)
	}
	info := CredentialInfo(testCollector, "boot", "lab", "1")
	in := CredentialSecret{Password: secret.FromString("pässword")}
	plain, err := in.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := SealTo(key.Public(), info, plain)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := key.Open(info, sealed)
	if err != nil {
		t.Fatal(err)
	}
	out, err := ParseCredential(opened)
	if err != nil || !out.Password.Equal(in.Password) {
		t.Fatalf("the password did not survive: %v", err)
	}
	sealed[len(sealed)-1] ^= 1
	_, errTampered := key.Open(info, sealed)
	sealed[len(sealed)-1] ^= 1
	_, errOther := other.Open(info, sealed)
	_, errInfo := key.Open(CredentialInfo(testCollector, "boot", "lab", "2"), sealed)
	_, errShort := key.Open(info, sealed[:5])
	_, errZero := BootKey{}.Open(info, sealed)
	for what, err := range map[string]error{"tampered": errTampered, "other boot": errOther, "other version": errInfo, "short": errShort, "no key": errZero} {
		if !errors.Is(err, ErrSealed) {
			t.Errorf("%s: %v", what, err)
		}
	}
	kept, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := LoadBootKey(kept)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := loaded.Open(info, sealed); err != nil {
		t.Errorf("a loaded key: %v", err)
	}
	if _, err := SealTo([]byte("short"), info, nil); err == nil {
		t.Error("sealing to a key that is none passes")
	}
}

func TestTokenRoundTripAndDamage(t *testing.T) {
	in := Token{Sort: EnrolToken, URL: "https://cloud.example:8443", CAPin: [32]byte{1, 2}, ID: "t1",
		Secret: secret.FromString("0123456789abcdef")}
	text := in.Encode()
	out, err := ParseToken(EnrolToken, secret.FromString(" \n"+string(text.Reveal())+"\n"))
	if err != nil || out.URL != in.URL || out.CAPin != in.CAPin || out.ID != in.ID || !out.Secret.Equal(in.Secret) {
		t.Fatalf("%+v %v", out, err)
	}
	if _, err := ParseToken(APIToken, text); err == nil || errors.Is(err, ErrToken) {
		t.Errorf("a token of another sort: %v", err)
	}
	whole := string(text.Reveal())
	for i := range whole {
		changed := []byte(whole)
		changed[i] ^= 1
		for _, bad := range []string{whole[:i], string(changed)} {
			if _, err := ParseToken(EnrolToken, secret.FromString(bad)); !errors.Is(err, ErrToken) {
				t.Fatalf("damage at %d: %v", i, err)
			} else if len(bad) > 20 && strings.Contains(err.Error(), bad[10:]) {
				t.Fatalf("the error repeats the token: %v", err)
			}
		}
	}
}

// A token says what its holder has to reach; an old one, and one of a cloud that
// has its broker in it, say it by the URL alone.
func TestTokenReach(t *testing.T) {
	for _, c := range []struct {
		url       string
		endpoints []string
		want      string
	}{
		{"https://cloud.example", nil, "cloud.example:443"},
		{"https://192.0.2.1:8443", nil, "192.0.2.1:8443"},
		{"https://[2001:db8::1]", []string{"[2001:db8::1]:443", "broker.example:8883"}, "[2001:db8::1]:443 broker.example:8883"},
		{"https://cloud.example", []string{"broker.example"}, ""},
		{"https://cloud.example", []string{"broker.example:0"}, ""},
		{"https://cloud.example", []string{":8883"}, ""},
		{"https://cloud.example", slices.Repeat([]string{"broker.example:8883"}, MaxTokenEndpoints+1), ""},
		{"https://cloud.example:0", nil, ""},
		{"https://:443", nil, ""},
	} {
		in := Token{Sort: EnrolToken, URL: c.url, ID: "t1", Secret: secret.FromString("0123456789abcdef"), Endpoints: c.endpoints}
		out, err := ParseToken(EnrolToken, in.Encode())
		if c.want == "" {
			if !errors.Is(err, ErrToken) {
				t.Errorf("%q %q: %v", c.url, c.endpoints, err)
			}
			continue
		}
		got, rerr := out.Reach()
		if err != nil || rerr != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%q %q: %q, %v, %v", c.url, c.endpoints, got, err, rerr)
		}
	}
}

func TestKindsAreDocumentedOnce(t *testing.T) {
	seen := map[Kind]int{}
	for _, ks := range kindsOf {
		for _, k := range ks {
			seen[k]++
		}
	}
	if seen[KindJob] != 2 || len(seen) != 12 || !slices.Contains(kindsOf[Down], KindReceipt) {
		t.Errorf("kinds: %v", seen)
	}
}

func secretOf(s string) secret.Text { return secret.FromString(s) }
