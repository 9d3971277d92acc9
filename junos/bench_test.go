package junos

import (
	"os"
	"testing"
)

// BenchmarkScan is the cost of looking at a reply; the house's measure for it
// is a few milliseconds a megabyte.
func BenchmarkScan(b *testing.B) {
	doc, err := os.ReadFile(corpus(b, "pyez--get-interface-information--M--1.xml"))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		s := newScan("", nil)
		s.write(doc)
		if r := s.result(false); r.Outcome != OK {
			b.Fatal(r)
		}
	}
}
