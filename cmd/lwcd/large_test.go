package main

import (
	"crypto/sha256"
	"encoding/hex"
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
)

const (
	largeItem = "show-interfaces-terse"
	largeSize = 200_000_000
	// largeGrowth is what a reply of any size may add to the memory of the collector
	// half: one session, and what is on its way to the cloud.
	largeGrowth = 24 << 20
)

// A reply of 200 MB passes through lwcd while it arrives: the memory of the
// process that collects it hardly grows, and what is stored is what the device
// sent.
func TestLargeReply(t *testing.T) {
	if testing.Short() {
		t.Skip("200 MB through SSH, TLS and the store take half a minute")
	}
	cl := startCloudEnd(t)
	fleet := startFleet(t, junostest.Config{Devices: 1, Seed: 9}, map[string]junostest.Fault{
		"01": junostest.Fault(fmt.Sprintf("%s:%d:%s", junostest.Huge, largeSize, largeItem))})
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
	if peak-before > largeGrowth {
		t.Errorf("the collector half grew from %d to %d bytes", before, peak)
	}
	checkLarge(t, cl, fleet, job.Run)
}

// checkLarge reads the stored document to its end.
func checkLarge(t *testing.T, cl *cloudEnd, fleet *junostest.Fleet, run string) {
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
	if err != nil || n != d.Size || n < largeSize*9/10 || hex.EncodeToString(sum.Sum(nil)) != d.SHA256 {
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
