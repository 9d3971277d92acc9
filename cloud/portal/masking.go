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
	return v.revise("What is masked was saved.", apitype.Credential{}, apitype.Bastion{}, func(s *fleet.Spec) error {
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

// putLimits changes what the collector may ask of the network.
func (p *Portal) putLimits(v *visit) error {
	l, wrong := v.limitsForm()
	return v.revise("The limits were saved.", apitype.Credential{}, apitype.Bastion{}, func(s *fleet.Spec) error {
		if len(wrong) > 0 {
			return wrong
		}
		s.Limits, s.AllowCLI = l, v.form("allow_cli_fallback") == "true"
		return nil
	})
}

func (v *visit) limitsForm() (l wire.CollectLimits, wrong fleet.Problems) {
	for field, to := range map[string]*int{"concurrency": &l.Concurrency, "per_bastion": &l.PerBastion, "max_cpu": &l.MaxCPU} {
		n, err := readNumber(field, v.form(field))
		if *to = n; err != nil {
			wrong = append(wrong, fleet.Problem{Path: field, Text: fmt.Sprintf("%.20q is not a whole number: give one, or nothing", v.form(field))})
		}
	}
	n, err := readNumber("max_document_bytes", v.form("max_document_bytes"))
	if l.MaxDocumentBytes = int64(n); err != nil {
		wrong = append(wrong, fleet.Problem{Path: "max_document_bytes", Text: "give a whole number of bytes, or nothing"})
	}
	if s := v.form("logins_per_second"); s != "" {
		if l.LoginsPerSecond, err = strconv.ParseFloat(s, 64); err != nil {
			wrong = append(wrong, fleet.Problem{Path: "logins_per_second", Text: fmt.Sprintf("%.20q is not a number: give one, or nothing", s)})
		}
	}
	return l, wrong
}
