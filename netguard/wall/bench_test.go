package wall

import (
	"net/netip"
	"testing"
	"time"
)

func ready(b *testing.B) (*Wall, Port) {
	port, _ := wire(b)
	w, p := port.open(), external(port.link("p0"), true)
	must(b, w.Apply(p))
	return w, p
}

// BenchmarkApply replaces the rules each time.
func BenchmarkApply(b *testing.B) {
	w, p := ready(b)
	for i := 0; b.Loop(); i++ {
		q := p
		q.DNS = p.DNS[:1+i%2]
		must(b, w.Apply(q))
	}
}

// BenchmarkApplySame has nothing to do.
func BenchmarkApplySame(b *testing.B) {
	w, p := ready(b)
	for b.Loop() {
		must(b, w.Apply(p))
	}
}

// BenchmarkCheck is without a new generation.
func BenchmarkCheck(b *testing.B) {
	w, p := ready(b)
	for b.Loop() {
		if problems, err := w.Check(p); err != nil || len(problems) > 0 {
			b.Fatal(problems, err)
		}
	}
}

// BenchmarkCheckAll reads everything, as after a change by somebody else.
func BenchmarkCheckAll(b *testing.B) {
	w, p := ready(b)
	for b.Loop() {
		w.gen = 0
		if problems, err := w.Check(p); err != nil || len(problems) > 0 {
			b.Fatal(problems, err)
		}
	}
}

func BenchmarkPermit(b *testing.B) {
	w, _ := ready(b)
	a := []netip.AddrPort{netip.MustParseAddrPort("192.0.2.2:443"), netip.MustParseAddrPort("[2001:db8::2]:443")}
	for b.Loop() {
		must(b, w.Permit(a, false, time.Hour))
	}
}
