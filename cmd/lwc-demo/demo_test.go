package main

import (
	"strings"
	"testing"
)

func TestMissing(t *testing.T) {
	good, bad := []string{"a", "b"}, map[string]string{"x": "auth"}
	a, b := row{Device: "a", State: "ok", Documents: 2}, row{Device: "b", State: "ok", Documents: 2}
	x := row{Device: "x", State: "failed", Kind: "auth", Error: "The device refused the log-in."}
	for name, c := range map[string]struct {
		rows []row
		want string // in the error; empty: none
	}{
		"all as expected":     {[]row{a, b, x}, ""},
		"a document short":    {[]row{a, {Device: "b", State: "ok", Documents: 1}, x}, "b: 1 documents"},
		"a device short":      {[]row{a, x}, "b: 0 documents"},
		"good one failed":     {[]row{a, {Device: "b", State: "failed", Kind: "closed", Documents: 2}, x}, "failed: closed"},
		"another reason":      {[]row{a, b, {Device: "x", Kind: "connect", Error: "No answer."}}, `"connect"`},
		"a reason, no words":  {[]row{a, b, {Device: "x", Kind: "auth"}}, "x: the reason"},
		"the bad one is fine": {[]row{a, b, {Device: "x", State: "ok", Documents: 2}}, "x: the reason"},
		"nothing at all":      {nil, "a: 0 documents"},
	} {
		err := missing(c.rows, good, bad, 2)
		if (err == nil) != (c.want == "") || (err != nil && !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestProbed(t *testing.T) {
	names := []string{"mx-1", "acx-2"}
	fine := "mx-1: can be collected\n  auth  ok\nacx-2: fails at subsystem\n"
	for said, ok := range map[string]bool{
		fine: true,
		strings.Replace(fine, "can be collected", "fails at auth", 1):    false,
		strings.Replace(fine, "fails at subsystem", "fails at hello", 1): false,
		"mx-1: can be collected\n":                                       false,
	} {
		if err := probed(said, names); (err == nil) != ok {
			t.Errorf("%q: %v", said, err)
		}
	}
}

func TestParse(t *testing.T) {
	var out, errs strings.Builder
	if o, err := parse([]string{"--once", "--portal", "127.0.0.1:0"}, &out, &errs); err != nil || !o.once || o.addr != "127.0.0.1:0" {
		t.Errorf("%+v %v", o, err)
	}
	for _, args := range [][]string{{"--nonsense"}, {"stray"}} {
		errs.Reset()
		if _, err := parse(args, &out, &errs); err == nil || errs.Len() == 0 {
			t.Errorf("%q: %v, said %q", args, err, errs.String())
		}
	}
	out.Reset()
	if _, err := parse([]string{"--help"}, &out, &errs); err == nil || !strings.Contains(out.String(), "Exit codes") {
		t.Errorf("help: %v, said %q", err, out.String())
	}
}
