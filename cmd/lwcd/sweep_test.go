package main

import (
	"runtime"
	"testing"
	"time"

	"lwc/collector"
)

// A sweep takes little time, for it stands beside collections, and leaves nobody
// behind.
func TestSweep(t *testing.T) {
	before, began := runtime.NumGoroutine(), time.Now()
	sweep()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	until(t, "the goroutines of a sweep to end", 5*time.Second, func() bool { return runtime.NumGoroutine() <= before })
}

// The default budget, sessions and a thousand devices leave room for the program below
// the budget and 32 MiB; more of each raises the limit.
func TestMemoryLimit(t *testing.T) {
	const budget, devices = 64 << 20, 1000
	limit := memoryLimit(budget, collector.DefaultConcurrency, devices)
	if limit < budget+8<<20 || limit+programMemory+4<<20 > budget+32<<20 {
		t.Errorf("%d", limit)
	}
	for _, more := range []int64{memoryLimit(2*budget, collector.DefaultConcurrency, devices),
		memoryLimit(budget, 2*collector.DefaultConcurrency, devices), memoryLimit(budget, collector.DefaultConcurrency, 2*devices)} {
		if more <= limit {
			t.Errorf("%d after %d", more, limit)
		}
	}
}

// BenchmarkSweep tells how long one takes.
func BenchmarkSweep(b *testing.B) {
	for b.Loop() {
		sweep()
	}
}
