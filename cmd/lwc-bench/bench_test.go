package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"lwc/testdata/need"
)

// TestMain is one of its processes where the program starts itself anew.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && slices.Contains([]string{"client", "netguard", "guard", "dialer", "sink"}, os.Args[1]) {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestRawReaderFindsEachMessage(t *testing.T) {
	stream := "one" + rawDelimiter + "]]>]" + rawDelimiter + rawDelimiter
	for _, wrap := range []func(*strings.Reader) *rawReader{
		func(r *strings.Reader) *rawReader { return &rawReader{r: r, buf: make([]byte, 64)} },
		func(r *strings.Reader) *rawReader {
			return &rawReader{r: iotest.OneByteReader(r), buf: make([]byte, 64)}
		},
	} {
		r := wrap(strings.NewReader(stream))
		for range 3 {
			if err := r.message(); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.message(); err == nil {
			t.Error("a fourth message came out of three")
		}
		if r.total != int64(len("one")+len("]]>]")) {
			t.Errorf("%d bytes were counted", r.total)
		}
	}
}

func TestGoalsSayWhetherTheyAreMet(t *testing.T) {
	for want, g := range map[string]goal{
		"goal a 1.15 1.15 ok":   {name: "a", value: 1.15, limit: 1.15},
		"goal a 1.2 1.15 short": {name: "a", value: 1.2, limit: 1.15},
		"goal b 0.9 0.9 ok":     {name: "b", value: 0.9, limit: 0.9, atLeast: true},
		"goal b 0.8 0.9 short":  {name: "b", value: 0.8, limit: 0.9, atLeast: true},
	} {
		if got := g.String(); got != want {
			t.Errorf("%+v says %q, want %q", g, got, want)
		}
	}
}

func TestThirtyRequests(t *testing.T) {
	if n := len(benchItems()); n != requests {
		t.Errorf("%d requests are measured, want %d", n, requests)
	}
}

func TestCommandLine(t *testing.T) {
	for _, args := range [][]string{{"nonsense"}, {"collect", "--rounds", "0"}, {"collect", "--only", "nothing"}, {"collect", "--bogus"},
		{"uplink", "--only", "nothing"}, {"uplink", "--bogus"}, {"netguard", "--events", "0"}, {"netguard", "--only", "nothing"}, {"netguard", "--bogus"}} {
		if err := run(t.Context(), args, nil, &bytes.Buffer{}, os.Stderr); !errors.Is(err, errUsage) {
			t.Errorf("%q: %v", args, err)
		}
	}
	var out bytes.Buffer
	if err := run(t.Context(), []string{"--help"}, nil, &out, os.Stderr); !errors.Is(err, flag.ErrHelp) || !strings.Contains(out.String(), "bastion") {
		t.Errorf("--help: %v\n%s", err, &out)
	}
}

// One small round of everything that needs few devices, so that the benchmark
// still runs when somebody needs it.
func TestMeasures(t *testing.T) {
	sim := builtProgram(t, "junosim")
	need.Program(t, "sshd")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var out bytes.Buffer
	err := run(ctx, []string{"collect", "--rounds", "1", "--devices", "4", "--junosim", sim, "--only", "cpu,bastion"}, nil, &out, os.Stderr)
	if err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	for _, name := range []string{"collect-sequential-to-raw", "whole-to-pyez", "bastion-to-direct"} {
		if !strings.Contains(out.String(), "\ngoal "+name+" ") {
			t.Errorf("no goal %s in\n%s", name, &out)
		}
	}
}

// builtProgram is one of the programs that make build makes.
func builtProgram(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("LWC_BIN")
	if dir == "" {
		dir = filepath.Join("..", "..", "bin")
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		need.Missing(t, "the programs in bin/ (make build)")
	}
	return path
}

// One small round of delivery, with the real cloud.
func TestMeasuresDelivery(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var out bytes.Buffer
	err := run(ctx, []string{"uplink", "--rounds", "1", "--devices", "4", "--documents", "60", "--fleet", "4",
		"--junosim", builtProgram(t, "junosim"), "--cloud", builtProgram(t, "lwc-cloud")}, nil, &out, os.Stderr)
	if err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	for _, name := range []string{"uplink-to-paho-rate", "unchanged-bytes-each", "cycle-cpu-to-raw", "cycle-limited-rss-mib"} {
		if !strings.Contains(out.String(), "\ngoal "+name+" ") {
			t.Errorf("no goal %s in\n%s", name, &out)
		}
	}
}
