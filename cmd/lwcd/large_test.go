package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"lwc/cloud/edp"
	"lwc/junos/junostest"
	"lwc/transport/wire"
)

const (
	largeItem = "show-interfaces-terse"
	largeSize = 200_000_000
	// noiseSize is that of a reply of which three fifths go over the line: more than
	// three times the least memory for documents.
	noiseSize, noiseBudget = 45_000_000, 8 << 20
	// largeGrowth is what a reply of any size may add to the memory of the collector
	// half: one session, and what is on its way to the cloud.
	largeGrowth = 24 << 20
)

// A reply of 200 MB passes through lwcd while it arrives: the memory of the
// process that collects it hardly grows, and what is stored is what the device
// sent.
func TestLargeReply(t *testing.T) { passLarge(t, largeSize, largeItem, 0) }

// So does one that is larger than the memory for documents when it is compressed as
// well.
func TestLargeReplyOfNoise(t *testing.T) { passLarge(t, noiseSize, "noise", noiseBudget) }

// passLarge collects a reply of that size; how is the rest of the device's fault. 0
// means the default of the memory for documents, which has room for all that
// compresses well.
func passLarge(t *testing.T, size int64, how string, budget int64) {
	if testing.Short() {
		t.Skip("large replies through SSH, TLS and the store take half a minute")
	}
	cl := startCloudEnd(t)
	cl.limits.BudgetBytes = budget
	fleet := startFleet(t, junostest.Config{Devices: 1, Seed: 9}, map[string]junostest.Fault{
		"01": junostest.Fault(fmt.Sprintf("%s:%d:%s", junostest.Huge, size, how))})
	s := listenAsSystemd(t, "2000000")
	p := newProcess(t)
	p.start()
	s.await("READY=1", "waiting for an enrolment token")
	p.giveToken(cl.token(nil))
	s.await("enrolled as "+theCollector, "no configuration yet")
	cl.putFleet(fleet, p.dir)
	s.await("configuration 1 with 1 devices")

	half := p.half()
	before := memoryOf(t, half, "VmRSS:")
	began := time.Now()
	job := cl.collect()
	until(t, "the run to be complete", 5*time.Minute, func() bool {
		r, err := cl.store.Run(t.Context(), job.Run)
		return err == nil && r.State == edp.RunComplete
	})
	peak := memoryOf(t, half, "VmHWM:")
	t.Logf("in %v, the collector half had %.1f MiB before and %.1f MiB at most", time.Since(began), float64(before)/(1<<20), float64(peak)/(1<<20))
	if peak-before > largeGrowth+budget {
		t.Errorf("the collector half grew from %d to %d bytes", before, peak)
	}
	checkLarge(t, cl, fleet, job.Run, size)
	if sent := sentOf(t, cl, job.Run); sent < 3*budget {
		t.Errorf("%d bytes were sent, and the memory for documents has %d", sent, budget)
	}
}

// sentOf is how much of the large document was sent, as the account of the run says.
func sentOf(t *testing.T, cl *cloudEnd, run string) (sent int64) {
	t.Helper()
	err := cl.store.EachManifest(t.Context(), theCollector, run, func(s edp.SignedManifest) error {
		var m wire.Manifest
		if err := json.Unmarshal(s.Plain, &m); err != nil {
			return err
		}
		for _, e := range m.Documents {
			if e.Item == largeItem {
				sent += e.Sent
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return sent
}

// checkLarge reads the stored document to its end.
func checkLarge(t *testing.T, cl *cloudEnd, fleet *junostest.Fleet, run string, size int64) {
	t.Helper()
	docs, err := cl.store.Documents(t.Context(), edp.DocumentFilter{Collector: theCollector, Run: run, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(docs, func(d edp.Document) bool { return d.Item == largeItem })
	if at < 0 || len(docs) != daily(t) {
		t.Fatalf("%d documents", len(docs))
	}
	d, body, err := cl.store.OpenDocument(t.Context(), docs[at].ID)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, body)
	if err != nil || n != d.Size || n < size*9/10 || hex.EncodeToString(sum.Sum(nil)) != d.SHA256 {
		t.Errorf("%d bytes of %d: %v", n, d.Size, err)
	}
	raw := d.RawSHA256
	if raw == "" {
		raw = d.SHA256
	}
	if !slices.ContainsFunc(fleet.Sent(), func(s junostest.SentDocument) bool { return s.Item == largeItem && s.SHA256 == raw }) {
		t.Error("what the device sent is another document")
	}
}

// half returns the process that collects.
func (p *process) half() int {
	p.t.Helper()
	pid := p.cmd.Process.Pid
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	for _, task := range tasks { // a child belongs to the thread that started it
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, task.Name()))
		for _, f := range strings.Fields(string(b)) {
			if n, err := strconv.Atoi(f); err == nil {
				return n
			}
		}
	}
	p.t.Fatalf("lwcd has no collector half: %v", err)
	return 0
}

// memoryOf reads a size of /proc/PID/status (proc_pid_status(5)), in bytes.
func memoryOf(t *testing.T, pid int, field string) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == field {
			n, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n << 10
		}
	}
	t.Fatalf("process %d has no %s", pid, field)
	return 0
}
