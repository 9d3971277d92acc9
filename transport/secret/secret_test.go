package secret

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

const canary = "hunter2-canary"

func TestNothingPrintsASecret(t *testing.T) {
	s := FromString(canary)
	holder := struct {
		Name string
		Pass Text
		Ptr  *Text
	}{"x", s, &s}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+"\n", holder)
		fmt.Fprintf(&out, verb+"\n", s)
	}
	b, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(b)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "secret", s, "holder", holder)
	slog.New(slog.NewTextHandler(&out, nil)).Info("m", "secret", s, "holder", holder)
	hex := fmt.Sprintf("%x", canary)
	decimal := strings.Trim(fmt.Sprint([]byte(canary)), "[]")
	for _, bad := range []string{canary, hex, decimal} {
		if strings.Contains(out.String(), bad) {
			t.Fatalf("the secret shows as %q in:\n%s", bad, out.String())
		}
	}
}

func TestWipeReachesEveryCopy(t *testing.T) {
	raw := []byte(canary)
	s := New(raw)
	c := s
	s.Wipe()
	if !c.Empty() || !bytes.Equal(raw, make([]byte, len(raw))) {
		t.Fatalf("after Wipe a copy reveals %q, the array holds %q", c.Reveal(), raw)
	}
	Text{}.Wipe()
}

func TestEqualAndUnmarshal(t *testing.T) {
	var s Text
	if err := json.Unmarshal([]byte(`"`+canary+`"`), &s); err != nil {
		t.Fatal(err)
	}
	if !s.Equal(FromString(canary)) || s.Equal(FromString("x")) || !(Text{}).Equal(Text{}) {
		t.Fatal("Equal is wrong")
	}
}
