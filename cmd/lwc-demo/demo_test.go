package main

import (
	"strings"
	"testing"

	"lwc/cmd/lwc-demo/site"
	"lwc/netguard/netguardtest"
)

// A half that may do what it should not fails the demo.
func TestPrivileges(t *testing.T) {
	const netAdmin = site.NetAdmin
	supervisor := site.Process{UIDs: []int{0}, Capabilities: netAdmin, Bounding: netAdmin}
	collector := site.Process{UIDs: []int{996}, NoNewPrivileges: true}
	if err := privileges(supervisor, collector, true); err != nil {
		t.Error(err)
	}
	for want, spoil := range map[string]func(s, c *site.Process){
		"has capabilities: NET_ADMIN":    func(_, c *site.Process) { c.Capabilities = netAdmin },
		"could be given capabilities":    func(_, c *site.Process) { c.Bounding = netAdmin },
		"by starting a program":          func(_, c *site.Process) { c.NoNewPrivileges = false },
		"user of the supervisor":         func(_, c *site.Process) { c.UIDs = []int{0} },
		"several users":                  func(_, c *site.Process) { c.UIDs = []int{0, 996} },
		"the supervisor lacks NET_ADMIN": func(s, _ *site.Process) { s.Capabilities = 1 },
	} {
		s, c := supervisor, collector
		spoil(&s, &c)
		if err := privileges(s, c, true); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	collector.UIDs = supervisor.UIDs
	if err := privileges(supervisor, collector, false); err != nil {
		t.Errorf("in a user namespace, which has one user: %v", err)
	}
}

// A scan that was answered, that sent little, or that notices nothing shows nothing.
func TestSilent(t *testing.T) {
	all := map[string]int{"tcp syn": 65535}
	open := netguardtest.Report{Sent: all, Answered: 1}
	if err := silent(netguardtest.Report{Sent: all}, open); err != nil {
		t.Error(err)
	}
	for _, c := range [][2]netguardtest.Report{{open, open}, {{}, open}, {{Sent: all}, {Sent: all}}} {
		if silent(c[0], c[1]) == nil {
			t.Errorf("%v beside %v passes", c[0], c[1])
		}
	}
}

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
