package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lwc/cmd/lwcd/report"
	"lwc/image/trial"
)

// onTrial is a gate in a folder, in the first start of 1.1.0.
func onTrial(t *testing.T) (gate, string) {
	t.Helper()
	dir := t.TempDir()
	name := filepath.Join(dir, "LoaderBootCountPath-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f")
	if err := os.WriteFile(name, []byte("\x06\x00\x00\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := trial.Save(dir, trial.PendingFile, map[string]string{"version": "1.1.0", "from": "1.0.0"}); err != nil {
		t.Fatal(err)
	}
	return gate{variables: dir, report: filepath.Join(dir, "lwcd.json"), settings: filepath.Join(dir, "lwc.toml"), state: dir, version: "1.1.0",
		limit: 300 * time.Millisecond, poll: time.Millisecond,
		condemn: []string{"/bin/sh", "-c", "echo condemned >> " + filepath.Join(dir, "log")}}, dir
}

// telling writes reports until the test ends, as lwcd does; each is the newest of
// them that the channel brought.
func telling(t *testing.T, g gate, reports ...report.Report) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		for beat := uint64(1); ; beat++ {
			r := reports[min(int(beat)-1, len(reports)-1)]
			r.Beat = beat
			if err := report.Write(g.report, r); err != nil || !sleep(ctx, 5*time.Millisecond) {
				ended <- err
				return
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestGateIsPassed(t *testing.T) {
	down := report.Report{Ports: report.Down, Cause: "address", Detail: "no lease"}
	for _, c := range []struct {
		about, words string
		reports      []report.Report
	}{
		{"ports", "release 1.1.0 is good: the two ports are enforced", []report.Report{down, down, {Ports: report.Open}}},
		{"no settings", "waits for the settings", []report.Report{{Ports: report.Down, Cause: report.NoConfiguration}}},
	} {
		t.Run(c.about, func(t *testing.T) {
			g, dir := onTrial(t)
			g.limit = 20 * time.Second
			telling(t, g, c.reports...)
			words, err := g.judge(t.Context())
			if err != nil || !strings.Contains(words, c.words) {
				t.Errorf("%q, %v", words, err)
			}
			if _, err := os.Stat(filepath.Join(dir, "log")); err == nil {
				t.Error("it was condemned")
			}
		})
	}
}

// Without the state that there was before there are no settings, which is no good sign.
func TestGateWithoutState(t *testing.T) {
	for _, about := range []string{"not mounted", "emptied", "of another release"} {
		g, dir := onTrial(t)
		switch about {
		case "not mounted":
			g.state = filepath.Join(dir, "update")
		case "emptied":
			g.state = t.TempDir()
		default:
			g.version = "1.2.0"
		}
		telling(t, g, report.Report{Ports: report.Down, Cause: report.NoConfiguration})
		if _, err := g.judge(t.Context()); err == nil || !strings.Contains(err.Error(), "identity and settings are gone") {
			t.Errorf("%s: %v", about, err)
		}
	}
}

// No trial, no verdict: a box that has proved itself is not restarted for anything.
func TestGateOfNoTrial(t *testing.T) {
	g, _ := onTrial(t)
	g.variables = t.TempDir()
	if words, err := g.judge(t.Context()); err != nil || words != "this start is no trial" {
		t.Errorf("%q, %v", words, err)
	}
}

// Who ends the gate gets no verdict: neither a good one, nor one that condemns.
func TestGateThatIsEnded(t *testing.T) {
	g, dir := onTrial(t)
	g.limit = time.Minute
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if words, err := g.judge(ctx); err == nil || words != "" || !strings.Contains(err.Error(), "before there is a verdict") {
		t.Errorf("%q, %v", words, err)
	}
	for _, name := range []string{"log", "trial.json"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Errorf("there is a %s: it was condemned", name)
		}
	}
}

// A release that is not good is condemned, and the reason outlives the restart.
func TestGateCondemns(t *testing.T) {
	settled := func(t *testing.T, g gate) {
		if err := os.WriteFile(g.settings, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		about, words string
		prepare      func(t *testing.T, g gate)
	}{
		{"silent", "within 300ms: lwcd said nothing of itself", nil},
		{"down", "within 300ms: the two ports are down (address): no lease", func(t *testing.T, g gate) {
			telling(t, g, report.Report{Ports: report.Down, Cause: "address", Detail: "no lease"})
		}},
		{"blocked", "the two ports are blocked", func(t *testing.T, g gate) { telling(t, g, report.Report{Ports: report.Blocked, Cause: "x"}) }},
		{"settings that are not used", "the two ports are down (no-configuration)", func(t *testing.T, g gate) {
			settled(t, g)
			telling(t, g, report.Report{Ports: report.Down, Cause: report.NoConfiguration})
		}},
		{"one good word, then silence", "and then nothing more", func(t *testing.T, g gate) {
			if err := report.Write(g.report, report.Report{Beat: 1, Ports: report.Open}); err != nil {
				t.Fatal(err)
			}
		}},
		{"no report", "is not known", func(t *testing.T, g gate) {
			if err := os.WriteFile(g.report, []byte("{}"), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.about, func(t *testing.T) {
			g, dir := onTrial(t)
			if c.prepare != nil {
				c.prepare(t, g)
			}
			_, err := g.judge(t.Context())
			if err == nil || !strings.Contains(err.Error(), c.words) {
				t.Errorf("%v", err)
			}
			f, err := trial.LoadFault(dir)
			if err != nil || f.Version != "1.1.0" || !strings.Contains(f.Text, c.words) {
				t.Errorf("%+v, %v", f, err)
			}
			if text, err := os.ReadFile(filepath.Join(dir, "log")); err != nil || string(text) != "condemned\n" {
				t.Errorf("%q, %v", text, err)
			}
		})
	}
}
