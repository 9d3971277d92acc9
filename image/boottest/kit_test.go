package boottest

import (
	"context"
	"regexp"
	"testing"
	"time"

	"lwc/netguard/netguardtest"
)

// The kit itself, with whatever image there is: it boots, is seen, is asked for its
// memory, and takes and gives back a stick.
func TestMachine(t *testing.T) {
	disk := NewDisk(t, Image(t))
	host, err := netguardtest.NewHost()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(host.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	vm := Start(t, Machine{Disk: disk, TPM: t.TempDir(), NICs: []NIC{{MAC: "52:54:00:00:00:01", In: host, Link: "box0"}},
		Volumes: []Volume{{ID: "stick", File: MakeVolume(t, "LWCCONF", map[string][]byte{"lwc.toml": []byte("no")})}}})
	vm.WaitFor(ctx, regexp.MustCompile(`(?i)lwcd|lwc `))
	began := time.Now()
	m, err := vm.Memory(ctx)
	t.Log(time.Since(began), m.Total>>20, m.Free>>20, m.Available>>20, err)
	vm.SwapVolume(ctx, Volume{ID: "stick", File: MakeVolume(t, "LWCCONF", nil)})
	t.Log(vm.Console())
}
