package portal

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"lwc/cloud/api/apitype"
	"lwc/cloud/fleet"
	"lwc/transport/wire"
)

// maskClass is one box to tick.
type maskClass struct {
	Name, Text string
	On         bool
}

// maskTexts say what the classes are.
var maskTexts = map[string]string{
	"user-names":       "names of accounts, in commit logs, sessions and users",
	"snmp-communities": "SNMP community names",
	"secrets":          "encrypted passwords, hashes and keys",
	"mac-addresses":    "MAC addresses",
	"ip-addresses":     "IPv4 and IPv6 addresses",
	"descriptions":     "what people wrote at interfaces and elsewhere",
}

func maskClasses(m apitype.Masking) []maskClass {
	var out []maskClass
	for _, name := range fleet.MaskClasses() {
		on, said := m.Classes[name]
		if !said {
			on = fleet.MaskedByDefault(name)
		}
		out = append(out, maskClass{name, maskTexts[name], on})
	}
	return out
}

// putMasking switches classes. Only what differs from the default is kept, so
// that a form that was sent unchanged changes nothing. Rules stay as they are.
func (p *Portal) putMasking(v *visit) error {
	if err := v.r.ParseForm(); err != nil {
		return err
	}
	typed := func(d *loginsData) {
		for i := range d.Classes {
			d.Classes[i].On = slices.Contains(v.r.PostForm["class"], d.Classes[i].Name)
		}
	}
	return v.reviseForm("What is masked was saved.", typed, func(s *fleet.Spec) error {
		classes := maps.Clone(s.Masking.Classes)
		if classes == nil {
			classes = map[string]bool{}
		}
		for _, name := range fleet.MaskClasses() {
			on := slices.Contains(v.r.PostForm["class"], name)
			if _, said := classes[name]; said || on != fleet.MaskedByDefault(name) {
				classes[name] = on
			}
		}
		s.Masking.Classes = classes
		return nil
	})
}

func (p *Portal) rotateMasking(v *visit) error {
	collector := v.r.PathValue("collector")
	if _, err := p.cfg.Keeper.RotateMasking(v.r.Context(), collector); err != nil {
		return err
	}
	p.log.Info("a masking key was replaced", "collector", collector, "user", v.user.Name)
	return v.done("/collectors/"+collector+"/access", "The collector makes pseudonyms with a new key from now on.")
}

// limitsForm is the form of the limits, as typed or as stored.
type limitsForm struct{ Concurrency, PerBastion, LoginsPerSecond, MaxCPU, MaxDocumentBytes, BudgetBytes string }

func limitsOf(l wire.CollectLimits) limitsForm {
	whole := func(n int64) string {
		if n == 0 {
			return ""
		}
		return strconv.FormatInt(n, 10)
	}
	f := limitsForm{Concurrency: whole(int64(l.Concurrency)), PerBastion: whole(int64(l.PerBastion)),
		MaxCPU: whole(int64(l.MaxCPU)), MaxDocumentBytes: whole(l.MaxDocumentBytes), BudgetBytes: whole(l.BudgetBytes)}
	if l.LoginsPerSecond != 0 {
		f.LoginsPerSecond = strconv.FormatFloat(l.LoginsPerSecond, 'f', -1, 64)
	}
	return f
}

// putLimits changes what the collector may ask of the network.
func (p *Portal) putLimits(v *visit) error {
	form := limitsForm{v.form("concurrency"), v.form("per_bastion"), v.form("logins_per_second"), v.form("max_cpu"), v.form("max_document_bytes"), v.form("budget_bytes")}
	cli := v.form("allow_cli_fallback") == "true"
	l, wrong := form.read()
	typed := func(d *loginsData) { d.Limits, d.AllowCLI = form, cli }
	return v.reviseForm("The limits were saved.", typed, func(s *fleet.Spec) error {
		if len(wrong) > 0 {
			return wrong
		}
		s.Limits, s.AllowCLI = l, cli
		return nil
	})
}

func (f limitsForm) read() (l wire.CollectLimits, wrong fleet.Problems) {
	whole := func(field, s string) int {
		n, err := readNumber(field, s)
		if err != nil {
			wrong = append(wrong, fleet.Problem{Path: field, Text: fmt.Sprintf("%.20q is not a whole number: give one, or nothing", s)})
		}
		return n
	}
	l.Concurrency, l.PerBastion = whole("concurrency", f.Concurrency), whole("per_bastion", f.PerBastion)
	l.MaxCPU, l.MaxDocumentBytes = whole("max_cpu", f.MaxCPU), int64(whole("max_document_bytes", f.MaxDocumentBytes))
	l.BudgetBytes = int64(whole("budget_bytes", f.BudgetBytes))
	if s := f.LoginsPerSecond; s != "" {
		var err error
		if l.LoginsPerSecond, err = strconv.ParseFloat(s, 64); err != nil {
			wrong = append(wrong, fleet.Problem{Path: "logins_per_second", Text: fmt.Sprintf("%.20q is not a number: give one, or nothing", s)})
		}
	}
	return l, wrong
}
