package netguard

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// envResults names the file to which the tests, in whichever process, append
// what they measured, one JSON object a line.
const envResults = "LWC_NETGUARD_TEST_RESULTS"

// caseResult is a row of the table that a verbose run ends with.
type caseResult struct {
	Case    int
	What    string
	Control int // frames of the attack that arrived with nobody on guard
	Crossed int // with the guard
	Took    time.Duration
	User    bool // in a user namespace
}

// record adds a row to the table.
func record(t *testing.T, r caseResult) {
	t.Helper()
	r.User = insideUserns()
	b, err := json.Marshal(r)
	must(t, err)
	f, err := os.OpenFile(os.Getenv(envResults), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Log("no file for the results:", err)
		return
	}
	defer f.Close()
	_, err = f.Write(append(b, '\n'))
	must(t, err)
}

// showResults collects the rows of all processes to come; what it returns prints
// them, in a verbose run.
func showResults() (show func()) {
	f, err := os.CreateTemp("", "lwc-netguard-results-")
	if err != nil {
		return func() {}
	}
	_ = f.Chmod(0o666) // the ordinary user writes to it too
	os.Setenv(envResults, f.Name())
	return func() {
		defer os.Remove(f.Name())
		defer f.Close()
		if verbose := strings.Join(os.Args, " "); !strings.Contains(verbose, "-test.v=true") && !strings.Contains(verbose, "-test.v=test2json") {
			return
		}
		var rows []caseResult
		for lines := bufio.NewScanner(f); lines.Scan(); {
			var r caseResult
			if json.Unmarshal(lines.Bytes(), &r) == nil {
				rows = append(rows, r)
			}
		}
		printResults(rows)
	}
}

func printResults(rows []caseResult) {
	if len(rows) == 0 {
		return
	}
	slices.SortStableFunc(rows, func(a, b caseResult) int {
		if a.User != b.User {
			return boolInt(a.User) - boolInt(b.User)
		}
		return a.Case - b.Case
	})
	fmt.Printf("\n%-5s %4s  %-58s %8s %8s %10s\n", "as", "case", "what", "control", "crossed", "time")
	for _, r := range rows {
		as, took := "root", "-"
		if r.User {
			as = "user"
		}
		if r.Took > 0 {
			took = fmt.Sprintf("%.1f ms", float64(r.Took.Microseconds())/1000)
		}
		fmt.Printf("%-5s %4d  %-58s %8d %8d %10s\n", as, r.Case, r.What, r.Control, r.Crossed, took)
	}
}

// slowest is by how much an emulator may stretch a time limit.
const slowest = 10

// limit is the ceiling for a time of which d is the goal: never less than a
// second, whatever else the machine does, because a test that measures speed
// fails by its neighbours. How fast it is, make bench-netguard shows. What is
// only polled for takes longer than that, or its test says how it is told apart.
func limit(d time.Duration) time.Duration { return slow(max(d, time.Second)) }

// slow stretches d where the tests of other kernels run in an emulator, which
// says by which factor.
func slow(d time.Duration) time.Duration {
	if f, err := strconv.ParseFloat(os.Getenv("LWC_TEST_SLOW"), 64); err == nil && f > 1 {
		return time.Duration(float64(d) * min(f, slowest))
	}
	return d
}
